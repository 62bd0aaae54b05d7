// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Another prompt beside the one that is shown: its text and its map, in the same layer.
/** @import { Scene, Actions } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */
/** @import { Quantities } from "../data/quantities.js" */
/** @import { Neighbour } from "../data/beside.js" */

import { h } from "../../../js/dom.js";
import { MapView } from "../maps/map.js";
import { focus } from "../state.js";
import { TextView } from "../text/text.js";

export class Comparison {
  /**
   * @param {Trace} trace
   * @param {Quantities} quantities
   * @param {Scene} scene
   * @param {Actions} actions
   * @param {"h2" | "h3"} rank of its heading
   */
  constructor(trace, quantities, scene, actions, rank) {
    this.trace = trace;
    this.scene = scene;
    this.actions = actions;
    const swap = (/** @type {number} */ token) => this.swap(token);
    this.text = new TextView("Text beside it", trace, scene, actions, swap);
    this.map = new MapView(trace, quantities, scene, actions, swap);
    this.title = h(rank);
    this.element = h("div", { class: "beside", hidden: true });
    this.shown = "";
  }

  /**
   * A click over there swaps the two prompts.
   * @param {number} token
   */
  swap(token) {
    const { state } = this.scene;
    if (state.beside?.kind !== "prompt") return;
    const { number } = state.beside;
    this.actions.set({ beside: { kind: "prompt", number: state.prompt } });
    this.actions.openPrompt(number, token);
  }

  /** @param {Neighbour | null} there a label has no text of its own: it shows in the loads alone */
  paint(there) {
    const prompt = there && !there.whole ? there.prompt : null;
    this.element.hidden = !prompt;
    if (!there || !prompt) {
      this.element.replaceChildren();
      this.shown = "";
      return;
    }
    const { text, map } = this;
    const { state } = this.scene;
    const key = `${there.value} ${state.signs}`;
    if (key !== this.shown) {
      this.shown = key;
      this.element.replaceChildren(this.title, text.element, map.element);
      text.show(prompt);
      map.show(prompt);
      text.look(); // they are new here
      map.look();
      this.title.textContent = `Beside it: ${there.name}`;
    }
    text.paint();
    text.mark(focus(state).token);
    map.paint();
  }
}
