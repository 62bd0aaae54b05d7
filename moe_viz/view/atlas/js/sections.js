// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What is folded below an entry: pieces, kinds, labels, places, neighbours; see routes.js too.
/** @import { Entry, Head, Mark } from "./types.js" */
/** @import { Cell } from "./table.js" */

import { foundOf, marked, qCell } from "./marks.js";
import { effectsOf, gatesOf, movesOf, originsOf, partnersOf } from "./routes.js";
import { bar, labelLink, pair, pieceLink } from "./table.js";
import { decimal, labelName, percent, whole } from "./words.js";

/**
 * A folded part: its title, how much is there, what its numbers mean, and its table, or why there
 * is none.
 * @typedef {{ name: string, title: string, much?: string, note: string, heads: string[],
 *   rows: Cell[][], empty: string }} Section
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
    partnersOf(head, entry, row),
    originsOf(head, entry, row),
    movesOf(head, entry, row),
    gatesOf(head, entry),
    ...(entry.effects ? [effectsOf(entry.effects)] : []),
  ];
}

/** @param {Head} head @param {string} twin */
const twinNote = (head, twin) => (head.control ? twin : "There is no untrained twin.");

/** @param {Head} head @param {string} what */
const largest = (head, what) =>
  twinNote(
    head,
    `Twin: the largest share of the ${what} that any expert of the untrained twin takes.`,
  );

/** Found ones first, each in the order they have. @param {{ mark: Mark }[]} rows */
const foundFirst = (rows) => rows.sort((a, b) => Number(b.mark > 0) - Number(a.mark > 0));

/** @param {Head} head @param {Entry} entry @returns {Section} */
function pieces(head, entry) {
  const rows = entry.pieces.map(
    ([piece, share, count, occurrences, twin, first, second, q, mark]) => ({
      mark,
      cells: [
        marked(mark, pieceLink(piece)),
        bar(share),
        `${whole(count)} of ${whole(occurrences)}`,
        percent(twin),
        `${percent(first)}, ${percent(second)}`,
        qCell(q, mark),
      ],
    }),
  );
  foundFirst(rows);
  return {
    name: "pieces",
    title: "Pieces",
    note:
      `A selection: at most ${head.many}, those with the largest shares, rare ones counted ` +
      "cautiously; found ones first. Share: of the piece’s occurrences, those that have this " +
      `expert among their choices. ${largest(head, "piece")} ` +
      "q is told where no other expert of the layer takes more of the piece.",
    heads: ["Piece", "Share", "Count", "Twin", "In each half", "q"],
    rows: rows.map((one) => one.cells),
    much: foundOf(rows.map((one) => one.mark)),
    empty:
      head.left_out.pieces ??
      `It takes no piece that occurs ${head.minimum} times or more above its even share.`,
  };
}

/** @param {Head} head @param {Entry} entry @returns {Section} */
function kinds(head, entry) {
  const rows = entry.kinds.map(([kind, share, random, twin, q, mark]) => ({
    mark,
    times: (share ?? 0) / (random || 1),
    cells: [marked(mark, kind), bar(share), percent(random), percent(twin), qCell(q, mark)],
  }));
  foundFirst(rows.sort((a, b) => b.times - a.times));
  return {
    name: "kinds",
    title: "Kinds of pieces",
    note:
      "Those of which it takes more than of random pieces; found ones first, then by how many " +
      "times as much. Share: the mean over the kind’s pieces, each counting once. Random: the " +
      `same of as many pieces of like frequency. ${largest(head, "kind")}`,
    heads: ["Kind", "Share", "Random", "Twin", "q"],
    rows: rows.map((one) => one.cells),
    much: foundOf(rows.map((one) => one.mark)),
    empty: head.left_out.kinds ?? "It takes no kind of pieces above random sets of pieces.",
  };
}

/**
 * @param {Entry["labels"]} tested
 * @param {(name: string) => Node | string} named
 */
function testedRows(tested, named) {
  return tested.map(([name, share, rest, twin, twinRest, q, mark]) => ({
    mark,
    above: (share ?? 0) - (rest ?? 0),
    cells: [
      marked(mark, named(name)),
      bar(share),
      percent(rest),
      pair(twin, twinRest),
      qCell(q, mark),
    ],
  }));
}

const BESIDE =
  "Twin: the untrained twin’s expert that takes most of it above the rest, " +
  "and its share of the rest.";

/** @param {Head} head @param {Entry} entry @returns {Section} */
function labels(head, entry) {
  const rows = testedRows(entry.labels, (label) => labelLink(label, labelName(label)));
  rows.sort((a, b) => b.above - a.above);
  return {
    name: "labels",
    title: "Labels",
    note:
      "All labels, by how far its share is above the rest. Rest: its share of all other texts. " +
      `● and ○: more than the rest; ▽: less. ${twinNote(head, BESIDE)}`,
    heads: ["Label", "Share", "Rest", "Twin (rest)", "q"],
    rows: rows.map((one) => one.cells),
    much: foundOf(rows.map((one) => one.mark)),
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
      "All places, from the beginning on. Rest: what the same documents give it on the whole. " +
      `● and ○: more than the rest; ▽: less. ${twinNote(head, BESIDE)}`,
    heads: ["Place", "Share", "Rest", "Twin (rest)", "q"],
    rows: rows.map((one) => one.cells),
    much: foundOf(rows.map((one) => one.mark)),
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
      `A selection: at most ${head.some} pieces that stand ${where} this expert’s tokens more ` +
      `often than ${where} those of others; first those that are both frequent and more ` +
      "frequent here. Described, not tested.",
    heads: ["Piece", "Count", "Times as often"],
    rows: rows.map(([, piece, count, times]) => [
      marked(0, pieceLink(piece)),
      whole(count),
      decimal(times, 1),
    ]),
    empty:
      head.left_out.neighbours ??
      `No piece stands ${where} its tokens five times or more, and more often than ` +
        `${where} others’.`,
  };
}
