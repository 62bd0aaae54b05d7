// SPDX-License-Identifier: Apache-2.0
// Uses a page with a model in it as somebody would, and measures: see live.py, which serves both.
const frame = document.querySelector("iframe");
const began = performance.now();
const report = (found) => fetch("/found", { method: "POST", body: JSON.stringify(found) });
const pause = (ms) => new Promise((go) => setTimeout(go, ms));
const until = async (found, every = 2) => {
  for (;;) {
    const result = found();
    if (result) return result;
    await pause(every);
  }
};
const painted = () =>
  new Promise((go) => {
    const { contentWindow: page } = frame;
    page.requestAnimationFrame(() => page.requestAnimationFrame(go));
  });
const inside = (selector) => frame.contentDocument?.querySelector(selector);
const status = () => inside(".status")?.textContent ?? "";
const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];
/** A text of so many tokens: 8x7m's own pieces of it are counted by what it answers. */
const WORDS = "Our cat answers to no name, but she knows the sound of the fridge through two doors. ";

/** The page's model once more, in a worker of ours: what it takes by itself. */
async function engine() {
  const page = frame.contentWindow;
  const code = new Blob([`(${page.moeVizModel})(self);`], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(code));
  const heard = [];
  worker.onmessage = ({ data }) => heard.push({ at: performance.now(), ...data });
  const read = (id) => {
    let text = "";
    for (let n = 0; ; n++) {
      const part = page.document.getElementById(`${id}-data${n ? `-${n}` : ""}`);
      if (!part) return text;
      text += part.textContent;
    }
  };
  const { record, ...rest } = JSON.parse(read("moe-viz-held-model"));
  const like = JSON.parse(read("moe-viz-lab"));
  const start = performance.now();
  const carried = { ...rest, weights: read("moe-viz-held-weights") };
  worker.postMessage({ carried, tokens: 2048, like, record });
  const { at } = await until(() => heard.find((m) => m.ready));
  const [L, , , k] = like.shape;
  const none = () => Array.from({ length: L }, () => []);
  const changes = { off: none(), empty: false, forced: none(), k, temperature: 1, uniform: false };
  let number = 0;
  const ask = async (text, part, more = {}) => {
    heard.length = 0;
    const from = performance.now();
    worker.postMessage({ number: ++number, text, changes, title: "", guesses: 8, ...more });
    const found = await until(() => heard.find((m) => m.number === number && m[part]), 0);
    return { found: found[part], spent: found.at - from };
  };
  return { worker, ask, changes, ready: at - start };
}

/** As many words as make so many tokens; a text that was just run is answered from memory. */
async function textOf(ask, tokens, n) {
  const { found } = await ask(WORDS, "trace");
  const each = (found.shape[1] - 1) / WORDS.length;
  return (n + WORDS.repeat(99)).slice(0, Math.round((tokens - 1) / each));
}

async function timed({ ask, changes }, repeats) {
  const found = {};
  for (const tokens of [100, 500, 2000]) {
    const all = [];
    for (let n = 0; n < (tokens > 1000 ? Math.ceil(repeats / 3) : repeats); n++) {
      const text = await textOf(ask, tokens, n);
      const { found: trace, spent } = await ask(text, "trace");
      all.push((spent * tokens) / trace.shape[1]);
    }
    found[tokens] = median(all);
  }
  const next = [];
  for (let n = 0; n < repeats; n++) {
    const text = await textOf(ask, 100, n);
    const { spent: one } = await ask(text, "written", {
      writing: { count: 1, temperature: 0, seed: 0 },
    });
    const { spent: many } = await ask(text, "written", {
      writing: { count: 65, temperature: 0, seed: 0 },
    });
    next.push((many - one) / 64);
  }
  found.next = median(next);
  const off = changes.off.map((_, layer) => (layer === 5 ? [6] : []));
  const text = await textOf(ask, 100, 0);
  await ask(text, "outlook");
  found.changed = (await ask(text, "trace", { changes: { ...changes, off } })).spent;
  return found;
}

/** How long the page's own thread was busy at a time, while somebody types, switches and writes. */
async function busy(runs) {
  const gaps = [];
  const { port1, port2 } = new frame.contentWindow.MessageChannel();
  let last = performance.now();
  let over = false;
  port1.onmessage = () => {
    const now = performance.now();
    if (now - last > 4) gaps.push(now - last);
    last = now;
    if (!over) setTimeout(() => port2.postMessage(0));
  };
  port2.postMessage(0);
  const button = (name) =>
    [...frame.contentDocument.querySelectorAll("button")].find((b) => b.textContent === name);
  const box = inside(".tray textarea");
  const done = () => until(() => /tokens\./.test(status()), 5);
  for (let n = 0; n < runs; n++) {
    box.value = `${n} ${WORDS}`;
    box.dispatchEvent(new frame.contentWindow.Event("input", { bubbles: true }));
    await pause(300);
    await done();
    if (n % 5 === 4) {
      button("Spoil French").click();
      await pause(50);
      await done();
      await until(() => frame.contentDocument.querySelectorAll(".scores .guess").length === 5, 5);
      button("undo").click();
      await pause(50);
      await done();
      button("Look").click();
      await painted();
    }
    await report({ run: n });
  }
  over = true;
  return gaps;
}

/* global RUNS, REPEATS, SLOW */
const go = async () => {
  const shown = await until(() => {
    const host = inside(".moe-viz");
    return host?.shadowRoot?.querySelector(".sentence:not(:empty)");
  });
  await painted();
  const picture = performance.now() - began;
  await until(() => shown && /tokens\./.test(status()), 5);
  const ready = performance.now() - began;
  await report({ picture, ready });
  if (RUNS) await report({ gaps: await busy(RUNS) });
  if (REPEATS) {
    const model = await engine();
    await report({ unpacked: model.ready, times: await timed(model, REPEATS) });
    model.worker.terminate();
  }
  await report({ over: true });
};
go().catch((error) => report({ failed: String(error?.stack ?? error) }));
