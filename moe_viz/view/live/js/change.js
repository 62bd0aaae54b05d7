// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The switchboard: the selected expert off or on, another k, other gates; and what that does to one
// passage in several languages, beside a control.
/** @import { State } from "../../explorer/js/types.js" */
/** @import { Trace } from "../../explorer/js/data/trace.js" */
/** @import { Changes } from "./decision.js" */
/** @import { Passage } from "./types.js" */

import { h, write } from "../../js/dom.js";
import { changesNothing, unchanged } from "./decision.js";

/**
 * @typedef {object} Acts
 * @property {() => void} changed
 * @property {() => void} release the expert that is isolated in the picture
 * @property {(texts: string[], changes: Changes) => void} compare
 */

export class ChangePanel {
  /**
   * @param {{ L: number, E: number, k: number }} shape
   * @param {Passage[]} passages one topic in several languages is compared
   * @param {Acts} acts
   */
  constructor({ L, E, k }, passages, acts) {
    this.shape = { L, E, k };
    this.acts = acts;
    const topic = passages.find((p) => p.label === "fr")?.topic;
    this.compared = passages.filter((p) => p.topic === topic && topic);
    /** @type {Changes} */
    this.changes = unchanged(L, k);
    /** @type {Changes[]} */
    this.earlier = [];
    /** @type {{ layer: number, expert: number } | null} */
    this.selected = null;
    /** @type {Trace | null} */
    this.trace = null;
    this.which = h("p", { class: "which" });
    this.toggle = h("button", { onclick: () => this.flip(), title: "key O" });
    this.control = h("button", { onclick: () => this.flipControl() });
    this.words = h("p", { class: "said" });
    this.undo = h("button", { onclick: () => this.back() }, "undo");
    this.k = h("select", { "aria-label": "Experts a token" });
    for (let n = 1; n <= E; n++) this.k.append(h("option", { value: n }, String(n)));
    this.k.onchange = () => this.set({ k: Number(this.k.value) });
    this.temperature = h("input", { type: "number", min: 0.1, max: 10, step: 0.1, value: 1 });
    this.temperature.onchange = () =>
      this.set({ temperature: Math.min(Math.max(Number(this.temperature.value) || 1, 0.1), 10) });
    this.uniform = h("input", { type: "checkbox" });
    this.uniform.onchange = () => this.set({ uniform: this.uniform.checked });
    this.empty = h("input", { type: "checkbox" });
    this.empty.onchange = () => this.set({ empty: this.empty.checked });
    this.scores = h("div", { class: "scores" });
    this.verdict = h("p", { class: "muted" });
    this.element = h(
      "section",
      { slot: "aside", class: "panel", "aria-label": "Change" },
      this.which,
      h("div", { class: "row" }, this.toggle, this.control, this.undo),
      this.words,
      h(
        "details",
        {},
        h("summary", {}, "more"),
        h("label", {}, "experts a token ", this.k),
        h("label", {}, "temperature of the gates ", this.temperature),
        h("label", {}, this.uniform, "the chosen count equally"),
        h("label", {}, this.empty, "the slot of one that is off stays empty"),
      ),
      h("h2", {}, "How much worse the same passage becomes"),
      this.scores,
      this.verdict,
    );
    this.draw();
  }

  /** What a title says of the changes; nothing where there is none. */
  said() {
    const { off, k, temperature, uniform, empty } = this.changes;
    const removed = off.flatMap((experts, layer) => experts.map((e) => `${layer}/${e}`));
    return [
      removed.length ? `off: ${removed.join(", ")}${empty ? " (slots stay empty)" : ""}` : "",
      k === this.shape.k ? "" : `top-${k}`,
      temperature === 1 ? "" : `router temperature ${temperature}`,
      uniform ? "uniform gates" : "",
    ]
      .filter(Boolean)
      .join(", ");
  }

  get intact() {
    return changesNothing(this.changes, this.shape.k);
  }

  /**
   * What is selected in the picture.
   * @param {State} state
   * @param {Trace} trace
   */
  look(state, trace) {
    this.trace = trace;
    const { layer, isolate: expert } = state;
    const { selected } = this;
    if (expert === null || (selected?.layer === layer && selected.expert === expert)) return;
    this.selected = { layer, expert };
    this.draw();
  }

  /** Switch the selected expert off, or on again. */
  flip() {
    if (this.selected) this.switch(this.selected.layer, this.selected.expert);
  }

  /** Off with the control in its place: another expert of the layer that is as busy. */
  flipControl() {
    const { selected } = this;
    const other = selected && this.equallyBusy(selected.layer, selected.expert);
    if (!selected || other === null) return;
    const off = this.changes.off.map((experts, layer) =>
      layer === selected.layer ? [other] : experts,
    );
    this.selected = { layer: selected.layer, expert: other };
    this.set({ off });
  }

