// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { NONE, Quantities } from "../../moe_viz/view/explorer/js/data/quantities.js";
import { say } from "../../moe_viz/view/explorer/js/data/words.js";
import { base64, halves, trace } from "./traces.js";

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
  assert.ok(
    forced.includes("goes to expert 2 (100\u00a0%) and 0 (0\u00a0%); 1 missed by less than 0.01"),
  );
  assert.ok(
    say(t, 1, 2).endsWith(
      "goes to expert 0 (88\u00a0%) and 2 (12\u00a0%); 1 missed by 1.00 logits.",
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

const executed = (...experts) => ({ experts: base64(Int8Array.of(...experts)) });

test("who was switched off did not miss: the sentence says so, and names the next who could", () => {
  // Logits of token 1 in layer 0: 1 first, 2 second (−0.5), 0 third (−2).
  const off = { off: [[1], []] };
  const nextBest = trace(off, executed(0, 1, 2, 0, 2, 0, 1, -1));
  assert.ok(say(nextBest, 0, 1).endsWith("2 (75\u00a0%) and 0 (25\u00a0%); 1 was switched off."));
  const nothing = trace(off, {
    ...executed(0, 1, -1, 2),
    gates: base64(halves([0.5, 0.5, 0, 0.25])),
  });
  assert.equal(
    say(nothing, 0, 1),
    "In layer 0, ‘a’ goes to expert 2 (25\u00a0%); 1 was switched off.",
  );
  // One that the logits would not have chosen is not spoken of.
  const third = trace({ off: [[0], []] });
  assert.ok(say(third, 0, 1).endsWith("goes to expert 1 (75\u00a0%) and 2 (25\u00a0%)."));
  const both = trace({ off: [[1, 2], []] }, executed(0, 1, -1, -1));
  assert.ok(say(both, 0, 1).endsWith("goes to no expert; 1 and 2 were switched off."));
  // For which tokens it was off is not known: nothing is claimed.
  const some = trace({ partlyOff: [[0], []] });
  assert.ok(say(some, 0, 1).endsWith("goes to expert 1 (75\u00a0%) and 2 (25\u00a0%)."));
});

test("a decision without numbers is a gap: no choice, no probability, no quantity", () => {
  const t = trace({ gaps: 1 }, executed(0, 1, -2, -2, 2, 0));
  assert.ok(t.isGap(0, 1));
  assert.ok(!t.isGap(0, 0));
  assert.deepEqual(t.chosen(0, 1), []);
  assert.ok(t.probabilities(0, 1).every(Number.isNaN));
  assert.ok(Number.isNaN(t.margin(0, 1)));
  const said = "In layer 0, ‘a’ has no decision to show: the router’s numbers are NaN or infinite.";
  assert.equal(say(t, 0, 1), said);
  const quantities = new Quantities(t);
  for (const mode of ["gate", "margin", "entropy", "expert"]) {
    const values = quantities.values(mode, { watched: 0, token: 0 });
    assert.equal(values[1], NONE, mode);
    assert.notEqual(values[0], NONE, mode);
  }
});

test("the gate of a first choice that was left empty is no gate of nought", () => {
  const t = trace({}, executed(-1, 1, 1, 2, 2, 0, 1, -1));
  assert.equal(new Quantities(t).values("gate", { watched: 0, token: 0 })[0], NONE);
});
