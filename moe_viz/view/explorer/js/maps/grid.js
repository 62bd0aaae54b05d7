// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The second map: experts from left to right, layers from top to bottom. Lightness is load; or a
// brick is lit once a token has used it. The selected token's choices are ringed.
/** @import { Actions, Prompt, Scene } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */

import { layerNames, paintBands } from "./axis.js";
import { sized } from "./canvas.js";
import { css, mixed } from "../colours.js";
import { across, h, write } from "../../../js/dom.js";
import { focus } from "../state.js";
import { paintMarks } from "./gridmarks.js";
import { percent } from "../data/words.js";

/** Loads beyond this many times an even one are all shown as the fullest. */
const FULLEST = 4;
const RINGED =
  "Ringed: the selected token’s experts. The line joins its first choices, because it went " +
  "there; numbers in two layers have nothing to do with each other.";
const CROSSED = " Crossed out: off.";

export class GridView {
  /**
   * @param {Trace} trace
   * @param {Scene} scene
   * @param {Actions} actions
   */
  constructor(trace, scene, actions) {
    this.trace = trace;
    this.scene = scene;
    this.actions = actions;
    this.base = h("canvas", { role: "img" });
    this.marks = h("canvas", { class: "marks", "aria-hidden": "true" });
    this.stack = h("div", { class: "stack" }, this.base, this.marks);
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.said = h("span", { class: "said" });
    this.counter = h("span", { class: "counter", "aria-live": "off" });
    this.scale = h("span", { class: "muted" });
    this.element = h(
      "div",
      { class: "map grid" },
      this.axis,
      this.stack,
      h("span", { class: "end" }, "expert"),
      h("div", { class: "experts", "aria-hidden": "true" }, ...columnNames(trace.E)),
      h("span"),
      h("div", { class: "row" }, this.counter, this.said, this.scale),
      h("span"),
      h("p", { class: "note" }, RINGED, trace.off.some((e) => e.length) ? CROSSED : ""),
    );
    this.width = 600;
    this.painted = this.marked = this.counted = this.used = "";
    /** @type {Float32Array} (L, E) loads */
    this.loads = new Float32Array(0);
    /** @type {Int32Array} (L, E) the first token of the prompt that used an expert; −1: none */
    this.first = new Int32Array(0);
    this.listen();
  }

  listen() {
    const { stack, actions } = this;
    stack.addEventListener("pointermove", (event) => write(this.said, this.tell(event)));
    stack.addEventListener("pointerleave", () => write(this.said, ""));
    stack.addEventListener("click", (event) => {
      const { layer, e } = this.cell(event);
      actions.set({ layer, asked: e, isolate: e, hover: null });
      /** @type {HTMLElement | null} */ (this.element.closest(".mv"))?.focus({
        preventScroll: true,
      });
    });
  }

  get prompt() {
    return this.trace.prompts[this.scene.state.prompt];
  }

  /** @param {MouseEvent} event */
  cell(event) {
    const { rows } = this.scene;
    const box = this.stack.getBoundingClientRect();
    const layer = rows.at(((event.clientY - box.top) / box.height) * rows.total);
    const e = Math.floor(across(this.stack, event) * this.trace.E);
    return { layer, e: Math.min(Math.max(e, 0), this.trace.E - 1) };
  }

  /**
   * A cell in words.
   * @param {MouseEvent} event
   */
  tell(event) {
    const { layer, e } = this.cell(event);
    const { layers, E } = this.trace;
    const load = this.loads[layer * E + e];
    const times = (load * E).toFixed(1);
    return `layer ${layers[layer]}, expert ${e}: ${percent(load, 1)}, ${times} × even`;
  }

  look() {
    this.width = this.stack.clientWidth || this.width;
  }

  paint() {
    const { state, colours, zoom } = this.scene;
    const { view, prompt, scope, token } = state;
    const touched = view === "touched";
    this.work();
    const rest = [this.width, zoom, colours.theme.ground, view];
    const base = [...rest, touched ? `${prompt} ${token}` : `${prompt} ${scope}`].join();
    if (base !== this.painted) {
      this.painted = base;
      this.paintBase(touched);
    }
    const at = focus(state);
    const marks = [...rest, at.layer, at.token, state.isolate, state.asked].join();
    if (marks === this.marked) return;
    this.marked = marks;
    const g = sized(this.marks, this.width, this.scene.rows.total);
    if (g) paintMarks(g, this.trace, this.scene, this.width);
    this.axis.replaceChildren(...layerNames(this.scene.rows, at.layer));
  }

  /** Count loads, and when each expert was first used, where that has changed. */
  work() {
    const { trace } = this;
    const { state } = this.scene;
    const { L, E } = trace;
    const scope = `${state.prompt} ${state.scope}`;
    if (scope !== this.counted) {
      this.counted = scope;
      this.loads = new Float32Array(L * E);
      for (let l = 0; l < L; l++) {
        const { counts, total } = this.scene.loads.counts(l, this.prompt, state.scope);
        for (let e = 0; e < E; e++) this.loads[l * E + e] = counts[e] / (total || 1);
      }
    }
    if (String(state.prompt) !== this.used) {
      this.used = String(state.prompt);
      this.first = firstUses(trace, this.prompt);
    }
  }

