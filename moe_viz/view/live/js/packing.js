// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a run has recorded, as explorer/pack.py packs a trace: the picture shows both alike.
/** @import { PackedTrace } from "../../explorer/js/types.js" */
/** @import { Changes } from "./decision.js" */
/** @import { Run } from "./machine.js" */

/**
 * @param {Run} run
 * @param {Changes} changes
 * @param {PackedTrace} like a trace of the same model: what is true of all of them stays
 * @param {string} title
 * @param {Run | null} other another run of the same tokens, whose choices go along
 * @returns {PackedTrace}
 */
export function packed(run, changes, like, title, other = null) {
  const { encoding, given, recorded } = run;
  const { ids, text, pieces, spans, special } = encoding;
  const [T, k] = [ids.length, changes.k];
  const [L, , E] = like.shape;
  const whole = like.wide ? Int16Array : Int8Array;
  const vocabulary = [...new Set(pieces)];
  const number = new Map(vocabulary.map((piece, n) => [piece, n]));
  const flags = Uint8Array.from(special, (is, t) => Number(is) + 2 * Number(t >= given));
  return {
    ...like,
    title,
    shape: [L, T, E, k],
    prompts: [["", text, 0, T, ""]],
    pieces: vocabulary,
    precision: "half",
    paired: false,
    more: 0,
    leftOut: 0,
    gaps: 0,
    off: changes.off.map((experts) => [...experts].sort((a, b) => a - b)),
    partlyOff: changes.off.map(() => []),
    other: other ? "the intact run" : "",
    twin: false,
    arrays: {
      experts: base64(whole.from(recorded.experts)),
      gates: base64(float16(recorded.gates)),
      logits: base64(float16(belowLargest(recorded.logits, E))),
      piece: base64(Uint32Array.from(pieces, (piece) => number.get(piece) ?? 0)),
      spans: base64(Uint32Array.from(spans)),
      flags: base64(flags),
      ...(other && { others: base64(whole.from(sameWidth(other.recorded.experts, L * T, k))) }),
    },
  };
}

/**
 * Each row's numbers less its largest, which keeps near-ties apart in float16.
 * @param {Float32Array} logits
 * @param {number} E
 */
export function belowLargest(logits, E) {
  const below = new Float32Array(logits.length);
  for (let row = 0; row < logits.length; row += E) {
    const most = Math.max(...logits.subarray(row, row + E));
    for (let e = 0; e < E; e++) below[row + e] = logits[row + e] - most;
  }
  return below;
}

/**
 * Choices of another run with room for k of them; −1 pads.
 * @param {Int16Array} experts
 * @param {number} rows
 * @param {number} k
 */
function sameWidth(experts, rows, k) {
  const own = experts.length / rows;
  return Int16Array.from({ length: rows * k }, (_, n) =>
    n % k < own ? experts[Math.floor(n / k) * own + (n % k)] : -1,
  );
}

/**
 * The nearest float16 of each number, ties to even.
 * @param {Float32Array} numbers
 */
export function float16(numbers) {
  const bits = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  return Uint16Array.from(bits, (word) => {
    const sign = (word >>> 16) & 0x8000;
    const exponent = (word >>> 23) & 0xff;
    const fraction = word & 0x7fffff;
    if (exponent === 0xff) return sign | 0x7c00 | (fraction ? 0x200 : 0);
    const scaled = exponent - 112; // the exponent of float16
    if (scaled >= 31) return sign | 0x7c00;
    if (scaled < -10) return sign;
    // Below the smallest normal number the fraction loses bits, and its first one is written out.
    const whole = scaled > 0 ? fraction : fraction | 0x800000;
    const cut = scaled > 0 ? 13 : 14 - scaled;
    const kept = whole >>> cut;
    const rest = whole & ((1 << cut) - 1);
    const middle = 1 << (cut - 1);
    const up = rest > middle || (rest === middle && kept & 1) ? 1 : 0;
    // Rounding up may carry into the exponent, as it should.
    return sign | ((scaled > 0 ? scaled << 10 : 0) + kept + up);
  });
}

/**
 * @param {ArrayBufferView} array
 * @returns {string}
 */
export function base64(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const parts = [];
  for (let at = 0; at < bytes.length; at += 0x8000) {
    parts.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  }
  return btoa(parts.join(""));
}
