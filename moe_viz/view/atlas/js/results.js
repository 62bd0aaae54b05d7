// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a search finds: for each piece or label, the experts of each layer that take most of it.
/** @import { Head, Mark, Offer } from "./types.js" */
/** @import { Layers } from "./parts.js" */

import { h, write } from "../../js/dom.js";
import { entryAddress, offerAddress } from "./address.js";
import { marksMean, markSaid, sign } from "./marks.js";
import { takers } from "./match.js";
import { rowOf, tableOf } from "./table.js";
import { percent, several, signs } from "./words.js";

/** Pieces spelled alike that are shown. */
const SHOWN = 4;
const BESIDE_TWIN =
  "Of a piece, share of its occurrences. The untrained twin sends most single pieces to one " +
  "expert too, so few shares of single pieces are found.";
const NO_TWIN =
  "Of a piece, share of its occurrences. An untrained twin would send most single pieces to one " +
  "expert too: without a twin, no share of a single piece is found.";

export class Results {
  /**
   * @param {Head} head
   * @param {Layers} layers
   */
  constructor(head, layers) {
    this.head = head;
    this.layers = layers;
    this.turn = 0;
    this.status = h("p", { role: "status", class: "muted" });
    this.found = h("div", { class: "found" });
    this.note = h("p", { class: "muted small" });
    this.element = h(
      "section",
      { class: "results", "aria-label": "What was found", hidden: true },
      this.status,
      this.found,
      this.note,
    );
  }

  /**
   * @param {string} typed
   * @param {Offer[]} offers
   */
  show(typed, offers) {
    const turn = ++this.turn;
    this.element.hidden = !typed;
    const experts = offers.filter((offer) => offer.what === "expert");
    const some = offers.filter((offer) => offer.what !== "expert").slice(0, SHOWN);
    /** @type {[Offer, HTMLTableSectionElement][]} */
    const waiting = [];
    const blocks = some.map((offer) => {
      const block = offer.what === "label" ? this.label(offer) : this.piece(offer);
      if (offer.what === "piece") {
        const body = block.querySelector("tbody");
        if (body) waiting.push([offer, body]);
      }
      return block;
    });
    if (experts.length) blocks.unshift(this.experts(experts));
    this.found.replaceChildren(...blocks);
    this.note.hidden = !some.length;
    const pieces = this.head.control ? BESIDE_TWIN : NO_TWIN;
    write(this.note, `${marksMean(this.head)} ${waiting.length ? pieces : ""}`);
    const least = `Pieces that occur fewer than ${this.head.minimum} times are left out.`;
    write(
      this.status,
      typed && !blocks.length ? `Nothing is spelled “${typed}” here. ${least}` : "",
    );
    if (waiting.length) void this.fill(turn, waiting);
  }

  /** @param {Offer[]} offers */
  experts(offers) {
    const links = offers.map((offer) =>
      h("li", {}, h("a", { class: "button", href: offerAddress(this.head, offer) }, offer.text)),
    );
    return h(
      "section",
      { class: "named" },
      h("h2", {}, "Experts by number"),
      h("ul", {}, ...links),
    );
  }

  /** @param {Offer} offer */
  label({ text, number }) {
    const { head } = this;
    const rows = head.layers.map((layer, row) => [
      String(layer),
      ...three(
        takers(head, number, row).map(({ expert, share, rest, mark }) =>
          taker(layer, expert, share, mark, rest),
        ),
      ),
    ]);
    const alone = head.labels.length < 2;
    const note = alone
      ? "There is no other label to compare it with."
      : "The experts that take most of it above what they take of the rest (in brackets).";
    return h(
      "section",
      {},
      h("h2", {}, "Texts labelled ", h("bdi", { class: "piece" }, text)),
      h("p", { class: "muted" }, `${several(head.tokens_of[number], "token")}. ${note}`),
      tableOf(`Experts that take ${text}`, ["Layer", "First", "Second", "Third"], rows),
    );
  }

  /** @param {Offer} offer */
  piece({ text, number }) {
    const { head } = this;
    const rows = head.layers.map((layer) => [String(layer), "…", "", ""]);
    return h(
      "section",
      {},
      h("h2", {}, "Piece ", h("bdi", { class: "piece" }, signs(text))),
      h("p", { class: "muted" }, `Occurs ${several(head.counts[number], "time")}.`),
      tableOf(`Experts that take ${text}`, ["Layer", "First", "Second", "Third"], rows),
    );
  }

  /**
   * Layer by layer, since their files may have to be loaded.
   * @param {number} turn
   * @param {[Offer, HTMLTableSectionElement][]} waiting
   */
  async fill(turn, waiting) {
    const { head, layers } = this;
    const L = head.layers.length;
    let said = "";
    for (let row = 0; row < L; row++) {
      const layer = head.layers[row];
      if (head.parts.length) write(this.status, `Reading layer ${layer}: ${row + 1} of ${L}…`);
      try {
        const { best, sure } = await layers.favouritesOf(row);
        if (turn !== this.turn) return;
        for (const [{ number }, body] of waiting) {
          const width = best.length / head.pieces.length;
          const cells = [];
          for (let n = number * width; n < (number + 1) * width; n += 2) {
            const e = best[n];
            // A piece is found only where its share is above the twin's.
            const mark = sure.has(number * head.experts + e) ? 1 : 0;
            if (best[n + 1]) cells.push(taker(layer, e, best[n + 1] / 1000, mark));
          }
          body.rows[row].replaceWith(rowOf([String(layer), ...three(cells)]));
        }
      } catch (error) {
        if (turn !== this.turn) return;
        said ||= /** @type {Error} */ (error).message;
        for (const [, body] of waiting) {
          body.rows[row].replaceWith(rowOf([String(layer), "not here", "", ""]));
        }
      }
    }
    write(this.status, said);
    this.status.classList.toggle("error", said !== "");
  }
}

/**
 * Three cells, the last of them empty where there are fewer.
 * @param {Node[]} cells
 */
const three = (cells) => [0, 1, 2].map((n) => cells[n] ?? "");

/**
 * A link to an expert with the share that it takes.
 * @param {number} layer
 * @param {number} expert
 * @param {number} share
 * @param {Mark} mark
 * @param {number | null} [rest]
 */
function taker(layer, expert, share, mark, rest = null) {
  const name = `expert ${expert} of layer ${layer}, ${percent(share)}`;
  return h(
    "a",
    {
      class: "taker",
      href: entryAddress(layer, expert),
      "aria-label": mark ? `${name}, ${markSaid(mark)}` : name,
    },
    sign(mark),
    h("b", {}, String(expert)),
    h("span", { class: "share", style: `--share:${(100 * share).toFixed(1)}%` }, percent(share)),
    ...(rest === null ? [] : [h("span", { class: "muted" }, `(${percent(rest)})`)]),
  );
}
