// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Experts that are searched for by number: "5 6", "(5, 6)", "5/6", "expert 6", "layer 5".
/** @import { Head, Offer } from "./types.js" */

const PAIR = /^\(?\s*(\d+)\s*[\s,/]\s*(\d+)\s*\)?$/;
const WORD = String.raw`(expert|layer)\s*(\d+)`;
const WORDS = new RegExp(String.raw`^${WORD}(?:\s*(?:of|in|,)?\s*${WORD})?$`, "i");

/**
 * The layer and the expert that are typed; either may be left open.
 * @param {string} typed
 * @returns {{ layer?: number, expert?: number }}
 */
function numbersIn(typed) {
  const pair = PAIR.exec(typed);
  if (pair) return { layer: Number(pair[1]), expert: Number(pair[2]) };
  const [, first = "", n, second = "", m] = WORDS.exec(typed) ?? [];
  if (first.toLowerCase() === second.toLowerCase()) return {};
  const of = { [first.toLowerCase()]: Number(n) };
  return second ? { ...of, [second.toLowerCase()]: Number(m) } : of;
}

/**
 * The experts that are named, by layer.
 * @param {Head} head
 * @param {string} typed
 * @returns {Offer[]}
 */
export function expertsNamed(head, typed) {
  const { layer, expert } = numbersIn(typed.trim());
  if (layer === undefined && expert === undefined) return [];
  /** @type {Offer[]} */
  const found = [];
  head.layers.forEach((one, row) => {
    if (layer !== undefined && layer !== one) return;
    for (let e = expert ?? 0; e < Math.min((expert ?? head.experts) + 1, head.experts); e++) {
      const text = `expert ${e} of layer ${one}`;
      found.push({ what: "expert", text, number: row * head.experts + e });
    }
  });
  return found;
}
