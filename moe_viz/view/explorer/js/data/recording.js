// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What was recorded: tokens, prompts, and which experts each token went to.
/** @import { PackedTrace, Prompt } from "../types.js" */

import { decode } from "./packed.js";

/** What a prompt without a label is called. */
export const UNLABELLED = "text";
/** Experts from which on their colours would repeat too often to tell them apart. */
const MANY = 16;
const SPECIAL = 1;
const GENERATED = 2;
/** The expert of a decision that was made with NaN or infinity: there is nothing to show. */
const GAP = -2;

export class Recording {
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
    this.dense = packed.dense;
    this.precision = packed.precision;
    this.rule = packed.rule;
    this.more = packed.more;
    this.leftOut = packed.leftOut;
    this.gaps = packed.gaps;
    this.off = packed.off;
    this.partlyOff = packed.partlyOff;
    this.other = packed.other;
    this.twin = packed.twin;
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
    this.nearest = arrays.nearest;
    this.logitOf = arrays.logitOf;
    this.pieces = arrays.pieces;
    this.spans = arrays.spans;
    this.flags = arrays.flags;
    this.taker = -1;
    this.taken = new Uint8Array(L * E);
  }

  /** Whether there are more experts than colours can name. */
  get many() {
    return this.E >= MANY;
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

  /**
   * The share of another run's choices that this run made too; NaN where there is none.
   * @param {number} layer
   * @param {number} t
   */
  agreement(layer, t) {
    const { others, T, K } = this;
    if (!others) return NaN;
    let both = 0;
    let all = 0;
    for (let s = 0; s < K; s++) {
      const e = others[(layer * T + t) * K + s];
      if (e < 0) continue;
      all++;
      if (this.involves(layer, t, e)) both++;
    }
    return all ? both / all : NaN;
  }

  /**
   * Whether another run of the same model chose otherwise; every choice of an untrained twin does.
   * @param {number} layer
   * @param {number} t
   */
  differs(layer, t) {
    return !this.twin && this.agreement(layer, t) < 1;
  }

  /**
   * How many experts two tokens went to both.
   * @param {number} layer
   * @param {number} a
   * @param {number} b
   */
  shared(layer, a, b) {
    const { experts, T, E, K } = this;
    const marks = this.takenBy(b);
    let both = 0;
    for (let i = (layer * T + a) * K, end = i + K; i < end; i++) {
      if (experts[i] >= 0) both += marks[layer * E + experts[i]];
    }
    return both;
  }

  /**
   * 1 for each expert of each layer that a token went to, (L, E); kept until another is asked for.
   * @param {number} t
   */
  takenBy(t) {
    if (this.taker !== t) {
      this.taker = t;
      this.taken.fill(0);
      for (let l = 0; l < this.L; l++) {
        for (const [e] of this.chosen(l, t)) this.taken[l * this.E + e] = 1;
      }
    }
    return this.taken;
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
   * A prompt's first token that is not special.
   * @param {Prompt} prompt
   */
  firstShown(prompt) {
    let t = prompt.start;
    while (t < prompt.stop - 1 && this.isSpecial(t)) t++;
    return t;
  }
}
