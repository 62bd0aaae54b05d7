// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The marks of what was found, and what they and q mean, in the same words everywhere.
/** @import { Head, Mark } from "./types.js" */

import { h } from "../../js/dom.js";
import { rate } from "./words.js";

/** By the numbers of marks.py: a sign, and what it means to who does not see it. */
const SIGNS = ["", "●", "○", "▽"];
const SAID = [
  "",
  "found",
  "found, but some expert of the untrained twin takes as much",
  "found to take less",
];
/** On the map: cells that have a strong finding. */
export const STRONG = "◆";
/** The rate of false findings that is allowed; see sureness.py. */
const RATE = 0.05;

/** @param {Mark} mark */
export const markSaid = (mark) => SAID[mark];

/** @param {Mark} mark */
export function sign(mark) {
  if (!mark) return h("span", { class: "dot" });
  return h("span", { class: "dot", role: "img", "aria-label": SAID[mark] }, SIGNS[mark]);
}

/**
 * A name, with the mark of its row before it.
 * @param {Mark} mark
 * @param {(Node | string)[]} name
 */
export const marked = (mark, ...name) => h("span", { class: "marked" }, sign(mark), ...name);

/**
 * q; of what it alone would have found, why it was not.
 * @param {number | null} q
 * @param {Mark} mark
 */
export function qCell(q, mark) {
  if (mark || q === null || q > RATE) return rate(q);
  return h("span", {}, `${rate(q)} `, h("span", { class: "why" }, "not in both halves"));
}

/**
 * How many of so many rows are found, for a heading.
 * @param {Mark[]} marks
 */
export const foundOf = (marks) =>
  marks.length ? `${marks.filter((mark) => mark > 0).length} of ${marks.length} found` : "none";

/** @param {Head} head */
export const marksMean = (head) =>
  head.control
    ? "● found, and more than any expert of the untrained twin takes; ○ found, but some expert " +
      "of the untrained twin takes as much; ▽ found to take less than the rest; no mark: not found."
    : "● found (there is no untrained twin to compare it with); ▽ found to take less than the " +
      "rest; no mark: not found.";

export const Q_MEANS =
  "q: the share of all findings at least as clear that would be false. Found is what has a q of " +
  "at most 5\u00a0% and is shown by each half of the documents by itself.";

/** @param {Head} head */
export const strongMeans = (head) =>
  "Strong: found, at least 1.5 times as much as what it is compared with, and more than any " +
  "expert of the untrained twin takes" +
  (head.control
    ? " (a single piece is compared with the twin alone)."
    : "; here there is no twin, so the last cannot be told.");
