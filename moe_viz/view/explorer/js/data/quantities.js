// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a map can show instead of the first choice: a number from 0 to 1 for every decision.
/** @import { Mode, QuantityName, State } from "../types.js" */
/** @import { Trace } from "./trace.js" */

import { percent } from "./words.js";

/**
 * @typedef {object} Quantity
 * @property {string} name
 * @property {string} [short] for the legend
 * @property {() => [string, string]} ends what 0 and 1 stand for
 * @property {(state: Subject) => number} [of] the expert or token that it is about
 * @property {(layer: number, t: number, of: number) => number} at NaN: no number
 * @property {(out: Uint8Array, of: number) => void} [fill] the same of all, where it must be quick
 */

/** @typedef {Pick<State, "watched" | "token">} Subject */

/** The byte of a decision that has no number. */
export const NONE = 255;

export class Quantities {
  /** @param {Trace} trace */
  constructor(trace) {
    this.trace = trace;
    /** @type {Map<string, Quantity>} */
    this.all = new Map(Object.entries(quantitiesOf(trace, this)));
    /** @type {Map<string, { of: number, values: Uint8Array }>} */
    this.worked = new Map();
    this.most = 0;
  }

  /**
   * Whether a map can be drawn in this mode.
   * @param {string | null} mode
   * @returns {mode is Mode}
   */
  offers(mode) {
    return mode === "first" || (mode !== null && this.all.has(mode));
  }

  /** @param {Mode} mode */
  get(mode) {
    return this.all.get(mode);
  }

  /** Modes with their names, as a list to choose from. */
  names() {
    return [...this.all].map(([mode, { name }]) => /** @type {[string, string]} */ ([mode, name]));
  }

  /**
   * The margin that 19 of 20 decisions stay below, rounded up: beyond it colours say "clear" only.
   */
  widest() {
    if (this.most) return this.most;
    const { trace } = this;
    const decisions = trace.L * trace.T;
    const step = Math.max(1, Math.floor(decisions / 20000));
    const some = [];
    for (let n = 0; n < decisions; n += step) {
      some.push(trace.margin(Math.floor(n / trace.T), n % trace.T));
    }
    const sorted = some.filter(Number.isFinite).sort((a, b) => a - b);
    const at = sorted[Math.floor(0.95 * sorted.length)] || 1;
    const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50];
    this.most = steps.slice(this.trace.rule.plain ? 5 : 0).find((x) => x >= at) ?? 100;
    return this.most;
  }

  /**
   * A quantity of all decisions, (L, T), in 254ths; computed when it is first needed.
   * @param {QuantityName} mode
   * @param {Subject} subject the expert, or the token, that some are about
   */
  values(mode, subject) {
    const quantity = this.all.get(mode);
    if (!quantity) throw new Error(`this trace has no ${mode}`);
    const of = quantity.of ? quantity.of(subject) : -1;
    const known = this.worked.get(mode);
    if (known?.of === of) return known.values;
    const { L, T } = this.trace;
    const out = new Uint8Array(L * T);
    if (quantity.fill) quantity.fill(out, of);
    for (let l = 0, n = 0; l < L && !quantity.fill; l++) {
      for (let t = 0; t < T; t++, n++) {
        const x = this.trace.isGap(l, t) ? NaN : quantity.at(l, t, of);
        out[n] = Number.isNaN(x) ? NONE : Math.round(254 * Math.min(Math.max(x, 0), 1));
      }
    }
    this.worked.set(mode, { of, values: out });
    return out;
  }
}

/**
 * The quantities for which this trace has numbers.
 * @param {Trace} trace
 * @param {Quantities} scale knows the widest margin
 * @returns {Partial<Record<QuantityName, Quantity>>}
 */
function quantitiesOf(trace, scale) {
  const { E, K } = trace;
  /** @type {Partial<Record<QuantityName, Quantity>>} */
  const found = {};
  if (K > 1) {
    found.shared = {
      name: "experts shared",
      short: "experts shared with the selected token",
      ends: () => ["0", String(K)],
      of: ({ token }) => token,
      at: (l, t, token) => (trace.isGap(l, t) ? NaN : trace.shared(l, t, token) / K),
      fill: (out, token) => fillShared(trace, out, token),
    };
  }
  if (trace.rule.gated) {
    found.gate = {
      name: trace.rule.shares ? "first choice's share of the gates" : "gate of the first choice",
      ends: () => [percent(1 / K), "100 %"],
      at: (l, t) =>
        trace.choice(l, t, 0) < 0 ? NaN : (trace.gate(l, t, 0) - 1 / K) / (1 - 1 / K || 1),
    };
  }
  if (trace.hasLogits) {
    found.margin = {
      name: `margin to the runner-up, ${trace.rule.plain ? "logits" : "in score"}`,
      ends: () => ["0", `${scale.widest()} or more`],
      at: (l, t) => trace.margin(l, t) / scale.widest(),
    };
  }
  if (trace.hasProbabilities) {
    found.entropy = {
      name: "entropy ÷ log E",
      ends: () => ["0", "1"],
      at: (l, t) =>
        -trace.probabilities(l, t).reduce((s, p) => s + (p > 0 ? p * Math.log(p) : 0), 0) /
        Math.log(E),
    };
    found.expert = {
      name: "probability of one expert",
      ends: () => ["0", "1"],
      of: ({ watched }) => watched,
      at: (l, t, watched) => trace.probabilities(l, t)[watched],
    };
  }
  if (trace.others) {
    found.agreement = {
      name: `agreement with ${trace.other}`,
      short: "agreement",
      ends: () => ["no expert shared", K === 2 ? "both" : "all"],
      at: (l, t) => trace.agreement(l, t),
    };
  }
  return found;
}

/**
 * How many experts every token shares with one, in 254ths of K: anew for each token that is
 * selected, while it is played four times a second.
 * @param {Trace} trace
 * @param {Uint8Array} out (L, T)
 * @param {number} token
 */
function fillShared(trace, out, token) {
  const { L, T, E, K, experts } = trace;
  const marks = trace.takenBy(token);
  const steps = Uint8Array.from({ length: K + 1 }, (_, n) => Math.round((254 * n) / K));
  for (let l = 0, n = 0, i = 0; l < L; l++) {
    const own = marks.subarray(l * E, (l + 1) * E);
    for (let t = 0; t < T; t++, n++) {
      let both = 0;
      const gap = experts[i] < -1;
      for (const end = i + K; i < end; i++) if (experts[i] >= 0) both += own[experts[i]];
      out[n] = gap ? NONE : steps[both];
    }
  }
}
