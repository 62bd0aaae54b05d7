// SPDX-License-Identifier: Apache-2.0
// What is said and drawn follows the rule of the trace.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Quantities } from "../../moe_viz/view/explorer/js/data/quantities.js";
import { say } from "../../moe_viz/view/explorer/js/data/words.js";
import { base64, halves, packed, trace } from "./traces.js";

const MIXTRAL = packed().rule;
/** Scores of a sigmoid with a bias: 1 is added to what travels, and gates are shares. */
const SIGMOID = {
  ...MIXTRAL,
  plain: false,
  words: "sigmoid of the logit + bias",
  softmax: false,
  shares: true,
  normal: false,
  top: 1,
};

test("the sentence names the unit that choices went by, and shares as shares", () => {
  assert.equal(
    say(trace(), 0, 1),
    "In layer 0, ‘a’ goes to expert 1 (75\u00a0%) and 2 (25\u00a0%); 0 missed by 1.50 logits.",
  );
  assert.equal(
    say(trace({ rule: SIGMOID }), 0, 1),
    "In layer 0, ‘a’ goes to expert 1 (75\u00a0% of its gates) and 2 (25\u00a0%); " +
      "0 missed by 1.50 in score.",
  );
});

test("a gap has as many digits as its numbers travel with", () => {
  const far = base64(
    halves(Array.from({ length: 24 }, (_, n) => [0, -9.296875, -20.703125][n % 3])),
  );
  assert.match(say(trace({}, { logits: far }), 0, 1), /by logits, 0 would have come first/);
  const near = base64(
    halves(Array.from({ length: 24 }, (_, n) => [-20.703125, 0, -9.296875][n % 3])),
  );
  assert.match(say(trace({}, { logits: near }), 0, 1), /0 missed by 11\.4 logits/);
  assert.match(say(trace({ rule: SIGMOID }, { logits: near }), 0, 1), /0 missed by 11\.4 in score/);
});

test("a gap that float16 does not tell is less than a thousandth", () => {
  const logits = base64(halves(Array.from({ length: 24 }, () => 0)));
  assert.match(
    say(trace({ rule: SIGMOID }, { logits }), 0, 1),
    /missed by less than 0\.001 in score/,
  );
  assert.match(say(trace({}, { logits }), 0, 1), /missed by less than 0\.01 logits/);
});

test("bars are what the choice goes by, where no softmax is taken", () => {
  const found = trace({ rule: SIGMOID });
  assert.deepEqual(found.bars(0, 1), [-1, 1, 0.5]);
  const whole = trace().bars(0, 1);
  assert.ok(Math.abs(whole.reduce((a, b) => a + b) - 1) < 1e-6);
});

test("a layer whose choice goes by no scores has no margin and no runner-up", () => {
  const found = trace({ rule: { ...MIXTRAL, scored: [false, true] } });
  assert.ok(Number.isNaN(found.margin(0, 1)));
  assert.ok(Number.isFinite(found.margin(1, 1)));
  assert.doesNotMatch(say(found, 0, 1), /missed|come first/);
});

test("without gates no share is told, and no map of them is offered", () => {
  const rule = { ...MIXTRAL, gated: false, softmax: false, shares: true };
  const found = trace({ rule, precision: "none" }, { logits: undefined });
  assert.equal(say(found, 0, 1), "In layer 0, ‘a’ goes to expert 1 and 2.");
  assert.deepEqual(found.bars(0, 1).map(Number.isNaN), [true, true, true]);
  assert.deepEqual(new Quantities(found).names(), [["shared", "experts shared"]]);
});

test("entropy and probability are offered of a softmax alone", () => {
  const names = (rule) => new Quantities(trace({ rule })).names().map(([mode]) => mode);
  assert.deepEqual(names(MIXTRAL), ["shared", "gate", "margin", "entropy", "expert"]);
  assert.deepEqual(names(SIGMOID), ["shared", "gate", "margin"]);
});
