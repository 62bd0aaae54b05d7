// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A strip of the whole prompt below its map: which part is in sight, and where hits are.
/** @import { Prompt, Scene } from "../types.js" */
/** @import { Cells } from "./canvas.js" */

import { sized } from "./canvas.js";
import { across, h } from "../../../js/dom.js";

/** Pixels, for type of the designed size. */
const HEIGHT = 16;

export class Overview {
  /**
   * @param {Cells} cells
   * @param {Scene} scene
   * @param {(token: number) => void} move bring a token into the middle
   */
  constructor(cells, scene, move) {
    this.cells = cells;
    this.scene = scene;
    this.element = h("canvas", { class: "overview", "aria-hidden": "true" });
    /** @type {Prompt | null} */
    this.prompt = null;
    this.painted = "";
    /** @param {PointerEvent} event */
    const drag = (event) => {
      if (!event.buttons || !this.prompt) return;
      const { start, stop } = this.prompt;
      move(start + across(this.element, event) * (stop - start));
    };
    this.element.addEventListener("pointerdown", (event) => {
      this.element.setPointerCapture(event.pointerId);
      drag(event);
    });
    this.element.addEventListener("pointermove", drag);
  }

  /**
   * @param {Prompt} prompt
   * @param {[from: number, to: number]} view tokens in sight
   * @param {number} width
   * @param {string} look what the map above was painted with
   */
  paint(prompt, [from, to], width, look) {
    const { colours, hits, state, zoom } = this.scene;
    const key = [prompt.start, state.layer, state.query, look].join(" ");
    if (key === this.painted) return;
    this.painted = key;
    this.prompt = prompt;
    const { start, stop } = prompt;
    const n = stop - start;
    const height = Math.round(HEIGHT * zoom);
    const bar = height / 2;
    const g = sized(this.element, width, height);
    if (!g) return;
    const columns = Math.min(n, Math.floor(width));
    const cells = this.cells.paint(columns, start, n, state.layer, state.layer + 1);
    g.imageSmoothingEnabled = false;
    g.drawImage(cells, 0, bar / 2, width, bar);
    g.fillStyle = colours.theme.ink;
    for (const t of hits) {
      if (t >= start && t < stop) g.fillRect(((t - start) / n) * width - 1, 0, 2, bar / 2);
    }
    const w = ((to - from) / n) * width;
    g.strokeStyle = colours.theme.ink;
    g.lineWidth = 2;
    g.strokeRect(((from - start) / n) * width + 1, 1, Math.max(w - 2, 2), height - 2);
  }
}
