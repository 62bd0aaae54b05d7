// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A text's tokens in columns, one an expert: each under its first choice, so that a column is as
// high as its expert is busy.
/** @import { Scene } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */
/** @import { Chips } from "./chips.js" */

import { h } from "../../../js/dom.js";

/** Milliseconds that a token takes to its column. */
const FALL = 350;
const STILL = "(prefers-reduced-motion: reduce)";

export class Columns {
  /**
   * @param {Trace} trace
   * @param {Scene} scene
   */
  constructor(trace, scene) {
    this.trace = trace;
    this.scene = scene;
  }

  /**
   * Put tokens into columns within an element, in the place of what is there.
   * @param {Chips} chips
   * @param {HTMLElement} element
   * @param {Node[]} more buttons for the tokens that are not drawn
   */
  arrange(chips, element, more) {
    const { state } = this.scene;
    const moves = !matchMedia(STILL).matches;
    const before = moves ? placesOf(chips.elements) : [];
    const piles = this.piles(chips, state.layer);
    const columns = h("div", { class: "columns" }, ...piles.map((pile) => this.column(pile)));
    columns.style.setProperty(
      "--columns",
      piles.map(({ name }) => (name ? "1fr" : "2fr")).join(" "),
    );
    element.replaceChildren(...more, columns);
    if (moves) fall(chips.elements, before, element);
  }

  /**
   * Tokens by their first choice: one pile for each expert that has a colour, and one of others.
   * @param {Chips} chips
   * @param {number} layer
   */
  piles(chips, layer) {
    const { trace, scene } = this;
    const { state, colours } = scene;
    const named = [...colours.hues.named(layer)];
    if (state.asked !== null && !named.includes(state.asked)) named.push(state.asked);
    /** @type {Map<number, HTMLElement[]>} */
    const found = new Map(named.map((e) => [e, []]));
    /** @type {HTMLElement[]} */
    const others = [];
    for (const [chip, [t]] of chips.tokens) {
      const first = trace.choice(layer, t, 0);
      if (trace.isSpecial(t) || first < 0 || !(chip instanceof HTMLElement)) continue;
      (found.get(first) ?? others).push(chip);
      this.outline(chip, layer, t);
    }
    const piles = [...found].map(([e, tokens]) => ({ name: String(e), e, layer, tokens }));
    const rest = trace.E - named.length;
    return rest ? [...piles, { name: "", e: rest, layer, tokens: others }] : piles;
  }

  /**
   * The second choice, as a token's outline.
   * @param {HTMLElement} chip
   * @param {number} layer
   * @param {number} t
   */
  outline(chip, layer, t) {
    const second = this.trace.K > 1 ? this.trace.choice(layer, t, 1) : -1;
    const colour = second < 0 ? "transparent" : this.scene.colours.expert(layer, second);
    chip.style.setProperty("--second", colour);
  }

  /** @param {{ name: string, e: number, layer: number, tokens: HTMLElement[] }} pile */
  column({ name, e, layer, tokens }) {
    const { colours } = this.scene;
    const number = h("b", {}, name || `the other ${e}`);
    if (name) {
      number.style.background = colours.solid(layer, e);
      number.style.color = colours.digit(layer, e);
    }
    const count = h("span", { class: "muted" }, String(tokens.length));
    const head = h("div", { class: "head" }, number, count);
    return h("div", { class: name ? "pile" : "pile others" }, head, ...tokens);
  }
}

/** @param {HTMLElement[]} elements */
const placesOf = (elements) => elements.map((element) => element.getBoundingClientRect());

/**
 * Have elements move from where they were to where they are.
 * @param {HTMLElement[]} elements
 * @param {DOMRect[]} before
 * @param {HTMLElement} frame only what is seen in it moves
 */
function fall(elements, before, frame) {
  const box = frame.getBoundingClientRect();
  const scale = box.width / frame.offsetWidth || 1; // reveal.js scales a slide
  const after = placesOf(elements);
  elements.forEach((element, n) => {
    const [a, b] = [before[n], after[n]];
    if (!b.height || b.top > box.bottom || !a.height) return;
    const from = `translate(${(a.left - b.left) / scale}px, ${(a.top - b.top) / scale}px)`;
    element.animate([{ transform: from }, { transform: "none" }], {
      duration: FALL,
      easing: "ease",
    });
  });
}
