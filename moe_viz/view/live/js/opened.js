// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A trace's file, read: its header and its arrays, after everything in it has been checked.
/** @import { Header, Kind } from "./tracefile.js" */

import { crc32, KEY, SUM, sumOf } from "./tracefile.js";

/** @typedef {{ shape: number[], bytes: Uint8Array<ArrayBuffer> }} Entry */

const NONE = "That is no trace of moe_viz: expected what Trace.save has written.";
/** @type {Record<Kind, number>} bytes of a number */
const WIDTHS = { F32: 4, I64: 8, I32: 4, I16: 2, U8: 1 };
/** @type {Record<string, Kind>} */
const KINDS = {
  router_logits: "F32",
  experts: "I16",
  gates: "F32",
  token_ids: "I32",
  pieces: "I32",
  spans: "I32",
  special: "U8",
  generated: "U8",
  prompt_stops: "I64",
  text_stops: "I64",
  texts: "U8",
  loss: "F32",
  bias: "F32",
  choice_scores: "F32",
};

/**
 * Raises `RangeError` for another file, or a damaged one.
 * @param {Uint8Array<ArrayBuffer>} file
 * @returns {{ header: Header, arrays: Record<string, Entry> }}
 */
export function opened(file) {
  const size = file.length < 8 ? 0 : Number(new DataView(file.buffer).getBigUint64(0, true));
  if (!size || 8 + size > file.length) throw new RangeError(NONE);
  const entries = parsed(new TextDecoder().decode(file.subarray(8, 8 + size)));
  const { __metadata__: metadata, ...tensors } = entries;
  const text = metadata?.[KEY];
  if (typeof text !== "string") throw new RangeError(NONE);
  const header = /** @type {Header} */ (parsed(text));
  // Format 1 may have no checksum; a name that is neither is damage.
  const others = Object.keys(metadata).filter((name) => name !== KEY && name !== SUM);
  const sum = metadata[SUM];
  const whole = sum === undefined ? header.format <= 1 : sum === sumOf(text);
  if (others.length || !whole) throw damaged("its header");
  const noted = header.checksums ?? {};
  const odd = Object.keys({ ...tensors, ...noted }).find(
    (name) => !(name in tensors) || (header.checksums && !(name in noted)),
  );
  if (odd) throw damaged(odd);
  /** @type {Record<string, Entry>} */
  const arrays = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(tensors)) {
    if (!Array.isArray(shape) || !Array.isArray(data_offsets)) throw damaged(name);
    const [from, to] = data_offsets;
    const bytes = file.slice(8 + size + from, 8 + size + to); // aligned
    const known = KINDS[name];
    const expected = shape.reduce((all, n) => all * n, WIDTHS[known] ?? NaN);
    const right = dtype === known && bytes.length === to - from && bytes.length === expected;
    if (!right || (noted[name] && noted[name][0] !== crc32(bytes))) throw damaged(name);
    arrays[name] = { shape, bytes };
  }
  return { header, arrays };
}

/**
 * @param {string} text
 * @returns {Record<string, any>}
 */
function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new RangeError(NONE);
  }
}

/** @param {string} what */
const damaged = (what) =>
  new RangeError(`The file is damaged: ${what} is not what was written. Copy it again.`);
