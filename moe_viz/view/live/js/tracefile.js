// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A trace as a file, as moe_viz.trace writes it: safetensors, with a header as JSON in its
// metadata, and a checksum of everything. What a page has recorded is taken along in it.
/** @import { Changes } from "./decision.js" */
/** @import { Run } from "./machine.js" */

import { named } from "./switches.js";

export const KEY = "moe_viz_trace";
export const SUM = "moe_viz_crc32";
/** Bytes of a page of an array, and how many are summed. */
const SAMPLE = 4096;
const SAMPLES = 64;

/** @typedef {"F32" | "I64" | "I32" | "I16" | "U8"} Kind */
/**
 * The header of a trace of the page's model, without what differs from one trace to the other.
 * @typedef {Record<string, any> & { provenance: Record<string, any> }} Header
 */

/**
 * @param {Run} run
 * @param {Float32Array} losses (T) of the token after each, NaN at the end
 * @param {Changes} changes
 * @param {number} own experts a token of the model
 * @param {Header} like
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function traceFile(run, losses, changes, own, like) {
  const { encoding, given, recorded } = run;
  const { ids, text, pieces, spans, special } = encoding;
  const [T, k] = [ids.length, changes.k];
  const L = recorded.experts.length / (T * k);
  const vocabulary = [...new Set(pieces)];
  const number = new Map(vocabulary.map((piece, n) => [piece, n]));
  const texts = new TextEncoder().encode(text);
  // Of each token given those before it: nothing predicts the first.
  const loss = Float32Array.of(NaN, ...losses.subarray(0, T - 1));
  /** @type {[string, Kind, number[], ArrayBufferView<ArrayBuffer>][]} */
  const arrays = [
    ["prompt_stops", "I64", [1], BigInt64Array.of(BigInt(T))],
    ["text_stops", "I64", [1], BigInt64Array.of(BigInt(texts.length))],
    ["router_logits", "F32", [L, T, recorded.logits.length / (L * T)], recorded.logits.slice()],
    ["gates", "F32", [L, T, k], recorded.gates.slice()],
    ["loss", "F32", [T], loss],
    ["token_ids", "I32", [T], Int32Array.from(ids)],
    ["pieces", "I32", [T], Int32Array.from(pieces, (piece) => number.get(piece) ?? 0)],
    ["spans", "I32", [T, 2], Int32Array.from(spans)],
    ["experts", "I16", [L, T, k], recorded.experts.slice()],
    ["special", "U8", [T], Uint8Array.from(special, Number)],
    ["generated", "U8", [T], Uint8Array.from(ids, (_, t) => Number(t >= given))],
    ["texts", "U8", [texts.length], texts],
  ];
  /** @type {Record<string, [number, number]>} */
  const checksums = {};
  /** @type {Record<string, object>} */
  const entries = {};
  let at = 0;
  for (const [name, dtype, shape, array] of arrays) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    checksums[name] = [crc32(bytes), crc32OfPages(bytes)];
    entries[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const stamp = stampOf(changes, own);
  const header = JSON.stringify({
    ...like,
    pieces: vocabulary,
    labels: [""],
    provenance: { ...like.provenance, interventions: stamp ? [stamp] : [], date: now() },
    checksums,
  });
  const metadata = { [KEY]: header, [SUM]: sumOf(header) };
  let front = JSON.stringify({ __metadata__: metadata, ...entries });
  const size = new TextEncoder().encode(front).length;
  front += " ".repeat((8 - (size % 8)) % 8);
  const head = new TextEncoder().encode(front);
  const file = new Uint8Array(8 + head.length + at);
  new DataView(file.buffer).setBigUint64(0, BigInt(head.length), true);
  file.set(head, 8);
  let to = 8 + head.length;
  for (const [, , , array] of arrays) {
    file.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), to);
    to += array.byteLength;
  }
  return file;
}

/**
 * What is changed, as moe_viz.intervene stamps it.
 * @param {Changes} changes
 * @param {number} own experts a token of the model
 */
export function stampOf({ off, empty, forced, k, temperature, uniform }, own) {
  const [gone, always] = [named(off), named(forced)];
  return [
    gone ? `ablated ${gone} (${empty ? "nothing" : "next best"} instead)` : "",
    always ? `forced ${always}` : "",
    k === own ? "" : `top-${k}`,
    temperature === 1 ? "" : `router temperature ${Number(temperature.toPrecision(6))}`,
    uniform ? "uniform gates" : "",
  ]
    .filter(Boolean)
    .join(", ");
}

/**
 * The checksum of a header, as it is written beside it.
 * @param {string} header
 */
export const sumOf = (header) =>
  crc32(new TextEncoder().encode(header)).toString(16).padStart(8, "0");

/** The time, in seconds, as Python writes it. */
const now = () => new Date().toISOString().replace(/\.\d+Z$/, "+00:00");

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

/**
 * @param {Uint8Array} bytes
 * @param {number} before the sum of what comes before them
 */
export function crc32(bytes, before = 0) {
  let sum = ~before;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

/**
 * Of pages that are spread over an array, one after the other.
 * @param {Uint8Array} bytes
 */
function crc32OfPages(bytes) {
  const last = Math.max(bytes.length - SAMPLE, 0);
  const starts = new Set(
    Array.from({ length: SAMPLES }, (_, n) => Math.round((last * n) / (SAMPLES - 1))),
  );
  let sum = 0;
  for (const start of starts) sum = crc32(bytes.subarray(start, start + SAMPLE), sum);
  return sum;
}
