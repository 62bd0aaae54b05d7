// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The drawing: the state passes from top to bottom at the left; two blocks read it and add to it.
/** @import { Decision, Packed } from "./types.js" */
/** @import { Look } from "./plan.js" */

import { svg } from "../../js/dom.js";
import { notRun, row, shared } from "./experts.js";
import { Plan } from "./plan.js";
import { arrow, block, brief, gateOf, path, plus, text } from "./shapes.js";

/**
 * @param {Packed} packed
 * @param {Decision} decision
 * @param {Look} look
 * @returns {SVGElement}
 */
export function draw(packed, decision, look) {
  const plan = new Plan(packed, decision, look);
  const height = plan.end + plan.y.foot;
  return svg(
    "svg",
    { viewBox: `0 0 ${look.width} ${height}`, role: "img", "aria-label": described(plan) },
    ...stateLine(plan, height),
    ...attention(plan),
    ...read(plan),
    ...plan.rows.flatMap((e, n) => row(plan, e, n)),
    ...notRun(plan),
    ...shared(plan),
    ...add(plan),
  );
}

/** @param {Plan} plan */
function described(plan) {
  const { blocks, name, rule } = plan.packed;
  const { chosen, gates } = plan.decision;
  const shares = chosen.map((e, n) => `${e} (${gateOf(rule, gates[n])})`).join(", ");
  return `Layer ${blocks.layer} of ${name}: of ${blocks.experts} experts ${shares} are used.`;
}

/**
 * @param {number} height
 * @param {Plan} plan
 */
function stateLine(plan, height) {
  const { blocks } = plan.packed;
  const end = height - 22;
  const cls = plan.look.step === 6 ? "state strong" : "state";
  const at = plan.x.state;
  return [
    svg("line", { class: cls, x1: at, y1: 26, x2: at, y2: end - 8 }),
    svg("path", {
      class: "head",
      d: `M${at - 6} ${end - 10} L${at + 6} ${end - 10} L${at} ${end} Z`,
    }),
    text(8, 16, `the token’s state: ${blocks.width.toLocaleString("en")} numbers`, "label"),
    text(
      8,
      height - 6,
      plan.wide ? "to the next layer, with what was added" : "to the next layer",
      "label",
    ),
  ];
}

/**
 * The first block: it reads other tokens, and is not what this is about.
 * @param {Plan} plan
 */
function attention(plan) {
  const { blocks } = plan.packed;
  const { state, left } = plan.x;
  const { first, box, adds } = plan.y;
  const norm = plan.wide ? 92 : 62;
  const from = left + norm + 22;
  const width = plan.wide ? 210 : 138;
  const middle = first + box / 2;
  const back = [
    [from + width / 2, first + box],
    [from + width / 2, adds],
    [state + 11, adds],
  ];
  return [
    svg(
      "g",
      { class: plan.on() },
      arrow(state, middle, left, middle),
      block(left, first, norm, box, "norm", blocks.norm, plan.wide),
      arrow(left + norm, middle, from, middle),
      block(from, first, width, box, "attention", blocks.attention, true),
      path(back, true),
    ),
    plus(state, adds, "on"),
  ];
}

/**
 * Steps 1 and 2: norm and router; what the norm gives goes to the experts too.
 * @param {Plan} plan
 */
function read(plan) {
  const { blocks } = plan.packed;
  const { state, left, bar, block: expert } = plan.x;
  const { second: y, box } = plan.y;
  const norm = plan.wide ? 92 : 62;
  const from = left + norm + 22;
  const width = plan.wide ? 210 : 138;
  const middle = y + box / 2;
  const fork = left + norm + 10;
  const over = [
    [fork, middle],
    [fork, y - 10],
    [plan.wide ? expert + 12 : from + width + 14, y - 10],
    [plan.wide ? expert + 12 : from + width + 14, plan.top - 10],
  ];
  const each = plan.wide ? `experts, ${brief(blocks.expert)} each` : "experts";
  return [
    svg("g", { class: plan.on(4) }, path(over, true)),
    text(expert + (plan.wide ? 24 : 0), plan.top - 14, each, `label ${plan.on(4)}`),
    svg(
      "g",
      { class: plan.on(1) },
      arrow(state, middle, left, middle),
      block(left, y, norm, box, "norm", blocks.norm, plan.wide),
    ),
    svg(
      "g",
      { class: plan.on(1, 2) },
      arrow(left + norm, middle, from, middle),
      block(from, y, width, box, "router", blocks.router, true),
    ),
    svg(
      "g",
      { class: plan.on(2, 3) },
      arrow(from + 20, y + box, from + 20, plan.top - 6),
      text(bar, plan.top - 8, "scores", "label"),
    ),
  ];
}

/**
 * The weighted sum, and its way back to the state.
 * @param {Plan} plan
 */
function add(plan) {
  const { x, end, stage } = plan;
  const y = plan.sumY();
  const back = end + plan.y.foot / 3;
  return [
    svg(
      "g",
      { class: plan.on(5, 6) },
      svg("circle", { cx: x.sum, cy: y, r: 12, class: "node" }),
      text(x.sum, y, "Σ", "sign"),
    ),
    svg(
      "g",
      { class: plan.on(6) },
      path(
        [
          [x.sum, y + 12],
          [x.sum, back],
          [plan.x.state + 11, back],
        ],
        true,
        stage === 6 && plan.look.step === 6,
      ),
      text(plan.wide ? x.block : plan.x.left, back - 8, "the weighted sum", "label"),
    ),
    plus(plan.x.state, back, plan.on(6)),
  ];
}
