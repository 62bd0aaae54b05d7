// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { paintCells } from "../../moe_viz/view/explorer/js/maps/cells.js";
import { base64, coloursOf, many, trace } from "./traces.js";

const [RED, GREEN, BLUE, WHITE] = ["255 0 0", "0 255 0", "0 0 255", "255 255 255"];

/** Six tokens in one layer, first choices 0 0 1 2 − 1, second choices 1 2 2 0 − −; none special. */
const SIX = trace(
  { shape: [1, 6, 3, 2], layers: [0], prompts: [["", "", 0, 6, ""]] },
  {
    experts: base64(Int8Array.of(0, 1, 0, 2, 1, 2, 2, 0, -1, -1, 1, -1)),
    gates: base64(new Uint16Array(12)),
    logits: base64(new Uint16Array(18)),
    flags: base64(new Uint8Array(6)),
  },
);

/** Pixels as text, and all of them opaque. */
function painted(look, columns, from, n, first = 0, last = 1) {
  const out = new Uint8ClampedArray(4 * columns * (last - first));
  const colours = coloursOf(look.trace ?? SIX);
  const scale = colours.quantity;
  const whole = { trace: SIX, colours, scale, values: null, only: null, ...look };
  paintCells(out, whole, columns, from, n, first, last);
  const pixels = [];
  for (let i = 0; i < out.length; i += 4) {
    assert.equal(out[i + 3], 255);
    pixels.push(out.subarray(i, i + 3).join(" "));
  }
  return pixels;
}

test("one token a column: its first choice's colour, and the ground where it has none", () => {
  assert.deepEqual(painted({}, 6, 0, 6), [RED, RED, GREEN, BLUE, WHITE, GREEN]);
  assert.deepEqual(painted({}, 2, 2, 2), [GREEN, BLUE]);
});

test("a dark ground is a dark ground", () => {
  const colours = coloursOf(SIX);
  colours.use(true);
  assert.equal(painted({ colours }, 6, 0, 6)[4], "0 0 0");
});

test("several tokens a column: the commonest, paler the smaller its share", () => {
  // 0 0 | 1 2 | − 1: all; half (the first that comes so far); half, since one has none.
  // Share s is drawn at 0.25 + 0.75 s: 1, 0.625 and 0.625, in 64ths: 64, 40, 40.
  assert.deepEqual(painted({}, 3, 0, 6), [RED, "96 255 96", "96 255 96"]); // 255 · 24 / 64 = 95.6
  // 0 0 1 | 2 − 1: two of three is 0.75, one of three is 0.5.
  assert.deepEqual(painted({}, 2, 0, 6), ["255 64 64", "128 128 255"]);
});

test("hues are never averaged", () => {
  const two = painted({}, 1, 1, 2)[0].split(" ").map(Number); // 0 and 1
  assert.equal(two[0], 255);
  assert.equal(two[1], two[2]);
});

test("columns cover the tokens without a gap", () => {
  // Six tokens in four columns: 0 | 0 1 | 2 | − 1
  assert.deepEqual(painted({}, 4, 0, 6), [RED, "255 96 96", BLUE, "96 255 96"]);
});

test("an isolated expert alone stays as it was, also as a second choice", () => {
  // 2 is a choice of tokens 1, 2, 3; the others are at 0.15, in 64ths 10: 255 · 54 / 64 = 215.
  const faint = { red: "255 215 215", green: "215 255 215" };
  const found = painted({ only: 2 }, 6, 0, 6);
  assert.deepEqual(found, [faint.red, RED, GREEN, BLUE, WHITE, faint.green]);
  // A column of several shows one expert: only as the commonest is it the isolated one.
  assert.deepEqual(painted({ only: 0 }, 3, 0, 6)[0], RED);
  assert.equal(painted({ only: 2 }, 3, 0, 6)[0], faint.red);
});

test("special tokens are pale", () => {
  // Level 0.3 in 64ths: 19. 255 · 45 / 64 = 179.
  assert.deepEqual(painted({ trace: trace() }, 4, 0, 4), ["255 179 179", GREEN, BLUE, GREEN]);
});

test("a quantity: the mean of those that have a number, the ground where none has", () => {
  const values = Uint8Array.of(0, 254, 100, 255, 255, 255);
  const grey = (v) => `${v} ${v} ${v}`;
  const one = painted({ values }, 6, 0, 6);
  assert.deepEqual(one, [grey(0), grey(254), grey(100), WHITE, WHITE, WHITE]);
  assert.deepEqual(painted({ values }, 3, 0, 6), [grey(127), grey(100), WHITE]);
  assert.deepEqual(painted({ values, only: 1 }, 1, 0, 2), [grey(127)], "an isolated expert or not");
});

test("layers go from top to bottom, and some of them can be painted alone", () => {
  const t = trace();
  const whole = painted({ trace: t }, 4, 0, 4, 0, 2);
  assert.equal(whole.length, 8);
  assert.deepEqual(whole.slice(4), painted({ trace: t }, 4, 0, 4, 1, 2));
  assert.deepEqual(whole.slice(5), [RED, RED, RED]);
  const values = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  assert.deepEqual(painted({ trace: t, values }, 2, 1, 2, 1, 2), ["6 6 6", "7 7 7"]);
});

test("of many experts the busiest seven have a hue, and the others a grey", () => {
  // Layer 0: 7 five times, 3 four times, 0 twice, then 4, 5, 6, 8 by number; the rest are grey.
  const grey = "128 128 128";
  const found = painted({ trace: many() }, 10, 0, 10);
  assert.deepEqual(found.slice(0, 3), [RED, RED, RED], "7 is the busiest: the first hue");
  assert.equal(found[3], GREEN, "3 is the second");
  assert.equal(found[7], grey, "9");
  assert.equal(found[9], grey, "12");
  const colours = coloursOf(many(), { asked: 12 });
  const asked = painted({ trace: many(), colours }, 10, 0, 10)[9];
  assert.equal(asked, GREEN, "the one asked for has the eighth hue, of three the second");
});
