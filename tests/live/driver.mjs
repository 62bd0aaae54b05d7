// SPDX-License-Identifier: Apache-2.0
// Does what node.py asks for, with the modules that pages run.
import { openSync, readFileSync, writeFileSync, writeSync } from "node:fs";

import { brought } from "../../moe_viz/view/live/js/brought.js";
import { compiled, interpreted } from "../../moe_viz/view/live/js/engine.js";
import { Tokenizer } from "../../moe_viz/view/live/js/tokenizer.js";
import { crc32 } from "../../moe_viz/view/live/js/tracefile.js";
import { Transformer, needed } from "../../moe_viz/view/live/js/transformer.js";
import { serve } from "../../moe_viz/view/live/js/worker.js";

const folder = process.argv[2];
const asked = JSON.parse(readFileSync(`${folder}/asked.json`, "utf8"));
const kernel = readFileSync(new URL("../../moe_viz/view/live/kernel.wasm", import.meta.url));

const packed = (array) =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
const engineOf = (name, size) =>
  name === "WebAssembly" ? compiled(kernel, size) : interpreted(size);

/** One product or blend of numbers that lie one after the other from address 0 on. */
async function arithmetic({ engine, what, memory, size, args, from, count }) {
  const made = await engineOf(engine, size);
  made.bytes.set(Buffer.from(memory, "base64"));
  made[what](...args);
  return packed(made.floats.slice(from / 4, from / 4 + count));
}

/** Whole runs: ids, in one go or in parts, under changes; with what is predicted at each place. */
async function runs({ engine, manifest, tokens, prompts }) {
  const made = await engineOf(engine, needed(manifest, tokens));
  made.bytes.set(readFileSync(`${folder}/weights.bin`));
  const model = new Transformer(made, manifest, tokens);
  const next = openSync(`${folder}/next.bin`, "w");
  return prompts.map(({ parts, changes, predict }) => {
    let past = 0;
    const done = parts.map((ids) => {
      const steps = model.run(ids, past, changes);
      let step = steps.next();
      while (!step.done) step = steps.next();
      past += ids.length;
      const { logits, experts, gates } = step.value;
      // Beyond what a string can hold: as bytes, one prediction after the other.
      for (let t = 0; t < ids.length; t += predict) {
        const some = model.predict(t, predict === 1 ? Math.min(32, ids.length - t) : 1);
        writeSync(next, new Uint8Array(some.buffer, some.byteOffset, some.byteLength));
        if (predict === 1) t += 31;
      }
      return { logits: packed(logits), experts: packed(experts), gates: packed(gates) };
    });
    return done;
  });
}

function tokens({ vocabulary, texts }) {
  const tokenizer = new Tokenizer(vocabulary);
  return texts.map((text) => tokenizer.encode(text));
}

function spellings({ vocabulary, sequences }) {
  const tokenizer = new Tokenizer(vocabulary);
  return sequences.map((ids) => tokenizer.drawn(ids));
}

/**
 * What the model of a page says to questions, one after the other; files are put into the folder.
 * A question may have another in it, `upon`, that is asked as soon as its trace is told.
 */
async function talk({ page, like, tokens, plain = false, questions }) {
  const { record, ...carried } = JSON.parse(readFileSync(page, "utf8"));
  const said = [];
  const waiting = [];
  const ask = (question, number) =>
    waiting.push(port.onmessage({ data: { title: "", guesses: 5, ...question, number } }));
  const told = (message) => {
    said.push(message);
    const { upon } = (message.trace && questions[message.number]) ?? {};
    if (upon) ask(upon, questions.length);
  };
  const port = { onmessage: null, postMessage: told };
  serve(port);
  await port.onmessage({ data: { carried, tokens, plain, like, record } });
  for (const [number, question] of questions.entries()) {
    ask(question, number);
    await Promise.all(waiting);
  }
  await Promise.all(waiting);
  for (const { file, number } of said) if (file) writeFileSync(`${folder}/${number}.safetensors`, file);
  return said.map(({ file, trace, ...rest }) => rest);
}

/** Files as the page packs them, or why it does not; each with some of its bytes put in place. */
function bring({ record, like, files }) {
  return files.map(({ path, put }) => {
    const file = Uint8Array.from(readFileSync(path));
    for (const [at, byte] of put ?? []) file[at] = byte;
    try {
      return brought(file, like, record);
    } catch (error) {
      return { failed: String(error) };
    }
  });
}

const sums = ({ given }) => given.map((bytes) => crc32(Buffer.from(bytes, "base64")));

const does = { arithmetic, runs, tokens, spellings, talk, bring, sums };
const answers = [];
for (const one of asked.all ?? [asked]) answers.push(await does[one.does](one));
writeFileSync(`${folder}/answer.json`, JSON.stringify(asked.all ? answers : answers[0]));
