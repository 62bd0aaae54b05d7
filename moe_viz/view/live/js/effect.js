// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a change does: to one passage in several languages, to the text that is shown, and which
// expert would do most.
/** @import { Trace } from "../../explorer/js/data/trace.js" */
/** @import { Outlook } from "./machine.js" */
/** @import { Ranking } from "./ranking.js" */
/** @import { Passage } from "./types.js" */

import { h, write } from "../../js/dom.js";
import { bars, signed } from "./scores.js";

/** Tokens of a text that are listed: those that have become worst. */
const WORST = 4;
/** @typedef {"languages" | "text" | "all"} Side */
/** @type {[Side, string][]} */
const SIDES = [
  ["languages", "Five languages"],
  ["text", "This text"],
  ["all", "All experts"],
];
/** A passage that loses less, in nats a token, loses nothing to speak of. */
const LEAST = 0.05;
const NO_PROOF =
  "No proof yet of an expert for one language: is it only busy there (Check)? Is it so in other " +
  "texts (pick one), and is it the worst (All experts)?";

/**
 * How much the loss of passages has changed.
 * @typedef {object} Found
 * @property {Passage[]} passages
 * @property {number[]} changes
 * @property {number[] | null} loads of the one expert that is off, before it went off
 * @property {string} said what was changed
 */

export class Effect {
  /**
   * @param {Ranking} ranking
   * @param {(token: number) => void} pick a token of the text that is shown
   * @param {() => void} where show where routing has changed
   */
  constructor(ranking, pick, where) {
    this.ranking = ranking;
    this.pick = pick;
    this.where = where;
    /** @type {Side} */
    this.side = "languages";
    this.rows = h("div", { class: "scores wide" });
    this.words = h("p", {});
    this.languages = h("div", {}, this.rows, this.words);
    /** @type {Found | null} */
    this.found = null;
    /** @type {Found | null} */
    this.before = null;
    this.tokens = h("div", { class: "scores" });
    this.told = h("p", {});
    this.text = h("div", {}, this.tokens, this.told);
    this.tabs = SIDES.map(([side, name]) =>
      h("button", { "data-side": side, onclick: () => this.turn(side) }, name),
    );
    this.shown = h("div", {});
    this.element = h(
      "div",
      {},
      h("h2", {}, "How much worse"),
      h("div", { class: "modes", role: "group", "aria-label": "Of what" }, ...this.tabs),
      this.shown,
    );
    this.forget();
    this.turn("languages");
  }

  /** @param {Side} side */
  turn(side) {
    this.side = side;
    for (const tab of this.tabs) {
      tab.setAttribute("aria-pressed", String(tab.dataset.side === side));
    }
    const { languages, text, ranking } = this;
    this.shown.replaceChildren({ languages, text, all: ranking.element }[side]);
  }

  /** What was found is true no longer; it stays as what was before. */
  forget() {
    this.before = this.found ?? this.before;
    this.found = null;
    this.drawLanguages();
    this.tellText(null, null);
  }

  /** Nothing was found before either. */
  clear() {
    this.found = this.before = null;
    this.forget();
  }

  /** @param {Found} found */
  tell(found) {
    this.found = found;
    this.drawLanguages();
    // On a phone it is below what was touched; but nobody is taken away from what they type.
    const typing = document.activeElement instanceof HTMLTextAreaElement;
    if (!typing && !this.element.closest(".reveal")) {
      this.element.scrollIntoView({ block: "nearest" });
    }
  }

  drawLanguages() {
    const { found, before } = this;
    if (!found) {
      this.rows.replaceChildren();
      return write(this.words, "One passage in each, once something is changed.");
    }
    const same = before && before.passages === found.passages && before.said !== found.said;
    const scores = found.passages.map(({ label }, n) => ({
      name: label,
      change: found.changes[n],
      ...(found.loads && { number: `${signed(found.changes[n])}, ${percent(found.loads[n])}` }),
      ...(same && { beside: before.changes[n] }),
    }));
    this.rows.replaceChildren(...bars(scores));
    const order = [...scores].sort((a, b) => b.change - a.change);
    const [most, least] = [order[0], order[order.length - 1]];
    const lost = most.change >= LEAST;
    const what = lost
      ? `${most.name} loses most (${signed(most.change)}), ${least.name} least ` +
        `(${signed(least.change)}); at +0.69 a token is half as likely.`
      : "none loses anything to speak of.";
    const outlined = same ? ` Outlined: ${before.said}.` : "";
    const share = found.loads
      ? " Behind it: its share of that passage’s choices in its layer."
      : "";
    this.words.replaceChildren(
      `Nats a token, one passage (${found.passages[0].topic}): ${what}${outlined}`,
      h("span", { class: "spare" }, `${share}${lost ? ` ${NO_PROOF}` : ""}`),
    );
  }

  /**
   * @param {{ own: Outlook, intact: Outlook } | null} outlook null: nothing is changed
   * @param {Trace | null} trace
   */
  tellText(outlook, trace) {
    if (!outlook || !trace || trace.T !== outlook.own.losses.length) {
      this.tokens.replaceChildren();
      return write(this.told, "Each token of the text, once something is changed.");
    }
    const { own, intact } = outlook;
    // A loss is of the token after: what the model thought of the token that did come.
    const changes = Array.from(own.losses.slice(0, -1), (loss, t) => loss - intact.losses[t]);
    const mean = changes.reduce((sum, x) => sum + x, 0) / (changes.length || 1);
    const worst = changes.map((_, t) => t).sort((a, b) => changes[b] - changes[a]);
    this.tokens.replaceChildren(
      ...bars([
        { name: "all tokens", change: mean },
        ...worst.slice(0, WORST).map((t) => ({
          name: trace.piece(t + 1),
          change: changes[t],
          title: `Token ${t + 1}: show it`,
          act: () => this.pick(t + 1),
        })),
      ]),
    );
    const other = own.guesses.filter((row, t) => row[0].id !== intact.guesses[t][0].id).length;
    const link = h("button", { class: "piece", onclick: this.where }, "Show where");
    this.told.replaceChildren(
      `Nats a token, and the tokens that have become worst. After ${other} of ` +
        `${own.guesses.length} tokens another next token is likeliest; ` +
        `${decisions(trace)} of the routing decisions are others. `,
      link,
    );
  }
}

/**
 * The share of a text's decisions in which other experts were chosen than in the intact run.
 * @param {Trace} trace
 */
function decisions(trace) {
  const { L, T } = trace;
  let other = 0;
  for (let l = 0; l < L; l++) for (let t = 0; t < T; t++) other += Number(trace.differs(l, t));
  return percent(other / (L * T));
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(0)}\u00a0%`;
