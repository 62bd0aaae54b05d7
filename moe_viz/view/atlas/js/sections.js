// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What is folded below an entry: pieces, kinds, labels, places, neighbours, partners, moves.
/** @import { Entry, Head } from "./types.js" */
/** @import { Cell } from "./table.js" */

import { h } from "../../js/dom.js";
import { entryAddress } from "./address.js";
import { bar, interval, labelLink, marked, pair, pieceLink } from "./table.js";
import { decimal, labelName, percent, rate, several, whole } from "./words.js";

/**
 * A folded part: its title, how much is there, what its numbers mean, and its table, or why there
 * is none.
 * @typedef {{ name: string, title: string, note: string, heads: string[], rows: Cell[][],
 *   found?: number, empty: string, more?: Node }} Section
 */

/**
 * @param {Head} head
 * @param {Entry} entry
 * @param {number} row
 * @returns {Section[]}
 */
export function sectionsOf(head, entry, row) {
  return [
    pieces(head, entry),
    kinds(head, entry),
    labels(head, entry),
    places(head, entry),
    neighbours(head, entry, "before"),
    neighbours(head, entry, "after"),
    partners(head, entry, row),
    origins(head, entry, row),
    moves(head, entry, row),
    ...(entry.effects ? [effects(entry.effects)] : []),
  ];
}

/** @param {{ found: boolean }[]} rows */
const numberFound = (rows) => rows.filter((one) => one.found).length;

/** @param {Head} head @param {string} twin */
const twinNote = (head, twin) => (head.control ? twin : "No untrained twin was recorded.");

/** @param {Head} head @param {Entry} entry @returns {Section} */
function pieces(head, entry) {
  const rows = entry.pieces.map(
    ([piece, share, count, occurrences, twin, first, second, q, found]) => ({
      found,
      cells: [
        marked(found, pieceLink(piece)),
        bar(share),
        `${whole(count)} of ${whole(occurrences)}`,
        percent(twin),
        `${percent(first)}, ${percent(second)}`,
        rate(q),
      ],
    }),
  );
  rows.sort((a, b) => Number(b.found) - Number(a.found));
  return {
    name: "pieces",
    title: "Pieces",
    note:
      "Share: of the piece’s occurrences, those that have this expert among their choices. " +
      twinNote(
        head,
        "Twin: the largest share of the piece that any expert of the untrained router takes. ",
      ) +
      "q is told where no other expert of the layer takes more of the piece.",
    heads: ["Piece", "Share", "Count", "Twin", "In each half", "q"],
    rows: rows.map((one) => one.cells),
    found: numberFound(rows),
    empty:
      head.left_out.pieces ??
      `It takes no piece that occurs ${head.minimum} times or more above its even share.`,
  };
}

/** @param {Head} head @param {Entry} entry @returns {Section} */
function kinds(head, entry) {
  const rows = entry.kinds.map(([kind, share, random, twin, q, found]) => ({
    found,
    times: (share ?? 0) / (random || 1),
    cells: [marked(found, kind), bar(share), percent(random), percent(twin), rate(q)],
  }));
  rows.sort((a, b) => Number(b.found) - Number(a.found) || b.times - a.times);
  return {
    name: "kinds",
    title: "Kinds of pieces",
    note:
      "Share: the mean over the kind’s pieces, each counting once. Random: the same of as many " +
      "pieces of like frequency. " +
      twinNote(
        head,
        "Twin: the largest share of the kind that any expert of the untrained router takes.",
      ),
    heads: ["Kind", "Share", "Random", "Twin", "q"],
    rows: rows.map((one) => one.cells),
    found: numberFound(rows),
    empty: head.left_out.kinds ?? "It takes no kind of pieces above random sets of pieces.",
  };
}

/**
 * @param {Entry["labels"]} tested
 * @param {(name: string) => Node | string} named
 */
function testedRows(tested, named) {
  return tested.map(([name, share, rest, twin, twinRest, q, found]) => ({
    found,
    above: (share ?? 0) - (rest ?? 0),
    cells: [marked(found, named(name)), bar(share), percent(rest), pair(twin, twinRest), rate(q)],
  }));
}

const BESIDE =
  "Twin: the untrained router’s expert that takes most of it above the rest, " +
  "and its share of the rest.";

/** @param {Head} head @param {Entry} entry @returns {Section} */
function labels(head, entry) {
  const rows = testedRows(entry.labels, (label) => labelLink(label, labelName(label)));
  rows.sort((a, b) => b.above - a.above);
  return {
    name: "labels",
    title: "Labels",
    note:
      `Rest: its share of all other texts. ● may be more or less than the rest. ` +
      `${twinNote(head, BESIDE)}`,
    heads: ["Label", "Share", "Rest", "Twin (rest)", "q"],
    rows: rows.map((one) => one.cells),
    found: numberFound(rows),
    empty:
      head.left_out.labels ??
      "All documents have one label, or a label has fewer than two documents: nothing to compare.",
  };
}

