// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The address of the page says what it shows: #5/6 is expert 6 of layer 5, #piece/… a search.
/** @import { Head, Offer, Route } from "./types.js" */

/**
 * @param {number} layer
 * @param {number} expert
 */
export const entryAddress = (layer, expert) => `#${layer}/${expert}`;

/**
 * @param {"any" | "piece" | "label"} what
 * @param {string} text
 */
export function findAddress(what, text) {
  // Half a character, which a text may hold, has no address.
  return text ? `#${what}/${encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd"))}` : "#";
}

/**
 * Where what a search offers leads.
 * @param {Head} head
 * @param {Offer} offer
 */
export function offerAddress(head, { what, text, number }) {
  if (what !== "expert") return findAddress(what, text);
  const row = Math.floor(number / head.experts);
  return entryAddress(head.layers[row], number % head.experts);
}

/**
 * @param {string} hash
 * @param {Head} head
 * @returns {Route}
 */
export function readAddress(hash, head) {
  const expert = /^#(\d+)\/(\d+)$/.exec(hash);
  if (expert) {
    const row = head.layers.indexOf(Number(expert[1]));
    const e = Number(expert[2]);
    if (row >= 0 && e < head.experts) return { at: "entry", row, expert: e };
    return { at: "lost", said: `There is no expert ${e} of layer ${expert[1]} in this atlas.` };
  }
  const found = /^#(any|piece|label)\/(.+)$/s.exec(hash);
  if (!found) return { at: "all" };
  const what = /** @type {"any" | "piece" | "label"} */ (found[1]);
  try {
    return { at: "find", what, text: decodeURIComponent(found[2]) };
  } catch {
    return { at: "lost", said: "The end of this page’s address cannot be read." };
  }
}
