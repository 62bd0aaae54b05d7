// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The switchboard: the selected expert off or on, another k, other gates; and what that does.
/** @import { State } from "../../explorer/js/types.js" */
/** @import { Trace } from "../../explorer/js/data/trace.js" */
/** @import { Changes } from "./decision.js" */
/** @import { Effect } from "./effect.js" */
/** @import { Switches } from "./switches.js" */

import { h, write } from "../../js/dom.js";
import { kept } from "./panel.js";

/** Less than this share of another's load is not as busy. */
const NEAR = 0.67;

/**
 * @typedef {object} Acts
 * @property {() => void} changed
 * @property {() => void} release the expert that is isolated in the picture
 */

export class ChangePanel {
  /**
   * @param {Switches} switches
   * @param {Effect} effect
   * @param {Acts} acts
   */
  constructor(switches, effect, acts) {
    this.switches = switches;
    this.effect = effect;
    this.acts = acts;
    /** @type {{ layer: number, expert: number } | null} */
    this.selected = null;
    /** @type {Trace | null} */
    this.trace = null;
    this.which = h("p", { class: "which" });
    this.busy = h("p", { class: "spare" });
    /** @type {{ layer: number, expert: number } | null} which expert the one that is off is for */
    this.stood = null;
    this.toggle = h("button", { onclick: () => this.flip(), title: "key O" });
    this.control = h("button", { onclick: () => this.flipControl() }, "Check: one as busy instead");
    this.words = h("p", { class: "said", "aria-live": "polite" });
    this.undo = h("button", { onclick: () => this.back() }, "undo");
    this.force = h("button", { onclick: () => this.forceIt() });
    this.k = h("select", { "aria-label": "Experts a token" });
    for (let n = 1; n <= switches.E; n++) this.k.append(h("option", { value: n }, String(n)));
    this.k.onchange = () => this.set({ k: Number(this.k.value) });
    this.temperature = h("input", { type: "number", min: 0.1, max: 10, step: 0.1, value: 1 });
    this.temperature.onchange = () =>
      this.set({ temperature: Math.min(Math.max(Number(this.temperature.value) || 1, 0.1), 10) });
    this.uniform = h("input", { type: "checkbox" });
    this.uniform.onchange = () => this.set({ uniform: this.uniform.checked });
    this.empty = h("input", { type: "checkbox" });
    this.empty.onchange = () => this.set({ empty: this.empty.checked });
    this.element = h(
      "div",
      { slot: "aside", class: "panel", role: "region", "aria-label": "Change", onkeydown: kept },
      this.which,
      this.busy,
      h(
        "div",
        { class: "row" },
        this.toggle,
        h("label", {}, this.k, "experts a token"),
        this.control,
      ),
      h("div", { class: "row" }, this.words, this.undo),
      h(
        "details",
        {},
        h("summary", {}, "more"),
        this.force,
        h("label", {}, this.uniform, "the chosen count equally, whatever their gates"),
        h("label", {}, this.temperature, "temperature: higher, and gates are more alike"),
        h("label", {}, this.empty, "an expert that is off leaves its slot empty"),
      ),
      effect.element,
    );
    this.draw();
  }

  /**
   * Hear the key O while this panel stands in the host: before the picture, which lets no key
   * further, and not in its fields, where letters are text.
   * @param {HTMLElement} host
   */
  listen(host) {
    const hear = (/** @type {KeyboardEvent} */ event) => {
      const typed = /** @type {Element} */ (event.composedPath()[0]).matches("input, select");
      if (this.element.isConnected && event.key === "o" && !typed) this.flip();
    };
    host.addEventListener("keydown", hear, { capture: true });
  }

  /**
   * What is selected in the picture.
   * @param {State} state
   * @param {Trace} trace
   */
  look(state, trace) {
    const { L, E } = this.switches;
    if (trace.L !== L || trace.E !== E) {
      // Somebody has brought a trace of another model, which is not here to be switched.
      this.trace = this.selected = null;
      return this.draw();
    }
    this.trace = trace;
    const { layer, isolate: expert } = state;
    if (expert !== null) this.select(layer, expert);
    write(this.busy, this.business());
  }

  /**
   * @param {number} layer
   * @param {number} expert
   */
  select(layer, expert) {
    if (this.selected?.layer === layer && this.selected.expert === expert) return;
    this.selected = { layer, expert };
    this.stood = null;
    this.draw();
  }

  /** Switch the selected expert off, or on again. */
  flip() {
    const { selected, switches } = this;
    if (selected) this.after(switches.flip(selected.layer, selected.expert));
  }

