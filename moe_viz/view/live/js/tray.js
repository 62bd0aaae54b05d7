// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What stands above the picture: the text, texts to pick, three modes, and what is going on.
/** @import { About, Chip, Mode, Passage } from "./types.js" */

import { h, write } from "../../js/dom.js";
import { kept } from "./panel.js";

/** @type {[Mode, string][]} */
const MODES = [
  ["look", "Look"],
  ["change", "Change"],
  ["write", "Write"],
];

/**
 * @typedef {object} Acts
 * @property {() => void} typed
 * @property {(mode: Mode) => void} mode
 * @property {() => void} pick a text has been picked
 * @property {(chip: Chip) => void} attempt what a chip says
 */

export class Tray {
  /**
   * @param {{ passages: Passage[], chips: Chip[] }} about
   * @param {Acts} acts
   * @param {HTMLElement[]} more what else is offered
   */
  constructor({ passages, chips }, acts, more) {
    this.text = h("textarea", {
      rows: 2,
      "aria-label": "Your text",
      spellcheck: false,
      placeholder: "Type a text: the model in this page reads it as you type",
      oninput: () => {
        this.picked.value = "";
        acts.typed();
      },
    });
    this.picked = h("select", {
      "aria-label": "Pick a text",
      onchange: () => {
        this.text.value = passages[Number(this.picked.value)]?.text ?? "";
        acts.pick();
      },
    });
    const labels = [...new Set(passages.map((p) => p.label))];
    this.picked.append(h("option", { value: "" }, "pick a text"));
    for (const label of labels) {
      const own = passages.flatMap((p, n) =>
        p.label === label ? [h("option", { value: n }, entitled(p))] : [],
      );
      this.picked.append(h("optgroup", { label }, ...own));
    }
    /** @type {HTMLButtonElement[]} */
    this.tabs = MODES.map(([mode, name]) =>
      h("button", { "data-mode": mode, onclick: () => this.enter(mode, acts) }, name),
    );
    const offered = chips.map((chip) =>
      h("button", { class: "chip", onclick: () => acts.attempt(chip) }, chip.name),
    );
    this.status = h("span", { class: "status", role: "status" });
    const tabs = h("div", { class: "modes", role: "group", "aria-label": "Mode" }, ...this.tabs);
    this.element = h(
      "div",
      { class: "tray", onkeydown: kept },
      this.text,
      h("div", { class: "row" }, tabs, ...offered, this.picked, ...more, this.status),
    );
    this.press("look");
  }

  /**
   * @param {Mode} mode
   * @param {Acts} acts
   */
  enter(mode, acts) {
    this.press(mode);
    acts.mode(mode);
  }

  /** @param {Mode} mode */
  press(mode) {
    for (const tab of this.tabs) {
      tab.setAttribute("aria-pressed", String(tab.dataset.mode === mode));
    }
  }

  /** @param {string} words */
  say(words) {
    write(this.status, words);
  }
}

/**
 * A passage as a list names it: what it is about, and how it begins.
 * @param {Passage} passage
 */
const entitled = ({ topic, text }) => `${topic ? `${topic}: ` : ""}${text.slice(0, 40)}…`;

/** @param {About} about */
export function aboutOf({ title, words }) {
  const body = h("div", { class: "body" }, h("h2", {}, title), ...words.map((x) => h("p", {}, x)));
  return h("details", { class: "pop", name: "pop" }, h("summary", {}, "About"), body);
}
