// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The experts of a drawing: what the router says of each, its block, and its gate.
/** @import { Plan } from "./plan.js" */

import { svg } from "../../js/dom.js";
import { brief, gateOf, text, told } from "./shapes.js";

/**
 * An expert: its score, its block, and its gate.
 * @param {Plan} plan
 * @param {number} e
 * @param {number} n its row
 */
export function row(plan, e, n) {
  const { decision, look, high, x, stage } = plan;
  const y = plan.top + n * high;
  const h = high - (high < 18 ? 2 : 5);
  const middle = y + h / 2;
  const at = decision.chosen.indexOf(e);
  const kept = at >= 0;
  const colour = plan.colour(e);
  const filled = { style: `fill: ${colour.fill}` };
  const dim = stage >= 3 && !kept ? " out" : "";
  const number = svg(
    "g",
    { class: `number${dim}` },
    svg("rect", { x: plan.x.left, y, width: 36, height: h, rx: 3, ...filled, class: "swatch" }),
    text(plan.x.left + 18, middle, String(e), "digit", colour.ink),
  );
  const { low, room } = plan.reach();
  const ranked = decision.ranking[e];
  const long = Number.isFinite(ranked) ? ((ranked - low) / room) * (x.barEnd - x.bar) : 0;
  const changed = e === look.changed ? " changed" : "";
  const scored = [
    svg("rect", { x: x.bar, y, width: Math.max(long, 1), height: h, ...filled, class: "bar" }),
    text(x.barEnd + 6, middle, Number.isFinite(ranked) ? told(ranked) : "out", "value"),
  ];
  const bar = svg(
    "g",
    { class: `${plan.on(2, 3)} score${dim}${changed}`, onclick: () => look.pick(e) },
    svg("rect", { x: x.bar, y, width: x.barEnd - x.bar, height: h, class: "track" }),
    ...(stage >= 2 ? scored : []),
  );
  const runs = kept && stage >= 4;
  const expert = svg(
    "g",
    { class: `${plan.on(4, 5)}${stage >= 4 && !kept ? " out" : ""}` },
    ...expertBlock(
      plan,
      y,
      h,
      runs ? colour.fill : "none",
      written(plan, e),
      runs ? colour.ink : null,
    ),
  );
  const parts = [number, bar, expert];
  if (runs) parts.push(gate(plan, at, middle, colour.fill));
  return parts;
}

/**
 * An expert's block and what stands in it.
 * @param {Plan} plan
 * @param {number} y
 * @param {number} height
 * @param {string} fill
 * @param {string} words
 * @param {string | null} ink
 */
function expertBlock({ x }, y, height, fill, words, ink) {
  const width = x.blockEnd - x.block;
  const style = `fill: ${fill}`;
  return [
    svg("rect", { x: x.block, y, width, height, rx: 4, class: "expert", style }),
    text(x.block + width / 2, y + height / 2, words, "inside", ink),
  ];
}

/**
 * What stands in an expert's block.
 * @param {Plan} plan
 * @param {number} e
 */
function written(plan, e) {
  const { decision, packed, stage } = plan;
  const at = decision.chosen.indexOf(e);
  if (stage < 4) return `expert ${e}`;
  if (at < 0) return "not run";
  return stage < 5 ? "runs" : `× ${gateOf(packed.rule, decision.gates[at])}`;
}

/**
 * An expert's gate, as the width of its line to the sum.
 * @param {Plan} plan
 * @param {number} at its place among the chosen
 * @param {number} y
 * @param {string} fill
 */
function gate(plan, at, y, fill) {
  const { decision, x, stage } = plan;
  const whole = decision.gates.reduce((a, b) => a + b, 0) || 1;
  const wide = stage >= 5 ? 1 + 13 * (decision.gates[at] / whole) : 1;
  const ends = { x1: x.blockEnd, y1: y, x2: x.sum - 11, y2: plan.sumY() };
  return svg(
    "g",
    { class: plan.on(5) },
    svg("line", { ...ends, style: `stroke: var(--ink); stroke-width: ${wide + 1.5}` }),
    svg("line", { ...ends, style: `stroke: ${fill}; stroke-width: ${wide}` }),
  );
}

/**
 * Of many experts those that have no row, as a stack.
 * @param {Plan} plan
 */
export function notRun(plan) {
  const { rest, x, bottom, stage, look } = plan;
  if (!rest) return [];
  const y = bottom + 4;
  const width = x.blockEnd - x.block - 9;
  const [deep, tall] = look.low ? [2, 14] : [4, 20];
  const pile = Array.from({ length: deep }, (_, n) => {
    const at = 3 * (deep - 1 - n);
    const box = { x: x.block + at, y: y + at, width, height: tall, rx: 4 };
    return svg("rect", { ...box, class: "expert pile" });
  });
  const fate = stage >= 4 ? ": not run" : stage >= 3 ? ": not kept" : ": lower";
  const words = `${rest} more${plan.wide ? fate : ""}`;
  const cls = `${plan.on(2, 3, 4)}${stage >= 3 ? " out" : ""}`;
  return [
    svg("g", { class: cls }, ...pile, text(x.block + width / 2, y + tall / 2, words, "inside")),
  ];
}

/**
 * Experts that every token uses.
 * @param {Plan} plan
 */
export function shared(plan) {
  const { blocks } = plan.packed;
  if (!blocks.shared) return [];
  const { x, stage, high } = plan;
  const y = plan.end - high - 6;
  const h = high - 4;
  const fill = stage >= 4 ? "var(--shared)" : "none";
  return [
    svg(
      "g",
      { class: plan.on(4) },
      ...expertBlock(
        plan,
        y,
        h,
        fill,
        plan.wide ? `shared, ${brief(blocks.shared)}` : "shared",
        null,
      ),
      svg("line", {
        x1: x.blockEnd,
        y1: y + h / 2,
        x2: x.sum - 11,
        y2: plan.sumY(),
        class: "wire",
      }),
    ),
  ];
}
