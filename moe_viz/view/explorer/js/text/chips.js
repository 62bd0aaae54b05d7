// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The elements of a text's tokens. Several byte tokens of one character share one.
/** @import { Prompt } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */

import { h } from "../../../js/dom.js";

/** @type {Record<string, string>} */
const SIGNS = { "\n": "⏎", "\t": "⇥", " ": "·" };

export class Chips {
  /**
   * @param {Trace} trace
   * @param {Prompt} prompt
   * @param {number} from the first token
   * @param {number} to the token after the last
   * @param {boolean} signs whether spaces are shown as signs
   */
  constructor(trace, prompt, from, to, signs) {
    this.trace = trace;
    this.signs = signs;
    /** @type {HTMLElement[]} */
    this.elements = [];
    /** @type {Map<number, HTMLElement>} the element of each token */
    this.at = new Map();
    /** @type {Map<Element, number[]>} the tokens of each element */
    this.tokens = new Map();
    const characters = Array.from(prompt.text); // by code points, as spans count them
    for (let t = from; t < to; t++) {
      const before = this.elements.at(-1);
      if (before && this.sharesCharacter(t)) {
        before.classList.add("bytes"); // one more byte of the same character: another stripe of it
        this.tokens.get(before)?.push(t);
        this.at.set(t, before);
        continue;
      }
      const chip = this.chip(t, characters);
      this.elements.push(chip);
      this.tokens.set(chip, [t]);
      this.at.set(t, chip);
    }
  }

  /** @param {number} t */
  sharesCharacter(t) {
    const [a, b] = this.trace.span(t);
    const [c, d] = this.trace.span(t - 1);
    return b - a === 1 && a === c && b === d && !this.trace.isSpecial(t);
  }

  /**
   * @param {number} t
   * @param {string[]} characters
   */
  chip(t, characters) {
    const { trace } = this;
    const special = trace.isSpecial(t);
    const kind = (special ? " special" : "") + (trace.isGenerated(t) ? " generated" : "");
    const chip = h("span", { class: "tok" + kind });
    if (special) chip.dir = "ltr"; // it is none of the text, which runs its own way
    const shown = special ? [trace.piece(t) + " "] : characters.slice(...trace.span(t));
    for (const c of shown) chip.append(...this.character(c));
    return chip;
  }

  /**
   * Invisible characters have a sign.
   * @param {string} c
   * @returns {(Node | string)[]}
   */
  character(c) {
    if (c === " " && this.signs) return [h("span", { class: "sign" }, SIGNS[c])];
    if (c !== " " && SIGNS[c]) return [h("span", { class: "sign" }, SIGNS[c]), c];
    if (!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(c)) return [c];
    const code = c.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
    return [h("span", { class: "sign" }, "U+" + code)];
  }
}
