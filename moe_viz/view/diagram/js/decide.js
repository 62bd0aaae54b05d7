// @ts-check
// SPDX-License-Identifier: Apache-2.0
// From a router's logits to the experts it chooses and their gates, by its rule: as rule.py has it.
/** @import { Decision, Rule } from "./types.js" */

/**
 * @param {Rule} rule
 * @param {number[]} logits (E)
 * @param {number[] | null} bias (E)
 * @param {number} k
 * @returns {Decision}
 */
export function decide(rule, logits, bias, k) {
  const scores = scoresOf(rule, logits);
  const ranking = rankingOf(rule, logits, scores, bias);
  const order = ranking.map((_, e) => e).sort((a, b) => ranking[b] - ranking[a] || a - b);
  const kept = order.slice(0, k);
  const next = order.slice(k).find((e) => Number.isFinite(ranking[e])) ?? -1;
  const gates = gatesOf(rule, logits, scores, kept);
  const byGate = kept.map((e, n) => ({ e, gate: gates[n] })).sort((a, b) => b.gate - a.gate);
  const sorted = rule.plain ? byGate : kept.map((e, n) => ({ e, gate: gates[n] }));
  return { ranking, chosen: sorted.map(({ e }) => e), gates: sorted.map(({ gate }) => gate), next };
}

/**
 * @param {Rule} rule
 * @param {number[]} logits
 */
function scoresOf(rule, logits) {
  if (rule.score === "sigmoid") return logits.map((x) => 1 / (1 + Math.exp(-x)));
  if (rule.score === "sqrtsoftplus") return logits.map((x) => Math.sqrt(softplus(x)));
  return softmax(logits);
}

/** @param {number} x */
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** @param {number[]} logits */
function softmax(logits) {
  const most = Math.max(...logits);
  const raised = logits.map((x) => Math.exp(x - most));
  const sum = raised.reduce((a, b) => a + b, 0);
  return raised.map((x) => x / sum);
}

/**
 * What the choice goes by; −∞ outside the kept groups.
 * @param {Rule} rule
 * @param {number[]} logits
 * @param {number[]} scores
 * @param {number[] | null} bias
 */
function rankingOf(rule, logits, scores, bias) {
  if (rule.plain) return logits;
  const base = rule.bias === "logits" ? logits : scores;
  const ranking = base.map((x, e) => x + (rule.bias && bias ? bias[e] : 0));
  if (rule.groups === 1) return ranking;
  const size = ranking.length / rule.groups;
  const worth = Array.from({ length: rule.groups }, (_, g) => {
    const members = ranking.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
    const counted = rule.group_score === "best" ? 1 : 2;
    return members.slice(0, counted).reduce((a, b) => a + b, 0);
  });
  const order = worth.map((_, g) => g).sort((a, b) => worth[b] - worth[a] || a - b);
  const kept = new Set(order.slice(0, rule.groups_kept));
  const outside = rule.outside_zero ? 0 : -Infinity;
  return ranking.map((x, e) => (kept.has(Math.floor(e / size)) ? x : outside));
}

/**
 * @param {Rule} rule
 * @param {number[]} logits
 * @param {number[]} scores
 * @param {number[]} kept
 */
function gatesOf(rule, logits, scores, kept) {
  if (rule.score === "softmax" && rule.normalised) {
    return softmax(kept.map((e) => logits[e])).map((x) => x * rule.scale);
  }
  const own = kept.map((e) => scores[e]);
  const sum = rule.normalised
    ? Math.max(
        own.reduce((a, b) => a + b, 0),
        1e-20,
      )
    : 1;
  return own.map((x) => (x / sum) * rule.scale);
}
