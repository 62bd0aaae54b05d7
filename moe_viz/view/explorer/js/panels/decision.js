// @ts-check
// SPDX-License-Identifier: Apache-2.0
// One decision: its sentence, and bars. Of up to fifteen experts all have one; of more, the chosen
// stand by rank, the next are named, and a strip shows all scores.
/** @import { Scene, Actions } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */

import { Bars } from "./bars.js";
import { h, write } from "../../../js/dom.js";
import { focus } from "../state.js";
import { Strip } from "./strip.js";
import { behind, percent, say } from "../data/words.js";

/** How many that were not chosen are named. */
const NEXT = 4;

export class DecisionPanel {
  /**
   * @param {Trace} trace
   * @param {Scene} scene
   * @param {Actions} actions
   * @param {"h2" | "h3"} rank of its heading
   */
  constructor(trace, scene, actions, rank) {
    this.trace = trace;
    this.scene = scene;
    this.sentence = h("p", { class: "sentence", "aria-live": "polite" });
    this.title = h(rank);
    this.bars = new Bars(trace.many ? trace.K : trace.E, scene.colours);
    this.unit = h("span");
    this.nearest = Array.from({ length: NEXT }, () => {
      const number = h("b", { class: "number" });
      const by = h("span");
      return { element: h("span", { class: "near" }, number, by), number, by };
    });
    const all = this.nearest.map(({ element }) => element);
    this.next = h("p", { class: "next" }, "Next: ", ...all, this.unit);
    this.strip = trace.many ? new Strip(trace.E, scene, actions) : null;
    this.note = h("p", { class: "note" });
    const more = this.strip ? [this.next, this.strip.element] : [];
    this.element = h(
      "section",
      { class: "decision" },
      this.title,
      this.bars.element,
      ...more,
      this.note,
    );
    if (trace.many) this.bars.element.classList.add("ranked");
    this.decided = "";
  }

  look() {
    this.strip?.look();
  }

  paint() {
    const { trace } = this;
    const { state, colours } = this.scene;
    const { layer, token } = focus(state);
    this.strip?.paint(`${layer} ${token}`, () => this.scores(layer, token));
    const key = [layer, token, colours.theme.ground, state.asked].join();
    if (key === this.decided) return;
    this.decided = key;
    write(this.sentence, say(trace, layer, token));
    write(this.title, `Router, layer ${trace.layers[layer]}: ${drawn(trace, layer)}`);
    if (trace.many) this.paintRanks(layer, token);
    else this.paintAll(layer, token);
    this.paintNote(layer, token);
  }

  /**
   * A bar for each expert.
   * @param {number} layer
   * @param {number} token
   */
  paintAll(layer, token) {
    const { bars, trace } = this;
    const taken = new Set(trace.chosen(layer, token).map(([e]) => e));
    const p = trace.bars(layer, token);
    const scored = !trace.hasProbabilities && trace.isScored(layer);
    const scale = Math.max(...p.filter(Number.isFinite), 1e-9);
    p.forEach((x, e) => {
      const number = scored ? x.toFixed(3) : percent(x, 1);
      bars.put(e, layer, e, Math.max(0, x), scale, taken.has(e), Number.isFinite(x) ? number : "–");
    });
  }

  /**
   * A bar for each of the chosen, and the next ones by name.
   * @param {number} layer
   * @param {number} token
   */
  paintRanks(layer, token) {
    const { bars, trace, next } = this;
    const chosen = trace.chosen(layer, token);
    const scale = Math.max(...chosen.map(([, gate]) => gate || 0), 1e-9);
    chosen.forEach(([e, gate], row) => {
      const value = trace.rule.gated ? percent(gate, 1) : `${row + 1}.`;
      bars.put(row, layer, e, trace.rule.gated ? gate : scale, scale, true, value);
    });
    bars.end(chosen.length);
    const near = behind(trace, layer, token, NEXT);
    next.hidden = !near.length;
    write(this.unit, trace.rule.plain ? "logits" : "in score");
    const { colours } = this.scene;
    this.nearest.forEach(({ element, number, by }, n) => {
      element.hidden = !near[n];
      if (!near[n]) return;
      const { e } = near[n];
      number.style.background = colours.solid(layer, e);
      number.style.color = colours.digit(layer, e);
      write(number, String(e));
      write(by, ` −${near[n].by} `);
    });
  }

