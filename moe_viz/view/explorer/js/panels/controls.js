// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Lists, boxes and a slider to choose with, and what they offer for a prompt.
/** @import { Scene, Actions, Mode, View } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */
/** @import { Quantities } from "../data/quantities.js" */

import { parallels, read, sameToken, spelt } from "../data/beside.js";
import { h, options, select, write } from "../../../js/dom.js";
import { opening } from "../data/words.js";

/** How many prompts are offered for comparison: a list of thousands would be useless. */
const OFFERED = 400;
/** @type {[View, string][]} */
const MAPS = [
  ["tokens", "tokens × layers"],
  ["experts", "experts × layers"],
  ["touched", "experts touched"],
];
const SORTED =
  "Each token under its first choice in this layer, outlined in the colour of its second: " +
  "a column is as high as its expert is busy";
const PARALLEL =
  "The same passage in other languages, or the same algorithm in other programming languages";

export class Controls {
  /**
   * @param {Trace} trace
   * @param {Quantities} quantities
   * @param {Scene} scene
   * @param {Actions} actions
   */
  constructor(trace, quantities, scene, actions) {
    this.trace = trace;
    this.scene = scene;
    this.actions = actions;
    const { set } = actions;
    const { labels, prompts } = trace;
    this.label = select("Label", pairs(labels, labels), (label) =>
      actions.openPrompt(prompts.findIndex((p) => p.label === label)),
    );
    this.prompt = select("Prompt", [], (number) => actions.openPrompt(Number(number)));
    this.layer = h("input", {
      type: "range",
      min: 0,
      max: trace.L - 1,
      "aria-label": "Layer",
      oninput: () => set({ layer: Number(this.layer.value) }),
    });
    this.layerName = h("b");
    this.view = select("Map", MAPS, (view) => set({ view: /** @type {View} */ (view) }));
    this.play = h("button", { class: "play", title: "or the space bar", onclick: actions.play });
    this.sort = h(
      "button",
      { title: SORTED, onclick: () => set({ sorted: !scene.state.sorted }) },
      "Sort by expert",
    );
    const first = trace.many ? "busiest seven" : "first choice";
    const modes = [/** @type {[string, string]} */ (["first", first]), ...quantities.names()];
    this.mode = select("Colour of the map", modes, (mode) =>
      set({ mode: /** @type {Mode} */ (mode) }),
    );
    const experts = Array.from({ length: trace.E }, (_, e) => e);
    this.watched = select(
      "Expert whose probability is shown",
      pairs(
        experts,
        experts.map((e) => `expert ${e}`),
      ),
      (expert) => set({ watched: Number(expert) }),
    );
    this.search = h("input", {
      type: "search",
      placeholder: "find  /",
      "aria-label": "Find in the text",
      size: 7,
      oninput: () => actions.search(this.search.value),
    });
    this.found = h("span", { class: "muted", "aria-live": "polite" });
    this.signs = h("input", {
      type: "checkbox",
      onchange: () => set({ signs: this.signs.checked }),
    });
    this.beside = select("Compare with", [], (value) => set({ beside: read(value, trace) }));
    this.alike = h("div", { class: "alike" });
  }

  paint() {
    const { trace } = this;
    const { state } = this.scene;
    this.layer.value = String(state.layer);
    write(this.layerName, String(trace.layers[state.layer]));
    this.mode.value = state.mode;
    this.watched.value = String(state.watched);
    this.watched.hidden = state.mode !== "expert";
    this.view.value = state.view;
    write(this.play, state.playing ? "❚❚ Stop" : "▶ Play");
    this.sort.setAttribute("aria-pressed", String(state.sorted));
    this.signs.checked = state.signs;
    write(this.found, state.query ? `${this.scene.hits.size} tokens` : "");
  }

  /** Offer what belongs to the prompt that is shown. */
  open() {
    const { prompts } = this.trace;
    const { state } = this.scene;
    const { label } = prompts[state.prompt];
    this.label.value = label;
    const same = numbersOf(prompts, (p) => p.label === label);
    this.prompt.replaceChildren(
      ...options(
        pairs(
          same,
          same.map((n) => opening(prompts[n])),
        ),
      ),
    );
    this.prompt.value = String(state.prompt);
    const alike = parallels(this.trace, state.prompt);
    this.offerParallels(alike);
    this.offerComparisons(alike);
  }

  /** @param {number[]} alike */
  offerParallels(alike) {
    const { trace, actions } = this;
    const { state } = this.scene;
    if (alike.length < 2) return this.alike.replaceChildren();
    const buttons = alike.map((n) => {
      const onclick = () => actions.openPrompt(n, sameToken(trace, state.token, n));
      const pressed = String(n === state.prompt);
      return h("button", { "aria-pressed": pressed, onclick }, trace.prompts[n].label);
    });
    const title = h("span", { class: "muted", title: PARALLEL }, "Parallel: ");
    this.alike.replaceChildren(title, ...buttons);
  }

  /** @param {number[]} alike */
  offerComparisons(alike) {
    const { trace } = this;
    const { prompts, labels } = trace;
    const { prompt: shown, beside } = this.scene.state;
    const parallel = alike.filter((n) => n !== shown);
    const other = labels.filter((label) => label !== prompts[shown].label);
    const chosen = beside?.kind === "prompt" ? beside.number : -1;
    const rest = numbersOf(prompts, (_, n) => n !== shown && (n < OFFERED || n === chosen));
    const name = (/** @type {number} */ n) => `${prompts[n].label}: ${opening(prompts[n])}`;
    const value = (/** @type {number} */ n) => `prompt ${n}`;
    this.beside.replaceChildren(
      ...options([["", "nothing"]]),
      ...group(
        "Parallel",
        pairs(
          parallel.map(value),
          parallel.map((n) => prompts[n].label),
        ),
      ),
      ...group(
        "All of a label",
        other.map((label) => [`label ${labels.indexOf(label)}`, `all of ${label}`]),
      ),
      ...group("Another prompt", pairs(rest.map(value), rest.map(name))),
    );
    this.beside.value = spelt(beside, trace);
  }
}

/**
 * @template Item
 * @param {Item[]} items
 * @param {(item: Item, n: number) => boolean} wanted
 */
const numbersOf = (items, wanted) => items.flatMap((item, n) => (wanted(item, n) ? [n] : []));

/**
 * @param {(string | number)[]} values
 * @param {string[]} names
 * @returns {[value: string | number, name: string][]}
 */
const pairs = (values, names) => values.map((value, n) => [value, names[n]]);

/**
 * A part of a list, unless it is empty.
 * @param {string} label
 * @param {[value: string | number, name: string][]} entries
 */
const group = (label, entries) =>
  entries.length ? [h("optgroup", { label }, ...options(entries))] : [];
