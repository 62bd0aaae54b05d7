// @ts-check
// SPDX-License-Identifier: Apache-2.0
// From base64 to typed arrays: how pack.py's numbers are read, at each of its precisions.
/** @import { PackedTrace } from "../types.js" */

/**
 * A trace's arrays as packed, small, and the tables that say what their numbers mean.
 * @typedef {object} Arrays
 * @property {Int8Array | Int16Array} experts (L, T, K); −1: unused; −2: a gap, no decision
 * @property {Uint8Array | Uint16Array} gates (L, T, K), indices into gateOf
 * @property {Float32Array} gateOf
 * @property {Uint8Array | Uint16Array | null} logits (L, T, E) or (L, T, K + more), into logitOf
 * @property {Float32Array} logitOf
 * @property {Int8Array | Int16Array | null} nearest (L, T, more)
 * @property {Int8Array | Int16Array | null} others (L, T, K)
 * @property {Uint32Array} pieces (T,)
 * @property {Uint32Array} spans (T, 2)
 * @property {Uint8Array} flags (T,)
 */

/**
 * @param {PackedTrace} packed
 * @returns {Arrays}
 */
export function decode(packed) {
  const { arrays, precision, wide, paired, deepest } = packed;
  const half = precision === "half";
  /** @param {string} text */
  const signed = (text) => (wide ? new Int16Array(bytes(text)) : new Int8Array(bytes(text)));
  /** @param {string} text */
  const numbers = (text) => (half ? new Uint16Array(bytes(text)) : new Uint8Array(bytes(text)));
  const fine = half || precision === "top";
  /** @param {string} text */
  const scores = (text) => (fine ? new Uint16Array(bytes(text)) : new Uint8Array(bytes(text)));
  const experts = paired ? apart(new Uint8Array(bytes(arrays.experts))) : signed(arrays.experts);
  const gates = numbers(arrays.gates);
  return {
    experts,
    gates: paired ? withSecond(gates, experts) : gates,
    gateOf: half ? halves() : Float32Array.from({ length: 256 }, (_, n) => n / 255),
    logits: arrays.logits === undefined ? null : scores(arrays.logits),
    logitOf: fine ? halves() : steps(deepest),
    nearest: arrays.nearest === undefined ? null : signed(arrays.nearest),
    others: arrays.others === undefined ? null : signed(arrays.others),
    pieces: new Uint32Array(bytes(arrays.piece)),
    spans: new Uint32Array(bytes(arrays.spans)),
    flags: new Uint8Array(bytes(arrays.flags)),
  };
}

/**
 * @param {string} text base64
 * @returns {ArrayBuffer}
 */
export function bytes(text) {
  // Browsers since 2025 do this themselves, much faster.
  const { fromBase64 } = /** @type {any} */ (Uint8Array);
  if (fromBase64) return fromBase64.call(Uint8Array, text).buffer;
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out.buffer;
}

/** @type {Float32Array | null} */
let table = null;

/** Every float16 there is, decoded once: arrays stay as small as they came. */
export function halves() {
  if (table) return table;
  table = new Float32Array(65536);
  for (let n = 0; n < 65536; n++) {
    const sign = n & 0x8000 ? -1 : 1;
    const exponent = (n >> 10) & 31;
    const fraction = n & 1023;
    if (exponent === 31) table[n] = fraction ? NaN : sign * Infinity;
    else if (exponent === 0) table[n] = sign * fraction * 2 ** -24;
    else table[n] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
}

/**
 * Logits in a byte: squares, so that steps are fine near the row's maximum; 255 is minus infinity.
 * @param {number} deepest
 */
function steps(deepest) {
  return Float32Array.from({ length: 256 }, (_, n) =>
    n === 255 ? -Infinity : -((n / 254) ** 2) * deepest,
  );
}

/**
 * Two choices from each byte, four bits each.
 * @param {Uint8Array} pairs
 */
function apart(pairs) {
  const out = new Int8Array(2 * pairs.length);
  /** @param {number} bits */
  const expert = (bits) => (bits >= 14 ? bits - 16 : bits);
  for (let n = 0; n < pairs.length; n++) {
    out[2 * n] = expert(pairs[n] & 15);
    out[2 * n + 1] = expert(pairs[n] >> 4);
  }
  return out;
}

/**
 * Both gates of each pair: the second is what the first leaves, or 0 where there is no expert.
 * @param {Uint8Array | Uint16Array} first
 * @param {Int8Array | Int16Array} experts
 */
function withSecond(first, experts) {
  const out = new Uint8Array(2 * first.length);
  for (let n = 0; n < first.length; n++) {
    out[2 * n] = first[n];
    out[2 * n + 1] = experts[2 * n + 1] < 0 ? 0 : 255 - first[n];
  }
  return out;
}
