// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Where the parts of a picture stand, and the words around them.
/** @import { Place } from "./types.js" */
/** @import { Trace } from "./data/trace.js" */
/** @import { Controls } from "./panels/controls.js" */
/** @import { Comparison } from "./panels/comparison.js" */
/** @import { Legend } from "./panels/legend.js" */
/** @import { DecisionPanel } from "./panels/decision.js" */
/** @import { PathPanel } from "./panels/path.js" */
/** @import { TextView } from "./text/text.js" */

import { h } from "../../js/dom.js";

/**
 * @typedef {object} Parts
 * @property {Controls} controls
 * @property {Legend} legend
 * @property {TextView} text
 * @property {HTMLElement} maps
 * @property {Comparison} comparison
 * @property {DecisionPanel} decision
 * @property {PathPanel} path
 * @property {HTMLElement} below
 */

const SPACES = "Show spaces, tabs and line ends";
/**
 * Headings by their rank: the picture has a page to itself, or is a part of a notebook.
 * @param {boolean} page
 * @returns {["h1" | "h2", "h2" | "h3"]}
 */
export const ranks = (page) => (page ? ["h1", "h2"] : ["h2", "h3"]);

/**
 * @param {Trace} trace
 * @param {Parts} parts
 * @param {Place} place
 * @param {(event: KeyboardEvent) => void} onkeydown
 */
export function layout(trace, parts, place, onkeydown) {
  const page = place === "page";
  const { legend, decision, path, below } = parts;
  const [, H] = ranks(page);
  const layers = h(H, {}, "This token through all layers");
  layers.append(h("span", { class: "spare" }, `: ${walked(trace)}`));
  const attributes = {
    class: `mv ${place}`,
    tabindex: 0,
    role: "group",
    "aria-roledescription": "explorer",
    "aria-label": `Routing explorer: ${trace.title}`,
    onkeydown,
  };
  // A page around the picture may put something of its own here: a child of the host in this slot.
  const right = h(
    "slot",
    { name: "aside" },
    decision.sentence,
    decision.element,
    h("section", {}, layers, path.element),
    below,
  );
  return h(
    "div",
    attributes,
    header(trace, parts.controls, page),
    ...banner(trace),
    legend.element,
    h("div", { class: "body" }, left(parts, trace, place), h("div", {}, right)),
    caption(trace, place),
  );
}

/**
 * What a token's way through the layers shows.
 * @param {Trace} trace
 */
function walked({ rule, many, K }) {
  const first = rule.gated ? "first choice" : "first recorded";
  if (K === 1) return first;
  return many ? `${first} of ${K}, above the layer’s number` : `${first} above second`;
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
    ...(several(trace)
      ? [h("label", { class: "prompts" }, "Prompt ", controls.label, controls.prompt)]
      : []),
    h("label", {}, "Layer ", controls.layer, controls.layerName),
  );
}

/**
 * Whether there is another prompt to choose, or to compare with.
 * @param {Trace} trace
 */
const several = ({ prompts }) => prompts.length > 1;

/** @param {Trace} trace */
function banner({ synthetic }) {
  if (!synthetic) return [];
  const words = h("span", {}, `${synthetic}: nothing here is about a trained model`);
  return [h("div", { class: "banner", role: "note" }, words)];
}

/**
 * @param {Parts} parts
 * @param {Trace} trace
 * @param {Place} place
 */
function left({ controls, text, maps, comparison }, trace, place) {
  const { alike, found, search, play, sort, view, mode, watched } = controls;
  const grow = () => h("span", { class: "grow" });
  if (place === "slide") {
    // What a slide shows was chosen beforehand: it is for the class to play and to sort.
    const tools = h("div", { class: "tools" }, alike, grow(), watched, found, search, sort, play);
    return h("div", {}, tools, text.element, maps, comparison.element);
  }
  const tools = h(
    "div",
    { class: "tools" },
    alike,
    ...(several(trace) ? [h("label", { class: "compare" }, "Compare ", controls.beside)] : []),
    grow(),
    found,
    search,
    h("label", { title: SPACES }, controls.signs, "spaces"),
  );
  const colour = h(
    "div",
    { class: "tools maps" },
    play,
    sort,
    grow(),
    h("label", {}, "Map ", view),
    h("label", {}, "colour ", mode),
    watched,
  );
  return h("div", {}, tools, text.element, colour, maps, comparison.element);
}

/**
 * @param {Trace} trace
 * @param {Place} place
 */
function caption(trace, place) {
  const { leftOut, model, gaps, L, T, dense, many } = trace;
  const all = (L * T).toLocaleString("en");
  const left = `${leftOut.toLocaleString("en")} prompts are left out to keep this output small`;
  const other = /^mixtral-8x7b/i.test(model) ? "" : ", not Mixtral 8x7B";
  const colour = many
    ? "Colour = one of the layer’s busiest seven experts; grey: any other."
    : "Colour = expert number within its layer.";
  const notes = [
    gaps ? `${gaps.toLocaleString("en")} of ${all} decisions are gaps: NaN or infinite.` : "",
    leftOut ? `${left}; save_page keeps them.` : "",
    colour,
    `The same number in another layer is another network. ${model}${other}.`,
    dense.length && place !== "slide" ? `${listed(dense)}: dense, without experts.` : "",
    // A slide shows no loads.
    place === "slide" ? "" : "<s> is run and shown, but left out of loads.",
    coarse(trace, place === "page"),
  ];
  const last = many ? 6 : Math.min(trace.E, 10) - 1;
  const which = many ? "one of the busiest" : "one expert";
  const keys = `Keys: ← → token, ↑ ↓ layer, space play, / find, 0 – ${last} ${which}, Esc all.`;
  const said = notes.filter(Boolean).join(" ") + " ";
  return h("footer", {}, said, h("span", { class: "hint" }, keys));
}

/**
 * What was left out for want of room.
 * @param {Trace} trace
 * @param {boolean} page
 */
function coarse({ precision, E, more }, page) {
  const where = page ? "the trace keeps" : "save_page keeps";
  const why = page ? "To keep this page quick" : "To keep this output small";
  if (precision === "byte")
    return `${why}, logits are shown to about a hundredth; ${where} them finer.`;
  if (precision === "top") {
    const some = `of each decision the scores of the chosen and the next ${more} of ${E} are here`;
    return `${why}, ${some}; ${where} ${page ? "all" : "more"}.`;
  }
  if (precision === "none") {
    return `${why}, only the chosen experts and their gates are here; ${where} all logits.`;
  }
  return "";
}

/**
 * Layers' numbers, runs of them as first to last.
 * @param {number[]} numbers in order
 */
function listed(numbers) {
  /** @type {number[][]} */
  const runs = [];
  for (const n of numbers) {
    const run = runs.at(-1);
    if (run && run[1] === n - 1) run[1] = n;
    else runs.push([n, n]);
  }
  const names = runs.map(([a, b]) => (a === b ? String(a) : `${a}–${b}`));
  return `Layer${numbers.length > 1 ? "s" : ""} ${names.join(", ")}`;
}
