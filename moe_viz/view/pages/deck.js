// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Presents a deck: turns slides, keeps what the audience predicted, lights lines of code in steps.

import { h } from "../js/dom.js";

/**
 * What of reveal.js is used here.
 * @typedef {object} Deck
 * @property {(options: object) => Promise<void>} initialize
 * @property {() => HTMLElement} getCurrentSlide
 * @property {() => boolean} isPrintView
 * @property {(event: string, act: () => void) => void} on
 */

const SLIDES = ".slides section:not(.stack)";

/**
 * @param {Deck} deck
 * @param {[number, number]} size that it is laid out for, in CSS pixels
 */
export function present(deck, size) {
  for (const code of document.querySelectorAll("[data-lit]"))
    stepped(/** @type {HTMLElement} */ (code));
  predictions(deck);
  // Tab does not reach what is on other slides, which are out of sight.
  const turned = () => {
    for (const slide of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(SLIDES)))
      slide.inert = slide !== deck.getCurrentSlide() && !deck.isPrintView();
    light(deck.getCurrentSlide());
  };
  for (const event of ["ready", "slidechanged"]) deck.on(event, turned);
  for (const event of ["fragmentshown", "fragmenthidden"])
    deck.on(event, () => light(deck.getCurrentSlide()));
  const [width, height] = size;
  deck.initialize({
    width,
    height,
    margin: 0,
    center: false,
    hash: true,
    slideNumber: "c/t",
    transition: "none",
    controls: false,
    progress: false,
    pdfSeparateFragments: false,
  });
}

// ---- Predictions

/** Widest row of answers, in letters; a button's frame is as wide as eight. Wider ones stand one
 * below the other, all equally wide. */
const ROW = 87;

/**
 * The answers of a question are buttons; the one that was taken is named on the slides of its
 * section that follow.
 * @param {Deck} deck
 */
function predictions(deck) {
  /** @type {Map<string, string>} section → what was said there last */
  const said = new Map();
  const mark = h("p", { class: "said", hidden: true });
  document.querySelector(".reveal")?.append(mark);
  const asked = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("section.prediction")]);
  for (const slide of asked) {
    const items = [...slide.querySelectorAll("li")];
    const wide = items.reduce((sum, item) => sum + 8 + (item.textContent?.trim() ?? "").length, 0);
    slide.querySelector("ul")?.classList.toggle("long", wide > ROW);
    const buttons = items.map((item, n) => {
      const words = item.textContent?.trim() ?? "";
      const pressed = () => {
        for (const button of buttons)
          button.setAttribute("aria-pressed", String(button === buttons[n]));
        said.set(slide.dataset.section ?? "", words);
      };
      const button = h("button", { type: "button", "aria-pressed": "false", onclick: pressed });
      button.append(...item.childNodes);
      item.replaceChildren(button);
      return button;
    });
  }
  deck.on("slidechanged", () => {
    const slide = deck.getCurrentSlide();
    const words = slide.matches(".prediction") ? "" : said.get(slide.dataset.section ?? "");
    mark.hidden = !words;
    mark.textContent = words ? `You said: ${words}` : "";
  });
  document.addEventListener("keydown", (event) => {
    const slide = deck.getCurrentSlide();
    if (!slide?.matches(".prediction") || event.ctrlKey || event.metaKey || event.altKey) return;
    slide.querySelectorAll("button")[Number(event.key) - 1]?.click();
  });
}

// ---- Code

/**
 * Make lines of what stands in a block of code, and a step for each group of lines.
 * @param {HTMLElement} code with data-lit="1-3|5": which lines are lit together, step by step
 */
function stepped(code) {
  const pre = code.querySelector("pre");
  if (!pre) return;
  /** @type {HTMLElement[]} */
  const lines = [h("span", { class: "line" })];
  for (const node of [...pre.childNodes]) {
    // What runs over several lines, a long string, is cut where they end.
    for (const [n, part] of (node.textContent ?? "").split("\n").entries()) {
      if (n) lines.push(h("span", { class: "line" }));
      const copy = node.cloneNode(false);
      copy.textContent = part;
      lines[lines.length - 1].append(copy);
    }
  }
  if (!lines[lines.length - 1].textContent) lines.pop();
  pre.replaceChildren(...lines.flatMap((line) => [line, "\n"]));
  for (const step of (code.dataset.lit ?? "").split("|"))
    code.append(h("span", { class: "fragment step", "data-lines": step }));
}

/**
 * Light the lines of the last step that is shown; before the first, all.
 * @param {HTMLElement | undefined} slide
 */
function light(slide) {
  for (const code of slide?.querySelectorAll("[data-lit]") ?? []) {
    const steps = [...code.querySelectorAll(".step.visible")];
    const wanted = /** @type {HTMLElement | undefined} */ (steps.at(-1))?.dataset.lines;
    const [from, to] = (wanted ?? "").split("-").map(Number);
    for (const [n, line] of code.querySelectorAll(".line").entries())
      line.classList.toggle("dim", !!wanted && (n + 1 < from || n + 1 > (to ?? from)));
  }
}
