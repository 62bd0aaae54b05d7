// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The entry of one expert: a sentence, contexts, loads by label; the rest is folded.
/** @import { Entry, Head } from "./types.js" */
/** @import { Layers } from "./parts.js" */
/** @import { Section } from "./sections.js" */

import { h, write } from "../../js/dom.js";
import { entryAddress } from "./address.js";
import { marksMean, Q_MEANS } from "./marks.js";
import { GATE } from "./routes.js";
import { sectionsOf } from "./sections.js";
import { SURE, sureness } from "./sure.js";
import { tableOf } from "./table.js";
import { called, cutAfter, cutBefore, decimal, labelName } from "./words.js";
import { percent, several, signs } from "./words.js";

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
    const { head } = this;
    const top = h(
      "div",
      { class: "top" },
      h("div", {}, h("h3", {}, "Its largest gates, each in another document"), contexts(entry)),
      h("div", {}, h("h3", {}, "Share of each label’s tokens"), loads(head, entry)),
    );
    const parts = sectionsOf(head, entry, row).map((section) => this.folded(section));
    parts.push(this.fold("sure", SURE, "", sureness(head)));
    this.body.replaceChildren(
      h("p", { class: "said" }, entry.said.replaceAll(" %", "\u00a0%")),
      top,
      h("p", { class: "muted small legend" }, `${marksMean(head)} ${Q_MEANS}`),
      h("div", { class: "folds" }, ...parts),
    );
  }

  /** @param {Section} section */
  folded({ name, title, much, note, heads, rows, empty }) {
    return rows.length
      ? this.fold(
          name,
          title,
          much ?? `${rows.length}`,
          h("p", { class: "muted" }, note),
          tableOf(title, heads, rows),
        )
      : this.fold(name, title, much ?? "none", h("p", { class: "muted" }, empty));
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
  const items = entry.contexts.map(([before, token, after, label, document, gate]) =>
    h(
      "li",
      {},
      h(
        "bdi",
        { class: "words" },
        h("span", { class: "muted" }, signs(cutBefore(before))),
        // Without words before it, the token begins the line.
        h("mark", {}, signs(before ? token : token.replace(/^ +(?=.)/, ""))),
        signs(cutAfter(after)),
      ),
      h(
        "span",
        { class: "from" },
        h("span", { class: "chip" }, h("bdi", {}, labelName(label))),
        h("span", {}, `gate ${decimal(gate)}`),
        h("bdi", { class: "document" }, document),
      ),
    ),
  );
  return h(
    "div",
    {},
    h("ol", { class: "contexts" }, ...items),
    h("p", { class: "muted small" }, GATE),
  );
}

/**
 * Bars by label that end at 100 %, with a tick where even would be; and how much of the expert's
 * own work each label is.
 * @param {Head} head
 * @param {Entry} entry
 */
function loads(head, entry) {
  const even = head.choices / head.experts;
  const tick = `left:${(100 * even).toFixed(2)}%`;
  const rows = entry.load.map(([label, share, low, high, assignments, work]) => {
    const between = low === null ? "" : `, 95 % interval ${percent(low)} to ${percent(high)}`;
    const counted = several(Math.round(assignments / head.choices), "token");
    const title = `${labelName(label)}: ${percent(share)} of ${counted}${between}`;
    const track = h(
      "span",
      { class: "track", "aria-hidden": "true" },
      h("span", { class: "fill", style: `width:${(100 * (share ?? 0)).toFixed(2)}%` }),
      h("span", { class: "even", style: tick }),
    );
    const value = h("span", { class: "value" }, percent(share));
    return [
      h("bdi", {}, labelName(label)),
      h("span", { class: "level", title }, track, value),
      percent(work),
    ];
  });
  const said =
    `Bars end at 100 %; the tick is what even would be: ${percent(even)}. ` +
    "Of its work: how much of all that the expert takes is of this label.";
  return h(
    "div",
    { class: "loads" },
    tableOf("Share of each label’s tokens", ["Label", "Share of its tokens", "Of its work"], rows),
    h("p", { class: "muted small" }, said),
  );
}