  /**
   * @param {number} layer
   * @param {number} expert
   */
  switch(layer, expert) {
    const off = this.changes.off.map((experts, l) => {
      if (l !== layer) return experts;
      return experts.includes(expert)
        ? experts.filter((e) => e !== expert)
        : [...experts, expert].sort((a, b) => a - b);
    });
    this.set({ off });
  }

  /** @param {Partial<Changes>} change */
  set(change) {
    const next = { ...this.changes, ...change };
    const left = this.shape.E - Math.max(...next.off.map((experts) => experts.length));
    this.draw(); // what was asked for and cannot be is taken back
    if (left < next.k && !next.empty) {
      return write(this.words, `A layer with ${left} experts left cannot choose ${next.k}.`);
    }
    this.earlier.push(this.changes);
    this.changes = next;
    this.after();
  }

  /**
   * One expert off and nothing else; does not run it.
   * @param {number} layer
   * @param {number} expert
   */
  only(layer, expert) {
    this.reset();
    this.earlier.push(this.changes);
    this.selected = { layer, expert };
    const off = this.changes.off.map((_, l) => (l === layer ? [expert] : []));
    this.changes = { ...this.changes, off };
    this.draw();
  }

  /** Nothing is changed; does not run it. */
  reset() {
    this.changes = unchanged(this.shape.L, this.shape.k);
    this.earlier = [];
    this.draw();
    this.forget();
  }

  /** What was compared is true no longer. */
  forget() {
    this.scores.replaceChildren();
    write(this.verdict, "");
  }

  back() {
    const before = this.earlier.pop();
    if (before) this.changes = before;
    this.after();
  }

  after() {
    this.draw();
    this.forget();
    this.acts.release(); // of one that is off no token would be left to see
    this.acts.changed();
  }

  /** Ask how much worse the passages have become. */
  compare() {
    if (this.intact || !this.compared.length) return;
    this.acts.compare(
      this.compared.map((p) => p.text),
      this.changes,
    );
  }

  /** @param {{ own: number, intact: number }[]} losses */
  tell(losses) {
    const found = losses.map(({ own, intact }, n) => ({
      label: this.compared[n].label,
      change: own - intact,
    }));
    const widest = Math.max(0.01, ...found.map(({ change }) => Math.abs(change)));
    this.scores.replaceChildren(
      ...found.map(({ label, change }) => {
        const bar = h("span", { class: "bar zero" });
        const fill = h("span", { class: change < 0 ? "fill less" : "fill" });
        fill.style.width = `${(50 * Math.abs(change)) / widest}%`;
        bar.append(fill);
        return h(
          "div",
          { class: "guess" },
          h("span", {}, label),
          bar,
          h("span", {}, signed(change)),
        );
      }),
    );
    const order = [...found].sort((a, b) => b.change - a.change);
    const [most, least] = [order[0], order[order.length - 1]];
    write(
      this.verdict,
      `Nats a token, one passage: ${most.label} loses most (${signed(most.change)}), ` +
        `${least.label} least (${signed(least.change)}). Try the control, and other texts.`,
    );
  }

  /**
   * The other expert of a layer whose load is nearest to one's.
   * @param {number} layer
   * @param {number} expert
   */
  equallyBusy(layer, expert) {
    const { trace } = this;
    if (!trace) return null;
    // Of the run in which nothing is off: in the changed one an expert that is off has no load.
    const choices = trace.others ?? trace.experts;
    const loads = Array.from({ length: trace.E }, () => 0);
    for (let t = 0; t < trace.T; t++) {
      const from = (layer * trace.T + t) * trace.K;
      const row = trace.isSpecial(t) ? [] : choices.subarray(from, from + trace.K);
      for (const e of row) if (e >= 0) loads[e]++;
    }
    const off = this.changes.off[layer];
    const others = loads.map((_, e) => e).filter((e) => e !== expert && !off.includes(e));
    others.sort((a, b) => Math.abs(loads[a] - loads[expert]) - Math.abs(loads[b] - loads[expert]));
    return others[0] ?? null;
  }

  draw() {
    const { selected, changes } = this;
    const off = selected && changes.off[selected.layer].includes(selected.expert);
    const named = selected && `expert ${selected.expert} of layer ${selected.layer}`;
    write(
      this.which,
      named
        ? `Selected: ${named}${off ? ", which is off" : ""}.`
        : "Click a cell of the map: one expert of one layer.",
    );
    write(this.toggle, off ? "Switch on" : "Switch off");
    this.toggle.disabled = !selected;
    write(this.control, "Control: an equally busy one instead");
    this.control.disabled = !off;
    this.undo.disabled = !this.earlier.length;
    write(this.words, this.intact ? "Nothing is changed." : `Changed: ${this.said()}.`);
    this.k.value = String(changes.k);
    this.temperature.value = String(changes.temperature);
    this.uniform.checked = changes.uniform;
    this.empty.checked = changes.empty;
  }
}

/** @param {number} change */
const signed = (change) => `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)}`;
