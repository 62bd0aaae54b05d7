// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The entry of one expert: a sentence, contexts, loads by label; the rest is folded.
/** @import { Entry, Head } from "./types.js" */
/** @import { Layers } from "./parts.js" */
/** @import { Section } from "./sections.js" */

import { h, write } from "../../js/dom.js";
import { entryAddress } from "./address.js";
import { gatesOf, sectionsOf } from "./sections.js";
import { tableOf } from "./table.js";
import { called, decimal, labelName, percent, signs, several } from "./words.js";

export class EntryView {
  /**
   * @param {Head} head
   * @param {Layers} layers
   */
  constructor(head, layers) {
    this.head = head;
    this.layers = layers;
    /** @type {Set<string>} parts that are unfolded, also of the next expert */
    this.unfolded = new Set();
    this.turn = 0;
    this.title = h("h2", { tabindex: -1, "aria-live": "polite" });
    this.links = {
      left: h("a", { class: "button" }),
      right: h("a", { class: "button" }),
      up: h("a", { class: "button" }),
      down: h("a", { class: "button" }),
    };
    const { left, right, up, down } = this.links;
    this.nav = h(
      "nav",
      { class: "row", "aria-label": "Experts beside it" },
      h("a", { class: "button", href: "#" }, "All experts"),
      h("span", { class: "pair" }, left, right),
      h("span", { class: "pair" }, up, down),
    );
    this.body = h("div", { class: "body" });
    this.element = h("article", { hidden: true }, this.nav, this.title, this.body);
  }

  /**
   * @param {number} row
   * @param {number} expert
   */
  async show(row, expert) {
    const turn = ++this.turn;
    const { layers } = this.head;
    write(this.title, called(layers[row], expert));
    this.point(row, expert);
    const waiting = setTimeout(() => {
      if (turn === this.turn) this.say(`Loading layer ${layers[row]}…`);
    }, 80);
    try {
      const layer = await this.layers.at(row);
      if (turn === this.turn) this.fill(layer.entries[expert], row);
    } catch (error) {
      if (turn === this.turn) this.say(/** @type {Error} */ (error).message, "error");
    } finally {
      clearTimeout(waiting);
    }
  }

  /**
   * @param {string} words
   * @param {string} kind
   */
  say(words, kind = "muted") {
    this.body.replaceChildren(h("p", { class: kind, role: "status" }, words));
  }

  /**
   * Links to the experts beside this one; at an end they lead nowhere.
   * @param {number} row
   * @param {number} expert
   */
  point(row, expert) {
    const { layers, experts } = this.head;
    /** @param {HTMLAnchorElement} link @param {string} text @param {string | null} address */
    const set = (link, text, address) => {
      write(link, text);
      if (address) link.href = address;
      else link.removeAttribute("href");
      link.ariaDisabled = address ? null : "true";
      link.role = address ? null : "link";
    };
    /** @param {number} e */
    const inside = (e) => (e >= 0 && e < experts ? entryAddress(layers[row], e) : null);
    /** @param {number} r */
    const above = (r) => (r in layers ? entryAddress(layers[r], expert) : null);
    const { left, right, up, down } = this.links;
    set(left, expert > 0 ? `← expert ${expert - 1}` : "← first", inside(expert - 1));
    set(right, expert < experts - 1 ? `expert ${expert + 1} →` : "last →", inside(expert + 1));
    set(up, row > 0 ? `↑ layer ${layers[row - 1]}` : "↑ top", above(row - 1));
    set(down, row < layers.length - 1 ? `↓ layer ${layers[row + 1]}` : "↓ end", above(row + 1));
  }

  /**
   * @param {Entry} entry
   * @param {number} row
   */
  fill(entry, row) {
    const top = h(
      "div",
      { class: "top" },
      h("div", {}, h("h3", {}, "Its largest gates, each in another document"), contexts(entry)),
      h("div", {}, h("h3", {}, "Share of each label’s tokens"), loads(this.head, entry)),
    );
    const parts = sectionsOf(this.head, entry, row).map((section) => this.folded(section));
    const gates = h("p", {}, gatesOf(entry));
    const sure = this.fold("gates", "How sure the router is", "", gates);
    parts.splice(9, 0, sure);
    this.body.replaceChildren(
      h("p", { class: "said" }, entry.said),
      top,
      h("div", { class: "folds" }, ...parts),
    );
  }

  /** @param {Section} section */
  folded({ name, title, note, heads, rows, found, empty }) {
    const much =
      rows.length === 0 ? "none" : found ? `${rows.length}, ${found} ●` : `${rows.length}`;
    return rows.length
      ? this.fold(name, title, much, h("p", { class: "muted" }, note), tableOf(title, heads, rows))
      : this.fold(name, title, much, h("p", { class: "muted" }, empty));
  }

  /**
   * @param {string} name
   * @param {string} title
   * @param {string} much
   * @param {Node[]} children
   */
  fold(name, title, much, ...children) {
    const details = h(
      "details",
      { open: this.unfolded.has(name), class: name },
      h("summary", {}, title, ...(much ? [h("span", { class: "muted" }, ` ${much}`)] : [])),
      ...children,
    );
    details.addEventListener("toggle", () => {
      if (details.open) this.unfolded.add(name);
      else this.unfolded.delete(name);
    });
    return details;
  }
}

/** @param {Entry} entry */
function contexts(entry) {
  if (!entry.contexts.length) {
    return h("p", { class: "muted" }, "It was never chosen in the texts that examples are from.");
  }
  return h(
    "ol",
    { class: "contexts" },
    ...entry.contexts.map(([before, token, after, label, document, gate]) =>
      h(
        "li",
        {},
        h(
          "bdi",
          { class: "words" },
          h("span", { class: "muted" }, signs(before)),
          h("mark", {}, signs(token)),
          signs(after),
        ),
        h(
          "span",
          { class: "from" },
          h("span", { class: "chip" }, h("bdi", {}, labelName(label))),
          h("span", {}, `gate ${decimal(gate)}`),
          h("bdi", { class: "document" }, document),
        ),
      ),
    ),
  );
}

/**
 * Bars by label, all of one scale, with a tick where even would be.
 * @param {Head} head
 * @param {Entry} entry
 */
function loads(head, entry) {
  const even = head.choices / head.experts;
  const most = entry.load.reduce((a, [, share]) => Math.max(a, share ?? 0), 2 * even);
  const tick = `left:${((100 * even) / most).toFixed(2)}%`;
  const bars = entry.load.map(([label, share, low, high, assignments]) => {
    const between = low === null ? "" : `, 95 % interval ${percent(low)} to ${percent(high)}`;
    const counted = several(Math.round(assignments / head.choices), "token");
    return h(
      "li",
      { title: `${labelName(label)}: ${percent(share)} of ${counted}${between}` },
      h("bdi", {}, labelName(label)),
      h(
        "span",
        { class: "track", "aria-hidden": "true" },
        h("span", { class: "fill", style: `width:${((100 * (share ?? 0)) / most).toFixed(2)}%` }),
        h("span", { class: "even", style: tick }),
      ),
      h("span", { class: "value" }, percent(share)),
    );
  });
  const said = `The tick is what even would be: ${percent(even)}.`;
  return h("div", {}, h("ul", { class: "loads" }, ...bars), h("p", { class: "muted small" }, said));
}
