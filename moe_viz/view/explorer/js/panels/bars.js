// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A bar for each expert, or for each of a few.
/** @import { Rgb } from "../types.js" */
/** @import { Colours } from "../colours.js" */

import { css } from "../colours.js";
import { h, write } from "../../../js/dom.js";

/**
 * Rows are made once: from layer to layer numbers, lengths, shades and figures change, and the
 * browser would style, lay out and paint every new row from scratch.
 */
export class Bars {
  /**
   * @param {number} rows
   * @param {Colours} colours
   * @param {string[]} kinds of ticks across each bar
   */
  constructor(rows, colours, ...kinds) {
    this.colours = colours;
    this.rows = Array.from({ length: rows }, () => {
      const number = h("div", { class: "n" });
      const fill = h("div");
      const value = h("div", { class: "value" });
      const ticks = new Map(kinds.map((kind) => [kind, h("div", { class: kind, hidden: true })]));
      const track = h("div", { class: "track" }, fill, ...ticks.values());
      return { number, fill, value, ticks, track, shade: "" };
    });
    const cells = this.rows.flatMap((row) => [row.number, row.track, row.value]);
    this.element = h("div", { class: "bars" }, ...cells);
  }

  /**
   * @param {number} row
   * @param {number} layer
   * @param {number} e the expert
   * @param {number} x
   * @param {number} scale what fills the whole track
   * @param {boolean} chosen
   * @param {string} value
   */
  put(row, layer, e, x, scale, chosen, value) {
    const { colours } = this;
    const { number, fill, value: figure, track, shade } = this.rows[row];
    const hue = colours.hues.of(layer, e);
    const look = `${chosen} ${hue} ${colours.theme.ground}`;
    fill.style.width = Math.max(0, Math.min(1, x / scale || 0)) * 100 + "%";
    if (shade !== look) {
      this.rows[row].shade = look;
      number.style.background = colours.hue(hue);
      number.style.color = colours.digit(layer, e);
      fill.className = "fill" + (chosen ? "" : " other");
      fill.style.background = chosen ? colours.solid(layer, e) : colours.faint(layer, e);
      fill.style.borderColor = chosen ? "" : colours.hue(hue);
    }
    write(number, String(e));
    write(figure, value);
    for (const cell of [number, track, figure]) cell.hidden = false;
  }

  /**
   * Hide the rows from one on.
   * @param {number} row
   */
  end(row) {
    for (const { number, track, value } of this.rows.slice(row)) {
      for (const cell of [number, track, value]) cell.hidden = true;
    }
  }

  /**
   * A line across a bar; null removes it.
   * @param {number} row
   * @param {string} kind
   * @param {number | null} x
   * @param {number} scale
   * @param {string} title
   */
  tick(row, kind, x, scale, title) {
    const line = this.rows[row].ticks.get(kind);
    if (!line) return;
    line.hidden = x === null;
    if (x === null) return;
    line.style.left = (100 * x) / scale + "%";
    line.title = title;
  }

  /**
   * A figure's title, and its shade if it is a difference.
   * @param {number} row
   * @param {string} title
   * @param {Rgb | null} shade
   */
  figure(row, title, shade) {
    const { value } = this.rows[row];
    if (!shade && !value.title) return;
    value.className = "value" + (shade ? " difference" : "");
    value.title = title;
    value.style.background = shade ? css(shade) : "";
    value.style.color = shade ? inkOn(shade) : "";
  }
}

/** @param {Rgb} shade */
const inkOn = ([r, g, b]) => (r + g + b > 380 ? "#000" : "#fff");
