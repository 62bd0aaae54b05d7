// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { NONE, Quantities } from "../../moe_viz/view/explorer/js/quantities.js";
import { base64, trace } from "./traces.js";

/** A decision's number, from 0 to 254. */
const at = (t, mode, layer, token, watched = 0) =>
  new Quantities(t).values(mode, watched)[layer * t.T + token];

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
    [...quantities.values("margin", 0)],
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
  const found = [...quantities.values("agreement", 0)];
  assert.deepEqual(found, [254, 127, 0, NONE, 0, 254, 254, 127]);
  assert.ok(!new Quantities(trace()).offers("agreement"));
});

test("what is no number is none, and beyond the ends is the end", () => {
  const gates = new Uint16Array(16).fill(0x7e00);
  gates[2] = 0x4000; // a gate of 2
  const found = new Quantities(trace({}, { gates: base64(gates) })).values("gate", 0);
  assert.deepEqual([...found], [NONE, 254, NONE, NONE, NONE, NONE, NONE, NONE]);
});

test("without logits only the gate is offered", () => {
  const quantities = new Quantities(trace({}, { logits: undefined }));
  const modes = ["first", "gate", "margin", "entropy", "expert", "agreement", "constructor", null];
  assert.deepEqual(
    modes.filter((mode) => quantities.offers(mode)),
    ["first", "gate"],
  );
  assert.deepEqual(quantities.names(), [["gate", "gate of the first choice"]]);
  assert.throws(() => quantities.values("margin", 0), /no margin/);
});

test("numbers are worked out once, and of one watched expert at a time", () => {
  const quantities = new Quantities(trace());
  const first = quantities.values("expert", 0);
  assert.equal(quantities.values("expert", 0), first);
  quantities.values("gate", 0);
  quantities.values("expert", 1);
  assert.deepEqual([...quantities.worked.keys()], ["gate", "expert 1"]);
});
