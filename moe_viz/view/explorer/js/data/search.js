// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Finding words in a prompt: the tokens that overlap with their occurrences in the text.
/** @import { Prompt } from "../types.js" */
/** @import { Trace } from "./trace.js" */

/** The signs that stand for spaces, line ends and tabs find these. */
const MEANT = new Map([
  ["␣", " "],
  ["⏎", "\n"],
  ["⇥", "\t"],
]);

/**
 * @param {Trace} trace
 * @param {Prompt} prompt
 * @param {string} query in upper or lower case
 * @returns {Set<number>} tokens in their order
 */
export function matches(trace, prompt, query) {
  /** @type {Set<number>} */
  const found = new Set();
  const wanted = Array.from(query.toLowerCase(), (c) => MEANT.get(c) ?? c);
  if (!wanted.length) return found;
  // By code points, as spans count them.
  const characters = Array.from(prompt.text, (c) => c.toLowerCase());
  const covered = new Uint8Array(characters.length + 1);
  for (let i = 0; i + wanted.length <= characters.length; i++) {
    if (wanted.every((c, n) => characters[i + n] === c)) covered.fill(1, i, i + wanted.length);
  }
  for (let t = prompt.start; t < prompt.stop; t++) {
    if (!trace.isSpecial(t) && covered.subarray(...trace.span(t)).includes(1)) found.add(t);
  }
  return found;
}

/**
 * The first hit at a token or after it, else the first of all.
 * @param {Set<number>} hits
 * @param {number} token
 */
export function hitFrom(hits, token) {
  const all = [...hits];
  return all.find((t) => t >= token) ?? all[0];
}

/**
 * Where the next occurrence after a token begins, else the first hit of all.
 * @param {Set<number>} hits
 * @param {number} token
 */
export function hitAfter(hits, token) {
  const all = [...hits];
  return all.find((t) => t > token && !hits.has(t - 1)) ?? all[0];
}
