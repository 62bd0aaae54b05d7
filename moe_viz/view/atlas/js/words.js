// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Numbers and names as the atlas says them.

export const NONE = "–";

/**
 * A share as people read it; see `_percent` of words.py, which says the same.
 * @param {number | null | undefined} share
 */
export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return NONE;
  const value = 100 * share;
  if (value >= 9.95) return `${value.toFixed(0)}\u00a0%`;
  return `${value >= 0.1 ? value.toFixed(1) : Number(value.toPrecision(2))}\u00a0%`;
}

/**
 * The rate of false discoveries, or a p-value.
 * @param {number | null} q
 */
export function rate(q) {
  if (q === null) return NONE;
  return q < 0.001 ? "< 0.001" : String(Number(q.toPrecision(2)));
}

/** @param {number} n */
export const whole = (n) => n.toLocaleString("en");

/**
 * @param {number | null} x
 * @param {number} digits
 */
export function decimal(x, digits = 2) {
  if (x === null) return NONE;
  const said = x.toFixed(digits);
  return said.replace("-", Number(said) ? "−" : "");
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 */
export const several = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;

/** @param {string} label */
export const labelName = (label) => label || "(no label)";

/**
 * Line ends and tabs as signs: what is shown stays on its line.
 * @param {string} text
 */
export const signs = (text) => text.replace(/\r\n|\r|\n/g, "⏎").replaceAll("\t", "⇥");

/**
 * The words before a token: without the blank that begins them, and with an ellipsis where a word
 * may have been cut. A capital begins a word.
 * @param {string} text
 */
export const cutBefore = (text) =>
  /^[\p{Ll}\p{Lo}\p{N}]/u.test(text) ? `…${text}` : text.replace(/^ +/, "");

/**
 * The words after it: they go on where they end within a word, or at its end.
 * @param {string} text
 */
export const cutAfter = (text) => (/[\p{L}\p{N}]$/u.test(text) ? `${text}…` : text);

/**
 * What an expert is called.
 * @param {number} layer
 * @param {number} expert
 */
export const called = (layer, expert) => `Expert ${expert} of layer ${layer}`;
