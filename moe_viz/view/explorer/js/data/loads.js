// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Loads: the experts' shares of a layer's assignments, special tokens left out.
/** @import { Prompt, Scope } from "../types.js" */
/** @import { Trace } from "./trace.js" */

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

/**
 * Shares that sum to one, (E,); all zero where there is no assignment.
 * @param {Trace} trace
 * @param {number} layer
 * @param {Prompt[]} prompts
 */
export function loadsOf(trace, layer, prompts) {
  const counts = countsOf(trace, layer, prompts);
  const total = counts.reduce((a, b) => a + b, 0);
  return Array.from(counts, (n) => n / (total || 1));
}

/**
 * Assignments of each expert, (E,).
 * @param {Trace} trace
 * @param {number} layer
 * @param {Prompt[]} prompts
 */
export function countsOf(trace, layer, prompts) {
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
