// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, readAddress } from "../../moe_viz/view/explorer/js/address.js";
import * as beside from "../../moe_viz/view/explorer/js/data/beside.js";
import { meaning } from "../../moe_viz/view/explorer/js/keys.js";
import { Quantities } from "../../moe_viz/view/explorer/js/data/quantities.js";
import { begin, carried, fitted, focus } from "../../moe_viz/view/explorer/js/state.js";
import { Rows } from "../../moe_viz/view/explorer/js/maps/rows.js";
import { packed, trace } from "./traces.js";

const t = trace({ layers: [3, 7] });
const quantities = new Quantities(t);
const at = (changes = {}) =>
  fitted({ ...begin(packed().state, "prompt"), ...changes }, t, quantities);

test("a picture opens at the first token that is not special", () => {
  assert.equal(at().token, 1);
  assert.equal(at({ prompt: 1 }).token, 3);
  assert.deepEqual(focus(at()), { layer: 0, token: 1 });
  assert.deepEqual(focus(at({ hover: { layer: 1, token: 2 } })), { layer: 1, token: 2 });
});

test("what a trace has not is not looked at", () => {
  const found = at({
    prompt: 9,
    layer: 9,
    token: 0,
    mode: "agreement",
    watched: 9,
    isolate: 9,
    asked: 9,
    beside: { kind: "prompt", number: 9 },
  });
  const { prompt, layer, token, mode, watched, isolate } = found;
  assert.deepEqual([prompt, layer, token, mode, watched, isolate], [1, 1, 3, "first", 2, null]);
  assert.deepEqual([found.beside, found.asked], [null, null]);
});

test("the next trace is looked at in the same layer, prompt and place", () => {
  const state = at({ layer: 1, token: 2, mode: "entropy", isolate: 1, signs: true, query: "a" });
  const next = trace({ layers: [7, 8], prompts: [["", "", 1, 4, ""]] });
  const found = fitted(carried(state, t, next), next, new Quantities(next));
  assert.equal(found.layer, 0, "layer 7 is the first there");
  assert.equal(found.token, 3, "the prompt's third token");
  assert.deepEqual(
    [found.mode, found.isolate, found.signs, found.query],
    ["entropy", 1, true, "a"],
  );
  assert.ok(
    !carried({ ...state, playing: true }, t, next).playing,
    "it does not play on by itself",
  );
  const other = carried(at({ prompt: 1, layer: 1 }), t, trace({ prompts: [["", "", 0, 4, ""]] }));
  assert.equal(fitted(other, next, quantities).prompt, 0);
});

test("what stands beside is spelt as addresses have always spelt it", () => {
  assert.equal(beside.spelt({ kind: "prompt", number: 1 }, t), "prompt 1");
  assert.equal(beside.spelt({ kind: "label", label: "fr" }, t), "label 1");
  assert.equal(beside.spelt(null, t), "");
  for (const value of ["prompt 0", "prompt 1", "label 0", "label 1"]) {
    assert.equal(beside.spelt(beside.read(value, t), t), value);
  }
  for (const value of ["", "prompt", "prompt 2", "label 2", "prompt -1", "label fr", "prompt 1 "]) {
    assert.equal(beside.read(value, t), null, value);
  }
});

test("nothing stands beside itself", () => {
  assert.ok(!beside.fits({ kind: "prompt", number: 0 }, t, 0));
  assert.ok(beside.fits({ kind: "prompt", number: 1 }, t, 0));
  assert.ok(!beside.fits({ kind: "label", label: "en" }, t, 0));
  assert.ok(beside.fits({ kind: "label", label: "fr" }, t, 0));
  assert.ok(!beside.fits({ kind: "label", label: "de" }, t, 0));
  const all = beside.neighbour({ kind: "label", label: "fr" }, t);
  assert.deepEqual([all.name, all.whole, all.prompt.start], ["all of fr", true, 3]);
});

test("parallel prompts share a topic, and open at the same piece", () => {
  assert.deepEqual(beside.parallels(t, 0), [0, 1]);
  assert.deepEqual(beside.parallels(trace({ prompts: [["", "", 0, 4, ""]] }), 0), []);
  assert.equal(beside.sameToken(t, 2, 1), 3);
  assert.equal(beside.sameToken(t, 1, 1), null);
});

test("an address and what is looked at say the same", () => {
  const state = at({ layer: 1, token: 2, mode: "margin", beside: { kind: "prompt", number: 1 } });
  const address = addressOf(state, t, 1);
  assert.equal(address, "#prompt=0&layer=7&token=2&mode=margin&beside=prompt+1");
  const { prompt, layer, token, mode } = state;
  assert.deepEqual(readAddress(address, t, quantities, 1), {
    prompt,
    layer,
    token,
    mode,
    beside: state.beside,
  });
  assert.equal(
    addressOf({ ...state, beside: null, scale: 2 }, t, 1)
      .split("&")
      .at(-1),
    "scale=2",
  );
  assert.deepEqual(readAddress("#scale=2", t, quantities, 0), { scale: 2 });
  assert.match(addressOf({ ...state, view: "touched" }, t, 1), /mode=margin&view=touched&beside/);
  for (const view of ["tokens", "experts", "touched"]) {
    assert.deepEqual(readAddress(`#view=${view}`, t, quantities, 0), { view });
  }
  // As links have been written by hand; tokens count from their prompt's first.
  assert.deepEqual(readAddress("#token=0&beside=label 0", t, quantities, 1), {
    token: 3,
    beside: { kind: "label", label: "en" },
  });
  assert.deepEqual(readAddress("#prompt=1", t, quantities, 0), { prompt: 1, token: null });
  assert.deepEqual(readAddress("#layer=3", t, quantities, 0), { layer: 0 });
});

