// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Where one token goes in one layer, and what is changed about it: as moe_viz.intervene does it.

/**
 * What is changed: expert numbers by layer, for every token.
 * @typedef {object} Changes
 * @property {number[][]} off (L) experts that are never used
 * @property {boolean} empty whether the slot of one that is off stays empty, or the next best runs
 * @property {number[][]} forced (L) experts that every token goes to
 * @property {number} k experts for each token
 * @property {number} temperature gates are the softmax of scores divided by this
 * @property {boolean} uniform whether the chosen count equally
 */

/**
 * Nothing is changed.
 * @param {number} L
 * @param {number} k
 * @returns {Changes}
 */
export const unchanged = (L, k) => ({
  off: Array.from({ length: L }, () => []),
  empty: false,
  forced: Array.from({ length: L }, () => []),
  k,
  temperature: 1,
  uniform: false,
});

/**
 * @param {Changes} changes
 * @param {number} k of the model
 */
export const changesNothing = ({ off, forced, k: asked, temperature, uniform }, k) =>
  asked === k && temperature === 1 && !uniform && ![...off, ...forced].some((e) => e.length);

/**
 * The experts of one token, strongest first, and their gates; −1 is an empty slot.
 * @param {ArrayLike<number>} scores (E) what the router says
 * @param {Changes} changes
 * @param {number} layer
 * @param {number[]} experts (k) written
 * @param {number[]} gates (k) written
 */
export function decide(scores, changes, layer, experts, gates) {
  const { k, temperature, uniform, empty } = changes;
  const [off, forced] = [changes.off[layer], changes.forced[layer]];
  for (let slot = 0; slot < k; slot++) experts[slot] = -1;
  // Forced experts first, then the best of the rest.
  for (let slot = 0; slot < k; slot++) {
    let best = slot < forced.length ? forced[slot] : -1;
    for (let e = 0; slot >= forced.length && e < scores.length; e++) {
      if (experts.includes(e) || (!empty && off.includes(e))) continue;
      if (best < 0 || scores[e] > scores[best]) best = e;
    }
    experts[slot] = best;
  }
  experts.sort((a, b) => scores[b] - scores[a]);
  // A softmax over the chosen alone: the others have no weight.
  let sum = 0;
  for (let slot = 0; slot < k; slot++) {
    gates[slot] = Math.exp((scores[experts[slot]] - scores[experts[0]]) / temperature);
    sum += gates[slot];
  }
  for (let slot = 0; slot < k; slot++) {
    gates[slot] = uniform ? 1 / k : gates[slot] / sum;
    // Emptied last: what an expert that is off would have added stays missing.
    if (empty && off.includes(experts[slot])) [experts[slot], gates[slot]] = [-1, 0];
  }
}
