// The explorer: draws one packed trace into one element, without a framework or a network.
//
// Everything on the screen derives from `data` (the trace) and `state` (what is looked at).
// Text from the trace only ever becomes text nodes: nothing in a prompt can become markup.
function moeVizExplorer(id, style, palette) {
  "use strict";
  const host = document.getElementById(id);
  if (!host || host.shadowRoot) return;
  const data = JSON.parse(document.getElementById(id + "-data").textContent);
  const [L, T, E, K] = data.shape;

  // ---- The trace ---------------------------------------------------------------------------

  const bytes = (name) => Uint8Array.from(atob(data.arrays[name]), (c) => c.charCodeAt(0)).buffer;
  const halves = (name) => {
    const table = new Float32Array(65536); // every float16 there is, decoded once
    for (let h = 0; h < 65536; h++) {
      const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
      table[h] = sign * (exponent === 0 ? fraction * 2 ** -24
        : exponent === 31 ? (fraction ? NaN : Infinity) : (1 + fraction / 1024) * 2 ** (exponent - 15));
    }
    return Float32Array.from(new Uint16Array(bytes(name)), (h) => table[h]);
  };
  const logits = halves("logits"), gates = halves("gates");
  const experts = new Int8Array(bytes("experts"));
  const pieces = new Uint32Array(bytes("piece")), spans = new Uint32Array(bytes("spans"));
  const flags = new Uint8Array(bytes("flags"));
  const prompts = data.prompts.map(([label, text, start, stop]) => ({ label, text, start, stop }));

  const choice = (layer, t, slot) => experts[(layer * T + t) * K + slot];
  const gate = (layer, t, slot) => gates[(layer * T + t) * K + slot];
  const isSpecial = (t) => (flags[t] & 1) === 1;
  const piece = (t) => data.pieces[pieces[t]];
  const percent = (x, digits = 0) => (100 * x).toFixed(digits) + "\u00a0%"; // never apart

  function probabilities(layer, t) {
    const row = Array.from(logits.subarray((layer * T + t) * E, (layer * T + t + 1) * E), Math.exp);
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((p) => p / sum);
  }
  // Experts by logit, strongest first; equal ones by number.
  function ranking(layer, t) {
    const base = (layer * T + t) * E;
    return Array.from({ length: E }, (_, e) => e).sort((a, b) => logits[base + b] - logits[base + a] || a - b);
  }
  const QUANTITIES = {
    gate: { name: "gate of the first choice", at: (l, t) => (gate(l, t, 0) - 1 / K) / (1 - 1 / K || 1), ends: [percent(1 / K), "100 %"] },
    margin: {
      name: "margin, logits", ends: ["0", "3 or more"],
      at: (l, t) => { const r = ranking(l, t), b = (l * T + t) * E; return K === E ? 1 : (logits[b + r[K - 1]] - logits[b + r[K]]) / 3; },
    },
    entropy: {
      name: "entropy ÷ log E", ends: ["0", "1"],
      at: (l, t) => -probabilities(l, t).reduce((s, p) => s + (p > 0 ? p * Math.log(p) : 0), 0) / Math.log(E),
    },
  };

  // ---- Colour ------------------------------------------------------------------------------

  const rgb = (hex) => [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
  const mixed = (a, b, share) => rgb(a).map((x, n) => Math.round(x * share + rgb(b)[n] * (1 - share)));
  const css = (c) => `rgb(${c[0]} ${c[1]} ${c[2]})`;
  const colour = (e) => palette.experts[e % palette.experts.length];
  const digitInk = (e) => (palette.white.includes(e % palette.experts.length) ? "#fff" : "#000");
  // Beyond eight experts colours repeat; a hatch tells the groups apart, the number is always there.
  const hatch = (e) => {
    const group = Math.floor(e / palette.experts.length);
    return group ? `repeating-linear-gradient(${45 * group}deg, transparent 0 4px, #0005 4px 5px), ` : "";
  };
  const filled = (e, c) => `${hatch(e)}linear-gradient(${c}, ${c})`;
  const solid = (e) => filled(e, colour(e));
  const faint = (e) => filled(e, css(mixed(colour(e), theme.ground, 0.3)));
  const cividis = (x) => {
    const at = Math.min(Math.max(x || 0, 0), 1) * (palette.cividis.length - 1), n = Math.min(Math.floor(at), palette.cividis.length - 2);
    return mixed(palette.cividis[n + 1], palette.cividis[n], at - n);
  };
  function isDark() {
    const jupyter = document.body.getAttribute("data-jp-theme-light");
    if (jupyter !== null) return jupyter === "false";
    if (document.body.classList.contains("vscode-dark")) return true;
    if (document.body.classList.contains("vscode-light")) return false;
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }
  let theme = palette.light;

  // ---- The page ----------------------------------------------------------------------------

  const h = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  };
  const state = { ...data.state, hover: null, isolate: null, faded: null, view: [0, 1] };
  const label = (p) => p.label || "text";
  const labels = [...new Set(prompts.map(label))];
  const opening = (p) => { const t = p.text.replace(/\s+/g, " ").trim(); return t.length > 42 ? t.slice(0, 40) + "…" : t; };

  const labelSelect = h("select", { "aria-label": "Label", onchange: () => open(prompts.findIndex((p) => label(p) === labelSelect.value)) },
    ...labels.map((l) => h("option", { value: l }, l)));
  const promptSelect = h("select", { "aria-label": "Prompt", onchange: () => open(Number(promptSelect.value)) });
  const layerRange = h("input", { type: "range", min: 0, max: L - 1, "aria-label": "Layer", oninput: () => set({ layer: Number(layerRange.value) }) });
  const layerName = h("b"), mapTitle = h("span");
  const modeSelect = h("select", { "aria-label": "Colour of the map", onchange: () => set({ mode: modeSelect.value }) },
    h("option", { value: "first" }, "first choice"), ...Object.entries(QUANTITIES).map(([k, q]) => h("option", { value: k }, q.name)));
  const legend = h("div", { class: "legend" }), text = h("div", { class: "text" });
  const map = h("canvas", { role: "img" }), overview = h("canvas", { class: "overview", "aria-hidden": "true" });
  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  const sentence = h("p", { class: "sentence", "aria-live": "polite" });
  const decision = h("div", { class: "bars" }), path = h("div", { class: "path" }), loads = h("div", { class: "bars" });
  const decisionTitle = h("h3"), loadTitle = h("h3", { title: "Share of the layer’s assignments: each token has one for every choice" });
  const scopeSelect = h("select", { "aria-label": "Load of", onchange: () => draw() },
    h("option", { value: "prompt" }, "this prompt"), h("option", { value: "label" }, "this label"), h("option", { value: "all" }, "all prompts"));
  const ends = h("div", { class: "ends" }, h("span"), h("span", { class: "hint" }, "click, then wheel: zoom · drag the strip: move · double click: all"), h("span"));
  const caption = h("footer", {}, `Colour = expert number within its layer. The same number in another layer is another network. ${data.model}${/^mixtral-8x7b/i.test(data.model) ? "" : ", not Mixtral 8x7B"}. <s> is run and shown, and left out of loads. `,
    h("span", { class: "hint" }, `Keys: ← → token, ↑ ↓ layer, 0 – ${Math.min(E, 10) - 1} one expert, Esc all.`));
  const root = h("div", { class: "mv" + (state.page ? " page" : ""), tabindex: 0, role: "application", "aria-label": `Routing explorer: ${data.title}`, onkeydown: key },
    h("header", {}, h("h2", {}, "Which expert takes which token"), h("span", { class: "muted" }, data.title), h("span", { class: "grow" }),
      h("label", { class: "prompts" }, "Prompt ", labelSelect, promptSelect), h("label", {}, "Layer ", layerRange, layerName)),
    ...(data.synthetic ? [h("div", { class: "banner", role: "note" }, h("span", {}, `${data.synthetic}: nothing here is about a trained model`))] : []),
    legend,
    h("div", { class: "body" },
      h("div", {}, text, h("label", {}, mapTitle, modeSelect), h("div", { class: "map" }, h("span", { class: "end" }, "input"), h("span"), axis, map, h("span", { class: "end" }, "output"), overview, h("span"), ends)),
      h("div", {}, sentence, h("section", {}, decisionTitle, decision),
        h("section", {}, h("h3", {}, "This token through all layers: first and second choice"), path),
        h("section", {}, h("div", { class: "row" }, loadTitle, scopeSelect), loads))),
    caption);
  let zoom = 1, textKey = "", legendKey = "", loadKey = ""; // what was drawn last
  const shadow = host.attachShadow({ mode: "open" });
  shadow.append(h("style", {}, style), root);

  // ---- State -------------------------------------------------------------------------------

  const current = () => prompts[state.prompt];
  // What the decision panel speaks of: what the pointer is on, else what is pinned.
  const focus = () => state.hover ?? { layer: state.layer, token: state.token };

  function firstShown(p) { let t = p.start; while (t < p.stop - 1 && isSpecial(t)) t++; return t; }
  function open(prompt, token = null) {
    const p = prompts[prompt];
    set({ prompt, token: token ?? firstShown(p), hover: null, view: [p.start, p.stop] }, true);
  }
  function set(change, rebuild = false) {
    Object.assign(state, change);
    if (rebuild) buildText();
    draw();
  }
  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = /^(SELECT|INPUT)$/.test(shadow.activeElement?.tagName ?? "");
    const p = current(), move = { ArrowLeft: -1, ArrowRight: 1 }[event.key], climb = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "Tab") return;
    if (event.key === "Escape") set({ isolate: null, hover: null });
    else if (inField) { event.stopPropagation(); return; }
    else if (move) { set({ token: Math.min(Math.max(state.token + move, p.start), p.stop - 1), hover: null }); reveal(); }
    else if (climb) set({ layer: Math.min(Math.max(state.layer + climb, 0), L - 1), hover: null });
    else if (/^[0-9]$/.test(event.key) && Number(event.key) < E) isolate(Number(event.key));
    else if (!/^[a-zA-Z]$/.test(event.key) && event.key !== "Enter") return;
    // Whatever was typed here stays here: in JupyterLab `dd` would delete the cell.
    event.preventDefault();
    event.stopPropagation();
  }
  const isolate = (e) => set({ isolate: state.isolate === e ? null : e });
  function reveal() {
    const chip = chips.get(state.token);
    if (chip) {
      const box = chip.getBoundingClientRect(), frame = text.getBoundingClientRect(), scale = frame.height / text.offsetHeight || 1;
      if (box.top < frame.top || box.bottom > frame.bottom) text.scrollTop += (box.top - frame.top) / scale - text.clientHeight / 2;
    }
    const [a, b] = state.view;
    if (state.token < a || state.token >= b) pan(state.token - (b - a) / 2);
  }

  // ---- Text --------------------------------------------------------------------------------

  let chips = new Map(), chosenChip;
  const SIGNS = { "\n": "⏎", "\t": "⇥" };
  function buildText() {
    const p = current(), characters = Array.from(p.text);
    chips = new Map(); textKey = "";
    const nodes = [];
    for (let t = p.start; t < p.stop; t++) {
      const from = spans[2 * t], to = spans[2 * t + 1];
      const shares = t > p.start && to > from && !isSpecial(t) && spans[2 * t - 2] === from && spans[2 * t - 1] === to && to - from === 1;
      const kind = "tok" + (isSpecial(t) ? " special" : "") + (flags[t] & 2 ? " generated" : "");
      if (shares) { // one more byte of the same character: another stripe of it
        const chip = nodes.at(-1); chip.bytes.push(t); chips.set(t, chip); continue;
      }
      const chip = h("span", { class: kind });
      const shown = isSpecial(t) || to === from ? [isSpecial(t) ? piece(t) + " " : ""] : characters.slice(from, to);
      for (const c of shown) {
        if (SIGNS[c]) chip.append(h("span", { class: "sign" }, SIGNS[c]), c);
        else if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(c)) chip.append(h("span", { class: "sign" }, "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")));
        else chip.append(c);
      }
      chip.bytes = [t];
      nodes.push(chip); chips.set(t, chip);
    }
    text.replaceChildren(...nodes);
    text.classList.toggle("code", ["python", "c", "javascript", "html", "code"].includes(p.label));
    // Where runs of spaces mean something all are kept; elsewhere none hangs, coloured, after a line.
    text.classList.toggle("exact", /[ \t]{2}|(^|\n)[ \t]/.test(p.text));
    mapTitle.textContent = `Map of ${(p.stop - p.start).toLocaleString("en")} tokens × ${L} layers: `;
    text.scrollTop = 0;
    labelSelect.value = label(p);
    const alike = prompts.map((q, n) => [q, n]).filter(([q]) => label(q) === label(p));
    promptSelect.replaceChildren(...alike.map(([q, n]) => h("option", { value: n }, opening(q))));
    promptSelect.value = state.prompt;
  }
  const tokenOf = (event) => {
    const chip = event.target.closest?.(".tok");
    return chip ? chip.bytes[0] : null;
  };
  text.addEventListener("pointermove", (e) => { const t = tokenOf(e); set({ hover: t === null ? null : { layer: state.layer, token: t } }); });
  text.addEventListener("pointerleave", () => set({ hover: null }));
  text.addEventListener("click", (e) => { const t = tokenOf(e); if (t !== null) set({ token: t }); root.focus({ preventScroll: true }); });

  function paintChosen() {
    const chip = chips.get(focus().token);
    if (chip === chosenChip) return;
    chosenChip?.classList.remove("chosen");
    chip?.classList.add("chosen");
    chosenChip = chip;
  }
  function paintText() {
    const ground = theme.ground, share = (g) => theme.faintest + (theme.strongest - theme.faintest) * Math.min(Math.max(K > 1 ? (g - 1 / K) / (1 - 1 / K) : 1, 0), 1);
    const only = state.faded ?? state.isolate;
    for (const chip of new Set(chips.values())) {
      const t = chip.bytes[0];
      const involved = chip.bytes.some((b) => Array.from({ length: K }, (_, s) => choice(state.layer, b, s)).includes(only));
      chip.classList.toggle("faded", only !== null && !involved);
      if (isSpecial(t) || choice(state.layer, t, 0) < 0) { chip.style.background = ""; continue; }
      const n = chip.bytes.length;
      const stripes = chip.bytes.map((b, i) => `${css(mixed(colour(choice(state.layer, b, 0)), ground, share(gate(state.layer, b, 0))))} ${(100 * i) / n}% ${(100 * (i + 1)) / n}%`);
      // Below, the gates of all k choices, in full colour.
      const bar = []; let at = 0;
      for (let s = 0; s < K; s++) {
        const e = choice(state.layer, t, s), g = gate(state.layer, t, s);
        if (e >= 0) bar.push(`${colour(e)} ${100 * at}% ${100 * (at += g)}%`);
      }
      chip.style.background = `linear-gradient(90deg, ${bar.join(", ")}) bottom / 100% 4px no-repeat, linear-gradient(90deg, ${stripes.join(", ")})`;
    }
  }

  // ---- Map ---------------------------------------------------------------------------------

  const rowHeight = () => Math.round(zoom * (L <= 8 ? (state.page ? 40 : 24) : L <= 16 ? 14 : state.page ? 11 : 7));
  const gapAfter = (l) => (L > 8 && l % 8 === 7 && l < L - 1 ? 3 : 0);
  const rowTop = (l) => { let y = 0; for (let i = 0; i < l; i++) y += rowHeight() + gapAfter(i); return y; };
  function sized(canvas, height) {
    const ratio = Math.min(devicePixelRatio || 1, 2), width = Math.min(canvas.clientWidth || 600, 4096);
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    canvas.style.height = height + "px";
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    return [g, width];
  }
  // The colour of tokens a … b of one layer: the commonest expert, paler the smaller its share.
  // Hues are never averaged: a mixture of two experts' colours would be a third expert's.
  function cellColour(layer, a, b) {
    if (state.mode !== "first") {
      let sum = 0;
      for (let t = a; t < b; t++) sum += QUANTITIES[state.mode].at(layer, t);
      return cividis(sum / (b - a));
    }
    const counts = new Map();
    for (let t = a; t < b; t++) { const e = choice(layer, t, 0); counts.set(e, (counts.get(e) ?? 0) + 1); }
    let best = -1, most = 0;
    for (const [e, n] of counts) if (n > most) [best, most] = [e, n];
    if (best < 0) return rgb(theme.ground);
    const only = state.faded ?? state.isolate;
    const faded = only !== null && best !== only && !(b - a === 1 && Array.from({ length: K }, (_, s) => choice(layer, a, s)).includes(only)) ? 0.15 : 1;
    return mixed(colour(best), theme.ground, faded * (b - a === 1 ? 1 : 0.25 + 0.75 * (most / (b - a))));
  }
  function paintMap() {
    const [from, to] = state.view, n = to - from, height = rowTop(L - 1) + rowHeight();
    const [g, width] = sized(map, height);
    const cell = width / n, columns = Math.min(n, Math.floor(width)), at = focus();
    g.fillStyle = theme.ground; g.fillRect(0, 0, width, height);
    for (let l = 0; l < L; l++) {
      for (let c = 0; c < columns; c++) {
        const a = from + Math.floor((c * n) / columns), b = Math.max(a + 1, from + Math.floor(((c + 1) * n) / columns));
        const x = (c * width) / columns, w = width / columns;
        const muted = b - a === 1 && isSpecial(a) && state.mode === "first";
        const fill = cellColour(l, a, b);
        g.fillStyle = muted ? css(mixed(css2hex(fill), theme.ground, 0.3)) : css(fill);
        g.fillRect(x, rowTop(l), w > 3 ? w - 0.5 : w + 0.5, rowHeight() - (L <= 8 ? 1 : 0.5));
        const e = choice(l, a, 0);
        if (state.mode === "first" && cell >= 12 && rowHeight() >= 12 && e >= 0 && (state.faded ?? state.isolate) === null && !muted) {
          g.fillStyle = digitInk(e); g.font = `600 ${11 * zoom}px system-ui, sans-serif`; g.textAlign = "center"; g.textBaseline = "middle";
          g.fillText(e, x + w / 2, rowTop(l) + rowHeight() / 2);
        }
      }
    }
    g.strokeStyle = theme.ink; g.lineWidth = 2;
    g.strokeRect(1, rowTop(at.layer) - 1 + (at.layer === 0 ? 2 : 0), width - 2, rowHeight() - (at.layer === 0 ? 1 : 0));
    if (at.token >= from && at.token < to) {
      // The ring never covers what it marks: around a thin column it is wider than the column.
      const w = Math.max(cell, 8) - 2, x = Math.min(Math.max((at.token - from + 0.5) * cell - w / 2, 1), width - w - 1);
      g.strokeRect(x, 1, w, height - 2);
      g.lineWidth = 3; g.strokeRect(x, rowTop(at.layer) + 1, w, rowHeight() - 2);
    }
    map.setAttribute("aria-label", `Map of ${n} tokens by ${L} layers of ${data.model}, layer ${data.layers[0]} on top; colour: ${state.mode === "first" ? "number of the first-choice expert within its layer" : QUANTITIES[state.mode].name}.`);
    const rows = L <= 8 ? data.layers.map((_, i) => i) : [0, 8, 16, 24, L - 1].filter((i, n, all) => i < L && all.indexOf(i) === n);
    axis.replaceChildren(...rows.map((i) => { const s = h("span", { class: i === at.layer ? "here" : "" }, String(data.layers[i])); s.style.top = rowTop(i) + rowHeight() / 2 + "px"; return s; }));
    const p = current();
    ends.firstChild.textContent = from === p.start ? "first token" : `token ${from - p.start}`;
    ends.lastChild.textContent = to === p.stop ? "last token" : `token ${to - 1 - p.start}`;
    paintOverview();
  }
  const css2hex = (c) => "#" + c.map((v) => v.toString(16).padStart(2, "0")).join("");
  function paintOverview() {
    const p = current(), n = p.stop - p.start, [g, width] = sized(overview, 16), columns = Math.min(n, Math.floor(width));
    for (let c = 0; c < columns; c++) {
      const a = p.start + Math.floor((c * n) / columns), b = Math.max(a + 1, p.start + Math.floor(((c + 1) * n) / columns));
      g.fillStyle = css(cellColour(state.layer, a, b));
      g.fillRect((c * width) / columns, 4, width / columns + 0.5, 8);
    }
    const x = ((state.view[0] - p.start) / n) * width, w = ((state.view[1] - state.view[0]) / n) * width;
    g.strokeStyle = theme.ink; g.lineWidth = 2; g.strokeRect(x + 1, 1, Math.max(w - 2, 2), 14);
  }
  // Offsets are divided by the drawn size, so that they hold under reveal's scaling too.
  const across = (canvas, event) => { const box = canvas.getBoundingClientRect(); return (event.clientX - box.left) / box.width; };
  function spot(event) {
    const box = map.getBoundingClientRect(), y = ((event.clientY - box.top) / box.height) * (rowTop(L - 1) + rowHeight()), [a, b] = state.view;
    let layer = L - 1;
    while (layer > 0 && y < rowTop(layer)) layer--;
    return { layer, token: Math.min(Math.max(Math.floor(a + across(map, event) * (b - a)), a), b - 1) };
  }
  map.addEventListener("pointermove", (e) => set({ hover: spot(e) }));
  map.addEventListener("pointerleave", () => set({ hover: null }));
  map.addEventListener("click", (e) => { set({ ...spot(e), hover: null }); reveal(); root.focus({ preventScroll: true }); });
  map.addEventListener("dblclick", () => set({ view: [current().start, current().stop] }));
  map.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && root !== shadow.activeElement) return; // an unfocused picture lets the page scroll
    e.preventDefault();
    const p = current(), [a, b] = state.view, centre = a + across(map, e) * (b - a);
    const size = Math.round(Math.min(Math.max((b - a) * (e.deltaY > 0 ? 1.25 : 0.8), 8), p.stop - p.start));
    pan(centre - across(map, e) * size, size);
  }, { passive: false });
  function pan(start, size = state.view[1] - state.view[0]) {
    const p = current(), length = Math.min(size, p.stop - p.start), a = Math.round(Math.min(Math.max(start, p.start), p.stop - length));
    set({ view: [a, a + length] });
  }
  const drag = (e) => { if (e.buttons) { const p = current(), [a, b] = state.view; pan(p.start + across(overview, e) * (p.stop - p.start) - (b - a) / 2); } };
  overview.addEventListener("pointerdown", (e) => { overview.setPointerCapture(e.pointerId); drag(e); });
  overview.addEventListener("pointermove", drag);

  // ---- Decision, path, loads ---------------------------------------------------------------

  function bar(e, share, scale, chosen, value, uniform = null) {
    const fill = h("div", { class: "fill" + (chosen ? "" : " other") }), number = h("div", { class: "n" }, String(e));
    fill.style.width = Math.max(0, Math.min(1, share / scale)) * 100 + "%"; fill.style.background = chosen ? solid(e) : faint(e); if (!chosen) fill.style.borderColor = colour(e);
    number.style.background = colour(e); number.style.color = digitInk(e);
    const track = h("div", { class: "track" }, fill);
    if (uniform !== null) { const line = h("div", { class: "uniform", title: "even: " + percent(uniform, 1) }); line.style.left = (100 * uniform) / scale + "%"; track.append(line); }
    return [number, track, h("div", { class: "value" }, value)];
  }
  function chosenOf(layer, t) { return Array.from({ length: K }, (_, s) => [choice(layer, t, s), gate(layer, t, s)]).filter(([e]) => e >= 0); }
  function say(layer, t) {
    const chosen = chosenOf(layer, t), base = (layer * T + t) * E;
    const names = chosen.map(([e, g], n) => `${n ? "" : "expert "}${e} (${percent(g)})`).join(chosen.length > 2 ? ", " : " and ");
    const taken = new Set(chosen.map(([e]) => e)), order = ranking(layer, t), next = order.find((e) => !taken.has(e));
    let close = "";
    if (next !== undefined && chosen.length) {
      const weakest = Math.min(...chosen.map(([e]) => logits[base + e])), gap = weakest - logits[base + next];
      if (Number.isFinite(gap)) close = gap >= 0 ? `; ${next} missed by ${gap.toFixed(2)} logits` : `; by its logits ${next} would have come before`;
    }
    return `In layer ${data.layers[layer]}, ‘${piece(t)}’ ${chosen.length ? "goes to " + names : "goes to no expert"}${close}.`;
  }
  function paintDecision() {
    const { layer, token } = focus(), p = probabilities(layer, token), taken = new Set(chosenOf(layer, token).map(([e]) => e));
    sentence.textContent = say(layer, token);
    decisionTitle.textContent = `Router, layer ${data.layers[layer]}: softmax over all ${E} experts`;
    const scale = Math.max(...p.filter(Number.isFinite), 1e-9);
    decision.replaceChildren(...p.flatMap((x, e) => bar(e, x, scale, taken.has(e), Number.isFinite(x) ? percent(x, 1) : "–")));
    path.replaceChildren(...Array.from({ length: L }, (_, l) => {
      const button = h("button", { "aria-current": String(l === layer), tabindex: -1, title: say(l, token), onclick: () => set({ layer: l }) });
      for (const [e] of chosenOf(l, token).slice(0, 2)) {
        const cell = h("span", { class: "cell" }, L <= 16 ? String(e) : "");
        cell.style.background = solid(e); cell.style.color = digitInk(e); button.append(cell);
      }
      return button;
    }));
  }
  const loadOf = (layer, scope) => {
    const counts = new Array(E).fill(0); let total = 0;
    prompts.forEach((p, n) => {
      if (scope === "prompt" ? n !== state.prompt : scope === "label" && label(p) !== label(current())) return;
      for (let t = p.start; t < p.stop; t++) {
        if (isSpecial(t)) continue;
        for (let s = 0; s < K; s++) { const e = choice(layer, t, s); if (e >= 0) { counts[e]++; total++; } }
      }
    });
    return counts.map((n) => n / (total || 1));
  };
  function paintLoads() {
    const share = loadOf(state.layer, scopeSelect.value), scale = Math.max(...share, 2 / E);
    loadTitle.textContent = `Load of layer ${data.layers[state.layer]} (even: ${percent(1 / E, 1)})`;
    loads.replaceChildren(...share.flatMap((x, e) => bar(e, x, scale, true, percent(x, 1), 1 / E)));
  }
  function paintLegend() {
    const swatches = Array.from({ length: E }, (_, e) => {
      const b = h("button", {
        class: "swatch", "aria-pressed": String(state.isolate === e), "aria-label": `Expert ${e}: show only its tokens`, tabindex: -1, onclick: () => isolate(e),
        onpointerenter: () => set({ faded: e }), onpointerleave: () => set({ faded: null }),
      }, String(e));
      b.style.background = solid(e); b.style.color = digitInk(e);
      return b;
    });
    const scale = state.mode === "first" ? [] : [h("span", { class: "muted" }, `Map: ${QUANTITIES[state.mode].name}, ${QUANTITIES[state.mode].ends[0]} `), gradient(), h("span", { class: "muted" }, QUANTITIES[state.mode].ends[1])];
    legend.replaceChildren(h("span", {}, "Experts of this layer:"), ...swatches, h("span", { class: "muted" }, "token: its first choice, stronger for a larger gate; line below: all its gates"), ...scale);
  }
  function gradient() {
    const box = h("span"); box.style.cssText = `display:inline-block;width:96px;height:10px;background:linear-gradient(90deg,${palette.cividis.join(",")})`;
    return box;
  }

  // ---- Drawing -----------------------------------------------------------------------------

  let waiting = false;
  function draw() {
    if (waiting) return; // several changes in one frame are drawn once
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawNow(); });
  }
  function drawNow() {
    const dark = isDark();
    theme = dark ? palette.dark : palette.light;
    for (const name of ["ground", "ink", "line", "muted"]) root.style.setProperty("--" + name, theme[name]);
    root.style.colorScheme = dark ? "dark" : "light";
    layerRange.value = state.layer; layerName.textContent = String(data.layers[state.layer]); modeSelect.value = state.mode;
    zoom = Number(getComputedStyle(root).getPropertyValue("--s")) || 1;
    // A token's colours hang on these alone; the pointer's way over a long text repaints none.
    const nextText = `${dark} ${state.layer} ${state.faded ?? state.isolate}`;
    if (textKey !== nextText) { textKey = nextText; paintText(); }
    paintChosen(); paintMap(); paintDecision();
    const nextLegend = `${state.isolate} ${state.mode}`, nextLoad = `${state.layer} ${state.prompt} ${scopeSelect.value}`;
    if (legendKey !== nextLegend) { legendKey = nextLegend; paintLegend(); }
    if (loadKey !== nextLoad) { loadKey = nextLoad; paintLoads(); }
  }
  open(state.prompt, state.token);
  drawNow();
  new ResizeObserver(() => draw()).observe(map); // also when a slide that was hidden is shown
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
}
