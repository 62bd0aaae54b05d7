import assert from "node:assert/strict";
import { test } from "node:test";

import { say } from "../../moe_viz/view/explorer/js/words.js";
import { trace } from "./traces.js";

const near = (found, expected) => {
  assert.equal(found.length, expected.length);
  found.forEach((x, n) => assert.ok(Math.abs(x - expected[n]) < 1e-6, `${found} ≠ ${expected}`));
};

test("experts are ranked by logit, equal ones by number", () => {
  const t = trace();
  assert.deepEqual(t.ranking(0, 1), [1, 2, 0]);
  assert.deepEqual(t.ranking(0, 3), [1, 2, 0]); // 1 and 2 are equal
  assert.deepEqual(t.ranking(1, 1), [0, 1, 2]); // all are
});

test("the margin is the last chosen logit less the next", () => {
  const t = trace();
  assert.equal(t.margin(0, 0), 1); // −1 − (−2)
  assert.equal(t.margin(0, 1), 1.5); // −0.5 − (−2)
  assert.equal(t.margin(1, 1), 0);
  assert.equal(trace({ shape: [2, 2, 3, 3] }).margin(0, 0), Infinity); // no expert is left
});

test("probabilities are the softmax over all experts", () => {
  const [a, b, c] = [1, Math.exp(-1), Math.exp(-2)];
  near(
    trace().probabilities(0, 0),
    [a, b, c].map((x) => x / (a + b + c)),
  );
  near(trace().probabilities(1, 1), [1 / 3, 1 / 3, 1 / 3]);
});

test("without logits probabilities are the gates of the chosen, and of the others none", () => {
  const t = trace({}, { logits: undefined });
  assert.deepEqual(t.probabilities(0, 1), [NaN, 0.75, 0.25]);
  assert.ok(!t.hasLogits);
  assert.ok(Number.isNaN(t.margin(0, 1)));
});

test("an unused slot is no choice", () => {
  const t = trace();
  assert.deepEqual(t.chosen(0, 3), [[1, 0.5]]);
  assert.ok(t.involves(0, 3, 1));
  assert.ok(!t.involves(0, 3, 0));
  assert.deepEqual(t.chosen(0, 1), [
    [1, 0.75],
    [2, 0.25],
  ]);
});

test("flags, pieces and prompts are as they were packed", () => {
  const t = trace({ prompts: [["", "ab", 0, 4, ""]] });
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => t.isSpecial(n)),
    [true, false, false, false],
  );
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => t.isGenerated(n)),
    [false, false, true, false],
  );
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => t.piece(n)),
    ["<s>", "a", "b", "b"],
  );
  assert.deepEqual(t.labels, ["text"]); // a prompt without a label
  assert.equal(t.firstShown(t.prompts[0]), 1);
  assert.deepEqual(trace().span(2), [1, 2]);
});

test("a decision in words names the chosen, their gates, and who just missed", () => {
  const t = trace({ layers: [4, 9] });
  const said = "In layer 4, ‘a’ goes to expert 1 (75\u00a0%) and 2 (25\u00a0%)";
  assert.equal(say(t, 0, 1), `${said}; 0 missed by 1.50 logits.`);
  // Expert 2 was executed although expert 0 has the larger logit: something intervened.
  const forced = say(t, 0, 2);
  assert.ok(forced.includes("goes to expert 2 (100\u00a0%) and 0 (0\u00a0%); 1 missed by 0.00"));
  assert.ok(
    say(t, 1, 2).endsWith(
      "goes to expert 0 (88\u00a0%) and 2 (13\u00a0%); 1 missed by 1.00 logits.",
    ),
  );
  const swapped = trace(
    {},
    { experts: Buffer.from(Int8Array.of(2, -1).buffer).toString("base64") },
  );
  assert.ok(say(swapped, 0, 0).endsWith("; by logits, 0 would have come first."));
  const none = trace({}, { experts: Buffer.from(Int8Array.of(-1, -1).buffer).toString("base64") });
  assert.equal(say(none, 0, 0), "In layer 0, ‘<s>’ goes to no expert.");
});
