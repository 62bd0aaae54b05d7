// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Tables of an entry and of a search: a name in front, numbers behind it.

import { h } from "../../js/dom.js";
import { findAddress } from "./address.js";
import { NONE, percent, signs } from "./words.js";

/** @typedef {Node | string} Cell */

/**
 * @param {string} name for screen readers
 * @param {string[]} heads of the columns; the first column names its row
 * @param {Cell[][]} rows
 */
export function tableOf(name, heads, rows) {
  const [first, ...rest] = heads;
  const table = h(
    "table",
    { "aria-label": name },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, first),
        ...rest.map((head) => h("th", { scope: "col", class: "n" }, head)),
      ),
    ),
    h("tbody", {}, ...rows.map(rowOf)),
  );
  return h("div", { class: "wide", role: "group", "aria-label": name, tabindex: 0 }, table);
}

/** @param {Cell[]} cells */
export function rowOf([name, ...numbers]) {
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, name),
    ...numbers.map((cell) => h("td", { class: "n" }, cell)),
  );
}

/**
 * A share with a bar behind it, that ends at 100 %.
 * @param {number | null} share
 */
export function bar(share) {
  const width = Math.min(100, 100 * (share ?? 0));
  return h("span", { class: "share", style: `--share:${width.toFixed(2)}%` }, percent(share));
}

/**
 * A share beside another, as "84 % (27 %)".
 * @param {number | null} share
 * @param {number | null} rest
 */
export const pair = (share, rest) =>
  share === null ? NONE : `${percent(share)} (${percent(rest)})`;

/**
 * An interval, as "81 to 91 %".
 * @param {number | null} low
 * @param {number | null} high
 */
export function interval(low, high) {
  return low === null || high === null ? NONE : `${percent(low).slice(0, -2)} to ${percent(high)}`;
}

/**
 * A piece as spelled, that leads to who takes it.
 * @param {string} piece
 */
export function pieceLink(piece) {
  const href = findAddress("piece", piece);
  return h("a", { href, class: "piece" }, h("bdi", {}, signs(piece)));
}

/**
 * @param {string} label
 * @param {string} name
 */
export function labelLink(label, name) {
  if (!label) return h("span", {}, name);
  return h("a", { href: findAddress("label", label) }, h("bdi", {}, name));
}