  /** Send every token to the selected expert, or no longer. */
  forceIt() {
    const { selected, switches } = this;
    if (selected) this.after(switches.force(selected.layer, selected.expert));
  }

  /** Off with the control in its place: another expert of the layer that is as busy. */
  flipControl() {
    const { selected, switches } = this;
    const other = selected && this.equallyBusy(selected.layer, selected.expert);
    if (!selected || other === null) return;
    this.stood = selected;
    this.selected = { layer: selected.layer, expert: other };
    this.after(switches.instead(selected.layer, other));
  }

  /** @param {Partial<Changes>} change */
  set(change) {
    this.after(this.switches.set(change));
  }

  back() {
    this.switches.back();
    const off = this.switches.changes.off.flatMap((all, layer) =>
      all.map((expert) => ({ layer, expert })),
    );
    if (off.length === 1) [this.selected] = off; // what the numbers are about
    this.stood = null;
    this.after("");
  }

  /** @param {string} refused why nothing was changed, if so */
  after(refused) {
    this.draw();
    if (refused) return write(this.words, refused);
    this.effect.forget();
    this.acts.release(); // of one that is off no token would be left to see
    this.acts.changed();
  }

  /**
   * The share of each expert of a layer in the text's choices, where nothing is off: in the changed
   * run one that is off has no load.
   * @param {number} layer
   */
  loads(layer) {
    const { trace } = this;
    if (!trace) return [];
    const choices = trace.others ?? trace.experts;
    const counts = Array.from({ length: trace.E }, () => 0);
    for (let t = 0; t < trace.T; t++) {
      const from = (layer * trace.T + t) * trace.K;
      const row = trace.isSpecial(t) ? [] : choices.subarray(from, from + trace.K);
      for (const e of row) if (e >= 0) counts[e]++;
    }
    const all = counts.reduce((sum, n) => sum + n, 0) || 1;
    return counts.map((n) => n / all);
  }

  /**
   * The other expert of a layer whose load is nearest to one's.
   * @param {number} layer
   * @param {number} expert
   */
  equallyBusy(layer, expert) {
    const loads = this.loads(layer);
    const others = loads
      .map((_, e) => e)
      .filter((e) => e !== expert && !this.switches.isOff(layer, e));
    others.sort((a, b) => Math.abs(loads[a] - loads[expert]) - Math.abs(loads[b] - loads[expert]));
    return others[0] ?? null;
  }

  /** How busy the selected expert is in this text, and the one that it stands for. */
  business() {
    const { selected, stood } = this;
    if (!selected) return "";
    const loads = this.loads(selected.layer);
    /** @param {number} e */
    const of = (e) => `${(100 * (loads[e] ?? 0)).toFixed(0)}\u00a0%`;
    const all = "of this text’s choices in its layer, with nothing off";
    if (!stood) return `It took ${of(selected.expert)} ${all}.`;
    const nearest = loads[selected.expert] < NEAR * loads[stood.expert];
    const little = nearest ? " None is as busy: this check says little." : "";
    const both = `${of(selected.expert)}, and expert ${stood.expert} ${of(stood.expert)}`;
    return `It took ${both}, ${all}.${little}`;
  }

  draw() {
    const { selected, switches } = this;
    const { changes, intact } = switches;
    const off = selected && switches.isOff(selected.layer, selected.expert);
    const forced = selected && switches.isForced(selected.layer, selected.expert);
    const named = selected && `expert ${selected.expert} of layer ${selected.layer}`;
    const how = off ? ", which is off" : forced ? ", which takes every token" : "";
    write(
      this.which,
      named ? `Selected: ${named}${how}.` : "Click a cell of the map: one expert of one layer.",
    );
    write(this.busy, this.business());
    write(this.toggle, off ? "Switch on" : "Switch off");
    write(this.force, forced ? "Send it only its own tokens" : "Send every token to it");
    this.toggle.disabled = this.force.disabled = !selected;
    this.control.disabled = !off;
    this.undo.disabled = !switches.earlier.length;
    const pairs = [...changes.off, ...changes.forced].some((all) => all.length);
    const read = pairs ? " (layer/expert)" : "";
    write(this.words, intact ? "Nothing is changed." : `Changed: ${switches.said()}${read}.`);
    this.k.value = String(changes.k);
    this.temperature.value = String(changes.temperature);
    this.uniform.checked = changes.uniform;
    this.empty.checked = changes.empty;
  }
}