  /**
   * What the strip shows of a decision.
   * @param {number} layer
   * @param {number} token
   */
  scores(layer, token) {
    const { trace } = this;
    const { rule, E, more, K } = trace;
    const marked = new Set(trace.chosen(layer, token).map(([e]) => e));
    const scored = trace.isScored(layer);
    const values = scored
      ? Array.from({ length: E }, (_, e) => {
          const x = trace.logit(layer, token, e) + rule.top;
          return Number.isFinite(x) ? x : NaN;
        })
      : trace.bars(layer, token).map((x, e) => (rule.gated ? x : marked.has(e) ? 1 : NaN));
    const there = values.filter((x) => !Number.isNaN(x));
    const least = Math.min(...there);
    // Logits have no zero: the lowest has no height, and where only the highest are here, a little.
    const low = scored && rule.plain ? least - (more ? 1 : 0) : Math.min(0, least);
    const words = !scored
      ? `the ${marked.size} chosen of ${E} experts`
      : more
        ? `${rule.words} of the ${K + more} highest; the chosen are marked below`
        : `${rule.words} of all ${E}; the chosen are marked below`;
    return {
      values,
      low,
      high: Math.max(...there),
      layer,
      marked,
      line: null,
      words,
      say: (/** @type {number} */ e) => {
        const x = values[e];
        const how = marked.has(e) ? ", chosen" : "";
        if (Number.isNaN(x)) return `expert ${e}${how || ": not here"}`;
        const number = rule.plain && scored ? `${(-x).toFixed(2)} below the highest` : x.toFixed(3);
        return `expert ${e}: ${number}${how}`;
      },
    };
  }

  /**
   * What the bars are, in words.
   * @param {number} layer
   * @param {number} token
   */
  paintNote(layer, token) {
    const { trace, bars, note } = this;
    const { rule } = trace;
    const chosen = trace.chosen(layer, token);
    const gates = chosen.map(([, gate]) => percent(gate)).join(" and ");
    const whole = chosen.reduce((sum, [, gate]) => sum + gate, 0) > 0.99;
    const how = !whole
      ? "are what they had beside the slots that stay empty"
      : rule.normal
        ? "are the softmax over their scores alone"
        : "weigh what they add";
    const all = trace.many ? "" : `, ${gates},`;
    const said = rule.shares
      ? trace.many
        ? "Shares of its gates, which do not add up to 1."
        : `Their shares of its gates: ${gates}.`
      : `Their gates${all} ${how}.`;
    const filled = trace.many ? "" : "Filled: the chosen. ";
    write(note, gates && `${filled}${rule.gated ? said : ""} ${rule.note}`.trim());
    bars.element.title = note.textContent ?? "";
  }
}

/**
 * What the bars of a decision are.
 * @param {Trace} trace
 * @param {number} layer
 */
function drawn(trace, layer) {
  const { rule, many, K, E } = trace;
  if (many) {
    if (!rule.gated) return `${K} of ${E} experts; gates were not recorded`;
    return `${K} of ${E} experts, by ${rule.shares ? "share of the gates" : "gate"}`;
  }
  if (trace.isScored(layer)) {
    return trace.hasProbabilities
      ? `softmax over all ${E} experts`
      : `what the choice goes by (${rule.words})`;
  }
  return rule.gated
    ? `${rule.shares ? "shares of the gates" : "gates"} of the chosen experts`
    : "the chosen experts; gates were not recorded";
}
