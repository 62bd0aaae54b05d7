// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A token's way through all layers: its first two choices in each, or of many experts the first.
/** @import { Scene, Actions } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */

import { h } from "../../../js/dom.js";
import { focus } from "../state.js";
import { goes, say } from "../data/words.js";

/** Layers up to which there is room for numbers of one or two digits, and of three. */
const NUMBERED = [16, 10];

export class PathPanel {
  /**
   * @param {Trace} trace
   * @param {Scene} scene
   * @param {Actions} actions
   */
  constructor(trace, scene, actions) {
    this.trace = trace;
    this.scene = scene;
    this.actions = actions;
    this.element = h("div", { class: "path" });
    /** @type {HTMLElement[]} of the layers that have experts */
    this.steps = [];
    this.walked = "";
  }

  paint() {
    const { colours, state } = this.scene;
    const { layer, token } = focus(state);
    // The same in every layer: only the mark moves.
    const way = `${token} ${colours.theme.ground} ${state.asked}`;
    if (way !== this.walked) {
      this.walked = way;
      this.walk(token);
    }
    for (const [l, step] of this.steps.entries()) {
      const here = String(l === layer);
      if (step.getAttribute("aria-current") !== here) step.setAttribute("aria-current", here);
    }
  }

  /** @param {number} token */
  walk(token) {
    const { layers, dense, many, E } = this.trace;
    const numbered = layers.length + dense.length <= NUMBERED[many && E > 100 ? 1 : 0];
    this.steps = layers.map((_, l) => this.step(l, token, numbered));
    const plain = dense.map((number) => {
      const title = `Layer ${number} is dense: it has no experts`;
      return { number, step: h("span", { class: "dense", title }) };
    });
    const all = [...plain, ...layers.map((number, l) => ({ number, step: this.steps[l] }))];
    // The layers as recorded, and dense ones where they belong.
    const ordered = dense.length ? all.sort((a, b) => a.number - b.number) : all;
    this.element.replaceChildren(...ordered.map(({ step }) => step));
  }

  /**
   * @param {number} l
   * @param {number} token
   * @param {boolean} numbered
   */
  step(l, token, numbered) {
    const { trace, actions } = this;
    const { colours } = this.scene;
    // Of many experts and layers, all that could be said would take longer than a frame.
    const title = trace.many ? goes(trace, l, token) : say(trace, l, token);
    const onclick = () => actions.set({ layer: l });
    const button = h("button", { "aria-current": "false", tabindex: -1, title, onclick });
    const chosen = trace.chosen(l, token);
    for (const [e] of chosen.slice(0, trace.many ? 1 : 2)) {
      const cell = h("span", { class: "cell" }, numbered ? String(e) : "");
      cell.style.background = colours.solid(l, e);
      cell.style.color = colours.digit(l, e);
      button.append(cell);
    }
    if (numbered) {
      button.append(h("span", { class: "cell layer" }, String(trace.layers[l])));
    }
    if (!numbered) button.setAttribute("aria-label", title);
    return button;
  }
}
