// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Numbers and decisions in words.
/** @import { Prompt } from "../types.js" */
/** @import { Trace } from "./trace.js" */

/**
 * A number and its sign, never on two lines.
 * @param {number} x
 */
export const percent = (x, digits = 0) => (100 * x).toFixed(digits) + "\u00a0%";

/**
 * Shares in whole per cent. Where they add up to one, so do these: those that lose most by being
 * cut off are rounded up.
 * @param {number[]} shares
 */
export function percents(shares) {
  const whole = shares.reduce((sum, x) => sum + x, 0);
  if (Math.abs(whole - 1) > 0.005) return shares;
  const cut = shares.map((x) => Math.floor(100 * x));
  const left = 100 - cut.reduce((sum, n) => sum + n, 0);
  const losses = shares.map((x, n) => [100 * x - cut[n], n]).sort(([a], [b]) => b - a);
  for (const [, n] of losses.slice(0, left)) cut[n]++;
  return cut.map((n) => n / 100);
}

/**
 * How a prompt begins, on one line.
 * @param {Prompt} prompt
 */
export function opening(prompt) {
  const text = prompt.text.replace(/\s+/g, " ").trim();
  return text.length > 42 ? text.slice(0, 40) + "…" : text;
}

/**
 * @param {Trace} trace
 * @param {Prompt} prompt
 */
export function sizeOf(trace, prompt) {
  const tokens = (prompt.stop - prompt.start).toLocaleString("en");
  return `Map of ${tokens} tokens × ${trace.L} layers`;
}

/**
 * One decision in a sentence: where a token goes, which expert it nearly went to, and which it
 * would have gone to had that not been switched off.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} t
 */
export function say(trace, layer, t) {
  const chosen = trace.chosen(layer, t);
  const others = missed(trace, layer, t, chosen) + switchedOff(trace, layer, t, chosen);
  return goes(trace, layer, t, trace.isGap(layer, t) ? "" : others);
}

/**
 * Where a token goes, in a sentence.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} t
 * @param {string} more what else is to be said, before the full stop
 */
export function goes(trace, layer, t, more = "") {
  const here = `In layer ${trace.layers[layer]}, ‘${trace.piece(t)}’`;
  if (trace.isGap(layer, t)) {
    return `${here} has no decision to show: the router’s numbers are NaN or infinite.`;
  }
  const chosen = trace.chosen(layer, t);
  const share = trace.rule.shares ? " of its gates" : "";
  const shares = percents(chosen.map(([, gate]) => gate));
  const names = chosen.map(([e], n) => {
    const weight = trace.rule.gated ? ` (${percent(shares[n])}${n ? "" : share})` : "";
    return `${n ? "" : "expert "}${e}${weight}`;
  });
  const rest = chosen.length - 1;
  const where = !chosen.length
    ? "goes to no expert"
    : trace.many && rest > 1
      ? `goes to ${names[0]} and ${rest} others`
      : "goes to " + names.join(chosen.length > 2 ? ", " : " and ");
  return `${here} ${where}${more}.`;
}

/**
 * Experts that were not chosen, nearest first, and by how much each missed. None where that is not
 * known, or where the choice did not go by what is here.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} t
 * @param {number} n at most so many
 * @returns {{ e: number, by: string }[]}
 */
export function behind(trace, layer, t, n) {
  const chosen = trace.chosen(layer, t);
  if (!trace.isScored(layer) || !chosen.length) return [];
  const taken = new Set([
    ...chosen.map(([e]) => e),
    ...trace.off[layer],
    ...trace.partlyOff[layer],
  ]);
  const rest = trace.best(layer, t, n, taken);
  const near = rest.map((e) => ({ e, gap: gapTo(trace, layer, t, chosen, e) }));
  return near.flatMap(({ e, gap }) => (gap && gap.x >= 0 ? [{ e, by: written(trace, gap) }] : []));
}

/**
 * The strongest expert that could have been chosen and was not.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} t
 * @param {[expert: number, gate: number][]} chosen
 */
function missed(trace, layer, t, chosen) {
  if (!trace.isScored(layer) || !chosen.length) return "";
  // Beside an expert that was switched off, an empty slot was nobody's to take.
  if (chosen.length < trace.K && trace.off[layer].length + trace.partlyOff[layer].length) return "";
  const taken = new Set([...chosen.map(([e]) => e), ...trace.off[layer]]);
  const [runner] = trace.best(layer, t, 1, taken);
  // Whether this token was among those for which it was switched off is not known here.
  if (runner === undefined || trace.partlyOff[layer].includes(runner)) return "";
  const gap = gapTo(trace, layer, t, chosen, runner);
  if (!gap) return "";
  const { plain } = trace.rule;
  if (gap.x >= 0)
    return `; ${runner} missed by ${written(trace, gap)} ${plain ? "logits" : "in score"}`;
  return `; by ${plain ? "logits" : "score"}, ${runner} would have come first`;
}

/**
 * How far an expert is behind the last of the chosen, and how far off that may be.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} t
 * @param {[expert: number, gate: number][]} chosen
 * @param {number} e
 */
function gapTo(trace, layer, t, chosen, e) {
  const [least, last] = chosen
    .map(([c]) => /** @type {[number, number]} */ ([trace.logit(layer, t, c), c]))
    .reduce((a, b) => (b[0] < a[0] ? b : a));
  const x = least - trace.logit(layer, t, e);
  const doubt = trace.doubt(layer, t, last) + trace.doubt(layer, t, e);
  return Number.isFinite(x) ? { x, doubt } : null;
}

/**
 * @param {Trace} trace
 * @param {{ x: number, doubt: number }} gap
 */
const written = (trace, { x, doubt }) => told(x, trace.rule.plain ? 2 : 3, doubt);

/**
 * A difference with as many digits as are known of it.
 * @param {number} x not negative
 * @param {number} most digits after the point
 * @param {number} doubt how far off it may be
 */
function told(x, most, doubt) {
  let digits = most;
  while (digits > 0 && doubt > 0.5 * 10 ** -digits) digits--;
  const unit = 10 ** -digits;
  return x < unit / 2 ? `less than ${unit.toFixed(digits)}` : x.toFixed(digits);
}

/**
 * Experts that were switched off, and that the logits would have chosen.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} t
 * @param {[expert: number, gate: number][]} chosen
 */
function switchedOff(trace, layer, t, chosen) {
  const off = trace.off[layer].filter((e) => !chosen.some(([x]) => x === e));
  if (!off.length) return "";
  const best = trace.isScored(layer) ? trace.ranking(layer, t).slice(0, trace.K) : off;
  const lost = off.filter((e) => best.includes(e));
  if (!lost.length) return "";
  const names = lost.length > 1 ? `${lost.join(" and ")} were` : `${lost[0]} was`;
  return `; ${names} switched off`;
}
