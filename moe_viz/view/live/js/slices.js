// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Long work in slices, between which messages come in.

/** How many milliseconds pass before it is looked whether the work is still wanted. */
const SLICE = 40;

/**
 * What a run comes to; null if it was given up on the way.
 * @template T
 * @param {Generator<number, T>} steps
 * @param {() => boolean} old whether it is given up
 * @returns {Promise<T | null>}
 */
export async function finished(steps, old) {
  let since = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - since < SLICE) continue;
    await new Promise((go) => setTimeout(go)); // messages come in between
    if (old()) return null;
    since = performance.now();
  }
}
