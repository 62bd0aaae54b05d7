// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Which expert has which colour. Eight have one each, and up to fifteen one with a hatch; of more,
// the busiest of a layer have one, one that was asked for has the last, and the rest are grey.
/** @import { State } from "../types.js" */
/** @import { Trace } from "./trace.js" */
/** @import { Loads } from "./loads.js" */

/** Experts of a layer that have a colour where there are many. */
const NAMED = 7;

export class Hues {
  /**
   * @param {Trace} trace
   * @param {State} state says which expert was asked for
   * @param {Loads} loads
   */
  constructor(trace, state, loads) {
    this.trace = trace;
    this.loads = loads;
    this.state = state;
    /** @type {number[][] | null} of each layer, the busiest experts */
    this.ranked = null;
    /** @type {Int8Array | null} (L, E) a place among the busiest, or −1 */
    this.places = null;
  }

  /**
   * The experts that have a colour of their own. The busiest are those of the whole trace, so that
   * an expert keeps its colour when the prompt changes.
   * @param {number} layer
   */
  named(layer) {
    const { trace } = this;
    if (!trace.many) return Array.from({ length: trace.E }, (_, e) => e);
    if (!this.ranked) this.rank();
    return this.ranked?.[layer] ?? [];
  }

  /** Work the busiest of all layers out, once. */
  rank() {
    const { L, E, prompts } = this.trace;
    const places = new Int8Array(L * E).fill(-1);
    this.ranked = Array.from({ length: L }, (_, l) => {
      const { counts } = this.loads.counts(l, prompts[0], "all");
      const best = busiest(counts).slice(0, NAMED);
      best.forEach((e, n) => (places[l * E + e] = n));
      return best;
    });
    this.places = places;
  }

  /**
   * The number of an expert's colour; −1: one of the many others, which share a grey.
   * @param {number} layer
   * @param {number} e
   */
  of(layer, e) {
    const { trace, state } = this;
    if (!trace.many) return e;
    if (!this.places) this.rank();
    const place = this.places ? this.places[layer * trace.E + e] : -1;
    return place < 0 && e === state.asked ? NAMED : place;
  }
}

/**
 * Experts by how busy they are; equal ones by number.
 * @param {ArrayLike<number>} counts
 */
export function busiest(counts) {
  return Array.from(counts, (_, e) => e).sort((a, b) => counts[b] - counts[a] || a - b);
}
