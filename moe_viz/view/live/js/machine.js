// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A model that is ready to run: its weights unpacked into an engine's memory, and its tokenizer.
/** @import { Changes } from "./decision.js" */
/** @import { Manifest, Recorded } from "./transformer.js" */
/** @import { Encoding, Vocabulary } from "./tokenizer.js" */
/** @import { Guess } from "./sampling.js" */

import { bytes } from "../../explorer/js/data/packed.js";
import { BLOCK, compiled, interpreted } from "./engine.js";
import { drawn, generator, likeliest } from "./sampling.js";
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
/** @typedef {{ guesses: Guess[][], losses: Float32Array }} Outlook at each token */
/** @typedef {{ loss: number, loads: number[][] }} Weighed loads (L, E) */
/**
 * How a text is continued: up to so many tokens, the likeliest each time if the temperature is 0.
 * @typedef {{ count: number, temperature: number, seed: number }} Writing
 */

export class Machine {
  /**
   * @param {Carried} carried
   * @param {number} tokens that there is room for
   * @param {boolean} plain whether to do without WebAssembly
   */
  static async of(carried, tokens, plain = false) {
    const { manifest, vocabulary, kernel, weights } = carried;
    const size = needed(manifest, tokens);
    const engine = plain ? interpreted(size) : await quickest(bytes(kernel), size);
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
   * Record a text, or tokens that need not be how its text would be split, layer by layer. Raises
   * `RangeError` for an empty text and for one that is too long.
   * @param {string | Encoding} text
   * @param {Changes} changes
   * @returns {Generator<number, Run>}
   */
  *record(text, changes) {
    if (text === "") throw new RangeError("The text is empty.");
    const encoding = typeof text === "string" ? this.tokenizer.encode(text) : text;
    const { length } = encoding.ids;
    if (length > this.tokens) {
      throw new RangeError(`${length} tokens; there is room for ${this.tokens}.`);
    }
    return { encoding, given: length, recorded: yield* this.model.run(encoding.ids, 0, changes) };
  }

  /**
   * Record a text and write on, token by token, until it ends or there is no more room.
   * @param {string} text
   * @param {Changes} changes
   * @param {Writing} writing
   * @param {(run: Run) => void} grown told after each token
   * @returns {Generator<number, Run>}
   */
  *write(text, changes, { count, temperature, seed }, grown) {
    const { model, tokenizer } = this;
    let run = yield* this.record(text, changes);
    const random = generator(seed);
    const room = Math.min(count, this.tokens - run.given);
    for (let n = 0, last = run.given - 1; n < room; n++, last = 0) {
      const id = drawn(model.predict(last, 1), temperature, random);
      const ids = [...run.encoding.ids, id];
      const recorded = yield* model.run([id], ids.length - 1, changes);
      run = {
        ...run,
        encoding: tokenizer.drawn(ids),
        recorded: joined(run.recorded, recorded, model),
      };
      grown(run);
      if (id === tokenizer.vocabulary.eos) break;
    }
    return run;
  }

  /**
   * The mean loss of a text, in nats a token, and each expert's share of its layer's choices.
   * @param {string} text
   * @param {Changes} changes
   * @returns {Generator<number, Weighed>}
   */
  *weigh(text, changes) {
    const { encoding, recorded } = yield* this.record(text, changes);
    const { losses } = yield* this.outlook(encoding.ids, 1);
    const known = losses.subarray(0, -1);
    const loss = known.reduce((sum, one) => sum + one, 0) / known.length;
    return { loss, loads: loadsOf(recorded, encoding.special, this.model.manifest.shape) };
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
        guesses.push(shares.map((guess) => ({ ...guess, piece: this.tokenizer.shown(guess.id) })));
        const next = ids[first + t + 1];
        if (next !== undefined) losses[first + t] = logSum - row[next];
      }
      yield first;
    }
    return { guesses, losses };
  }
}

/**
 * Each expert's share of its layer's choices, (L, E), special tokens left out.
 * @param {Recorded} recorded
 * @param {boolean[]} special
 * @param {{ L: number, E: number }} shape
 */
function loadsOf({ experts }, special, { L, E }) {
  const k = experts.length / (L * special.length);
  return Array.from({ length: L }, (_, l) => {
    const counts = Array.from({ length: E }, () => 0);
    let all = 0;
    for (const [t, is] of special.entries()) {
      for (let s = 0; s < k && !is; s++) {
        const e = experts[(l * special.length + t) * k + s];
        if (e >= 0) counts[e]++;
        all++;
      }
    }
    return counts.map((n) => n / (all || 1));
  });
}

/**
 * What a run has recorded of more tokens, behind what was recorded before.
 * @param {Recorded} before
 * @param {Recorded} more
 * @param {Transformer} model
 * @returns {Recorded}
 */
function joined(before, more, { manifest }) {
  const { L } = manifest.shape;
  /**
   * @template {Float32Array | Int16Array} Numbers
   * @param {Numbers} a
   * @param {Numbers} b
   * @param {Numbers} whole
   */
  const behind = (a, b, whole) => {
    const [own, next] = [a.length / L, b.length / L];
    for (let l = 0; l < L; l++) {
      whole.set(a.subarray(l * own, (l + 1) * own), l * (own + next));
      whole.set(b.subarray(l * next, (l + 1) * next), l * (own + next) + own);
    }
    return whole;
  };
  const { logits, experts, gates } = before;
  return {
    logits: behind(logits, more.logits, new Float32Array(logits.length + more.logits.length)),
    experts: behind(experts, more.experts, new Int16Array(experts.length + more.experts.length)),
    gates: behind(gates, more.gates, new Float32Array(gates.length + more.gates.length)),
  };
}

/**
 * The kernel, where a browser has what it needs and lets it run.
 * @param {BufferSource} kernel
 * @param {number} size
 */
async function quickest(kernel, size) {
  try {
    return await compiled(kernel, size);
  } catch {
    return interpreted(size);
  }
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
