// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A thin bar for each of many experts, from the first to the last: a layer's scores, or its loads.
/** @import { Actions, Scene } from "../types.js" */

import { sized } from "../maps/canvas.js";
import { across, h, write } from "../../../js/dom.js";

/** Pixels, for type of the designed size: of the bars, and of the marks below them. */
const TALL = 32;
const BELOW = 5;

/**
 * @typedef {object} Shown
 * @property {number[]} values (E,); NaN: not here
 * @property {number} low what has no height
 * @property {number} high what has all of it
 * @property {number} layer
 * @property {Set<number>} marked experts with a mark below their bars
 * @property {number | null} line a height to be marked across all bars
 * @property {(e: number) => string} say
 * @property {string} words what is shown
 */

export class Strip {
  /**
   * @param {number} experts
   * @param {Scene} scene
   * @param {Actions} actions
   */
  constructor(experts, scene, actions) {
    this.experts = experts;
    this.scene = scene;
    this.canvas = h("canvas", { role: "img" });
    this.said = h("span", { class: "muted" });
    this.ends = h(
      "div",
      { class: "ends" },
      h("span", {}, "0"),
      this.said,
      h("span", {}, String(experts - 1)),
    );
    this.element = h("div", { class: "strip" }, this.canvas, this.ends);
    this.width = 300;
    this.painted = "";
    /** @type {Shown | null} */
    this.shown = null;
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => {
      if (this.shown) write(this.said, this.shown.say(this.expertAt(event)));
    });
    canvas.addEventListener("pointerleave", () => write(this.said, this.shown?.words ?? ""));
    canvas.addEventListener("click", (event) => {
      const e = this.expertAt(event);
      actions.set({ asked: e });
      actions.isolate(e);
    });
  }

  /** @param {MouseEvent} event */
  expertAt(event) {
    const e = Math.floor(across(this.canvas, event) * this.experts);
    return Math.min(Math.max(e, 0), this.experts - 1);
  }

  look() {
    this.width = this.element.clientWidth || this.width;
  }

  /**
   * @param {string} key what the picture depends on
   * @param {() => Shown} work
   */
  paint(key, work) {
    const { width, scene } = this;
    const { colours, zoom, state } = scene;
    const whole = [key, width, zoom, colours.theme.ground, state.asked].join();
    if (whole === this.painted) return;
    this.painted = whole;
    const shown = work();
    this.shown = shown;
    write(this.said, shown.words);
    this.canvas.setAttribute("aria-label", shown.words);
    const [height, foot] = [TALL * zoom, BELOW * zoom];
    const g = sized(this.canvas, width, height + foot);
    if (!g) return;
    const { muted, ink, line, ground } = colours.theme;
    g.fillStyle = ground;
    g.fillRect(0, 0, width, height + foot);
    const bar = width / this.experts;
    const room = shown.high - shown.low || 1;
    g.fillStyle = line;
    g.fillRect(0, height - 1, width, 1);
    /**
     * @param {number} e
     * @param {number} least px, of width and height
     * @returns {[left: number, top: number, width: number, height: number]}
     */
    const box = (e, least) => {
      const wide = Math.max(bar - (bar > 3 ? 1 : 0), least);
      const tall = Math.max(((shown.values[e] - shown.low) / room) * (height - 1), least);
      return [Math.min(e * bar, width - wide), height - tall, wide, tall];
    };
    // The many first, in one go; so none covers a marked one where bars are thinner than pixels.
    /** @type {number[]} */
    const apart = [];
    const every = !shown.marked.size; // beside marked ones, others of a hue would be taken for them
    g.fillStyle = muted;
    g.beginPath();
    for (let e = 0; e < this.experts; e++) {
      if (Number.isNaN(shown.values[e])) continue;
      if (shown.marked.has(e) || (every && colours.hues.of(shown.layer, e) >= 0)) apart.push(e);
      else g.rect(...box(e, 0.5));
    }
    g.fill();
    for (const e of apart) {
      const marked = shown.marked.has(e);
      const hue = colours.hues.of(shown.layer, e);
      const place = box(e, marked ? 2 * zoom : 0.5);
      g.fillStyle = hue < 0 ? ink : colours.hue(hue);
      g.fillRect(...place);
      if (!marked) continue;
      g.fillStyle = ink;
      g.fillRect(place[0], height + 1, place[2], foot - 1);
    }
    if (shown.line === null) return;
    g.fillStyle = ink;
    const y = height - ((shown.line - shown.low) / room) * (height - 1);
    for (let x = 0; x < width; x += 6) g.fillRect(x, Math.round(y), 3, 1);
  }
}