test("nothing of an address is believed that is not there", () => {
  const hostile = "#prompt=99&layer=x&token=-1&mode=<script>&beside=prompt 77&scale=1e9";
  assert.deepEqual(readAddress(hostile, t, quantities, 0), { token: null });
  const wrong = [
    "#layer=",
    "#layer=5",
    "#mode=agreement",
    "#mode=constructor",
    "#scale=",
    "#view=tokens2",
    "#token=1.5",
  ];
  for (const hash of wrong) assert.deepEqual(readAddress(hash, t, quantities, 0), {}, hash);
});

test("keys mean what they mean where they are pressed", () => {
  const experts = [0, 1, 2, 3, 4, 5, 6, 7];
  const place = { typing: false, field: false, button: false, idle: true, experts };
  const act = (key, changes, held) => meaning({ key, ...held }, { ...place, ...changes }).act;
  assert.deepEqual(meaning({ key: "ArrowLeft" }, place), { act: "token", n: -1 });
  assert.deepEqual(meaning({ key: "ArrowDown" }, place), { act: "layer", n: 1 });
  assert.deepEqual(meaning({ key: "7" }, place), { act: "isolate", n: 7 });
  assert.equal(act("8"), "leave", "there is no expert 8");
  assert.deepEqual(meaning({ key: "1" }, { ...place, experts: [40, 12] }), {
    act: "isolate",
    n: 12,
  });
  assert.equal(act("2", { experts: [40, 12] }), "leave", "the legend names two");
  assert.equal(act("Escape"), "blur");
  assert.equal(act("Escape", { idle: false }), "clear");
  assert.equal(act("Escape", { field: true, typing: true }), "clear");
  assert.equal(act("Enter", { field: true, typing: true }), "next");
  assert.equal(act("3", { field: true }), "keep", "typed into a field");
  assert.equal(act("/"), "find");
  assert.equal(act("Enter", { button: true }), "keep");
  assert.equal(act(" "), "play");
  assert.equal(act(" ", { button: true }), "keep", "a button is pressed by it");
  assert.equal(act(" ", { field: true }), "keep");
  assert.equal(act("Home"), "keep");
  assert.equal(act("d"), "nothing", "it would delete a notebook's cell");
  assert.equal(act("F5"), "leave");
  assert.equal(act("Tab"), "leave");
  assert.equal(act("c", {}, { ctrlKey: true }), "leave");
  assert.equal(act("3", {}, { altKey: true }), "leave");
});

const upTo = (n) => Array.from({ length: n }, (_, l) => l);
const rowsOf = (layers, place, zoom, dense = []) =>
  new Rows({ layers: typeof layers === "number" ? upTo(layers) : layers, dense }, place, zoom);

test("layers lie below each other, with room after every eight", () => {
  const few = rowsOf(6, "page", 1);
  assert.deepEqual([few.top(5), few.total], [200, 240]);
  const many = rowsOf(32, "notebook", 1);
  assert.deepEqual(
    [7, 8, 16, 31].map((l) => many.top(l)),
    [49, 59, 118, 226],
  );
  for (let l = 0; l < 32; l++) assert.equal(many.at(many.top(l)), l);
  assert.deepEqual([many.at(-5), many.at(many.total), many.at(999)], [0, 31, 31]);
  const large = rowsOf(32, "notebook", 2);
  assert.deepEqual([large.top(7), large.top(8)], [98, 118]); // twice as high, and twice the room
});

test("on a slide all layers together are no higher than six", () => {
  const totals = [6, 15, 58].map((n) => rowsOf(n, "slide", 1).total);
  assert.deepEqual(totals, [6 * 28, 15 * 11 + 3, 58 * 2 + 7 * 3]);
});

const names = (rows) => rows.named().map(({ name }) => name);

test("all of a few layers are named, and of many those that have room", () => {
  assert.deepEqual(names(rowsOf(6, "page", 1)), ["0", "1", "2", "3", "4", "5"]);
  assert.deepEqual(names(rowsOf(32, "notebook", 1)), ["0", "8", "16", "24", "31"]);
  assert.deepEqual(names(rowsOf(9, "page", 1)), ["0", "8"]);
  const tall = rowsOf(96, "notebook", 1);
  const heights = tall.named().map(({ y }) => y);
  assert.ok(
    heights.every((y, n) => !n || y - heights[n - 1] >= 11),
    "labels do not touch",
  );
  assert.ok(names(tall).includes("95"));
});

test("dense layers are bands where they belong, each run of them one", () => {
  const first = rowsOf([3, 4, 5], "notebook", 1, [0, 1, 2]);
  assert.deepEqual(first.bands, [{ first: 0, last: 2, top: 0, height: 11 }]);
  assert.deepEqual([first.top(0), first.at(5), first.total], [12, 0, 12 + 3 * 24]);
  assert.equal(names(first)[0], "0–2");
  const mixed = rowsOf([1, 3, 5], "notebook", 1, [0, 2, 4, 6]);
  assert.deepEqual(
    mixed.bands.map(({ first, last, top }) => [first, last, top]),
    [
      [0, 0, 0],
      [2, 2, 36],
      [4, 4, 72],
      [6, 6, 108],
    ],
  );
  assert.deepEqual(mixed.tops, [12, 48, 84]);
  const five = rowsOf([5], "notebook", 1, [0, 1, 2, 3, 4]);
  assert.equal(five.bands[0].height, 19, "four pixels a layer");
});
