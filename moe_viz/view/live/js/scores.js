// @ts-check
// SPDX-License-Identifier: Apache-2.0
// How much worse something has become: bars to the right and left of a line at zero.

import { h } from "../../js/dom.js";

/**
 * A thing and its change of loss, in nats a token.
 * @typedef {object} Score
 * @property {string} name
 * @property {number} change
 * @property {string} [title]
 * @property {() => void} [act] what a click on its name does
 */

/**
 * @param {Score[]} scores
 * @returns {HTMLElement[]}
 */
export function bars(scores) {
  const widest = Math.max(0.01, ...scores.map(({ change }) => Math.abs(change)));
  return scores.map(({ name, change, title, act }) => {
    const fill = h("span", { class: change < 0 ? "fill less" : "fill" });
    fill.style.width = `${(50 * Math.abs(change)) / widest}%`;
    const bar = h("span", { class: "bar zero" });
    bar.append(fill);
    const label = act ? h("button", { class: "piece", title, onclick: act }, name) : name;
    return h("div", { class: "guess" }, h("span", {}, label), bar, h("span", {}, signed(change)));
  });
}

/** @param {number} change */
export const signed = (change) => `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)}`;
