// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Every expert switched off in turn: which of them one language misses most.
/** @import { Scan } from "./types.js" */

import { h, write } from "../../js/dom.js";
import { bars, signed } from "./scores.js";

/** Experts that are listed. */
const LISTED = 5;

export class Ranking {
  /**
   * @param {() => void} begin switching off each in turn
   * @param {(layer: number, expert: number) => void} choose one, and switch it off
   */
  constructor(begin, choose) {
    this.choose = choose;
    /** @type {Scan | null} */
    this.scan = null;
    this.go = h("button", { onclick: begin }, "Switch off each in turn");
    this.language = h("select", { "aria-label": "Language", onchange: () => this.draw() });
    this.rows = h("div", { class: "scores" });
    this.words = h("p", {});
    this.element = h(
      "div",
      {},
      h("div", { class: "row" }, this.go, h("label", {}, "missed most in", this.language)),
      this.rows,
      this.words,
    );
    this.draw();
  }

  /** @param {Scan | null} scan as far as it has come; null: what was found is true no longer */
  tell(scan) {
    this.scan = scan;
    const labels = scan?.labels ?? [];
    if (scan && this.language.length !== labels.length) {
      const [, second] = labels; // one that is not the first: French, of ours
      this.language.replaceChildren(...labels.map((label) => h("option", {}, label)));
      this.language.value = second ?? labels[0];
    }
    this.draw();
  }

  draw() {
    const { scan, language } = this;
    language.disabled = !scan;
    if (!scan) {
      this.rows.replaceChildren();
      return write(this.words, "Each passage once more for every expert: it takes some seconds.");
    }
    const own = scan.labels.indexOf(language.value);
    /** @param {number[]} changes */
    const others = (changes) =>
      changes.reduce((sum, x, n) => sum + (n === own ? 0 : x), 0) / (changes.length - 1);
    const order = [...scan.found].sort((a, b) => b.changes[own] - a.changes[own]);
    this.rows.replaceChildren(
      ...bars(
        order.slice(0, LISTED).map(({ layer, expert, changes }) => ({
          name: `${layer}/${expert}`,
          change: changes[own],
          beside: others(changes),
          title: scan.labels.map((label, n) => `${label} ${signed(changes[n])}`).join(", "),
          act: () => this.choose(layer, expert),
        })),
      ),
    );
    const { done, all } = scan;
    const far = done < all ? `${done} of ${all} experts so far. ` : "";
    write(
      this.words,
      `${far}Layer/expert. Filled: ${language.value}, nats a token; outlined: the others’ mean. ` +
        "A click switches it off.",
    );
  }
}
