// SPDX-License-Identifier: Apache-2.0
// Charts are larger and bolder on a slide than on a page.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bolder, template } from "../../moe_viz/view/charts/look.js";

const THEME = { ground: "#fff", ink: "#111", line: "#ccc", muted: "#666" };

test("a slide's type is 18 pixels, a page's smaller, and no label goes below it", () => {
  const [page, slide] = [false, true].map((onSlide) => template(THEME, onSlide).layout);
  assert.equal(slide.font.size, 18);
  assert.ok(page.font.size < slide.font.size);
  for (const layout of [page, slide]) assert.equal(layout.uniformtext.minsize, layout.font.size);
});

test("colours are the theme's", () => {
  const { layout } = template({ ...THEME, ground: "#000", ink: "#eee" }, false);
  assert.deepEqual([layout.paper_bgcolor, layout.font.color], ["#000", "#eee"]);
});

test("on a slide lines are twice as wide and marks larger, also where nothing was said of them", () => {
  const { line, marker } = bolder({ type: "scatter", line: { width: 3, color: "red" } });
  assert.deepEqual(line, { width: 6, color: "red" });
  assert.ok(marker.size > 6); // plotly's own
  assert.equal(bolder({ type: "scatter" }).line.width, 4);
});

test("areas of marks that mean something stay, and so do bars", () => {
  const marked = { type: "scatter", marker: { size: [4, 9] } };
  assert.deepEqual(bolder(marked).marker.size, [4, 9]);
  const bar = { type: "bar", marker: { line: { width: 1 } } };
  assert.equal(bolder(bar), bar);
});
