// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { css, mixed, rgb, scaleOf } from "../../moe_viz/view/explorer/js/colours.js";
import { coloursOf, many, trace } from "./traces.js";

test("colours are mixed as weighted means", () => {
  assert.deepEqual(rgb("#1b519f"), [27, 81, 159]);
  assert.deepEqual(mixed("#102030", "#ffffff", 0.3), [183, 188, 193]); // 0.3 · 16 + 0.7 · 255
  assert.deepEqual(mixed("#102030", "#ffffff", 1), [16, 32, 48]);
  assert.deepEqual(mixed("#102030", "#ffffff", 0), [255, 255, 255]);
  assert.equal(css([1, 2, 3]), "rgb(1 2 3)");
});

test("a scale passes through its anchors", () => {
  const scale = scaleOf(["#000000", "#7f7f7f", "#ff0000"]);
  assert.equal(scale.length, 255);
  assert.deepEqual(
    [scale[0], scale[127], scale[254]],
    [
      [0, 0, 0],
      [127, 127, 127],
      [255, 0, 0],
    ],
  );
  assert.deepEqual(scale[64], [64, 64, 64]);
});

test("experts' colours repeat, hatched, and digits are legible on them", () => {
  const colours = coloursOf(trace());
  assert.equal(colours.expert(0, 4), "#00ff00");
  assert.equal(colours.digit(1, 3), "#fff");
  assert.equal(colours.digit(0, 4), "#000");
  assert.equal(colours.solid(0, 1), "linear-gradient(#00ff00, #00ff00)");
  assert.match(colours.solid(0, 4), /^repeating-linear-gradient\(45deg.*linear-gradient\(#00ff00/);
  assert.match(colours.solid(0, 7), /^repeating-linear-gradient\(90deg/);
});

test("of many experts the busiest of each layer in the whole trace are named, busiest first", () => {
  const state = { asked: null };
  const { hues } = coloursOf(many(), state);
  assert.deepEqual(hues.named(0), [7, 3, 0, 4, 5, 6, 8]);
  assert.deepEqual(hues.named(1), [19, 0, 1, 2, 3, 4, 5]);
  assert.deepEqual(
    [7, 3, 8, 9, 19].map((e) => hues.of(0, e)),
    [0, 1, 6, -1, -1],
  );
  assert.deepEqual([hues.of(1, 19), hues.of(1, 7)], [0, -1]);
  const asked = coloursOf(many(), { asked: 9 }).hues;
  assert.deepEqual([asked.of(0, 9), asked.of(0, 10), asked.of(0, 7)], [7, -1, 0]);
  const few = coloursOf(trace(), { asked: 2 }).hues;
  assert.deepEqual([few.named(0), few.of(0, 2)], [[0, 1, 2], 2]);
});

test("an expert without a hue is grey, with the theme's ink on it", () => {
  const colours = coloursOf(many());
  assert.deepEqual([colours.expert(0, 19), colours.digit(0, 19)], ["#808080", "#000000"]);
  assert.equal(colours.solid(0, 19), "linear-gradient(#808080, #808080)");
});

test("what is shared is the ground, then a step that can be seen, then even steps", () => {
  const colours = coloursOf(many());
  const found = [0, 0.25, 0.5, 1].map((share) => colours.shared(share));
  // 0.2 and 0.8 of the way: 255 · (1 − 0.4), 255 · (1 − 0.6)
  assert.deepEqual(found, [
    [255, 255, 255],
    [255, 153, 153],
    [255, 102, 102],
    [255, 0, 0],
  ]);
  const steps = colours.sharing();
  assert.deepEqual([steps.length, steps[0], steps[254]], [255, found[0], found[3]]);
});

test("what is not chosen is mixed into the theme's ground", () => {
  const colours = coloursOf(trace());
  assert.ok(colours.faint(0, 0).includes("rgb(255 179 179)")); // 0.3 red on white
  colours.use(true);
  assert.ok(colours.faint(0, 0).includes("rgb(115 0 0)")); // 0.45 red on black
});

test("a larger gate is a stronger colour, from an even split to everything", () => {
  const colours = coloursOf(trace());
  const close = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-12);
  close(colours.strength(0.5, 2), 0.2);
  close(colours.strength(0.75, 2), 0.4);
  close(colours.strength(1, 2), 0.6);
  close(colours.strength(1, 1), 0.6);
  close(colours.strength(NaN, 2), 0.2);
  close(colours.strength(7, 2), 0.6);
});
