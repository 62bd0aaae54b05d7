// SPDX-License-Identifier: Apache-2.0
// The atlas: numbers in words, addresses, what a search means, and where keys lead in its grid.
import assert from "node:assert/strict";
import { test } from "node:test";

import { findAddress, offerAddress, readAddress } from "../../moe_viz/view/atlas/js/address.js";
import { exactly, offers, takers } from "../../moe_viz/view/atlas/js/match.js";
import { cellSize, paintedBy, stepped, stride } from "../../moe_viz/view/atlas/js/scale.js";
import {
  cutAfter,
  cutBefore,
  decimal,
  percent,
  rate,
  several,
} from "../../moe_viz/view/atlas/js/words.js";

const HEAD = {
  layers: [3, 5],
  experts: 4,
  choices: 2,
  labels: ["fr", "the", ""],
  tokens_of: [100, 300, 0],
  pieces: ["␣the", "the", "␣", "␣The", "other", "␣␣", "f", "__proto__"],
  counts: [9, 8, 7, 6, 5, 4, 3, 2],
  load: [
    [0.5, 0.25, 1, 0.25],
    [0.5, 0.5, 0.5, 0],
  ],
  by_label: [
    [
      [0.8, 0.2, 0.5, 0.5],
      [0.1, 0.1, 0.9, 0.9],
    ],
    [
      [0.2, 0.4, 0.5, 0.9],
      [0.2, 0.2, 0.2, 1],
    ],
    [
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ],
  ],
  surely: [
    [
      [0, 1],
      [5, 2],
      [6, 1],
    ],
    [],
    [],
  ],
  found: [
    [0, 1, 2, 4],
    [0, 0, 0, 0],
  ],
};

test("shares are as words.py says them, and what is none is a dash", () => {
  const said = [0.314, 0.125, 0.0625, 0.0994, 0.0123, 0.0004, 0, 1, null, undefined, NaN].map(
    percent,
  );
  const words = [
    "31 %",
    "13 %",
    "6.3 %",
    "9.9 %",
    "1.2 %",
    "0.04 %",
    "0 %",
    "100 %",
    "–",
    "–",
    "–",
  ];
  assert.deepEqual(
    said.map((s) => s.replace("\u00a0", " ")),
    words,
  );
  assert.deepEqual([0.0009, 0.001255, 0.05, 1, null].map(rate), [
    "< 0.001",
    "0.0013",
    "0.05",
    "1",
    "–",
  ]);
  assert.deepEqual([several(1, "token"), several(1234, "token")], ["1 token", "1,234 tokens"]);
});

test("an address is an expert, a search, or said to lead nowhere", () => {
  assert.deepEqual(readAddress("#5/3", HEAD), { at: "entry", row: 1, expert: 3 });
  for (const lost of ["#4/0", "#5/4", "#any/%E0%A4%A"]) {
    assert.equal(readAddress(lost, HEAD).at, "lost", lost);
  }
  for (const none of ["", "#", "#5", "#5/", "#any/", "#constructor/x", "#-1/0"]) {
    assert.deepEqual(readAddress(none, HEAD), { at: "all" }, none);
  }
  for (const text of ["␣the", "a/b", "%", "#5/3", "\n", "</script>", "👩‍👩‍👧", "\ud800"]) {
    const { at, what, text: read } = readAddress(findAddress("piece", text), HEAD);
    assert.deepEqual([at, what, read], ["find", "piece", text.toWellFormed()]);
  }
});

test("without a blank both spellings are meant, with one that alone; labels come first", () => {
  const found = (typed, what) => exactly(HEAD, typed, what).map((o) => `${o.what} ${o.text}`);
  assert.deepEqual(found("the"), ["label the", "piece ␣the", "piece the"]);
  assert.deepEqual(found("␣the"), ["piece ␣the"]);
  assert.deepEqual(found(" the"), ["label the", "piece ␣the"]);
  assert.deepEqual(found("▁the"), ["piece ␣the"]);
  assert.deepEqual(found("the", "piece"), ["piece the"]);
  assert.deepEqual(found("the", "label"), ["label the"]);
  assert.deepEqual(found(" "), ["piece ␣"]);
  assert.deepEqual(found("␣␣"), ["piece ␣␣"]);
  assert.deepEqual(found("__proto__"), ["piece __proto__"]);
  assert.deepEqual([found(""), found("nothing")], [[], []]);
});

test("offers are what is spelled so, what begins so, then what has it within", () => {
  const offered = (typed) => offers(HEAD, typed).map((o) => o.text);
  assert.deepEqual(offered("the"), ["the", "the", "␣the", "␣The", "other"]);
  assert.equal(offers(HEAD, "the")[0].what, "label");
  assert.deepEqual(offered("␣T"), ["␣the", "␣The"]);
  assert.deepEqual(offered(""), []);
  const many = { ...HEAD, pieces: Array.from({ length: 99 }, (_, n) => `a${n}`), counts: [] };
  assert.equal(offers(many, "a").length, 12);
});