/** @param {Head} head @param {Entry} entry @returns {Section} */
function places(head, entry) {
  const rows = testedRows(entry.places, (place) => place);
  return {
    name: "places",
    title: "Places in a document",
    note:
      `Rest: what the same documents give it on the whole. ● may be more or less. ` +
      `${twinNote(head, BESIDE)}`,
    heads: ["Place", "Share", "Rest", "Twin (rest)", "q"],
    rows: rows.map((one) => one.cells),
    found: numberFound(rows),
    empty: head.left_out.places ?? "No document is long enough to have several places.",
  };
}

/** @param {Head} head @param {Entry} entry @param {string} where @returns {Section} */
function neighbours(head, entry, where) {
  const rows = entry.neighbours.filter((one) => one[0] === where);
  return {
    name: where,
    title: where === "before" ? "Before its tokens" : "After its tokens",
    note:
      `Pieces that stand ${where} this expert’s tokens more often than ${where} those of ` +
      `others. Described, not tested.`,
    heads: ["Piece", "Count", "Times as often"],
    rows: rows.map(([, piece, count, times]) => [
      marked(false, pieceLink(piece)),
      whole(count),
      decimal(times, 1),
    ]),
    empty:
      head.left_out.neighbours ??
      `No piece stands ${where} its tokens five times or more, and more often than ` +
        `${where} others’.`,
  };
}

/** @param {Head} head @param {number} row @param {number} expert */
function expertLink(head, row, expert) {
  const layer = head.layers[row];
  const href = entryAddress(layer, expert);
  return marked(false, h("a", { href }, `expert ${expert} of layer ${layer}`));
}

/** @param {Head} head @param {Entry} entry @param {number} row @returns {Section} */
function partners(head, entry, row) {
  return {
    name: "partners",
    title: "Chosen together with",
    note:
      "Share of its tokens that the other expert is chosen for too, with a 95 % interval, " +
      "beside what loads alone would give.",
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
function origins(head, entry, row) {
  return {
    name: "origins",
    title: "Comes from",
    note:
      "Where tokens that have it as first choice were one layer before, beside what loads " +
      "alone would give.",
    heads: ["Expert", "Share", "By loads"],
    rows: (entry.origins ?? []).map(([before, share, matched]) => [
      expertLink(head, row - 1, before),
      bar(share),
      percent(matched),
    ]),
    empty:
      head.left_out.moves ??
      (row === 0 ? "This is the first layer that was recorded." : "Nothing above what loads give."),
  };
}

/** @param {Head} head @param {Entry} entry @param {number} row @returns {Section} */
function moves(head, entry, row) {
  const last = row === head.layers.length - 1;
  return {
    name: "moves",
    title: "Goes to",
    note:
      "Where tokens that have it as first choice go one layer on, with a 95 % interval, " +
      "beside what loads alone would give.",
    heads: ["Expert", "Share", "Interval", "By loads"],
    rows: (entry.moves ?? []).map(([next, share, low, high, matched]) => [
      expertLink(head, row + 1, next),
      bar(share),
      interval(low, high),
      percent(matched),
    ]),
    empty:
      head.left_out.moves ??
      (last ? "This is the last layer that was recorded." : "Nothing above what loads give."),
  };
}

/** @param {NonNullable<Entry["effects"]>} rows @returns {Section} */
function effects(rows) {
  return {
    name: "effects",
    title: "When it is switched off",
    note:
      "How much the loss grows, in nats per token, with a 95 % interval; p is corrected " +
      "over all that was switched off.",
    heads: ["Label", "Change", "Interval", "p"],
    rows: rows.map(([label, change, low, high, p]) => [
      marked(false, labelLink(label, labelName(label))),
      decimal(change, 3),
      low === null || high === null ? "–" : `${decimal(low, 3)} to ${decimal(high, 3)}`,
      rate(p),
    ]),
    empty: "This expert was not switched off.",
  };
}

/**
 * How sure the router is where it chooses this expert.
 * @param {Entry} entry
 */
export function gatesOf(entry) {
  const [found] = entry.gates;
  if (!found) return "Its gates were not recorded.";
  const [gate, margin, uses] = found;
  if (!uses) return "It was never chosen in these texts.";
  const said = `Chosen ${several(uses, "time")}. Median gate: ${decimal(gate)}.`;
  return margin === null
    ? `${said} Margins cannot be told from what was recorded.`
    : `${said} Median margin of those choices: ${decimal(margin)}.`;
}
