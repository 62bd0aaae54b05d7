// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Mixtral, whole, behind a cache: token ids in, every router's decisions out, and what comes next.
// The same steps as moe_viz.model, in float32, one prompt at a time.
//
// T tokens, D hidden size, H query heads, G key-value heads, d head dimension, F expert size,
// E experts, V vocabulary
/** @import { Engine } from "./engine.js" */
/** @import { Changes } from "./decision.js" */

import { attend } from "./attention.js";
import { BLOCK } from "./engine.js";
import { mix, route } from "./mixture.js";

/**
 * Where a matrix lies: bytes from the beginning of the weights.
 * @typedef {[at: number, rows: number, scale: number]} Matrix
 */
/**
 * @typedef {object} Layer
 * @property {number} attention_norm
 * @property {Matrix} wq
 * @property {Matrix} wk
 * @property {Matrix} wv
 * @property {Matrix} wo
 * @property {number} moe_norm
 * @property {Matrix} router float32, whatever the others are
 * @property {[w1: Matrix, w2: Matrix, w3: Matrix][]} experts
 */
/**
 * The shape of a model, and where its weights lie; weights.py writes it.
 * @typedef {object} Manifest
 * @property {Record<"D" | "L" | "H" | "G" | "d" | "F" | "E" | "k" | "V" | "context", number>} shape
 * @property {number} eps of the norms
 * @property {number} size bytes of a weight: 1, or 2 if they are exact
 * @property {number} total bytes of all weights
 * @property {number} halves bytes of the part in which a weight takes two, if they are exact
 * @property {number} frequencies (d / 2) of the rotary positions
 * @property {Matrix} embedding
 * @property {Layer[]} layers
 * @property {number} norm
 * @property {Matrix} head
 */
/**
 * What a run of T tokens has recorded.
 * @typedef {object} Recorded
 * @property {Float32Array} logits (L, T, E)
 * @property {Int16Array} experts (L, T, k)
 * @property {Float32Array} gates (L, T, k)
 */

/**
 * Bytes of memory that a model needs for so many tokens.
 * @param {Manifest} manifest
 * @param {number} tokens
 */
export function needed({ shape, total }, tokens) {
  const { D, L, H, G, d, F, V } = shape;
  const cached = 2 * L * G * d;
  const passing = 5 * D + 2 * H * d + 2 * F + H / G + 1;
  return total + 4 * (tokens * (cached + passing) + 2 * V * BLOCK + 64 * D + 64 * F) + 4096;
}

export class Transformer {
  /**
   * @param {Engine} engine whose memory begins with the weights
   * @param {Manifest} manifest
   * @param {number} tokens that there is room for
   */
  constructor(engine, manifest, tokens) {
    this.engine = engine;
    this.manifest = manifest;
    const { D, L, H, G, d, F, E, V } = manifest.shape;
    let at = Math.ceil(manifest.total / 64) * 64;
    /** @param {number} floats */
    const room = (floats) => {
      const here = at;
      at += Math.ceil(floats / 16) * 64;
      return here;
    };
    // Addresses: of keys and values of each layer, and of what passes through.
    this.keys = Array.from({ length: L }, () => room(tokens * G * d));
    this.values = Array.from({ length: L }, () => room(tokens * G * d));
    this.x = room(tokens * D);
    this.normed = room(tokens * D);
    this.mixed = room(tokens * H * d);
    this.queries = room(tokens * H * d);
    this.added = room(tokens * D);
    this.gathered = room(tokens * D);
    this.up = room(tokens * F);
    this.gate = room(tokens * F);
    this.down = room(tokens * D);
    this.scores = room(Math.max((tokens * H) / G, BLOCK * E));
    this.shares = room(tokens);
    this.out = room(BLOCK * V);
    this.row = room(2 * Math.max(D, F, H * d));
  }

