// @ts-check
// Numbers and decisions in words.
/** @import { Prompt } from "./types.js" */
/** @import { Trace } from "./trace.js" */

/**
 * A number and its sign, never on two lines.
 * @param {number} x
 */
export const percent = (x, digits = 0) => (100 * x).toFixed(digits) + "\u00a0%";

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
 * One decision in a sentence: where a token goes, and which expert it nearly went to.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} t
 */
export function say(trace, layer, t) {
  const chosen = trace.chosen(layer, t);
  const names = chosen.map(([e, gate], n) => `${n ? "" : "expert "}${e} (${percent(gate)})`);
  const where = chosen.length
    ? "goes to " + names.join(chosen.length > 2 ? ", " : " and ")
    : "goes to no expert";
  const runner = nextBest(trace, layer, t);
  let close = "";
  if (runner !== undefined && chosen.length) {
    const least = Math.min(...chosen.map(([e]) => trace.logit(layer, t, e)));
    const gap = least - trace.logit(layer, t, runner);
    if (gap >= 0 && Number.isFinite(gap)) close = `; ${runner} missed by ${gap.toFixed(2)} logits`;
    else if (Number.isFinite(gap)) close = `; by logits, ${runner} would have come first`;
  }
  return `In layer ${trace.layers[layer]}, ‘${trace.piece(t)}’ ${where}${close}.`;
}

/**
 * The strongest expert that was not chosen.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} t
 */
function nextBest(trace, layer, t) {
  if (!trace.hasLogits) return undefined;
  const taken = new Set(trace.chosen(layer, t).map(([e]) => e));
  return trace.ranking(layer, t).find((e) => !taken.has(e));
}
