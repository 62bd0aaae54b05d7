// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { inScope, Loads } from "../../moe_viz/view/explorer/js/data/loads.js";
import { base64, trace } from "./traces.js";

test("loads are shares of assignments: special tokens and unused slots have none", () => {
  const t = trace();
  const loads = new Loads(t);
  // Layer 0: token 0 is special, 1 → 1 2, 2 → 2 0, and in the other prompt 3 → 1 alone.
  assert.deepEqual(loads.shares(0, t.prompts[0], "prompt"), [1 / 4, 1 / 4, 2 / 4]);
  assert.deepEqual(loads.shares(0, t.prompts[1], "prompt"), [0, 1, 0]);
  assert.deepEqual(loads.shares(0, t.prompts[1], "label"), [0, 1, 0]);
  assert.deepEqual(loads.shares(0, t.prompts[0], "all"), [1 / 5, 2 / 5, 2 / 5]);
  assert.deepEqual(loads.shares(1, t.prompts[1], "all"), [3 / 6, 2 / 6, 1 / 6]);
  assert.equal(loads.counts(0, t.prompts[0], "all"), loads.counts(0, t.prompts[1], "all"));
});

test("where nothing is assigned loads are zero", () => {
  const none = trace({}, { experts: base64(new Int8Array(16).fill(-1)) });
  assert.deepEqual(new Loads(none).shares(0, none.prompts[0], "all"), [0, 0, 0]);
});

test("however many prompts are looked at, few loads are kept", () => {
  const t = trace();
  const loads = new Loads(t);
  const somewhere = (n) => ({ ...t.prompts[0], label: String(n) });
  for (let n = 0; n < 1000; n++) loads.counts(0, somewhere(n), "label");
  assert.ok(loads.known.size <= 401);
});

test("a scope is the prompt, its label, or everything", () => {
  const t = trace({
    prompts: [
      ["en", "", 0, 1, ""],
      ["fr", "", 1, 2, ""],
      ["en", "", 2, 4, ""],
    ],
  });
  const starts = (scope) => inScope(t, t.prompts[2], scope).map((p) => p.start);
  assert.deepEqual(starts("prompt"), [2]);
  assert.deepEqual(starts("label"), [0, 2]);
  assert.deepEqual(starts("all"), [0, 1, 2]);
});
