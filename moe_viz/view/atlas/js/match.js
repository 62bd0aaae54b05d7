// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Which pieces and labels are meant by what is typed. A blank is spelled ␣; without one, a piece is
// found with it and without.
/** @import { Head, Mark, Offer } from "./types.js" */

import { expertsNamed } from "./named.js";

/** How many are offered. */
const OFFERED = 12;

/** @param {string} text */
export const spelt = (text) => text.replace(/[ ▁Ġ]/g, "␣");

/**
 * A piece without the blanks before it, unless it is nothing else.
 * @param {string} piece
 */
const bare = (piece) => spelt(piece).replace(/^␣+(?=[^␣])/, "");

/**
 * What is spelled exactly so: experts by number, labels, then pieces; without a blank, pieces with
 * one too.
 * @param {Head} head
 * @param {string} typed
 * @param {"any" | "piece" | "label"} what
 * @returns {Offer[]}
 */
export function exactly(head, typed, what = "any") {
  /** @type {Offer[]} */
  const found = [];
  if (!typed) return found;
  if (what === "any") found.push(...expertsNamed(head, typed));
  const text = spelt(typed);
  const trimmed = typed.trim();
  if (what !== "piece") {
    head.labels.forEach((label, number) => {
      const same = label === typed || (what === "any" && label === trimmed);
      if (same && label) found.push({ what: "label", text: label, number });
    });
  }
  if (what !== "label") {
    head.pieces.forEach((piece, number) => {
      const same = what === "piece" ? piece === typed : spelt(piece) === text;
      if (same || (what === "any" && bare(piece) === text)) {
        found.push({ what: "piece", text: piece, number });
      }
    });
  }
  return found;
}

/**
 * What may be meant: experts by number, what is spelled so, then what begins so, then what has it
 * within; labels first, and pieces by how often they occur.
 * @param {Head} head
 * @param {string} typed
 * @returns {Offer[]}
 */
export function offers(head, typed) {
  const text = spelt(typed).toLowerCase();
  if (!text) return [];
  const blank = text.startsWith("␣");
  /** @type {[rank: number, offer: Offer][]} */
  const found = [];
  /** @param {string} own @param {Offer} offer */
  const rank = (own, offer) => {
    const at = own.indexOf(text);
    if (at < 0) return;
    const same = own === text ? (offer.what === "label" || offer.text === typed ? 0 : 1) : 2;
    found.push([same < 2 ? same : at === 0 ? 2 : 3, offer]);
  };
  head.labels.forEach((label, number) => {
    if (label) rank(spelt(label).toLowerCase(), { what: "label", text: label, number });
  });
  head.pieces.forEach((piece, number) => {
    const own = (blank ? spelt(piece) : bare(piece)).toLowerCase();
    rank(own, { what: "piece", text: piece, number });
  });
  found.sort((a, b) => a[0] - b[0]);
  const spelled = found.map(([, offer]) => offer);
  return [...expertsNamed(head, typed), ...spelled].slice(0, OFFERED);
}

/**
 * The experts of a layer that take most of a label above what they take of the others.
 * @param {Head} head
 * @param {number} label
 * @param {number} row
 * @returns {{ expert: number, share: number, rest: number | null, mark: Mark }[]}
 */
export function takers(head, label, row, most = 3) {
  const { by_label, tokens_of } = head;
  const others = tokens_of.reduce((sum, n, g) => (g === label ? sum : sum + n), 0);
  const marks = new Map(head.surely[label]);
  const all = Array.from({ length: head.experts }, (_, expert) => {
    let taken = 0;
    by_label.forEach((shares, g) => {
      if (g !== label) taken += shares[row][expert] * tokens_of[g];
    });
    const share = by_label[label][row][expert];
    const rest = others ? taken / others : null;
    return { expert, share, rest, mark: marks.get(row * head.experts + expert) ?? 0 };
  });
  all.sort((a, b) => b.share - (b.rest ?? 0) - (a.share - (a.rest ?? 0)));
  return all.filter((one) => one.share > (one.rest ?? 0)).slice(0, most);
}
