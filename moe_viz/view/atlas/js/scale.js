// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What the grid's cells show, and where a number stands on the scale of colours.
/** @import { Head, Painted } from "./types.js" */

import { STRONG } from "./marks.js";
import { labelName, percent } from "./words.js";

/** How many times as much or as little as even the ends of the scale may be. */
const WIDTHS = [1.5, 2, 4, 8, 16];

/**
 * @param {Head} head
 * @param {string} choice load, found, or a label's number
 * @returns {Painted}
 */
export function paintedBy(head, choice) {
  if (choice === "load") return byLoad(head);
  if (choice === "found") return byFindings(head);
  return byLabel(head, Number(choice));
}

/**
 * Load beside even, in steps of times: twice as much is as far from even as half as much.
 * @param {Head} head
 * @returns {Painted}
 */
function byLoad(head) {
  const even = head.choices / head.experts;
  const values = head.load.flat();
  const furthest = Math.max(
    ...values.filter((x) => x > 0).map((x) => Math.abs(Math.log2(x / even))),
    0,
  );
  const times = WIDTHS.find((n) => Math.log2(n) >= furthest) ?? WIDTHS[WIDTHS.length - 1];
  const span = Math.log2(times);
  return {
    values,
    at: (x) => (x > 0 ? within(0.5 + Math.log2(x / even) / (2 * span)) : 0),
    diverging: true,
    ends: [
      [0, `even ÷ ${times}`],
      [0.5, `even, ${percent(even)}`],
      [1, `even × ${times}`],
    ],
    said: percent,
    dots: head.found.flat().map((n) => n > 0),
    sign: STRONG,
    dot: "at least one strong finding",
  };
}

/**
 * @param {Head} head
 * @param {number} label
 * @returns {Painted}
 */
function byLabel(head, label) {
  const values = head.by_label[label].flat();
  const most = greatest(values) || 1;
  const dots = values.map(() => false);
  for (const [cell, mark] of head.surely[label]) dots[cell] = mark === 1;
  return {
    values,
    at: (x) => within(x / most),
    diverging: false,
    ends: [
      [0, "0\u00a0%"],
      [1, percent(most)],
    ],
    said: percent,
    dots,
    sign: "●",
    dot:
      `found to take more of ${labelName(head.labels[label])} than of the rest` +
      (head.control ? ", and more than any expert of the untrained twin" : ""),
  };
}

/**
 * @param {Head} head
 * @returns {Painted}
 */
function byFindings(head) {
  const values = head.found.flat();
  const most = greatest(values) || 1;
  return {
    values,
    at: (x) => within(x / most),
    diverging: false,
    ends: [
      [0, "0"],
      [1, String(most)],
    ],
    said: String,
    dots: values.map((n) => n > 0),
    sign: STRONG,
    dot: "at least one strong finding",
  };
}

/** @param {number} x */
const within = (x) => Math.min(Math.max(x, 0), 1);

/** @param {number[]} values */
const greatest = (values) => values.reduce((a, b) => Math.max(a, b), 0);

/**
 * How large cells are: as large as the room allows, at least 4 px.
 * @param {number} width of the room
 * @param {number} L
 * @param {number} E
 */
export function cellSize(width, L, E) {
  return {
    w: Math.min(Math.max(Math.floor(width / E), 4), 160),
    t: Math.min(Math.max(Math.floor(520 / L), 6), 36),
  };
}

/**
 * How many cells apart the numbers on an axis stand, so that they have room.
 * @param {number} size of a cell
 * @param {number} room for a number
 */
export function stride(size, room) {
  let n = 1;
  while (n * size < room) n *= 2;
  return n;
}

/**
 * Where a key leads from a cell; null for a key that leads nowhere.
 * @param {string} key
 * @param {boolean} far with Control: to the first or last of all
 * @param {{ row: number, expert: number }} from
 * @param {number} L
 * @param {number} E
 */
export function stepped(key, far, from, L, E) {
  const { row, expert } = from;
  /** @type {Record<string, [number, number]>} */
  const to = {
    ArrowLeft: [row, expert - 1],
    ArrowRight: [row, expert + 1],
    ArrowUp: [row - 1, expert],
    ArrowDown: [row + 1, expert],
    Home: [far ? 0 : row, 0],
    End: [far ? L - 1 : row, E - 1],
    PageUp: [row - 10, expert],
    PageDown: [row + 10, expert],
  };
  if (!Object.hasOwn(to, key)) return null;
  const [r, e] = to[key];
  return { row: Math.min(Math.max(r, 0), L - 1), expert: Math.min(Math.max(e, 0), E - 1) };
}