  /** @param {boolean} touched */
  paintBase(touched) {
    const { width, trace, loads, first } = this;
    const { rows, colours, state } = this.scene;
    const { L, E } = trace;
    const g = sized(this.base, width, rows.total);
    if (!g) return;
    const { ground, ink, line, shared } = colours.theme;
    const tiny = document.createElement("canvas");
    tiny.width = E;
    tiny.height = L;
    const t = tiny.getContext("2d");
    if (!t) return;
    const picture = t.createImageData(E, L);
    const shades = Array.from({ length: 256 }, (_, n) =>
      packedPixel(mixed(ink, ground, 0.04 + (0.9 * n) / 255)),
    );
    const [lit, unlit] = [shared, line].map((colour) => packedPixel(mixed(colour, ground, 1)));
    const pixels = new Uint32Array(picture.data.buffer);
    for (let i = 0; i < L * E; i++) {
      if (touched) pixels[i] = first[i] >= 0 && first[i] <= state.token ? lit : unlit;
      else pixels[i] = shades[Math.round(255 * Math.min((loads[i] * E) / FULLEST, 1))];
    }
    t.putImageData(picture, 0, 0);
    g.imageSmoothingEnabled = false;
    for (let l = 0; l < L; l++) {
      g.drawImage(tiny, 0, l, E, 1, 0, rows.top(l), width, rows.height - rows.gap);
    }
    const cell = width / E;
    g.fillStyle = ground;
    if (cell > 4) for (let e = 1; e < E; e++) g.fillRect(e * cell - 0.5, 0, 1, rows.total);
    paintBands(g, rows, width, this.scene);
    this.describe(touched);
  }

  /**
   * The map in words, its scale, and how much has been read.
   * @param {boolean} touched
   */
  describe(touched) {
    const { trace, first, scale } = this;
    const { L, E, K, model } = trace;
    const { state, colours } = this.scene;
    const how = touched ? "lit once a token has used it" : "stronger for a larger load";
    this.base.setAttribute(
      "aria-label",
      `Map of ${E} experts by ${L} layers of ${model}, layer ${trace.layers[0]} on top; ${how}.`,
    );
    if (touched) {
      const read = first.reduce((n, t) => n + Number(t >= 0 && t <= state.token), 0);
      const tokens = state.token - this.prompt.start + 1;
      const after = `${tokens.toLocaleString("en")} token${tokens > 1 ? "s" : ""}`;
      const [some, all] = [read, L * E].map((n) => n.toLocaleString("en"));
      const each = `${K} a layer computed for each`;
      write(this.counter, `${some} of ${all} experts read after ${after}; ${each}`);
      scale.replaceChildren();
      return;
    }
    write(this.counter, "");
    const { ink, ground } = colours.theme;
    const gradient = h("span", { class: "gradient even", "aria-hidden": "true" });
    const [low, high] = [0.04, 0.94].map((share) => css(mixed(ink, ground, share)));
    gradient.style.background = `linear-gradient(90deg, ${low}, ${high})`;
    gradient.style.setProperty("--even", `${100 / FULLEST}%`);
    const [even, most] = [1 / E, FULLEST / E].map((x) => percent(x, 1));
    scale.replaceChildren(`load: 0 `, gradient, ` ${most} or more; even, ${even}, is marked`);
  }
}

/**
 * A pixel as four bytes in one number, red first in memory.
 * @param {number[]} colour
 */
const packedPixel = ([r, g, b]) => new Uint32Array(Uint8Array.of(r, g, b, 255).buffer)[0];

/**
 * Experts' numbers below their columns: all where there is room, else at even steps.
 * @param {number} experts
 */
function columnNames(experts) {
  const step = experts <= 32 ? 1 : 2 ** Math.floor(Math.log2(experts / 8));
  return Array.from({ length: Math.ceil(experts / step) }, (_, n) => {
    const number = h("span", {}, String(n * step));
    number.style.left = `${(100 * (n * step + 0.5)) / experts}%`;
    return number;
  });
}

/**
 * The first token of a prompt that used each expert, (L, E); −1: none did.
 * @param {Trace} trace
 * @param {Prompt} prompt
 */
function firstUses(trace, { start, stop }) {
  const { L, T, E, K, experts } = trace;
  const first = new Int32Array(L * E).fill(-1);
  for (let l = 0; l < L; l++) {
    for (let t = start, i = (l * T + start) * K; t < stop; t++) {
      for (let s = 0; s < K; s++, i++) {
        const e = experts[i];
        if (e >= 0 && first[l * E + e] < 0) first[l * E + e] = t;
      }
    }
  }
  return first;
}
