// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { Colours, css, mixed, rgb, scaleOf } from "../../moe_viz/view/explorer/js/colours.js";
import { PALETTE } from "./traces.js";

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
  const colours = new Colours(PALETTE);
  assert.equal(colours.expert(4), "#00ff00");
  assert.equal(colours.digit(3), "#fff");
  assert.equal(colours.digit(4), "#000");
  assert.equal(colours.solid(1), "linear-gradient(#00ff00, #00ff00)");
  assert.match(colours.solid(4), /^repeating-linear-gradient\(45deg.*linear-gradient\(#00ff00/);
  assert.match(colours.solid(7), /^repeating-linear-gradient\(90deg/);
});

test("what is not chosen is mixed into the theme's ground", () => {
  const colours = new Colours(PALETTE);
  assert.ok(colours.faint(0).includes("rgb(255 179 179)")); // 0.3 red on white
  colours.use(true);
  assert.ok(colours.faint(0).includes("rgb(115 0 0)")); // 0.45 red on black
});

test("a larger gate is a stronger colour, from an even split to everything", () => {
  const colours = new Colours(PALETTE);
  const close = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-12);
  close(colours.strength(0.5, 2), 0.2);
  close(colours.strength(0.75, 2), 0.4);
  close(colours.strength(1, 2), 0.6);
  close(colours.strength(1, 1), 0.6);
  close(colours.strength(NaN, 2), 0.2);
  close(colours.strength(7, 2), 0.6);
});