test("experts are found by their numbers, however these are written", () => {
  const named = (typed) => offers(HEAD, typed).flatMap((o) => (o.what === "expert" ? o.text : []));
  for (const typed of [
    "5 3",
    "(5, 3)",
    "5/3",
    " 5,3 ",
    "layer 5 expert 3",
    "Expert 3 of layer 5",
  ]) {
    assert.deepEqual(named(typed), ["expert 3 of layer 5"], typed);
    assert.equal(offerAddress(HEAD, offers(HEAD, typed)[0]), "#5/3");
    assert.equal(exactly(HEAD, typed)[0].text, "expert 3 of layer 5");
  }
  assert.deepEqual(named("expert 3"), ["expert 3 of layer 3", "expert 3 of layer 5"]);
  assert.deepEqual(
    named("layer 5"),
    [0, 1, 2, 3].map((e) => `expert ${e} of layer 5`),
  );
  for (const none of [
    "5",
    "4/0",
    "5 4",
    "layer 4",
    "expert 4",
    "layer",
    "expert 1 expert 2",
    "53",
  ]) {
    assert.deepEqual(named(none), [], none);
  }
  assert.deepEqual(exactly(HEAD, "5 3", "piece"), []);
});

test("a change has the minus sign of print, and words that are cut have an ellipsis", () => {
  assert.deepEqual(
    [-0.0193, 0.5, -0.0001, null].map((x) => decimal(x, 3)),
    ["−0.019", "0.500", "0.000", "–"],
  );
  const cut = [" les mots", "ment dit", "The dog", "(x", "", "7 a"].map(cutBefore);
  assert.deepEqual(cut, ["les mots", "…ment dit", "The dog", "(x", "", "…7 a"]);
  assert.deepEqual(["le mie", "fin.", "", "\n"].map(cutAfter), ["le mie…", "fin.", "", "\n"]);
});

test("who takes most of a label above the rest, weighted by tokens", () => {
  const found = takers(HEAD, 0, 0);
  assert.deepEqual(
    found.map((t) => [t.expert, t.share, t.mark]),
    [[0, 0.8, 1]],
    "only those that take more of it than of the rest",
  );
  assert.ok(Math.abs(found[0].rest - 0.2) < 1e-12);
  assert.deepEqual(
    takers(HEAD, 0, 1).map((t) => [t.expert, t.mark]),
    [[2, 1]],
  );
  const three = { ...HEAD, tokens_of: [100, 100, 200] };
  assert.equal(takers(three, 0, 0)[0].rest, (0.2 * 100) / 300);
  const alone = { ...HEAD, labels: ["fr"], tokens_of: [100], by_label: [HEAD.by_label[0]] };
  assert.deepEqual(
    takers(alone, 0, 0).map((t) => [t.expert, t.rest]),
    [
      [0, null],
      [2, null],
      [3, null],
    ],
  );
});

test("on the scale of loads twice is as far from even as half, and nothing is its lower end", () => {
  const { at, values, ends, dots } = paintedBy(HEAD, "load");
  assert.deepEqual([0.25, 0.5, 1, 0].map(at), [0, 0.5, 1, 0]);
  assert.equal(values.length, 8);
  assert.deepEqual(ends.map((e) => e[1]).at(-1), "even × 2");
  assert.deepEqual(dots.slice(0, 4), [false, true, true, true]);
  const label = paintedBy(HEAD, "0");
  assert.equal(label.at(0.45), 0.5, "up to the largest share of it");
  assert.deepEqual(
    label.dots.flatMap((d, n) => (d ? [n] : [])),
    [0, 6],
  );
  assert.deepEqual([label.sign, paintedBy(HEAD, "load").sign], ["●", "◆"]);
  assert.equal(paintedBy(HEAD, "found").at(1), 0.25);
  const nothing = { ...HEAD, found: [[0, 0, 0, 0]] };
  assert.equal(paintedBy(nothing, "found").at(0), 0);
});

test("cells are at least 4 px, and numbers on an axis have room", () => {
  assert.deepEqual(cellSize(1280, 58, 256), { w: 5, t: 8 });
  assert.deepEqual(cellSize(340, 58, 256), { w: 4, t: 8 });
  assert.deepEqual(cellSize(1280, 6, 8), { w: 160, t: 36 });
  assert.deepEqual([stride(40, 30), stride(5, 32), stride(4, 32)], [1, 8, 8]);
});

test("keys lead through the grid and stop at its edges", () => {
  const to = (key, far, row, expert) => stepped(key, far, { row, expert }, 58, 256);
  assert.deepEqual(to("ArrowRight", false, 0, 255), { row: 0, expert: 255 });
  assert.deepEqual(to("ArrowUp", false, 7, 3), { row: 6, expert: 3 });
  assert.deepEqual(to("End", false, 7, 3), { row: 7, expert: 255 });
  assert.deepEqual(to("Home", true, 7, 3), { row: 0, expert: 0 });
  assert.deepEqual(to("PageDown", false, 50, 3), { row: 57, expert: 3 });
  assert.equal(to("a", false, 0, 0), null);
  assert.equal(to("toString", false, 0, 0), null);
});
