// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { NONE, Quantities } from "../../moe_viz/view/explorer/js/data/quantities.js";
import { base64, many, trace } from "./traces.js";

const MODES = ["first", "shared", "gate", "margin", "entropy", "expert", "agreement"];

/** A decision's number, from 0 to 254. */
const ANY = { watched: 0, token: 0 };
const at = (t, mode, layer, token, watched = 0) =>
  new Quantities(t).values(mode, { watched, token: 0 })[layer * t.T + token];

test("the gate goes from an even split to everything", () => {
  assert.equal(at(trace(), "gate", 0, 0), 0); // 0.5 of two
  assert.equal(at(trace(), "gate", 0, 1), 127); // 0.75 is half-way
  assert.equal(at(trace(), "gate", 0, 2), 254);
  assert.deepEqual(new Quantities(trace()).get("gate")?.ends(), ["50\u00a0%", "100 %"]);
});

test("entropy is a share of the largest possible", () => {
  assert.equal(at(trace(), "entropy", 1, 1), 254); // all equal
  const sure = [...new Array(8)].flatMap(() => [0x0000, 0xfc00, 0xfc00]); // one expert is certain
  assert.equal(at(trace({}, { logits: base64(Uint16Array.from(sure)) }), "entropy", 0, 0), 0);
});

test("margins are shares of one that most decisions stay below", () => {
  const quantities = new Quantities(trace());
  // 1, 1.5, 0, 1 (of −1, 0, 0: 0 − −1), 1, 0, 1, 0: 19 of 20 are at most 1.5.
  assert.equal(quantities.widest(), 1.5);
  assert.deepEqual(
    [...quantities.values("margin", ANY)],
    [1, 1.5, 0, 1, 1, 0, 1, 0].map((x) => Math.round((254 * x) / 1.5)),
  );
});

test("the probability is that of the expert that is watched", () => {
  for (const e of [0, 1, 2]) {
    const sum = 1 + Math.exp(-1) + Math.exp(-2);
    assert.equal(at(trace(), "expert", 0, 0, e), Math.round((254 * Math.exp(-e)) / sum));
  }
});

test("agreement is the share of the other run's choices that were made here too", () => {
  // Here 0 1, 1 2, 2 0, 1 −, then 0 1, 0 1, 0 2, 0 1.
  const others = base64(Int8Array.of(1, 0, 1, 0, 1, -1, -1, -1, /**/ 2, -1, 0, 1, 2, 0, 1, 2));
  const quantities = new Quantities(trace({ other: "another" }, { others }));
  const found = [...quantities.values("agreement", ANY)];
  assert.deepEqual(found, [254, 127, 0, NONE, 0, 254, 254, 127]);
  assert.ok(!new Quantities(trace()).offers("agreement"));
});

test("what is no number is none, and beyond the ends is the end", () => {
  const gates = new Uint16Array(16).fill(0x7e00);
  gates[2] = 0x4000; // a gate of 2
  const found = new Quantities(trace({}, { gates: base64(gates) })).values("gate", ANY);
  assert.deepEqual([...found], [NONE, 254, NONE, NONE, NONE, NONE, NONE, NONE]);
});

test("without logits only what follows from choices and gates is offered", () => {
  const quantities = new Quantities(trace({}, { logits: undefined }));
  const modes = [...MODES, "constructor", null];
  assert.deepEqual(
    modes.filter((mode) => quantities.offers(mode)),
    ["first", "shared", "gate"],
  );
  assert.deepEqual(quantities.names(), [
    ["shared", "experts shared"],
    ["gate", "gate of the first choice"],
  ]);
  assert.throws(() => quantities.values("margin", ANY), /no margin/);
});

test("numbers are worked out once, and of one watched expert at a time", () => {
  const quantities = new Quantities(trace());
  const first = quantities.values("expert", ANY);
  assert.equal(quantities.values("expert", { watched: 0, token: 3 }), first);
  const gates = quantities.values("gate", ANY);
  const second = quantities.values("expert", { watched: 1, token: 0 });
  assert.notDeepEqual([...second], [...first]);
  assert.equal(quantities.values("gate", { watched: 1, token: 3 }), gates);
  assert.deepEqual([...quantities.values("expert", ANY)], [...first]);
});

test("shared at once is shared one by one", () => {
  const t = trace(
    { gaps: 1 },
    { experts: base64(Int8Array.of(0, 1, 1, 2, -2, -2, 1, -1, 0, 1, 0, 1, 0, 2, 0, 1)) },
  );
  for (const token of [0, 1, 2, 3]) {
    const quantities = new Quantities(t);
    const all = [...quantities.values("shared", { watched: 0, token })];
    const one = all.map((_, n) => quantities.get("shared").at(Math.floor(n / 4), n % 4, token));
    assert.deepEqual(
      all,
      one.map((x) => (Number.isNaN(x) ? NONE : Math.round(254 * x))),
    );
    assert.equal(all[2], NONE, "a gap");
  }
});

test("shared is how many of the selected token's experts another has, of k", () => {
  // Layer 0: 7 3 · 7 3 · 7 0 · 3 7 · 4 5 · 7 6 · 3 8 · 9 10 · 0 11 · 12 13; of token 0: 7 and 3.
  const quantities = new Quantities(many());
  const found = [...quantities.values("shared", { watched: 0, token: 0 })];
  assert.deepEqual(found.slice(0, 10), [254, 254, 127, 254, 0, 127, 127, 0, 0, 0]);
  assert.deepEqual(found.slice(10), [254, ...new Array(9).fill(127)], "19 is everywhere");
  const other = [...quantities.values("shared", { watched: 0, token: 2 })]; // 7 and 0
  assert.deepEqual(other.slice(0, 10), [127, 127, 254, 127, 0, 127, 0, 0, 127, 0]);
  assert.ok(!new Quantities(trace({ shape: [2, 8, 3, 1] })).offers("shared"), "of one choice");
});
