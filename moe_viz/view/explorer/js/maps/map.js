// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The map: tokens from left to right, layers from top to bottom, and a strip of the whole below.
/** @import { Prompt, Scene, Actions, Spot } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */
/** @import { Quantities } from "../data/quantities.js" */

import { layerNames, paintBands } from "./axis.js";
import { Cells, sized } from "./canvas.js";
import { across, h, write } from "../../../js/dom.js";
import { Overview } from "./overview.js";
import { focus } from "../state.js";
import { sizeOf } from "../data/words.js";

const HINT = "click, then wheel: zoom · drag the strip: move · double click: all";
/** Browsers give up on wider canvases; in pixels. */
const WIDEST = 4096;

export class MapView {
  /**
   * @param {Trace} trace
   * @param {Quantities} quantities
   * @param {Scene} scene
   * @param {Actions} actions
   * @param {(token: number) => void} pick what a click on a token does, once its layer is chosen
   */
  constructor(trace, quantities, scene, actions, pick) {
    this.trace = trace;
    this.quantities = quantities;
    this.scene = scene;
    this.actions = actions;
    this.pick = pick;
    this.base = h("canvas", { role: "img" });
    // What is marked lies above the picture, so that the picture need not be painted again.
    this.rings = ["row", "column", "cell"].map((kind) => h("div", { class: `ring ${kind}` }));
    this.marks = h("div", { class: "marks", "aria-hidden": "true" }, ...this.rings);
    this.cells = new Cells(trace, quantities, scene);
    this.overview = new Overview(this.cells, scene, (middle) => {
      const [from, to] = this.view;
      this.pan(middle - (to - from) / 2);
    });
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.ends = [h("span"), h("span")];
    this.size = h("span", { class: "end size" });
    this.stack = h("div", { class: "stack" }, this.base, this.marks);
    const [left, right] = this.ends;
    this.element = h(
      "div",
      { class: "map" },
      h("span", { class: "end" }, "input"),
      this.size,
      this.axis,
      this.stack,
      h("span", { class: "end" }, "output"),
      h("div", { class: "ends" }, left, h("span", { class: "hint" }, HINT), right),
      h("span", { class: "end" }, "whole"),
      this.overview.element,
    );
    /** @type {Prompt} */
    this.prompt = trace.prompts[0];
    /** @type {[from: number, to: number]} tokens in sight */
    this.view = [0, 1];
    this.width = 600;
    this.painted = this.axisKey = "";
    this.listen();
  }

  listen() {
    const { marks, actions } = this;
    marks.addEventListener("pointermove", (event) => actions.set({ hover: this.spot(event) }));
    marks.addEventListener("pointerleave", () => actions.set({ hover: null }));
    marks.addEventListener("click", (event) => {
      const { layer, token } = this.spot(event);
      actions.set({ layer, hover: null });
      this.pick(token);
      this.root()?.focus({ preventScroll: true });
    });
    marks.addEventListener("dblclick", () => this.pan(this.prompt.start, Infinity));
    marks.addEventListener("wheel", (event) => this.zoom(event), { passive: false });
  }

  /**
   * The picture that holds this map and takes keys.
   * @returns {HTMLElement | null}
   */
  root() {
    return this.element.closest(".mv");
  }

  /** @param {Prompt} p */
  show(p) {
    this.prompt = p;
    this.view = [p.start, p.stop];
  }

  /** @param {WheelEvent} event */
  zoom(event) {
    // A picture without the focus lets the page scroll.
    const { activeElement } = /** @type {ShadowRoot} */ (this.element.getRootNode());
    if (!event.ctrlKey && this.root() !== activeElement) return;
    event.preventDefault();
    const [a, b] = this.view;
    const x = across(this.marks, event);
    const size = Math.round(Math.max((b - a) * (event.deltaY > 0 ? 1.25 : 0.8), 8));
    const all = this.prompt.stop - this.prompt.start;
    this.pan(a + x * (b - a) - x * Math.min(size, all), size);
  }

  /** @param {number} start */
  pan(start, size = this.view[1] - this.view[0]) {
    const p = this.prompt;
    const length = Math.min(size, p.stop - p.start);
    const a = Math.round(Math.min(Math.max(start, p.start), p.stop - length));
    this.view = [a, a + length];
    this.actions.draw();
  }

  /** @param {number} t */
  reveal(t) {
    const [a, b] = this.view;
    if (t < a || t >= b) this.pan(t - (b - a) / 2);
  }

  /**
   * @param {MouseEvent} event
   * @returns {Spot}
   */
  spot(event) {
    const { rows } = this.scene;
    const box = this.marks.getBoundingClientRect();
    const layer = rows.at(((event.clientY - box.top) / box.height) * rows.total);
    const [a, b] = this.view;
    const token = Math.floor(a + across(this.marks, event) * (b - a));
    return { layer, token: Math.min(Math.max(token, a), b - 1) };
  }

