// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Panels: one decision, the token's path through all layers, and the experts' loads.
/** @import { Scene, Actions } from "./types.js" */
/** @import { Trace } from "./trace.js" */
/** @import { Neighbour } from "./beside.js" */

import { Bars } from "./bars.js";
import { h, select, write } from "./dom.js";
import { inScope, loadsOf } from "./loads.js";
import { focus } from "./state.js";
import { percent, say } from "./words.js";

/** Layers up to which a path has room for the experts' numbers. */
const NUMBERED = 16;
const EVERY = "Share of the layer’s assignments: each token has one for every choice";
/** @type {[string, string][]} */
const SCOPES = [
  ["prompt", "this prompt"],
  ["label", "this label"],
  ["all", "all prompts"],
];

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
    this.actions = actions;
    this.sentence = h("p", { class: "sentence", "aria-live": "polite" });
    this.title = h(rank);
    this.bars = new Bars(trace.E, scene.colours);
    this.note = h("p", { class: "note" });
    this.path = h("div", { class: "path" });
    this.decided = this.walked = "";
  }

  paint() {
    const { trace } = this;
    const { ground } = this.scene.colours.theme;
    const { layer, token } = focus(this.scene.state);
    const key = `${layer} ${token} ${ground}`;
    if (key === this.decided) return;
    this.decided = key;
    write(this.sentence, say(trace, layer, token));
    write(this.title, `Router, layer ${trace.layers[layer]}: ${drawn(trace, layer)}`);
    this.paintBars(layer, token);
    const way = `${token} ${ground}`; // the same in every layer: only the mark moves
    if (way !== this.walked) {
      this.walked = way;
      this.paintPath(token);
    }
    this.path.querySelector("[aria-current=true]")?.setAttribute("aria-current", "false");
    this.path.children[layer].setAttribute("aria-current", "true");
  }

  /**
   * @param {number} layer
   * @param {number} token
   */
  paintBars(layer, token) {
    const { bars, note } = this;
    const chosen = this.trace.chosen(layer, token);
    const taken = new Set(chosen.map(([e]) => e));
    const { rule } = this.trace;
    const p = this.trace.bars(layer, token);
    const scored = !rule.softmax && this.trace.isScored(layer);
    const scale = Math.max(...p.filter(Number.isFinite), 1e-9);
    p.forEach((x, e) => {
      const number = scored ? x.toFixed(3) : percent(x, 1);
      bars.put(e, Math.max(0, x), scale, taken.has(e), Number.isFinite(x) ? number : "–");
    });
    const gates = chosen.map(([, gate]) => percent(gate)).join(" and ");
    const whole = chosen.reduce((sum, [, gate]) => sum + gate, 0) > 0.99;
    const how = !whole
      ? "are what they had beside the slots that stay empty"
      : rule.normal
        ? "are the softmax over their scores alone"
        : "weigh what they add";
    const said = rule.shares
      ? `Their shares of its gates: ${gates}.`
      : `Their gates, ${gates}, ${how}.`;
    write(note, gates && `Filled: the chosen. ${rule.gated ? said : ""} ${rule.note}`.trim());
    bars.element.title = note.textContent ?? "";
  }

  /** @param {number} token */
  paintPath(token) {
    const { trace, actions } = this;
    const { colours } = this.scene;
    const steps = Array.from({ length: trace.L }, (_, l) => {
      const title = say(trace, l, token);
      const onclick = () => actions.set({ layer: l });
      const button = h("button", { "aria-current": "false", tabindex: -1, title, onclick });
      for (const [e] of trace.chosen(l, token).slice(0, 2)) {
        const cell = h("span", { class: "cell" }, trace.L <= NUMBERED ? String(e) : "");
        cell.style.background = colours.solid(e);
        cell.style.color = colours.digit(e);
        button.append(cell);
      }
      if (trace.L > NUMBERED) button.setAttribute("aria-label", title);
      return button;
    });
    this.path.replaceChildren(...steps);
  }
}

/**
 * What the bars of a decision are.
 * @param {Trace} trace
 * @param {number} layer
 */
function drawn(trace, layer) {
  if (trace.isScored(layer)) {
    return trace.rule.softmax
      ? `softmax over all ${trace.E} experts`
      : `what the choice goes by (${trace.rule.words})`;
  }
  return trace.rule.gated
    ? `${trace.rule.shares ? "shares of the gates" : "gates"} of the chosen experts`
    : "the chosen experts; gates were not recorded";
}

export class LoadPanel {
  /**
   * @param {Trace} trace
   * @param {Scene} scene
   * @param {Actions} actions
   * @param {"h2" | "h3"} rank of its heading
   */
  constructor(trace, scene, actions, rank) {
    this.trace = trace;
    this.scene = scene;
    this.title = h(rank, { title: EVERY });
    this.scope = select("Load of", SCOPES, (scope) => {
      if (scope === "prompt" || scope === "label" || scope === "all") actions.set({ scope });
    });
    this.bars = new Bars(trace.E, scene.colours, "uniform", "there");
    this.note = h("p", { class: "note" });
    this.painted = "";
  }

  /** @param {Neighbour | null} beside whose loads are compared with these */
  paint(beside) {
    const { state, colours } = this.scene;
    const key = [
      state.layer,
      state.prompt,
      state.scope,
      beside?.value,
      colours.theme.ground,
    ].join();
    if (key === this.painted) return;
    this.painted = key;
    const { trace, bars } = this;
    const { layer } = state;
    this.scope.value = state.scope;
    const own = loadsOf(trace, layer, inScope(trace, trace.prompts[state.prompt], state.scope));
    const theirs =
      beside &&
      loadsOf(trace, layer, inScope(trace, beside.prompt, beside.whole ? "label" : "prompt"));
    const even = 1 / trace.E;
    const scale = Math.max(...own, ...(theirs ?? []), 2 * even);
    const title = `Load of layer ${trace.layers[layer]} (even: ${percent(even, 1)})`;
    write(this.title, title + (beside ? `, beside ${beside.name}` : ""));
    write(this.note, this.explained(beside));
    bars.element.title = this.note.textContent ?? "";
    own.forEach((x, e) => {
      bars.tick(e, "uniform", even, scale, "even: " + percent(even, 1));
      if (theirs) this.putDifference(e, x, theirs[e], scale);
      else {
        bars.put(e, x, scale, true, percent(x, 1));
        bars.tick(e, "there", null, scale, "");
        bars.figure(e, "", null);
      }
    });
  }

  /**
   * @param {number} e
   * @param {number} here
   * @param {number} there
   * @param {number} scale
   */
  putDifference(e, here, there, scale) {
    const { bars } = this;
    const points = 100 * (here - there);
    const [a, b] = [percent(here, 1), percent(there, 1)];
    bars.put(e, here, scale, true, (points > 0 ? "+" : "−") + Math.abs(points).toFixed(1));
    bars.tick(e, "there", there, scale, "there: " + b);
    const at = Math.round(254 * Math.min(Math.max(0.5 + points / 50, 0), 1));
    bars.figure(e, `${a} here, ${b} there`, this.scene.colours.difference[at]);
  }

  /** @param {Neighbour | null} beside */
  explained(beside) {
    const { K } = this.trace;
    if (beside) {
      return `Bar: here; thick line: ${beside.name}; number: difference in points; dashed: even.`;
    }
    if (K === 1) return "Dashed: even.";
    return `${K === 2 ? "Both" : `All ${K}`} choices count; dashed: even.`;
  }
}
