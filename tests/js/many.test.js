// SPDX-License-Identifier: Apache-2.0
// Of many experts: the highest scores alone, what came next, and the pieces that one expert took.
import assert from "node:assert/strict";
import { test } from "node:test";

import { busiest } from "../../moe_viz/view/explorer/js/data/hues.js";
import { takenBy } from "../../moe_viz/view/explorer/js/panels/taken.js";
import { behind, say } from "../../moe_viz/view/explorer/js/data/words.js";
import { base64, halves, many, packed, trace } from "./traces.js";

/** One decision among 20: 7 and 3 are chosen, and 9, 0, 12 came next. */
const HIGHEST = {
  shape: [1, 1, 20, 2],
  layers: [4],
  dense: [],
  prompts: [["", "a", 0, 1, ""]],
  precision: "top",
  more: 3,
};
const HIGHEST_ARRAYS = {
  experts: base64(Int8Array.of(7, 3)),
  gates: base64(Uint8Array.of(204, 51)),
  logits: base64(halves([0, -0.5, -1, -2, -3])),
  nearest: base64(Int8Array.of(9, 0, 12)),
  piece: base64(Uint32Array.of(1)),
  spans: base64(Uint32Array.of(0, 1)),
  flags: base64(Uint8Array.of(0)),
};
const highest = (changes = {}, arrays = {}) =>
  trace({ ...HIGHEST, ...changes }, { ...HIGHEST_ARRAYS, ...arrays });

test("where only the highest scores are here, others are unknown and not nothing", () => {
  const t = highest();
  const scores = [7, 3, 9, 0, 12].map((e) => t.logit(0, 0, e));
  assert.deepEqual(scores, [0, -0.5, -1, -2, -3]);
  assert.ok(Number.isNaN(t.logit(0, 0, 5)));
  assert.deepEqual(t.ranking(0, 0), [7, 3, 9, 0, 12]);
  assert.equal(t.margin(0, 0), 0.5);
  assert.ok(!t.hasProbabilities, "a softmax over all needs all");
  assert.ok(Math.abs(t.gate(0, 0, 0) - 0.8) < 1e-6);
});

test("a margin among the highest holds whatever was chosen", () => {
  // 12 was executed in the place of 3: the two highest are 7 and 9, then 3.
  const t = highest(
    {},
    {
      experts: base64(Int8Array.of(7, 12)),
      nearest: base64(Int8Array.of(9, 3, 0)),
      logits: base64(halves([0, -20.703125, -0.5, -1, -2])),
    },
  );
  assert.equal(t.margin(0, 0), 0.5);
  assert.deepEqual(t.ranking(0, 0), [7, 9, 3, 0, 12]);
  assert.match(say(t, 0, 0), /by logits, 9 would have come first/);
  assert.deepEqual(behind(t, 0, 0, 4), [], "none missed: they were ahead");
});

test("the next experts are named with what they missed by", () => {
  assert.deepEqual(behind(highest(), 0, 0, 2), [
    { e: 9, by: "0.50" },
    { e: 0, by: "1.50" },
  ]);
  assert.equal(behind(highest(), 0, 0, 9).length, 3);
  const off = highest({ off: [[9]], partlyOff: [[0]] });
  assert.deepEqual(
    behind(off, 0, 0, 4).map(({ e }) => e),
    [12],
  );
  const unscored = highest({ rule: { ...packed().rule, scored: [false] } });
  assert.deepEqual(behind(unscored, 0, 0, 4), []);
});

test("the best apart from some are the ranking's, whatever is here", () => {
  const ranked = (t, layer, token, apart) =>
    t.ranking(layer, token).filter((e) => !apart.has(e) && !Number.isNaN(t.logit(layer, token, e)));
  const scores = base64(
    halves(Array.from({ length: 400 }, (_, n) => [0, -0.5, -1, -2][(n * 7) % 4])),
  );
  for (const t of [many({}, { logits: scores }), highest()]) {
    for (const apart of [new Set(), new Set([7]), new Set([0, 3, 9])]) {
      for (const n of [1, 3, 30]) {
        assert.deepEqual(t.best(0, 0, n, apart), ranked(t, 0, 0, apart).slice(0, n));
      }
    }
  }
});

test("of more than two choices among many the first is named, and how many others", () => {
  const gates = base64(halves([0.5, 0.25, 0.25]));
  const arrays = { ...HIGHEST_ARRAYS, experts: base64(Int8Array.of(7, 3, 9)), gates };
  const whole = { ...HIGHEST, shape: [1, 1, 20, 3], precision: "half", more: 0 };
  const t = trace(whole, { ...arrays, nearest: undefined, logits: undefined });
  assert.equal(say(t, 0, 0), "In layer 4, ‘a’ goes to expert 7 (50\u00a0%) and 2 others.");
  assert.match(say(many(), 0, 1), /goes to expert 7 \(75\u00a0%\) and 3 \(25\u00a0%\)/);
});

test("the busiest come first, equal ones by number", () => {
  assert.deepEqual(busiest([2, 5, 2, 0, 5]), [1, 4, 0, 2, 3]);
});

const pieces = (found) => found.map(({ piece, here, all }) => [piece, here, all]);

test("an expert's pieces are those of its tokens, most taken first", () => {
  // Layer 0, expert 7: tokens 0 (<s>, not special here), 1 a, 2 b, 3 a, 5 a.
  const t = many();
  const [first] = t.prompts;
  assert.deepEqual(pieces(takenBy(t, 0, 7, [first])), [
    ["a", 3, 3],
    ["<s>", 1, 1],
    ["b", 1, 2],
  ]);
  assert.deepEqual(pieces(takenBy(t, 0, 7, t.prompts))[0], ["a", 3, 5]);
  assert.deepEqual(takenBy(t, 0, 19, t.prompts), []);
  const flags = base64(Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  assert.deepEqual(
    pieces(takenBy(many({}, { flags }), 0, 7, [first])).length,
    2,
    "<s> is left out",
  );
});

test("beside a piece stands what the twin's favourite expert takes of it", () => {
  // The twin sends a to 2 at tokens 1, 3 and 5, and to 4 at 7 and 9; b at 2, 4, 8 to 5, 6 and 5.
  const first = [0, 2, 5, 2, 6, 2, 0, 4, 5, 4];
  const others = base64(
    Int8Array.from({ length: 40 }, (_, n) => (n % 2 ? -1 : first[(n >> 1) % 10])),
  );
  const t = many({ other: "twin", twin: true }, { others });
  const shares = takenBy(t, 0, 7, t.prompts).map(({ piece, twin }) => [piece, twin]);
  assert.deepEqual(shares, [
    ["a", 3 / 5],
    ["<s>", 1],
    ["b", 2 / 3],
  ]);
  const another = many({ other: "another run", twin: false }, { others });
  assert.ok(takenBy(another, 0, 7, another.prompts).every(({ twin }) => twin === null));
});
