// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Where the parts of a picture stand, and the words around them.
/** @import { Trace } from "./trace.js" */
/** @import { Controls } from "./controls.js" */
/** @import { Comparison } from "./comparison.js" */
/** @import { Legend } from "./legend.js" */
/** @import { MapView } from "./map.js" */
/** @import { DecisionPanel, LoadPanel } from "./panels.js" */
/** @import { TextView } from "./text.js" */

import { h } from "./dom.js";

/**
 * @typedef {object} Parts
 * @property {Controls} controls
 * @property {Legend} legend
 * @property {TextView} text
 * @property {MapView} map
 * @property {Comparison} comparison
 * @property {DecisionPanel} decision
 * @property {LoadPanel} loads
 */

const SPACES = "Show spaces, tabs and line ends";
/** @type {Record<string, string>} */
const PRECISION = {
  half: "",
  byte: "logits are shown to about a hundredth; save_page keeps them finer.",
  none: "only the chosen experts and their gates are here; save_page keeps all logits.",
};

/**
 * Headings by their rank: the picture has a page to itself, or is a part of a notebook.
 * @param {boolean} page
 * @returns {["h1" | "h2", "h2" | "h3"]}
 */
export const ranks = (page) => (page ? ["h1", "h2"] : ["h2", "h3"]);

/**
 * @param {Trace} trace
 * @param {Parts} parts
 * @param {boolean} page
 * @param {boolean} deck whether this is a slide
 * @param {(event: KeyboardEvent) => void} onkeydown
 */
export function layout(trace, parts, page, deck, onkeydown) {
  const { legend, decision, loads } = parts;
  const [, H] = ranks(page);
  const layers = h(H, {}, "This token through all layers");
  const first = trace.rule.gated ? "first choice above second" : "first recorded above second";
  layers.append(h("span", { class: "spare" }, `: ${first}`));
  const attributes = {
    class: "mv" + (page ? " page" : "") + (deck ? " deck" : ""),
    tabindex: 0,
    role: "group",
    "aria-roledescription": "explorer",
    "aria-label": `Routing explorer: ${trace.title}`,
    onkeydown,
  };
  const scope = h("div", { class: "row" }, loads.title, loads.scope);
  const right = h(
    "div",
    {},
    decision.sentence,
    h("section", {}, decision.title, decision.bars.element, decision.note),
    h("section", {}, layers, decision.path),
    h("section", { class: "spare" }, scope, loads.bars.element, loads.note),
  );
  return h(
    "div",
    attributes,
    header(trace, parts.controls, page),
    ...banner(trace),
    legend.element,
    h("div", { class: "body" }, left(parts), right),
    caption(trace, deck),
  );
}

/**
 * @param {Trace} trace
 * @param {Controls} controls
 * @param {boolean} page
 */
function header(trace, controls, page) {
  const [top] = ranks(page);
  return h(
    "header",
    {},
    h(top, { class: "title" }, "Which expert takes which token"),
    h("span", { class: "muted" }, trace.title),
    h("span", { class: "grow" }),
    h("label", { class: "prompts" }, "Prompt ", controls.label, controls.prompt),
    h("label", {}, "Layer ", controls.layer, controls.layerName),
  );
}

/** @param {Trace} trace */
function banner({ synthetic }) {
  if (!synthetic) return [];
  const words = h("span", {}, `${synthetic}: nothing here is about a trained model`);
  return [h("div", { class: "banner", role: "note" }, words)];
}

/** @param {Parts} parts */
function left({ controls, text, map, comparison }) {
  const tools = h(
    "div",
    { class: "tools" },
    controls.alike,
    h("label", { class: "spare" }, "Compare with ", controls.beside),
    h("span", { class: "grow" }),
    controls.found,
    controls.search,
    h("label", { class: "spare", title: SPACES }, controls.signs, "spaces"),
  );
  const mode = h("label", {}, controls.mapTitle, controls.mode);
  const colour = h("div", { class: "tools" }, mode, controls.watched);
  return h("div", {}, tools, text.element, colour, map.element, comparison.element);
}

/**
 * @param {Trace} trace
 * @param {boolean} deck
 */
function caption(trace, deck) {
  const { leftOut, model, gaps, L, T } = trace;
  const all = (L * T).toLocaleString("en");
  const left = `${leftOut.toLocaleString("en")} prompts are left out to keep this output small`;
  const coarse = PRECISION[trace.precision];
  const other = /^mixtral-8x7b/i.test(model) ? "" : ", not Mixtral 8x7B";
  const notes = [
    gaps ? `${gaps.toLocaleString("en")} of ${all} decisions are gaps: NaN or infinite.` : "",
    leftOut ? `${left}; save_page keeps them.` : "",
    "Colour = expert number within its layer.",
    `The same number in another layer is another network. ${model}${other}.`,
    deck ? "" : "<s> is run and shown, but left out of loads.", // a slide shows no loads
    coarse ? `To keep this output small, ${coarse}` : "",
  ];
  const last = Math.min(trace.E, 10) - 1;
  const keys = `Keys: ← → token, ↑ ↓ layer, / find, 0 – ${last} one expert, Esc all.`;
  const said = notes.filter(Boolean).join(" ") + " ";
  return h("footer", {}, said, h("span", { class: "hint" }, keys));
}
