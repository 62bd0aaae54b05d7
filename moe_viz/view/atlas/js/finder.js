// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The search field, and the list that it offers while one types.
/** @import { Head, Offer } from "./types.js" */

import { h } from "../../js/dom.js";
import { findAddress, offerAddress } from "./address.js";
import { offers } from "./match.js";
import { expertsNamed } from "./named.js";
import { several, signs } from "./words.js";

/** How many milliseconds after the last key what is typed is looked for. */
const BREATH = 250;

export class Finder {
  /**
   * @param {Head} head
   * @param {(address: string, replaces: boolean) => void} go
   */
  constructor(head, go) {
    this.head = head;
    this.go = go;
    /** @type {Offer[]} */
    this.offers = [];
    this.at = -1;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.later = undefined;
    this.list = h("ul", { role: "listbox", id: "moe-viz-atlas-offers", hidden: true });
    this.list.ariaLabel = "Pieces, labels and experts";
    this.input = h("input", {
      type: "search",
      id: "moe-viz-atlas-search",
      role: "combobox",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": this.list.id,
      placeholder: "␣the",
    });
    this.element = h(
      "search",
      { class: "finder" },
      h("label", { for: this.input.id }, "Find a piece, a label or an expert"),
      h("div", { class: "combo" }, this.input, this.list),
      h(
        "span",
        { class: "muted small" },
        "␣ is a blank; without one, both spellings are found. 5/6 is expert 6 of layer 5.",
      ),
    );
    this.listen();
  }

  listen() {
    const { input } = this;
    input.addEventListener("input", () => {
      this.offer();
      clearTimeout(this.later);
      // The list would cover what is found: with one, that waits for Enter or a choice.
      if (!this.list.hidden) return;
      this.later = setTimeout(() => this.go(findAddress("any", input.value), true), BREATH);
    });
    input.addEventListener("blur", () => this.fold());
    input.addEventListener("keydown", (event) => {
      const n = this.offers.length;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (this.list.hidden) this.offer();
        else this.mark((this.at + (event.key === "ArrowDown" ? 1 : n)) % Math.max(n, 1));
        event.preventDefault();
      } else if (event.key === "Enter") {
        const [expert, ...others] = expertsNamed(this.head, input.value);
        if (this.at >= 0) this.take(this.offers[this.at]);
        else if (expert && !others.length) this.take(expert);
        else {
          clearTimeout(this.later);
          this.fold();
          this.go(findAddress("any", input.value), false);
        }
      } else if (event.key === "Escape" && !this.list.hidden) {
        this.fold();
        event.preventDefault();
      }
    });
  }

  /** Show what may be meant. */
  offer() {
    this.offers = offers(this.head, this.input.value);
    const items = this.offers.map((offer, n) => {
      const { what, text, number } = offer;
      const much = what === "piece" ? several(this.head.counts[number], "time") : what;
      return h(
        "li",
        {
          role: "option",
          id: `${this.list.id}-${n}`,
          "aria-selected": "false",
          // Before the field loses its focus, which would fold the list.
          onpointerdown: (/** @type {Event} */ event) => event.preventDefault(),
          onclick: () => this.take(offer),
        },
        h("bdi", { class: "piece" }, signs(text)),
        h("span", { class: "muted" }, much),
      );
    });
    this.list.replaceChildren(...items);
    this.list.hidden = !items.length;
    this.input.ariaExpanded = String(items.length > 0);
    this.mark(-1);
  }

  /** @param {number} at */
  mark(at) {
    this.at = at;
    [...this.list.children].forEach((item, n) => {
      item.ariaSelected = String(n === at);
      if (n === at) item.scrollIntoView({ block: "nearest" });
    });
    if (at >= 0) this.input.setAttribute("aria-activedescendant", `${this.list.id}-${at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  /** @param {Offer} offer */
  take(offer) {
    clearTimeout(this.later);
    this.input.value = offer.text;
    this.fold();
    this.go(offerAddress(this.head, offer), false);
  }

  fold() {
    this.list.hidden = true;
    this.input.ariaExpanded = "false";
    this.mark(-1);
  }

  /**
   * What the address says, unless it is what is being typed.
   * @param {string} text
   */
  put(text) {
    if (document.activeElement !== this.input || !text) this.input.value = text;
  }
}