  /**
   * Run tokens that come after `past` others, whose keys and values are still here. Stops after
   * each layer, so that whoever runs it can do something else. What is recorded is returned; the
   * hidden states stay, for `predict`.
   * @param {number[]} ids
   * @param {number} past
   * @param {Changes} changes
   * @returns {Generator<number, Recorded>}
   */
  *run(ids, past, changes) {
    const { engine, manifest } = this;
    const { floats } = engine;
    const { D, L, E } = manifest.shape;
    const [T, k] = [ids.length, changes.k];
    /** @type {Recorded} */
    const recorded = {
      logits: new Float32Array(L * T * E),
      experts: new Int16Array(L * T * k),
      gates: new Float32Array(L * T * k),
    };
    for (let t = 0; t < T; t++) this.embed(ids[t], (this.x >> 2) + t * D);
    for (let l = 0; l < L; l++) {
      const layer = manifest.layers[l];
      this.normalise(this.x, layer.attention_norm, T);
      attend(this, layer, l, T, past);
      this.add(T);
      this.normalise(this.x, layer.moe_norm, T);
      route(this, layer, l, T, changes, recorded);
      mix(this, layer, l, T, k, recorded);
      yield l;
    }
    this.normalise(this.x, manifest.norm, T);
    if (!Number.isFinite(floats[this.normed >> 2])) throw new Error("the numbers are not finite");
    return recorded;
  }

  /**
   * Logits of the next token after `count` of the tokens that were last run, from `first` on: a
   * view (count, V), good until the next call. At most BLOCK of them.
   * @param {number} first
   * @param {number} count
   */
  predict(first, count) {
    const { D, V } = this.manifest.shape;
    this.times(this.manifest.head, this.normed + 4 * D * first, this.out, count, D);
    return this.engine.floats.subarray(this.out >> 2, (this.out >> 2) + count * V);
  }

  /**
   * @param {number} id
   * @param {number} to index of a float
   */
  embed(id, to) {
    const { engine, manifest } = this;
    const { floats, bytes } = engine;
    const { D } = manifest.shape;
    const [at, , scale] = manifest.embedding;
    for (let i = 0; i < D; i++) {
      if (manifest.size === 1) {
        floats[to + i] = ((bytes[at + id * D + i] << 24) >> 24) * floats[(scale >> 2) + id];
      } else {
        const half = at + 2 * (id * D + i);
        bytes.fill(0, 4 * (to + i), 4 * (to + i) + 2);
        bytes.copyWithin(4 * (to + i) + 2, half, half + 2);
      }
    }
  }

  /**
   * this.normed = the root-mean-square norm of T states.
   * @param {number} from
   * @param {number} weight
   * @param {number} T
   */
  normalise(from, weight, T) {
    const { floats } = this.engine;
    const { D } = this.manifest.shape;
    const [to, w] = [this.normed >> 2, weight >> 2];
    for (let t = 0, at = from >> 2; t < T; t++, at += D) {
      let squares = 0;
      for (let i = 0; i < D; i++) squares += floats[at + i] ** 2;
      const by = 1 / Math.sqrt(squares / D + this.manifest.eps);
      for (let i = 0; i < D; i++) floats[to + t * D + i] = floats[at + i] * by * floats[w + i];
    }
  }

  /** @param {number} T states that this.added is added to */
  add(T) {
    const { floats } = this.engine;
    const [x, added, n] = [this.x >> 2, this.added >> 2, T * this.manifest.shape.D];
    for (let i = 0; i < n; i++) floats[x + i] += floats[added + i];
  }

  /**
   * T vectors of n numbers times a matrix, a block of vectors after the other.
   * @param {Matrix} matrix
   * @param {number} from
   * @param {number} to
   * @param {number} T
   * @param {number} n
   */
  times([at, rows, scale], from, to, T, n) {
    const { engine, manifest, row } = this;
    for (let t = 0; t < T; t += BLOCK) {
      const count = Math.min(BLOCK, T - t);
      const [x, y] = [from + 4 * t * n, to + 4 * t * rows];
      engine.multiply(x, 4 * n, at, manifest.size, scale, y, count, rows, n, row);
    }
  }
}
