// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What is switched: experts off, or forced on every token; k; gates. With what it was before.
/** @import { Changes } from "./decision.js" */

import { changesNothing, unchanged } from "./decision.js";

export class Switches {
  /**
   * @param {number} L
   * @param {number} E
   * @param {number} k
   */
  constructor(L, E, k) {
    this.L = L;
    this.E = E;
    this.k = k;
    /** @type {Changes} */
    this.changes = unchanged(L, k);
    /** @type {Changes[]} */
    this.earlier = [];
  }

  get intact() {
    return changesNothing(this.changes, this.k);
  }

  /**
   * @param {number} layer
   * @param {number} e
   */
  isOff(layer, e) {
    return this.changes.off[layer].includes(e);
  }

  /**
   * @param {number} layer
   * @param {number} e
   */
  isForced(layer, e) {
    return this.changes.forced[layer].includes(e);
  }

  /**
   * An expert off, or on again; one that is off is forced on nobody.
   * @param {number} layer
   * @param {number} e
   */
  flip(layer, e) {
    const { off, forced } = this.changes;
    return this.set({ off: toggled(off, layer, e), forced: without(forced, layer, e) });
  }

  /**
   * Every token to an expert, or again only those that choose it.
   * @param {number} layer
   * @param {number} e
   */
  force(layer, e) {
    const { off, forced } = this.changes;
    return this.set({ forced: toggled(forced, layer, e), off: without(off, layer, e) });
  }

  /**
   * Another expert of the layer off, and no other of it.
   * @param {number} layer
   * @param {number} e
   */
  instead(layer, e) {
    const { off, forced } = this.changes;
    const instead = off.map((all, l) => (l === layer ? [e] : all));
    return this.set({ off: instead, forced: without(forced, layer, e) });
  }

  /**
   * Change something, unless a layer could not choose then.
   * @param {Partial<Changes>} change
   * @returns {string} why not; or nothing
   */
  set(change) {
    const next = { ...this.changes, ...change };
    const why = refusal(next, this.E);
    if (why) return why;
    this.earlier.push(this.changes);
    this.changes = next;
    return "";
  }

  back() {
    this.changes = this.earlier.pop() ?? this.changes;
  }

  reset() {
    this.changes = unchanged(this.L, this.k);
    this.earlier = [];
  }

  /** What is changed, in a few words; nothing where nothing is. */
  said() {
    const { off, forced, k, temperature, uniform, empty } = this.changes;
    const [gone, always] = [named(off), named(forced)];
    return [
      gone ? `off: ${gone}${empty ? " (slots stay empty)" : ""}` : "",
      always ? `every token to ${always}` : "",
      k === this.k ? "" : `top-${k}`,
      temperature === 1 ? "" : `router temperature ${temperature}`,
      uniform ? "uniform gates" : "",
    ]
      .filter(Boolean)
      .join(", ");
  }
}

/**
 * Why a layer could not choose as is asked; nothing where all can.
 * @param {Changes} changes
 * @param {number} E
 */
function refusal({ off, forced, k, empty }, E) {
  const left = E - Math.max(...off.map((experts) => experts.length));
  if (left < k && !empty) return `A layer with ${left} experts left cannot choose ${k}.`;
  if (forced.some((experts, layer) => experts.some((e) => off[layer].includes(e)))) {
    return "An expert that is off cannot take every token.";
  }
  const most = Math.max(...forced.map((experts) => experts.length));
  if (most > k) return `A token with ${k} experts cannot be sent to ${most}.`;
  return "";
}

/**
 * Experts as layer/expert, one after the other.
 * @param {number[][]} experts by layer
 */
export const named = (experts) =>
  experts.flatMap((some, layer) => some.map((e) => `${layer}/${e}`)).join(", ");

/**
 * @param {number[][]} experts
 * @param {number} layer
 * @param {number} e
 */
function toggled(experts, layer, e) {
  if (experts[layer].includes(e)) return without(experts, layer, e);
  return experts.map((some, l) => (l === layer ? [...some, e].sort((a, b) => a - b) : some));
}

/**
 * @param {number[][]} experts
 * @param {number} layer
 * @param {number} e
 */
const without = (experts, layer, e) =>
  experts.map((some, l) => (l === layer ? some.filter((other) => other !== e) : some));
