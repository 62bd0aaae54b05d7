// SPDX-License-Identifier: Apache-2.0
// Small traces written by hand, packed as Python packs them, and a palette of plain colours.

import { Colours } from "../../moe_viz/view/explorer/js/colours.js";
import { Hues } from "../../moe_viz/view/explorer/js/data/hues.js";
import { Loads } from "../../moe_viz/view/explorer/js/data/loads.js";
import { Trace } from "../../moe_viz/view/explorer/js/data/trace.js";

/** Base64 of a typed array's bytes. */
export const base64 = (array) => Buffer.from(array.buffer).toString("base64");

/** float16 of numbers that have one exactly, by their bits (IEEE 754-2008, table 3.5). */
const BITS = new Map([
  [0, 0x0000],
  [0.125, 0x3000],
  [0.25, 0x3400],
  [0.5, 0x3800],
  [0.75, 0x3a00],
  [0.875, 0x3b00],
  [1, 0x3c00],
  [-0.5, 0xb800],
  [-1, 0xbc00],
  [-2, 0xc000],
  [-3, 0xc200],
  [-9.296875, 0xc8a6],
  [-20.703125, 0xcd2d],
  [-Infinity, 0xfc00],
  [NaN, 0x7e00],
]);

/** float16 of an array of such numbers. */
export function halves(numbers) {
  return Uint16Array.from(numbers, (x) => {
    if (!BITS.has(x)) throw new Error(`no bits for ${x}`);
    return BITS.get(x);
  });
}

/**
 * A packed trace: 2 layers, 4 tokens (the first is special), 3 experts, 2 choices, in two prompts.
 * Changes replace what stands here.
 */
export function packed(changes = {}, arrays = {}) {
  return {
    title: "by hand",
    model: "by hand",
    synthetic: "",
    date: "",
    shape: [2, 4, 3, 2],
    layers: [0, 1],
    dense: [],
    prompts: [
      ["en", "ab", 0, 3, "t"],
      ["fr", "b", 3, 4, "t"],
    ],
    pieces: ["<s>", "a", "b"],
    precision: "half",
    deepest: 20,
    more: 0,
    rule: {
      plain: true,
      words: "logits",
      softmax: true,
      shares: false,
      normal: true,
      gated: true,
      note: "",
      top: 0,
      scored: [],
    },
    wide: false,
    paired: false,
    leftOut: 0,
    gaps: 0,
    off: [[], []],
    partlyOff: [[], []],
    other: "",
    twin: false,
    arrays: {
      // layer 0: tokens 0 … 3, then layer 1
      experts: base64(Int8Array.of(0, 1, 1, 2, 2, 0, 1, -1, /**/ 0, 1, 0, 1, 0, 2, 0, 1)),
      gates: base64(
        halves([0.5, 0.5, 0.75, 0.25, 1, 0, 0.5, 0, /**/ 0.5, 0.5, 0.5, 0.5, 0.875, 0.125, 1, 0]),
      ),
      logits: base64(
        halves([
          ...[0, -1, -2],
          ...[-2, 0, -0.5],
          ...[-3, -3, 0],
          ...[-1, 0, 0],
          /**/
          ...[0, -1, -2],
          ...[0, 0, 0],
          ...[0, -3, -2],
          ...[0, -1, -1],
        ]),
      ),
      piece: base64(Uint32Array.of(0, 1, 2, 2)),
      spans: base64(Uint32Array.of(0, 0, 0, 1, 1, 2, 0, 1)),
      flags: base64(Uint8Array.of(1, 0, 2, 0)),
      ...arrays,
    },
    state: {
      prompt: 0,
      layer: 0,
      token: null,
      mode: "first",
      beside: null,
      view: "tokens",
      page: false,
      scale: 1,
    },
    ...changes,
  };
}

export const trace = (changes, arrays) => new Trace(packed(changes, arrays));

/**
 * Twenty experts, too many for a colour each: 2 layers, 10 tokens in two prompts, 2 choices. Layer 0
 * is busiest at 7 (five times), then 3 (four), 0, 1, 2, 4 … (once or twice); layer 1 at 19 alone.
 */
export const MANY = {
  shape: [2, 10, 20, 2],
  layers: [1, 2],
  dense: [0],
  prompts: [
    ["en", "abcdef", 0, 6, "t"],
    ["fr", "abcd", 6, 10, "t"],
  ],
};
export const MANY_ARRAYS = {
  experts: base64(
    Int8Array.of(
      ...[7, 3, 7, 3, 7, 0, 3, 7, 4, 5, 7, 6, /**/ 3, 8, 9, 10, 0, 11, 12, 13],
      ...[19, 0, 19, 1, 19, 2, 19, 3, 19, 4, 19, 5, /**/ 19, 6, 19, 7, 19, 8, 19, 9],
    ),
  ),
  gates: base64(halves(Array.from({ length: 40 }, (_, n) => (n % 2 ? 0.25 : 0.75)))),
  logits: base64(halves(new Array(400).fill(-1))),
  piece: base64(Uint32Array.of(0, 1, 2, 1, 2, 1, 0, 1, 2, 1)),
  spans: base64(Uint32Array.from({ length: 20 }, (_, n) => (n >> 1) + (n & 1))),
  flags: base64(new Uint8Array(10)),
};
export const many = (changes = {}, arrays = {}) =>
  trace({ ...MANY, ...changes }, { ...MANY_ARRAYS, ...arrays });

const THEME = {
  ink: "#000000",
  line: "#000000",
  muted: "#000000",
  others: "#808080",
  shared: "#ff0000",
};

/** Red, green, blue on white or black; a scale from black to white. */
export const PALETTE = {
  experts: ["#ff0000", "#00ff00", "#0000ff"],
  white: [0],
  light: { ...THEME, ground: "#ffffff", faintest: 0.2, strongest: 0.6 },
  dark: { ...THEME, ground: "#000000", faintest: 0.1, strongest: 0.5 },
  cividis: ["#000000", "#fefefe"],
  difference: ["#ff0000", "#ffffff", "#0000ff"],
};

/** Colours of a trace's experts, in plain light. */
export const coloursOf = (t, state = {}) =>
  new Colours(PALETTE, new Hues(t, { asked: null, ...state }, new Loads(t)));
