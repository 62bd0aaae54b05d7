// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A trace: what was recorded, and the scores that its choices went by.

import { Recording } from "./recording.js";

export class Trace extends Recording {
  get hasLogits() {
    return this.logits !== null;
  }

  /** Whether the scores of all experts are here, and a softmax of them is what the router takes. */
  get hasProbabilities() {
    return this.rule.softmax && this.hasLogits && !this.more;
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
    if (!this.logits || !this.isScored(layer) || (this.gaps && this.isGap(layer, t))) return NaN;
    return this.logitOf[this.logits[this.place(layer, t, e)]] ?? NaN;
  }

  /** Scores of a decision that are here. */
  get width() {
    return this.more ? this.K + this.more : this.E;
  }

  /**
   * Where an expert's score stands among the logits; −1: it is not here.
   * @param {number} layer
   * @param {number} t
   * @param {number} e
   */
  place(layer, t, e) {
    const decision = layer * this.T + t;
    if (!this.nearest) return decision * this.E + e;
    const { K, more, experts, nearest } = this;
    for (let s = 0; s < K; s++) {
      if (experts[decision * K + s] === e) return decision * this.width + s;
    }
    const n = nearest.subarray(decision * more, (decision + 1) * more).indexOf(e);
    return n < 0 ? -1 : decision * this.width + K + n;
  }

  /**
   * A number for each expert to draw as a bar: the softmax over all; for a router that scores each
   * by itself what the choice goes by; without either the gates of the chosen. Else NaN.
   * @param {number} layer
   * @param {number} t
   */
  bars(layer, t) {
    if (this.hasProbabilities || !this.isScored(layer)) return this.probabilities(layer, t);
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
    if (!this.hasProbabilities || !this.isScored(layer)) {
      if (!this.rule.gated) return Array.from({ length: this.E }, () => NaN);
      const gates = new Map(this.chosen(layer, t));
      return Array.from({ length: this.E }, (_, e) => gates.get(e) ?? NaN);
    }
    const row = Array.from({ length: this.E }, (_, e) => Math.exp(this.logit(layer, t, e)));
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((p) => p / sum);
  }

  /**
   * Experts by logit, strongest first; equal ones by number. Those whose logits are here.
   * @param {number} layer
   * @param {number} t
   */
  ranking(layer, t) {
    const all = Array.from({ length: this.E }, (_, e) => e);
    const scores = all.map((e) => this.logit(layer, t, e));
    const here = this.more ? all.filter((e) => !Number.isNaN(scores[e])) : all;
    return here.sort((a, b) => scores[b] - scores[a] || a - b);
  }

  /**
   * The best experts apart from some, as `ranking` has them; without sorting hundreds.
   * @param {number} layer
   * @param {number} t
   * @param {number} n at most so many
   * @param {Set<number>} apart
   */
  best(layer, t, n, apart) {
    /** @type {{ e: number, x: number }[]} */
    const found = [];
    const { logits, logitOf, nearest, width, K, E, more } = this;
    if (!logits || !this.isScored(layer) || (this.gaps && this.isGap(layer, t))) return [];
    const decision = layer * this.T + t;
    for (let i = 0; i < width; i++) {
      const known = i < K ? this.choice(layer, t, i) : nearest?.[decision * more + i - K];
      const e = nearest ? (known ?? -1) : i;
      const x = logitOf[logits[decision * width + i]];
      if (e < 0 || e >= E || apart.has(e)) continue;
      const last = found[n - 1];
      if (last && !(x > last.x || (x === last.x && e < last.e))) continue;
      let at = found.length;
      while (at && (x > found[at - 1].x || (x === found[at - 1].x && e < found[at - 1].e))) at--;
      found.splice(at, 0, { e, x });
      if (found.length > n) found.pop();
    }
    return found.map(({ e }) => e);
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
    const n = logits[this.place(layer, t, e)];
    const next = [n + 1, n - 1].map((other) => Math.abs(logitOf[other] - logitOf[n]));
    return Math.max(0, ...next.filter(Number.isFinite)) / 2;
  }

  /**
   * How far the last of the chosen is ahead of the next, in what the choice goes by.
   * @param {number} layer
   * @param {number} t
   */
  margin(layer, t) {
    const { K, logits, logitOf, width } = this;
    if (K === this.E) return Infinity;
    if (!logits || !this.isScored(layer) || (this.gaps && this.isGap(layer, t))) return NaN;
    // The K + 1 largest in their order: sorting all of hundreds would cost seconds in a whole map.
    const best = new Array(K + 1).fill(-Infinity);
    const from = (layer * this.T + t) * width;
    for (let i = from; i < from + width; i++) {
      const x = logitOf[logits[i]];
      if (!(x > best[K])) continue;
      let n = K;
      for (; n > 0 && best[n - 1] < x; n--) best[n] = best[n - 1];
      best[n] = x;
    }
    return best[K - 1] - best[K];
  }
}
