// @ts-check
// SPDX-License-Identifier: Apache-2.0
// From the logits of V tokens to those that may come next.

/**
 * A token that may come next, its probability, and what it looks like.
 * @typedef {{ id: number, share: number, piece: string }} Guess
 */

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

/**
 * The next token: the likeliest, or one by chance.
 * @param {Float32Array} logits
 * @param {number} temperature
 * @param {() => number} random 0 … 1
 */
export function drawn(logits, temperature, random) {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
  if (temperature === 0) return best;
  const shares = Float64Array.from(logits, (x) => Math.exp((x - logits[best]) / temperature));
  let left = random() * shares.reduce((sum, share) => sum + share, 0);
  for (let id = 0; id < shares.length; id++) {
    left -= shares[id];
    if (left < 0) return id;
  }
  return best;
}

/**
 * Numbers from 0 to 1 by chance, the same ones for the same seed: mulberry32, of 32 bits.
 * @param {number} seed
 */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
