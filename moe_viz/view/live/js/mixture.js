// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A sparse mixture of experts: a router scores E of them for each token, and the k best run.
/** @import { Changes } from "./decision.js" */
/** @import { Layer, Recorded, Transformer } from "./transformer.js" */

import { decide } from "./decision.js";
import { BLOCK } from "./engine.js";

/**
 * Every token's decision in one layer, before any expert runs.
 * @param {Transformer} model
 * @param {Layer} layer
 * @param {number} l
 * @param {number} T
 * @param {Changes} changes
 * @param {Recorded} recorded
 */
export function route(model, layer, l, T, changes, recorded) {
  const { engine } = model;
  const { D, E } = model.manifest.shape;
  const { k } = changes;
  /** @type {number[][]} */
  const [experts, gates] = [Array(k).fill(-1), Array(k).fill(0)];
  const [at, , scale] = layer.router;
  for (let first = 0; first < T; first += BLOCK) {
    const count = Math.min(BLOCK, T - first);
    const from = model.normed + 4 * first * D;
    engine.multiply(from, 4 * D, at, 4, scale, model.scores, count, E, D, model.row);
    const found = engine.floats.subarray(model.scores >> 2, (model.scores >> 2) + count * E);
    recorded.logits.set(found, (l * T + first) * E);
  }
  for (let t = 0; t < T; t++) {
    const row = (l * T + t) * E;
    decide(recorded.logits.subarray(row, row + E), changes, l, experts, gates);
    recorded.experts.set(experts, (l * T + t) * k);
    recorded.gates.set(gates, (l * T + t) * k);
  }
}

/**
 * The experts: each runs once, on all the tokens that go to it.
 * @param {Transformer} model
 * @param {Layer} layer
 * @param {number} l
 * @param {number} T
 * @param {number} k
 * @param {Recorded} recorded
 */
export function mix(model, layer, l, T, k, { experts, gates }) {
  const { engine } = model;
  const { floats } = engine;
  const { D, F, E } = model.manifest.shape;
  const [x, normed] = [model.x >> 2, model.normed >> 2];
  for (let e = 0; e < E; e++) {
    /** @type {[token: number, gate: number][]} */
    const taken = [];
    for (let t = 0; t < T; t++) {
      for (let i = (l * T + t) * k; i < (l * T + t + 1) * k; i++) {
        if (experts[i] === e) taken.push([t, gates[i]]);
      }
    }
    if (!taken.length) continue;
    for (const [n, [t]] of taken.entries()) {
      const from = normed + t * D;
      floats.copyWithin((model.gathered >> 2) + n * D, from, from + D);
    }
    const [w1, w2, w3] = layer.experts[e];
    model.times(w1, model.gathered, model.gate, taken.length, D);
    model.times(w3, model.gathered, model.up, taken.length, D);
    const [gate, up] = [model.gate >> 2, model.up >> 2];
    for (let i = 0; i < taken.length * F; i++) {
      const z = floats[gate + i];
      floats[up + i] *= z / (1 + Math.exp(-z)); // SwiGLU
    }
    model.times(w2, model.up, model.down, taken.length, F);
    const down = model.down >> 2;
    for (const [n, [t, by]] of taken.entries()) {
      for (let i = 0; i < D; i++) floats[x + t * D + i] += by * floats[down + n * D + i];
    }
  }
}
