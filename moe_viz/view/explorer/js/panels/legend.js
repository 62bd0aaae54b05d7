// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What colours mean; its swatches show one expert's tokens alone.
/** @import { Scene, Actions } from "../types.js" */
/** @import { Quantities } from "../data/quantities.js" */
/** @import { Trace } from "../data/trace.js" */

import { css } from "../colours.js";
import { h } from "../../../js/dom.js";
import { countsOf } from "../data/loads.js";
import { percent } from "../data/words.js";

const WEIGHED =
  "token: its first expert, stronger for a larger gate (its weight); line below: all its gates";
const SHARED =
  "token: its first expert, stronger for a larger share of its gates; line below: all shares";
const LISTED = "token: the expert that was recorded first; line below: all its experts";
const BUSIEST =
  "The busiest of this layer in the whole recording, with their loads; grey: all others";

export class Legend {
  /**
   * @param {Trace} trace
   * @param {Quantities} quantities
   * @param {Scene} scene
   * @param {Actions} actions
   */
  constructor(trace, quantities, scene, actions) {
    this.trace = trace;
    this.quantities = quantities;
    this.scene = scene;
    this.actions = actions;
    this.element = h("div", { class: "legend" });
    this.swatches = h("span", { class: "swatches" });
    this.field = h("input", {
      type: "number",
      min: 0,
      max: trace.E - 1,
      placeholder: `0 – ${trace.E - 1}`,
      "aria-label": "Any expert’s number: it gets a colour, and its tokens alone are shown",
      oninput: () => this.ask(),
    });
    this.words = h("span", { class: "muted" });
    this.measure = h("span", { class: "muted scale" });
    const asked = trace.many ? [h("label", { class: "asked" }, "expert ", this.field)] : [];
    this.element.append(this.swatches, ...asked, this.words, this.measure);
    this.painted = "";
  }

  /** An expert's number was typed: it gets a colour, and its tokens alone are shown. */
  ask() {
    const e = this.field.value === "" ? NaN : Number(this.field.value);
    const there = Number.isInteger(e) && e >= 0 && e < this.trace.E;
    this.actions.set({ asked: there ? e : null, isolate: there ? e : null });
  }

  paint() {
    const { state, colours } = this.scene;
    const { asked, isolate, mode, watched, view } = state;
    const layer = this.trace.many ? state.layer : "";
    const key = [isolate, mode, watched, asked, layer, view, colours.theme.ground].join();
    if (key === this.painted) return;
    this.painted = key;
    this.paintSwatches();
    if (asked === null && isolate === null && this.field.value !== "") this.field.value = "";
    this.words.textContent = mode === "shared" ? "" : this.tokens();
    this.measure.replaceChildren(...(mode === "shared" ? this.steps() : this.scale()));
  }

  paintSwatches() {
    const { trace, scene } = this;
    const { layer, asked } = scene.state;
    const named = scene.colours.hues.named(layer);
    if (!trace.many) {
      const all = named.map((e) => this.swatch(layer, e, ""));
      return this.swatches.replaceChildren("Experts of this layer: ", ...all);
    }
    const counts = countsOf(trace, layer, trace.prompts);
    const total = counts.reduce((a, b) => a + b, 0) || 1;
    const also = asked === null || named.includes(asked) ? [] : [asked];
    const load = (/** @type {number} */ e) => percent(counts[e] / total, 1);
    const rest = trace.E - named.length - also.length;
    const grey = h("span", { class: "swatch rest" }, `${rest} others`);
    grey.style.background = scene.colours.theme.others;
    this.swatches.title = BUSIEST;
    this.swatches.replaceChildren(
      h("span", {}, `Busiest of layer ${trace.layers[layer]} (even: ${percent(1 / trace.E, 1)}): `),
      ...[...named, ...also].map((e) => this.swatch(layer, e, load(e))),
      grey,
    );
  }

  /** What the colours of a token and the line below it stand for. */
  tokens() {
    const { gated, shares } = this.trace.rule;
    if (!gated) return LISTED;
    return shares ? SHARED : WEIGHED;
  }

  /**
   * @param {number} layer
   * @param {number} e
   * @param {string} load
   */
  swatch(layer, e, load) {
    const { actions } = this;
    const { state, colours } = this.scene;
    const attributes = {
      class: "swatch",
      "aria-pressed": String(state.isolate === e),
      "aria-label": `Expert ${e}: show only its tokens`,
      tabindex: -1,
      onclick: () => actions.isolate(e),
      onpointerenter: () => actions.set({ faded: e }),
      onpointerleave: () => actions.set({ faded: null }),
    };
    const button = h("button", attributes, String(e));
    button.style.background = colours.solid(layer, e);
    button.style.color = colours.digit(layer, e);
    if (!load) return button;
    return h("span", { class: "pair" }, button, h("span", { class: "load" }, load));
  }

  /** From nothing shared with the selected token to all of its experts. */
  steps() {
    const { K } = this.trace;
    const boxes = Array.from({ length: K + 1 }, (_, n) => {
      const box = h("span", { class: "step" });
      box.style.background = css(this.scene.colours.shared(n / K));
      return box;
    });
    const steps = h("span", { class: "steps", "aria-hidden": "true" }, ...boxes);
    return ["Shared with the selected token: 0 ", steps, ` ${K}`];
  }

  /** The scale of a quantity. */
  scale() {
    const quantity = this.quantities.get(this.scene.state.mode);
    if (!quantity) return [];
    const gradient = h("span", { class: "gradient", "aria-hidden": "true" });
    const { cividis } = this.scene.colours.palette;
    gradient.style.background = `linear-gradient(90deg, ${cividis.join(", ")})`;
    const [low, high] = quantity.ends();
    return [`Map: ${quantity.short ?? quantity.name}, ${low} `, gradient, ` ${high}`];
  }
}
