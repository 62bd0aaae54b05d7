// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Grouped-query attention, which mixes tokens: several query heads share a key-value head.
/** @import { Layer, Transformer } from "./transformer.js" */

/**
 * model.added = attention of T tokens to themselves and to the past.
 * @param {Transformer} model
 * @param {Layer} layer
 * @param {number} l
 * @param {number} T
 * @param {number} past
 */
export function attend(model, layer, l, T, past) {
  const { engine } = model;
  const { floats } = engine;
  const { D, H, G, d } = model.manifest.shape;
  const own = 4 * past * G * d;
  const [keys, values] = [model.keys[l], model.values[l]];
  model.times(layer.wq, model.normed, model.queries, T, D);
  model.times(layer.wk, model.normed, keys + own, T, D);
  model.times(layer.wv, model.normed, values + own, T, D);
  rotate(model, model.queries, T, H, past);
  rotate(model, keys + own, T, G, past);
  const by = 1 / Math.sqrt(d);
  const R = H / G; // query heads that share a key head, and lie side by side
  const [scores, shares] = [model.scores >> 2, model.shares >> 2];
  for (let t = 0; t < T; t++) {
    const seen = past + t + 1; // causal: itself and what came before
    for (let group = 0; group < G; group++) {
      const at = 4 * d * (t * H + group * R);
      const [k, v] = [keys + 4 * d * group, values + 4 * d * group];
      engine.multiply(k, 4 * G * d, model.queries + at, 4, 0, model.scores, seen, R, d, model.row);
      for (let r = 0; r < R; r++) {
        softmax(floats.subarray(scores, scores + seen * R), r, R, by, floats, shares);
        engine.blend(model.shares, v, 4 * G * d, model.mixed + at + 4 * d * r, seen, d);
      }
    }
  }
  model.times(layer.wo, model.mixed, model.added, T, H * d);
}

/**
 * Rotary positions: pairs (i, i + d/2) of each head are turned.
 * @param {Transformer} model
 * @param {number} from
 * @param {number} T
 * @param {number} heads
 * @param {number} past
 */
function rotate(model, from, T, heads, past) {
  const { floats } = model.engine;
  const { shape, frequencies } = model.manifest;
  const half = shape.d / 2;
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround((past + t) * floats[(frequencies >> 2) + i]);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      for (let head = 0; head < heads; head++) {
        const a = (from >> 2) + (t * heads + head) * shape.d + i;
        const [x, y] = [floats[a], floats[a + half]];
        floats[a] = x * cos - y * sin;
        floats[a + half] = y * cos + x * sin;
      }
    }
  }
}

/**
 * The softmax of every R-th of some scores, from the r-th on, each multiplied by `by` before.
 * @param {Float32Array} scores
 * @param {number} r
 * @param {number} R
 * @param {number} by
 * @param {Float32Array} floats where it is put
 * @param {number} to
 */
function softmax(scores, r, R, by, floats, to) {
  let most = -Infinity;
  for (let s = r; s < scores.length; s += R) if (scores[s] > most) most = scores[s];
  let sum = 0;
  for (let s = r, at = to; s < scores.length; s += R, at++) {
    floats[at] = Math.exp((scores[s] - most) * by);
    sum += floats[at];
  }
  const stop = to + scores.length / R;
  for (let at = to; at < stop; at++) floats[at] /= sum;
}
