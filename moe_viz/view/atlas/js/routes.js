// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What is folded below an entry, of how its tokens go: partners, layers beside it, gates, ablation.
/** @import { Entry, Head, Mark } from "./types.js" */
/** @import { Section } from "./sections.js" */

import { h } from "../../js/dom.js";
import { entryAddress } from "./address.js";
import { foundOf, marked } from "./marks.js";
import { bar, interval, labelLink } from "./table.js";
import { decimal, labelName, percent, rate, several } from "./words.js";

/** What a gate is, where one is shown. */
export const GATE =
  "Gate: the weight that this expert’s output has among those chosen for the same token.";
/** The level of a p-value that is corrected for all that was switched off. */
const LEVEL = 0.05;

/** @param {Head} head */
const mostAbove = (head) =>
  `A selection: at most ${head.some}, by how far the share is above what loads alone would give ` +
  "(By loads).";

/** @param {Head} head @param {number} row @param {number} expert */
function expertLink(head, row, expert) {
  const layer = head.layers[row];
  const href = entryAddress(layer, expert);
  return marked(0, h("a", { href }, `expert ${expert} of layer ${layer}`));
}

/** @param {Head} head @param {Entry} entry @param {number} row @returns {Section} */
export function partnersOf(head, entry, row) {
  return {
    name: "partners",
    title: "Chosen together with",
    note:
      "Share of its tokens that the other expert is chosen for too, with a 95 % interval. " +
      mostAbove(head),
    heads: ["Expert", "Share", "Interval", "By loads"],
    rows: (entry.partners ?? []).map(([other, share, low, high, matched]) => [
      expertLink(head, row, other),
      bar(share),
      interval(low, high),
      percent(matched),
    ]),
    empty:
      head.left_out.partners ?? "No expert is chosen with it more often than loads would give.",
  };
}

/** @param {Head} head @param {Entry} entry @param {number} row @returns {Section} */
export function originsOf(head, entry, row) {
  const first = row === 0;
  return {
    name: "origins",
    title: "Comes from",
    note: "Where tokens that have it as first choice were one layer before. " + mostAbove(head),
    heads: ["Expert", "Share", "By loads"],
    rows: (entry.origins ?? []).map(([before, share, matched]) => [
      expertLink(head, row - 1, before),
      bar(share),
      percent(matched),
    ]),
    ...(first ? { much: "– it is the first layer" } : {}),
    empty:
      head.left_out.moves ??
      (first ? "This is the first layer that was recorded." : "Nothing above what loads give."),
  };
}

/** @param {Head} head @param {Entry} entry @param {number} row @returns {Section} */
export function movesOf(head, entry, row) {
  const last = row === head.layers.length - 1;
  return {
    name: "moves",
    title: "Goes to",
    note:
      "Where tokens that have it as first choice go one layer on, with a 95 % interval. " +
      mostAbove(head),
    heads: ["Expert", "Share", "Interval", "By loads"],
    rows: (entry.moves ?? []).map(([next, share, low, high, matched]) => [
      expertLink(head, row + 1, next),
      bar(share),
      interval(low, high),
      percent(matched),
    ]),
    ...(last ? { much: "– it is the last layer" } : {}),
    empty:
      head.left_out.moves ??
      (last ? "This is the last layer that was recorded." : "Nothing above what loads give."),
  };
}

/** @param {NonNullable<Entry["effects"]>} rows @returns {Section} */
export function effectsOf(rows) {
  const marks = rows.map((row) => /** @type {Mark} */ (row[5] !== null && row[5] <= LEVEL ? 1 : 0));
  return {
    name: "effects",
    title: "When it is switched off",
    much: foundOf(marks),
    note:
      "Its tokens go to the next best expert, unless the effects were measured with " +
      'instead="nothing". Loss: before, in nats per token, on the texts that it was measured ' +
      "on. Change: how much it grows, with a 95 % interval. ● p is at most 5 %; p is corrected " +
      "over all that was switched off, the interval is not.",
    heads: ["Label", "Loss", "Change", "Interval", "p"],
    rows: rows.map(([label, loss, change, low, high, p], n) => [
      marked(marks[n], labelLink(label, labelName(label))),
      decimal(loss, 3),
      decimal(change, 3),
      low === null || high === null ? "–" : `${decimal(low, 3)} to ${decimal(high, 3)}`,
      rate(p),
    ]),
    empty: "This expert was not switched off.",
  };
}

/** @param {Head} head @param {Entry} entry @returns {Section} */
export function gatesOf(head, entry) {
  return {
    name: "gates",
    title: "Gates and margins",
    much: "",
    note: "",
    heads: [],
    rows: [],
    empty: gatesSaid(head, entry),
  };
}

/** @param {Head} head @param {Entry} entry */
function gatesSaid(head, entry) {
  const [found] = entry.gates;
  if (!found) return "Its gates were not recorded.";
  const [gate, margin, uses] = found;
  if (!uses) return "It was never chosen in these texts.";
  const said = `Chosen ${several(uses, "time")}. ${GATE} Its median: ${decimal(gate)}.`;
  if (margin === null) return `${said} Margins were not recorded.`;
  const last = head.choices > 1 ? "the last expert chosen" : "the expert chosen";
  return (
    `${said} Margin: by how much the router’s number of ${last} is above that of the next. ` +
    `The median of those choices: ${decimal(margin)}.`
  );
}
