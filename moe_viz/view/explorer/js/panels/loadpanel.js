// @ts-check
// SPDX-License-Identifier: Apache-2.0
// How busy a layer's experts are, in a prompt, a label or all prompts, and beside another's.
/** @import { Scene, Actions } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */
/** @import { Neighbour } from "../data/beside.js" */

import { Bars } from "./bars.js";
import { h, select, write } from "../../../js/dom.js";
import { busiest } from "../data/hues.js";
import { Strip } from "./strip.js";
import { percent } from "../data/words.js";

const EVERY = "Share of the layer’s assignments: each token has one for every choice";
/** @type {[string, string][]} */
const SCOPES = [
  ["prompt", "this prompt"],
  ["label", "this label"],
  ["all", "all prompts"],
];
/** Of many experts, how many have a bar; one that was asked for has one besides. */
const BARS = 7;

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
    this.bars = new Bars(trace.many ? BARS + 1 : trace.E, scene.colours, "uniform", "there");
    this.strip = trace.many ? new Strip(trace.E, scene, actions) : null;
    this.note = h("p", { class: "note" });
    const head = h("div", { class: "row" }, this.title, this.scope);
    const all = this.strip ? [this.strip.element] : [];
    this.element = h("section", { class: "spare" }, head, this.bars.element, ...all, this.note);
    if (trace.many) this.bars.element.classList.add("ranked");
    this.painted = "";
  }

  look() {
    this.strip?.look();
  }

  /** @param {Neighbour | null} beside whose loads are compared with these */
  paint(beside) {
    const { trace, bars } = this;
    const { state, colours } = this.scene;
    const { layer } = state;
    const what = [layer, state.prompt, state.scope].join();
    const { loads } = this.scene;
    const here = () => loads.shares(layer, trace.prompts[state.prompt], state.scope);
    this.strip?.paint(what, () => this.all(here()));
    const key = [what, beside?.value, colours.theme.ground, state.asked].join();
    if (key === this.painted) return;
    this.painted = key;
    this.scope.value = state.scope;
    const own = here();
    const theirs = beside && loads.shares(layer, beside.prompt, beside.whole ? "label" : "prompt");
    const even = 1 / trace.E;
    const shown = trace.many ? this.few(own) : own.map((_, e) => e);
    const most = shown.flatMap((e) => [own[e], theirs ? theirs[e] : 0]);
    const scale = Math.max(...most, 2 * even);
    const title = `Load of layer ${trace.layers[layer]} (even: ${percent(even, 1)})`;
    write(this.title, title + (beside ? `, beside ${beside.name}` : ""));
    write(this.note, this.explained(beside));
    bars.element.title = this.note.textContent ?? "";
    shown.forEach((e, row) => {
      const x = own[e];
      bars.tick(row, "uniform", even, scale, "even: " + percent(even, 1));
      if (theirs) this.putDifference(row, e, x, theirs[e], scale);
      else {
        bars.put(row, layer, e, x, scale, true, percent(x, 1));
        bars.tick(row, "there", null, scale, "");
        bars.figure(row, "", null);
      }
    });
    bars.end(shown.length);
  }

  /**
   * Of many experts the busiest, and one that was asked for.
   * @param {number[]} loads
   */
  few(loads) {
    const { asked } = this.scene.state;
    const best = busiest(loads).slice(0, BARS);
    return asked === null || best.includes(asked) ? best : [...best, asked];
  }

  /**
   * What the strip shows.
   * @param {number[]} loads
   */
  all(loads) {
    const [first, second] = busiest(loads);
    const even = 1 / this.trace.E;
    const times = (/** @type {number} */ e) => `${(loads[e] / even).toFixed(1)} × even`;
    return {
      values: loads,
      low: 0,
      high: Math.max(...loads, 2 * even),
      layer: this.scene.state.layer,
      marked: new Set(),
      line: even,
      words: `busiest: ${first}, ${times(first)}; then ${second}, ${times(second)}`,
      say: (/** @type {number} */ e) => `expert ${e}: ${percent(loads[e], 1)}, ${times(e)}`,
    };
  }

  /**
   * @param {number} row
   * @param {number} e
   * @param {number} here
   * @param {number} there
   * @param {number} scale
   */
  putDifference(row, e, here, there, scale) {
    const { bars } = this;
    const points = 100 * (here - there);
    const [a, b] = [percent(here, 1), percent(there, 1)];
    const said = (points > 0 ? "+" : "−") + Math.abs(points).toFixed(1);
    bars.put(row, this.scene.state.layer, e, here, scale, true, said);
    bars.tick(row, "there", there, scale, "there: " + b);
    const at = Math.round(254 * Math.min(Math.max(0.5 + points / 50, 0), 1));
    bars.figure(row, `${a} here, ${b} there`, this.scene.colours.difference[at]);
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
