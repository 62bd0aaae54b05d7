// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Loads: the experts' shares of a layer's assignments, special tokens left out.
/** @import { Prompt, Scope } from "../types.js" */
/** @import { Trace } from "./trace.js" */

/** Layers and scopes whose loads are kept. */
const KEPT = 400;

/**
 * A prompt's own, its label's, or all prompts.
 * @param {Trace} trace
 * @param {Prompt} prompt
 * @param {Scope} scope
 */
export function inScope(trace, prompt, scope) {
  if (scope === "all") return trace.prompts;
  return scope === "label" ? trace.prompts.filter((p) => p.label === prompt.label) : [prompt];
}

/** Loads of a trace, by layer and scope, worked out when they are first asked for. */
export class Loads {
  /** @param {Trace} trace */
  constructor(trace) {
    this.trace = trace;
    /** @type {Map<string, { total: number, counts: Uint32Array }>} */
    this.known = new Map();
  }

  /**
   * Assignments of each expert of a layer, (E,), and how many there are.
   * @param {number} layer
   * @param {Prompt} prompt
   * @param {Scope} scope the prompt's own, its label's, or all
   */
  counts(layer, prompt, scope) {
    const whose = { prompt: String(prompt.start), label: `label ${prompt.label}`, all: "" }[scope];
    const key = `${layer} ${whose}`;
    const known = this.known.get(key);
    if (known) return known;
    const counts = countsOf(this.trace, layer, inScope(this.trace, prompt, scope));
    const found = { counts, total: counts.reduce((a, b) => a + b, 0) };
    if (this.known.size > KEPT) this.known.clear();
    this.known.set(key, found);
    return found;
  }

  /**
   * Shares that sum to one, (E,); all zero where there is no assignment.
   * @param {number} layer
   * @param {Prompt} prompt
   * @param {Scope} scope
   */
  shares(layer, prompt, scope) {
    const { counts, total } = this.counts(layer, prompt, scope);
    return Array.from(counts, (n) => n / (total || 1));
  }
}

/**
 * Assignments of each expert, (E,).
 * @param {Trace} trace
 * @param {number} layer
 * @param {Prompt[]} prompts
 */
function countsOf(trace, layer, prompts) {
  const { experts, flags, T, E, K } = trace;
  const counts = new Uint32Array(E);
  for (const p of prompts) {
    for (let t = p.start, i = (layer * T + t) * K; t < p.stop; t++) {
      if (flags[t] & 1) {
        i += K;
        continue;
      }
      for (let s = 0; s < K; s++) {
        const e = experts[i++];
        if (e >= 0) counts[e]++;
      }
    }
  }
  return counts;
}
