// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What colours mean; its swatches show one expert's tokens alone.
/** @import { Scene, Actions } from "../types.js" */
/** @import { Quantities } from "../data/quantities.js" */
/** @import { Trace } from "../data/trace.js" */

import { css } from "../colours.js";
import { h, write } from "../../../js/dom.js";
import { percent } from "../data/words.js";

const WEIGHED =
  "token: its first expert, stronger for a larger gate (its weight); line below: all its gates";
const SHARED =
  "token: its first expert, stronger for a larger share of its gates; line below: all shares";
const LISTED = "token: the expert that was recorded first; line below: all its experts";
const BUSIEST =
  "The busiest of this layer in the whole recording, with their loads; grey: all others";

/** Experts that have a colour where there are many: the busiest, and one that was asked for. */
const HUED = 8;

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
    const few = "Experts of this layer: ";
    this.head = h("span", {}, trace.many ? "" : few);
    const most = trace.many ? HUED : trace.E;
    this.swatches = Array.from({ length: most }, () => this.swatch());
    this.rest = h("span", { class: "swatch rest" });
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
    const named = h("span", { class: "swatches", title: trace.many ? BUSIEST : null }, this.head);
    named.append(...this.swatches.map(({ element }) => element));
    if (trace.many) named.append(this.rest);
    this.element.append(named, ...asked, this.words, this.measure);
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

  /** Swatches are made once, and told anew which expert they stand for. */
  paintSwatches() {
    const { trace, scene, swatches } = this;
    const { layer, asked, isolate } = scene.state;
    const { colours } = scene;
    const named = colours.hues.named(layer);
    const also = trace.many && asked !== null && !named.includes(asked) ? [asked] : [];
    const shown = [...named, ...also];
    const shares = trace.many ? scene.loads.shares(layer, trace.prompts[0], "all") : [];
    swatches.forEach(({ element, button, load }, n) => {
      const e = shown[n];
      element.hidden = e === undefined;
      button.setAttribute("aria-pressed", String(e !== undefined && isolate === e));
      if (e === undefined) return;
      button.dataset.expert = String(e);
      button.setAttribute("aria-label", `Expert ${e}: show only its tokens`);
      button.style.background = colours.solid(layer, e);
      button.style.color = colours.digit(layer, e);
      write(button, String(e));
      if (trace.many) write(load, percent(shares[e], 1));
    });
    if (!trace.many) return;
    const even = percent(1 / trace.E, 1);
    write(this.head, `Busiest of layer ${trace.layers[layer]} (even: ${even}): `);
    write(this.rest, `the other ${trace.E - shown.length}`);
    this.rest.style.background = colours.theme.others;
  }

  /** What the colours of a token and the line below it stand for. */
  tokens() {
    const { others, twin, other, rule } = this.trace;
    const own = !rule.gated ? LISTED : rule.shares ? SHARED : WEIGHED;
    return others && !twin ? `${own}; line above: other experts than in ${other}` : own;
  }

  /** A swatch, yet of no expert. */
  swatch() {
    const { actions } = this;
    const expert = () => Number(button.dataset.expert);
    const attributes = {
      class: "swatch",
      tabindex: -1,
      onclick: () => actions.isolate(expert()),
      onpointerenter: () => actions.set({ faded: expert() }),
      onpointerleave: () => actions.set({ faded: null }),
    };
    const button = h("button", attributes);
    const load = h("span", { class: "load" });
    const element = this.trace.many ? h("span", { class: "pair" }, button, load) : button;
    return { element, button, load };
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
    return ["Experts shared with the selected token: 0 ", steps, ` ${K}`];
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
