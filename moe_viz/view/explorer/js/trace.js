// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A trace: its arrays, and what is read from them about one decision.
/** @import { PackedTrace, Prompt } from "./types.js" */

import { decode } from "./packed.js";

/** What a prompt without a label is called. */
export const UNLABELLED = "text";
const SPECIAL = 1;
const GENERATED = 2;
/** The expert of a decision that was made with NaN or infinity: there is nothing to show. */
const GAP = -2;

export class Trace {
  /** @param {PackedTrace} packed */
  constructor(packed) {
    const [L, T, E, K] = packed.shape;
    this.L = L;
    this.T = T;
    this.E = E;
    this.K = K;
    this.title = packed.title;
    this.model = packed.model;
    this.synthetic = packed.synthetic;
    this.layers = packed.layers;
    this.precision = packed.precision;
    this.rule = packed.rule;
    this.leftOut = packed.leftOut;
    this.gaps = packed.gaps;
    this.off = packed.off;
    this.partlyOff = packed.partlyOff;
    this.other = packed.other;
    this.vocabulary = packed.pieces;
    /** @type {Prompt[]} */
    this.prompts = packed.prompts.map(([label, text, start, stop, topic]) => ({
      label: label || UNLABELLED,
      text,
      start,
      stop,
      topic,
    }));
    this.labels = [...new Set(this.prompts.map((p) => p.label))];
    const arrays = decode(packed);
    this.experts = arrays.experts;
    this.others = arrays.others;
    this.gates = arrays.gates;
    this.gateOf = arrays.gateOf;
    this.logits = arrays.logits;
    this.logitOf = arrays.logitOf;
    this.pieces = arrays.pieces;
    this.spans = arrays.spans;
    this.flags = arrays.flags;
  }

  get hasLogits() {
    return this.logits !== null;
  }

  /**
   * Whether a decision has no numbers to show.
   * @param {number} layer
   * @param {number} t
   */
  isGap(layer, t) {
    return this.experts[(layer * this.T + t) * this.K] === GAP;
  }

  /**
   * Whether a layer's choice goes by numbers that are here.
   * @param {number} layer
   */
  isScored(layer) {
    return this.hasLogits && (this.rule.scored[layer] ?? true);
  }

  /**
   * What the choice goes by, less the row's largest where these are logits; NaN in a gap, and where
   * it is not here.
   * @param {number} layer
   * @param {number} t
   * @param {number} e
   */
  logit(layer, t, e) {
    if (!this.isScored(layer) || (this.gaps && this.isGap(layer, t))) return NaN;
    return this.logits ? this.logitOf[this.logits[(layer * this.T + t) * this.E + e]] : NaN;
  }

  /**
   * The expert in a slot; below 0 where there is none.
   * @param {number} layer
   * @param {number} t
   * @param {number} slot
   */
  choice(layer, t, slot) {
    return this.experts[(layer * this.T + t) * this.K + slot];
  }

  /**
   * @param {number} layer
   * @param {number} t
   * @param {number} slot
   */
  gate(layer, t, slot) {
    return this.gateOf[this.gates[(layer * this.T + t) * this.K + slot]];
  }

  /**
   * The experts that a token went to, with their gates.
   * @param {number} layer
   * @param {number} t
   * @returns {[expert: number, gate: number][]}
   */
  chosen(layer, t) {
    /** @type {[number, number][]} */
    const out = [];
    for (let s = 0; s < this.K; s++) {
      const e = this.choice(layer, t, s);
      if (e >= 0) out.push([e, this.gate(layer, t, s)]);
    }
    return out;
  }

  /**
   * Whether a token went to an expert.
   * @param {number} layer
   * @param {number} t
   * @param {number} e
   */
  involves(layer, t, e) {
    for (let s = 0; s < this.K; s++) if (this.choice(layer, t, s) === e) return true;
    return false;
  }

  /** @param {number} t */
  isSpecial(t) {
    return (this.flags[t] & SPECIAL) !== 0;
  }

  /** @param {number} t */
  isGenerated(t) {
    return (this.flags[t] & GENERATED) !== 0;
  }

  /** @param {number} t */
  piece(t) {
    return this.vocabulary[this.pieces[t]];
  }

  /**
   * The characters of its prompt's text that a token stands for.
   * @param {number} t
   * @returns {[from: number, to: number]}
   */
  span(t) {
    return [this.spans[2 * t], this.spans[2 * t + 1]];
  }

  /**
   * A number for each expert to draw as a bar: the softmax over all; for a router that scores each
   * by itself what the choice goes by; without either the gates of the chosen. Else NaN.
   * @param {number} layer
   * @param {number} t
   */
  bars(layer, t) {
    if (this.rule.softmax || !this.isScored(layer)) return this.probabilities(layer, t);
    return Array.from({ length: this.E }, (_, e) => {
      const x = this.logit(layer, t, e) + this.rule.top;
      return Number.isFinite(x) ? x : NaN;
    });
  }

  /**
   * Softmax over all experts; without logits the gates of the chosen, and NaN for the others.
   * @param {number} layer
   * @param {number} t
   */
  probabilities(layer, t) {
    if (!this.rule.softmax || !this.isScored(layer)) {
      if (!this.rule.gated) return Array.from({ length: this.E }, () => NaN);
      const gates = new Map(this.chosen(layer, t));
      return Array.from({ length: this.E }, (_, e) => gates.get(e) ?? NaN);
    }
    const row = Array.from({ length: this.E }, (_, e) => Math.exp(this.logit(layer, t, e)));
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((p) => p / sum);
  }

  /**
   * Experts by logit, strongest first; equal ones by number.
   * @param {number} layer
   * @param {number} t
   */
  ranking(layer, t) {
    return Array.from({ length: this.E }, (_, e) => e).sort(
      (a, b) => this.logit(layer, t, b) - this.logit(layer, t, a) || a - b,
    );
  }

  /**
   * How far an expert's number may be off, since numbers travel rounded.
   * @param {number} layer
   * @param {number} t
   * @param {number} e
   */
  doubt(layer, t, e) {
    const { logits, logitOf } = this;
    if (!logits) return NaN;
    const n = logits[(layer * this.T + t) * this.E + e];
    const next = [n + 1, n - 1].map((other) => Math.abs(logitOf[other] - logitOf[n]));
    return Math.max(0, ...next.filter(Number.isFinite)) / 2;
  }

  /**
   * How far the last of the chosen is ahead of the next, in what the choice goes by.
   * @param {number} layer
   * @param {number} t
   */
  margin(layer, t) {
    if (this.K === this.E) return Infinity;
    const row = this.ranking(layer, t);
    return this.logit(layer, t, row[this.K - 1]) - this.logit(layer, t, row[this.K]);
  }

  /**
   * A prompt's first token that is not special.
   * @param {Prompt} prompt
   */
  firstShown(prompt) {
    let t = prompt.start;
    while (t < prompt.stop - 1 && this.isSpecial(t)) t++;
    return t;
  }
}
