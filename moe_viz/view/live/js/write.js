// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What comes next: the likeliest tokens after the selected one, intact and changed, and writing on.
/** @import { State } from "../../explorer/js/types.js" */
/** @import { Trace } from "../../explorer/js/data/trace.js" */
/** @import { Outlook, Writing } from "./machine.js" */

import { h } from "../../js/dom.js";
import { kept } from "./panel.js";

/** A first guess below this share is none that the model is sure of. */
const UNSURE = 0.2;

export class WritePanel {
  /** @param {{ write: (writing: Writing) => void, stop: () => void }} acts */
  constructor(acts) {
    /** @type {{ own: Outlook, intact: Outlook | null } | null} */
    this.outlook = null;
    this.token = 0;
    this.piece = "";
    this.heading = h("h2", {});
    this.rows = h("div", { class: "guesses" });
    this.note = h("p", { class: "muted" });
    this.other = h("p", { class: "other" });
    const number = (/** @type {string} */ name, /** @type {object} */ more) =>
      h("input", { type: "number", "aria-label": name, ...more });
    this.count = number("Tokens", { value: 40, min: 1, max: 1000 });
    this.temperature = number("Temperature", { value: 0.7, min: 0, max: 5, step: 0.1 });
    this.seed = number("Seed", { value: 0, min: 0, max: 999 });
    this.go = h("button", { onclick: () => acts.write(this.asked()) }, "Continue");
    this.stop = h("button", { onclick: acts.stop, disabled: true }, "Stop");
    this.element = h(
      "div",
      { slot: "aside", class: "panel", role: "region", "aria-label": "Write", onkeydown: kept },
      h(
        "div",
        { class: "row" },
        this.go,
        this.stop,
        h("label", {}, "tokens ", this.count),
        h("label", { title: "0: the likeliest each time" }, "temperature ", this.temperature),
        h("label", {}, "seed ", this.seed),
      ),
      this.heading,
      this.rows,
      this.note,
      this.other,
    );
  }

  /** @returns {Writing} */
  asked() {
    const [count, temperature, seed] = [this.count, this.temperature, this.seed].map((e) =>
      Number(e.value),
    );
    return { count: Math.max(1, Math.round(count)), temperature: Math.max(0, temperature), seed };
  }

  /** @param {boolean} running */
  writing(running) {
    this.stop.disabled = !running;
    this.go.disabled = running;
  }

  /**
   * @param {State} state
   * @param {Trace} trace
   */
  look(state, trace) {
    if (this.token === state.token && this.piece === trace.piece(state.token)) return;
    this.token = state.token;
    this.piece = trace.piece(state.token);
    this.draw();
  }

  /** @param {{ own: Outlook, intact: Outlook | null } | null} outlook */
  tell(outlook) {
    this.outlook = outlook;
    this.draw();
  }

  /**
   * How the text would have been continued, had nothing been changed; null where that is unknown.
   * @param {string | null} text
   * @param {string} [own] how it was continued
   */
  compare(text, own = "") {
    this.other.replaceChildren();
    if (text === null) return;
    // What both say alike, letter by letter, and what is different from there on.
    const [a, b] = [Array.from(text), Array.from(own)];
    const alike = a.findIndex((letter, n) => letter !== b[n]);
    const same = alike < 0 ? text : a.slice(0, alike).join("");
    const different = h("mark", {}, alike < 0 ? "" : a.slice(alike).join(""));
    this.other.append(h("strong", {}, "Intact it goes on: "), same, different);
  }

  draw() {
    const own = this.outlook?.own.guesses[this.token];
    this.heading.textContent = `After ‘${this.piece}’`;
    if (!own) {
      this.note.textContent = "";
      return this.rows.replaceChildren();
    }
    const before = this.outlook?.intact?.guesses[this.token] ?? null;
    const rows = own.map(({ id, piece, share }) => {
      const was = before?.find((guess) => guess.id === id)?.share;
      return this.row(piece, share, before ? (was ?? 0) : null);
    });
    const left = 1 - own.reduce((sum, { share }) => sum + share, 0);
    rows.push(this.row("all others", left, null));
    this.rows.replaceChildren(...rows);
    const sure = own[0].share >= UNSURE;
    this.note.textContent = [
      before ? "Filled: with the change; outlined: intact." : "",
      sure ? "" : "The model is unsure here: its first guess is below 20\u00a0%.",
    ].join(" ");
  }

  /**
   * @param {string} piece
   * @param {number} share
   * @param {number | null} was
   */
  row(piece, share, was) {
    const bar = h("span", { class: "bar" });
    const fill = h("span", { class: "fill" });
    fill.style.width = `${100 * share}%`;
    bar.append(fill);
    if (was !== null) {
      const mark = h("span", { class: "was" });
      mark.style.width = `${100 * was}%`;
      bar.append(mark);
    }
    const percent = `${(100 * share).toFixed(1)} %`;
    return h("div", { class: "guess" }, h("code", {}, piece), bar, h("span", {}, percent));
  }
}
