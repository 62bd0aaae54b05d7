// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a prompt can be compared with: another prompt, preferably parallel, or all of a label.
/** @import { Beside, Prompt } from "../types.js" */
/** @import { Trace } from "./trace.js" */

/**
 * What a prompt is compared with, found in the trace.
 * @typedef {object} Neighbour
 * @property {Prompt} prompt itself, or the first of its label
 * @property {number} number of that prompt
 * @property {boolean} whole whether all of its label is meant
 * @property {string} name
 * @property {string} value as lists and addresses spell it
 */

/**
 * As lists and addresses spell it: "prompt 3", "label 0", or nothing.
 * @param {Beside | null} beside
 * @param {Trace} trace
 */
export function spelt(beside, trace) {
  if (!beside) return "";
  if (beside.kind === "prompt") return `prompt ${beside.number}`;
  return `label ${trace.labels.indexOf(beside.label)}`;
}

/**
 * The reverse; null for anything that is not there.
 * @param {string} value
 * @param {Trace} trace
 * @returns {Beside | null}
 */
export function read(value, trace) {
  const [, kind, digits] = /^(prompt|label) (\d+)$/.exec(value) ?? [];
  const number = Number(digits);
  if (kind === "prompt" && number < trace.prompts.length) return { kind, number };
  if (kind === "label" && number < trace.labels.length) {
    return { kind, label: trace.labels[number] };
  }
  return null;
}

/**
 * Whether a prompt can be compared with something: it exists, and is not the prompt's own.
 * @param {Beside | null} beside
 * @param {Trace} trace
 * @param {number} prompt
 */
export function fits(beside, trace, prompt) {
  if (beside?.kind === "prompt") {
    return beside.number !== prompt && trace.prompts[beside.number] !== undefined;
  }
  if (beside?.kind === "label") {
    return beside.label !== trace.prompts[prompt].label && trace.labels.includes(beside.label);
  }
  return false;
}

/**
 * @param {Beside | null} beside that fits
 * @param {Trace} trace
 * @returns {Neighbour | null}
 */
export function neighbour(beside, trace) {
  if (!beside) return null;
  const value = spelt(beside, trace);
  if (beside.kind === "prompt") {
    const prompt = trace.prompts[beside.number];
    return { prompt, number: beside.number, whole: false, name: prompt.label, value };
  }
  const number = trace.prompts.findIndex((p) => p.label === beside.label);
  return {
    prompt: trace.prompts[number],
    number,
    whole: true,
    name: `all of ${beside.label}`,
    value,
  };
}

/**
 * Numbers of the prompts on one topic under different labels, which belong together: parallel
 * passages, or one algorithm.
 * @param {Trace} trace
 * @param {number} number
 */
export function parallels(trace, number) {
  const { topic } = trace.prompts[number];
  return topic ? trace.prompts.flatMap((p, n) => (p.topic === topic ? [n] : [])) : [];
}

/**
 * The first token of another prompt that is the same piece as this one.
 * @param {Trace} trace
 * @param {number} token
 * @param {number} number
 */
export function sameToken(trace, token, number) {
  const { start, stop } = trace.prompts[number];
  for (let t = start; t < stop; t++) {
    if (!trace.isSpecial(t) && trace.pieces[t] === trace.pieces[token]) return t;
  }
  return null;
}
