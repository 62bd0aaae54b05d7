// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A bar for each expert.
/** @import { Rgb } from "./types.js" */
/** @import { Colours } from "./colours.js" */

import { css } from "./colours.js";
import { h, write } from "./dom.js";

/**
 * Rows are made once: from layer to layer lengths, shades and figures change, and the browser would
 * style, lay out and paint every new row from scratch.
 */
export class Bars {
  /**
   * @param {number} experts
   * @param {Colours} colours
   * @param {string[]} kinds of ticks across each bar
   */
  constructor(experts, colours, ...kinds) {
    this.colours = colours;
    this.rows = Array.from({ length: experts }, (_, e) => {
      const number = h("div", { class: "n" }, String(e));
      const fill = h("div");
      const value = h("div", { class: "value" });
      const ticks = new Map(kinds.map((kind) => [kind, h("div", { class: kind, hidden: true })]));
      number.style.background = colours.expert(e);
      number.style.color = colours.digit(e);
      const track = h("div", { class: "track" }, fill, ...ticks.values());
      return { number, fill, value, ticks, track, shade: "" };
    });
    const cells = this.rows.flatMap((row) => [row.number, row.track, row.value]);
    this.element = h("div", { class: "bars" }, ...cells);
  }

  /**
   * @param {number} e
   * @param {number} x
   * @param {number} scale what fills the whole track
   * @param {boolean} chosen
   * @param {string} value
   */
  put(e, x, scale, chosen, value) {
    const { colours } = this;
    const row = this.rows[e];
    const { style } = row.fill;
    const shade = `${chosen} ${colours.theme.ground}`;
    style.width = Math.max(0, Math.min(1, x / scale || 0)) * 100 + "%";
    if (row.shade !== shade) {
      row.shade = shade;
      row.fill.className = "fill" + (chosen ? "" : " other");
      style.background = chosen ? colours.solid(e) : colours.faint(e);
      style.borderColor = chosen ? "" : colours.expert(e);
    }
    write(row.value, value);
  }

  /**
   * A line across a bar; null removes it.
   * @param {number} e
   * @param {string} kind
   * @param {number | null} x
   * @param {number} scale
   * @param {string} title
   */
  tick(e, kind, x, scale, title) {
    const line = this.rows[e].ticks.get(kind);
    if (!line) return;
    line.hidden = x === null;
    if (x === null) return;
    line.style.left = (100 * x) / scale + "%";
    line.title = title;
  }

  /**
   * A figure's title, and its shade if it is a difference.
   * @param {number} e
   * @param {string} title
   * @param {Rgb | null} shade
   */
  figure(e, title, shade) {
    const { value } = this.rows[e];
    if (!shade && !value.title) return;
    value.className = "value" + (shade ? " difference" : "");
    value.title = title;
    value.style.background = shade ? css(shade) : "";
    value.style.color = shade ? inkOn(shade) : "";
  }
}

/** @param {Rgb} shade */
const inkOn = ([r, g, b]) => (r + g + b > 380 ? "#000" : "#fff");