  look() {
    this.width = Math.min(this.stack.clientWidth || 600, WIDEST);
  }

  paint() {
    const { width, view, prompt } = this;
    const { state, colours, zoom } = this.scene;
    const only = state.faded ?? state.isolate;
    const { ground } = colours.theme;
    const { mode, asked } = state;
    const subject = this.quantities.get(mode)?.of?.(state);
    const base = [view, width, zoom, ground, mode, subject, only, asked].join(" ");
    if (base !== this.painted) {
      this.painted = base;
      this.paintBase();
    }
    this.overview.paint(prompt, view, width, base);
    this.paintMarks();
  }

  paintBase() {
    const { width } = this;
    const { rows } = this.scene;
    const { L } = this.trace;
    const [from, to] = this.view;
    const n = to - from;
    const g = sized(this.base, width, rows.total);
    if (!g) return; // no canvas here: text, decision and loads work without
    const columns = Math.min(n, Math.floor(width));
    const cell = width / columns;
    const tiny = this.cells.paint(columns, from, n, 0, L);
    g.fillStyle = this.scene.colours.theme.ground;
    g.fillRect(0, 0, width, rows.total);
    g.imageSmoothingEnabled = false;
    for (let l = 0; l < L; l++) {
      g.drawImage(tiny, 0, l, columns, 1, 0, rows.top(l), width, rows.height - rows.gap);
    }
    if (cell > 3) for (let c = 1; c < columns; c++) g.fillRect(c * cell - 0.5, 0, 0.5, rows.total);
    paintBands(g, rows, width, this.scene);
    if (columns === n) this.paintNumbers(g, rows, cell);
    this.describe();
  }

  /**
   * The experts' numbers, where there is room for them.
   * @param {CanvasRenderingContext2D} g
   * @param {import("./rows.js").Rows} rows
   * @param {number} cell
   */
  paintNumbers(g, rows, cell) {
    const { trace } = this;
    const { state, colours, zoom } = this.scene;
    const digits = String(trace.E - 1).length;
    const room = cell >= (5 + 7 * digits) * zoom && rows.height >= 12 * zoom;
    if (!room || state.mode !== "first" || (state.faded ?? state.isolate) !== null) return;
    const [from, to] = this.view;
    g.font = `600 ${11 * zoom}px system-ui, sans-serif`;
    g.textAlign = "center";
    g.textBaseline = "middle";
    for (let l = 0; l < trace.L; l++) {
      for (let t = from; t < to; t++) {
        const e = trace.choice(l, t, 0);
        if (e < 0 || trace.isSpecial(t)) continue;
        g.fillStyle = colours.digit(l, e);
        g.fillText(String(e), (t - from + 0.5) * cell, rows.top(l) + rows.height / 2);
      }
    }
  }

  /** The map in words. */
  describe() {
    const { trace } = this;
    const { start, stop } = this.prompt;
    const [from, to] = this.view;
    const quantity = this.quantities.get(this.scene.state.mode);
    const colour = quantity?.name ?? "number of the first-choice expert within its layer";
    this.base.setAttribute(
      "aria-label",
      `Map of ${to - from} tokens by ${trace.L} layers of ${trace.model}, ` +
        `layer ${trace.layers[0]} on top; colour: ${colour}.`,
    );
    const [left, right] = this.ends;
    const afresh = quantity ? "" : "; colours start afresh in each layer";
    write(this.size, sizeOf(trace, this.prompt) + afresh);
    left.textContent = from === start ? "first token" : `token ${from - start}`;
    right.textContent = to === stop ? "last token" : `token ${to - 1 - start}`;
  }

  paintMarks() {
    const { width } = this;
    const { rows } = this.scene;
    const [from, to] = this.view;
    const at = focus(this.scene.state);
    const cell = width / (to - from);
    const top = rows.top(at.layer);
    const [row, column, point] = this.rings;
    place(row, 0, top, width, rows.height);
    // The ring never covers what it marks: around a thin column it is wider than the column.
    const w = Math.max(cell, 8);
    const x = Math.min(Math.max((at.token - from + 0.5) * cell - w / 2, 0), width - w);
    column.hidden = point.hidden = at.token < from || at.token >= to;
    place(column, x, 0, w, rows.total);
    place(point, x, top, w, rows.height);
    const key = `${at.layer} ${rows.height} ${this.scene.zoom}`;
    if (key === this.axisKey) return;
    this.axisKey = key;
    this.axis.replaceChildren(...layerNames(rows, at.layer));
  }
}

/**
 * @param {HTMLElement} ring
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 */
function place(ring, x, y, width, height) {
  ring.style.transform = `translate(${x}px, ${y}px)`;
  ring.style.width = width + "px";
  ring.style.height = height + "px";
}
