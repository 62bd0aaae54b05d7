// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What colours mean; its swatches show one expert's tokens alone.
/** @import { Scene, Actions } from "./types.js" */
/** @import { Quantities } from "./quantities.js" */

import { h } from "./dom.js";

const WEIGHED =
  "token: its first expert, stronger for a larger gate (its weight); line below: all its gates";
const SHARED =
  "token: its first expert, stronger for a larger share of its gates; line below: all shares";
const LISTED = "token: the expert that was recorded first; line below: all its experts";

export class Legend {
  /**
   * @param {number} experts
   * @param {Quantities} quantities
   * @param {Scene} scene
   * @param {Actions} actions
   */
  constructor(experts, quantities, scene, actions) {
    this.experts = experts;
    this.quantities = quantities;
    this.scene = scene;
    this.actions = actions;
    this.element = h("div", { class: "legend" });
    this.painted = "";
  }

  paint() {
    const { state, colours } = this.scene;
    const key = `${state.isolate} ${state.mode} ${state.watched} ${colours.theme.ground}`;
    if (key === this.painted) return;
    this.painted = key;
    this.element.replaceChildren(
      h("span", {}, "Experts of this layer:"),
      ...Array.from({ length: this.experts }, (_, e) => this.swatch(e)),
      h("span", { class: "muted" }, this.tokens()),
      ...this.scale(),
    );
  }

  /** What the colours of a token and the line below it stand for. */
  tokens() {
    const { gated, shares } = this.quantities.trace.rule;
    if (!gated) return LISTED;
    return shares ? SHARED : WEIGHED;
  }

  /** @param {number} e */
  swatch(e) {
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
    button.style.background = colours.solid(e);
    button.style.color = colours.digit(e);
    return button;
  }

  /** The scale of a quantity. */
  scale() {
    const quantity = this.quantities.get(this.scene.state.mode);
    if (!quantity) return [];
    const gradient = h("span", { class: "gradient", "aria-hidden": "true" });
    const { cividis } = this.scene.colours.palette;
    gradient.style.background = `linear-gradient(90deg, ${cividis.join(", ")})`;
    const [low, high] = quantity.ends();
    const name = `Map: ${quantity.short ?? quantity.name}, ${low} `;
    return [h("span", { class: "muted scale" }, name, gradient, ` ${high}`)];
  }
}
