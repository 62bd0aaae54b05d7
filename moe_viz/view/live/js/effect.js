// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a change does: to one passage in several languages, and to the text that is shown.
/** @import { Trace } from "../../explorer/js/data/trace.js" */
/** @import { Outlook } from "./machine.js" */
/** @import { Passage } from "./types.js" */

import { h, write } from "../../js/dom.js";
import { bars, signed } from "./scores.js";

/** Tokens of a text that are listed: those that have become worst. */
const WORST = 4;
/** @typedef {"languages" | "text"} Side */
/** @type {[Side, string][]} */
const SIDES = [
  ["languages", "Five languages"],
  ["text", "This text"],
];

export class Effect {
  /**
   * @param {Passage[]} compared the same in several languages
   * @param {(token: number) => void} pick a token of the text that is shown
   * @param {() => void} where show where routing has changed
   */
  constructor(compared, pick, where) {
    this.compared = compared;
    this.pick = pick;
    this.where = where;
    /** @type {Side} */
    this.side = compared.length ? "languages" : "text";
    this.rows = h("div", { class: "scores" });
    this.words = h("p", { class: "muted" });
    /** @type {{ own: number, intact: number }[] | null} */
    this.losses = null;
    /** @type {{ own: Outlook, intact: Outlook } | null} */
    this.outlook = null;
    /** @type {Trace | null} */
    this.trace = null;
    this.tabs = SIDES.map(([side, name]) =>
      h("button", { "data-side": side, onclick: () => this.turn(side) }, name),
    );
    this.element = h(
      "div",
      {},
      h(
        "div",
        { class: "row" },
        h("h2", {}, "How much worse"),
        h("div", { class: "modes", role: "group", "aria-label": "Of what" }, ...this.tabs),
      ),
      this.rows,
      this.words,
    );
    this.draw();
  }

  /** @param {Side} side */
  turn(side) {
    this.side = side;
    this.draw();
  }

  /** What was found is true no longer. */
  forget() {
    this.losses = this.outlook = null;
    this.draw();
  }

  /** @param {{ own: number, intact: number }[]} losses of the passages compared */
  tell(losses) {
    this.losses = losses;
    this.draw();
  }

  /**
   * @param {{ own: Outlook, intact: Outlook } | null} outlook null: nothing is changed
   * @param {Trace} trace
   */
  tellText(outlook, trace) {
    this.outlook = outlook;
    this.trace = trace;
    this.draw();
  }

  draw() {
    for (const tab of this.tabs) {
      tab.setAttribute("aria-pressed", String(tab.dataset.side === this.side));
    }
    if (this.side === "languages") this.drawLanguages();
    else this.drawText();
  }

  drawLanguages() {
    const scores = (this.losses ?? []).map(({ own, intact }, n) => ({
      name: this.compared[n].label,
      change: own - intact,
    }));
    this.rows.replaceChildren(...bars(scores));
    if (!scores.length) return write(this.words, "One passage in each, once something is changed.");
    const order = [...scores].sort((a, b) => b.change - a.change);
    const [most, least] = [order[0], order[order.length - 1]];
    write(
      this.words,
      `Nats a token, one passage: ${most.name} loses most (${signed(most.change)}), ` +
        `${least.name} least (${signed(least.change)}). Try the control, and other texts.`,
    );
  }

  drawText() {
    const { outlook, trace } = this;
    if (!outlook || !trace || trace.T !== outlook.own.losses.length) {
      this.rows.replaceChildren();
      return write(this.words, "Each token of the text, once something is changed.");
    }
    const { own, intact } = outlook;
    // A loss is of the token after: what the model thought of the token that did come.
    const changes = Array.from(own.losses.slice(0, -1), (loss, t) => loss - intact.losses[t]);
    const mean = changes.reduce((sum, x) => sum + x, 0) / (changes.length || 1);
    const worst = changes.map((_, t) => t).sort((a, b) => changes[b] - changes[a]);
    this.rows.replaceChildren(
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
    this.words.replaceChildren(
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
  return `${((100 * other) / (L * T)).toFixed(0)} %`;
}
