// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A model that is ready to run: its weights unpacked into an engine's memory, and its tokenizer.
/** @import { Changes } from "./decision.js" */
/** @import { Manifest, Recorded } from "./transformer.js" */
/** @import { Encoding, Vocabulary } from "./tokenizer.js" */

import { bytes } from "../../explorer/js/data/packed.js";
import { BLOCK, compiled, interpreted } from "./engine.js";
import { Tokenizer } from "./tokenizer.js";
import { Transformer, needed } from "./transformer.js";

/**
 * What a page carries of a model.
 * @typedef {object} Carried
 * @property {Manifest} manifest
 * @property {Vocabulary} vocabulary
 * @property {string} kernel kernel.wasm in base64
 * @property {string} weights gzip, in base64
 */
/**
 * What a run has found.
 * @typedef {object} Run
 * @property {Encoding} encoding
 * @property {number} given tokens of the text; those after them were written
 * @property {Recorded} recorded
 */
/**
 * A token that may come next, and its probability.
 * @typedef {{ id: number, share: number }} Guess
 */

/** @typedef {{ guesses: Guess[][], losses: Float32Array }} Outlook at each token */

export class Machine {
  /**
   * @param {Carried} carried
   * @param {number} tokens that there is room for
   * @param {boolean} plain whether to do without WebAssembly
   */
  static async of(carried, tokens, plain = false) {
    const { manifest, vocabulary, kernel, weights } = carried;
    const size = needed(manifest, tokens);
    const engine = plain ? interpreted(size) : await compiled(bytes(kernel), size);
    const block = await unzipped(new Uint8Array(bytes(weights)));
    joinHalves(block.subarray(0, manifest.halves));
    engine.bytes.set(block);
    return new Machine(
      new Transformer(engine, manifest, tokens),
      new Tokenizer(vocabulary),
      tokens,
    );
  }

  /**
   * @param {Transformer} model
   * @param {Tokenizer} tokenizer
   * @param {number} tokens
   */
  constructor(model, tokenizer, tokens) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.tokens = tokens;
  }

  /**
   * Record a text, layer by layer. Raises `RangeError` for one that is too long.
   * @param {string} text
   * @param {Changes} changes
   * @returns {Generator<number, Run>}
   */
  *record(text, changes) {
    const encoding = this.tokenizer.encode(text);
    const { length } = encoding.ids;
    if (length > this.tokens) {
      throw new RangeError(`${length} tokens; there is room for ${this.tokens}.`);
    }
    return { encoding, given: length, recorded: yield* this.model.run(encoding.ids, 0, changes) };
  }

  /**
   * What comes next after the tokens last run, at each of them: the likeliest, and the loss in nats
   * of what did come, NaN at the end. A block of tokens at a time.
   * @param {number[]} ids
   * @param {number} count of the likeliest
   * @returns {Generator<number, Outlook>}
   */
  *outlook(ids, count) {
    const { V } = this.model.manifest.shape;
    const losses = new Float32Array(ids.length).fill(NaN);
    /** @type {Guess[][]} */
    const guesses = [];
    for (let first = 0; first < ids.length; first += BLOCK) {
      const some = Math.min(BLOCK, ids.length - first);
      const logits = this.model.predict(first, some);
      for (let t = 0; t < some; t++) {
        const row = logits.subarray(t * V, (t + 1) * V);
        const { shares, logSum } = likeliest(row, count);
        guesses.push(shares);
        const next = ids[first + t + 1];
        if (next !== undefined) losses[first + t] = logSum - row[next];
      }
      yield first;
    }
    return { guesses, losses };
  }
}

/**
 * The likeliest of V logits, best first, and the logarithm of the sum of their exponentials.
 * @param {Float32Array} logits
 * @param {number} count
 */
export function likeliest(logits, count) {
  /** @type {number[]} */
  const best = [];
  for (let id = 0; id < logits.length; id++) {
    if (best.length === count && logits[id] <= logits[best[count - 1]]) continue;
    let at = best.length;
    while (at > 0 && logits[id] > logits[best[at - 1]]) at--;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  const most = logits[best[0]];
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  const shares = best.map((id) => ({ id, share: Math.exp(logits[id] - most) / sum }));
  return { shares, logSum: most + Math.log(sum) };
}

/** @param {Uint8Array<ArrayBuffer>} packed gzip */
async function unzipped(packed) {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  // WebKit fails here in a worker if a Blob's stream is piped through.
  const written = writer.write(packed).then(() => writer.close());
  const block = new Uint8Array(await new Response(stream.readable).arrayBuffer());
  await written;
  return block;
}

/**
 * Numbers of two bytes, from all low bytes and then all high ones; in place.
 * @param {Uint8Array} planes
 */
function joinHalves(planes) {
  const low = planes.slice(0, planes.length / 2);
  const high = planes.slice(planes.length / 2);
  for (let n = 0; n < low.length; n++) {
    planes[2 * n] = low[n];
    planes[2 * n + 1] = high[n];
  }
}
