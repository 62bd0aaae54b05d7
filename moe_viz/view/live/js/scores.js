// @ts-check
// SPDX-License-Identifier: Apache-2.0
// How much worse something has become: bars to the right and left of a line at zero.

import { h } from "../../js/dom.js";

/** The scale reaches this far at least, in nats a token: what is small is to look small. */
const REACH = 0.25;

/**
 * A thing and its change of loss, in nats a token.
 * @typedef {object} Score
 * @property {string} name
 * @property {number} change
 * @property {number} [beside] another change, outlined
 * @property {string} [title]
 * @property {() => void} [act] what a click on its name does
 */

/**
 * @param {Score[]} scores
 * @returns {HTMLElement[]}
 */
export function bars(scores) {
  const all = scores.flatMap(({ change, beside = 0 }) => [Math.abs(change), Math.abs(beside)]);
  const widest = Math.max(REACH, ...all);
  /**
   * @param {number} change
   * @param {string} kind
   */
  const part = (change, kind) => {
    const drawn = h("span", { class: change < 0 ? `${kind} less` : kind });
    drawn.style.width = `${(50 * Math.abs(change)) / widest}%`;
    return drawn;
  };
  return scores.map(({ name, change, beside, title, act }) => {
    const bar = h("span", { class: "bar zero" });
    bar.append(part(change, "fill"));
    if (beside !== undefined) bar.append(part(beside, "was"));
    const label = act ? h("button", { class: "piece", title, onclick: act }, name) : name;
    return h("div", { class: "guess" }, h("span", {}, label), bar, h("span", {}, signed(change)));
  });
}

/** @param {number} change */
export function signed(change) {
  const digits = Math.abs(change).toFixed(2);
  return digits === "0.00" ? digits : `${change < 0 ? "−" : "+"}${digits}`;
}
