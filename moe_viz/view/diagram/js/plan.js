// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Where the parts of a drawing stand, and which of them a step tells of.
/** @import { Decision, Packed } from "./types.js" */
/** @import { Palette } from "../../js/types.js" */

/** Experts up to which each has a row; of more, the chosen have one, and what is changed. */
const FEW = 16;

/**
 * What is drawn, beside the layer itself.
 * @typedef {object} Look
 * @property {number} step 1 … 6, or 0: all of it
 * @property {number} width px of the design
 * @property {boolean} low whether there is little height, as on a slide
 * @property {number} changed the expert whose score is changed
 * @property {(e: number) => void} pick
 * @property {Palette} palette
 */

export class Plan {
  /**
   * @param {Packed} packed
   * @param {Decision} decision
   * @param {Look} look
   */
  constructor(packed, decision, look) {
    this.packed = packed;
    this.decision = decision;
    this.look = look;
    this.stage = look.step || 6;
    this.wide = look.width >= 620;
    const { blocks } = packed;
    this.rows = rowsOf(blocks.experts, decision, look.changed);
    const few = this.rows.length <= 8;
    const usual = few ? 26 : this.rows.length <= 12 ? 22 : 18;
    this.high = look.low ? (few ? 18 : 14) : usual;
    // How far down the two blocks are and how high, where the first adds, and what is left below.
    this.y = look.low
      ? { first: 24, box: 22, adds: 58, second: 78, foot: 58 }
      : { first: 36, box: 28, adds: 84, second: 122, foot: 84 };
    const rest = blocks.experts - this.rows.length;
    this.rest = rest;
    // Where the state runs, where blocks begin, and the columns of an expert's row.
    const state = this.wide ? 30 : 20;
    const left = this.wide ? 74 : 54;
    const bar = left + (this.wide ? 44 : 38);
    const barEnd = bar + (this.wide ? look.width * 0.26 : 60);
    const block = barEnd + (this.wide ? 72 : 44);
    const blockEnd = block + (this.wide ? look.width * 0.19 : 78);
    const sum = look.width - (this.wide ? 60 : 16);
    this.x = { state, left, bar, barEnd, block, blockEnd, sum };
    this.top = this.y.second + this.y.box + (look.low ? 22 : 46);
    this.bottom = this.top + this.rows.length * this.high;
    this.end =
      this.bottom + (rest ? (look.low ? 24 : 40) : 8) + (blocks.shared ? this.high + 8 : 0);
  }

  /**
   * The class of what belongs to some steps: pale while another is told of.
   * @param {number[]} steps
   */
  on(...steps) {
    const { step } = this.look;
    return !step || steps.includes(step) ? "on" : "off";
  }

  sumY() {
    return (this.top + this.bottom) / 2;
  }

  /** From the lowest to the highest of what is drawn. */
  reach() {
    const shown = this.rows.map((e) => this.decision.ranking[e]).filter(Number.isFinite);
    const [least, most] = [Math.min(...shown), Math.max(...shown)];
    const low = this.packed.rule.plain ? least - 0.12 * (most - least || 1) : Math.min(0, least);
    return { low, room: most - low || 1 };
  }

  /**
   * Of up to sixteen experts each its own; of more, those that are kept have one colour.
   * @param {number} e
   */
  colour(e) {
    const { palette } = this.look;
    const { experts } = this.packed.blocks;
    if (experts >= FEW) {
      const kept = this.decision.chosen.includes(e);
      return { fill: kept ? "var(--shared)" : "var(--others)", ink: "var(--ink)" };
    }
    const n = e % palette.experts.length;
    return { fill: palette.experts[n], ink: palette.white.includes(n) ? "#fff" : "#000" };
  }
}

/**
 * The experts that have a row: all of a few; of many the chosen, the next, and the one changed.
 * @param {number} experts
 * @param {Decision} decision
 * @param {number} changed
 */
function rowsOf(experts, { chosen, next, ranking }, changed) {
  if (experts <= FEW) return Array.from({ length: experts }, (_, e) => e);
  const rows = [...new Set([...chosen, next, changed])].filter((e) => e >= 0);
  return rows.sort((a, b) => ranking[b] - ranking[a] || a - b);
}
