// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { inScope, loadsOf } from "../../moe_viz/view/explorer/js/data/loads.js";
import { trace } from "./traces.js";

test("loads are shares of assignments: special tokens and unused slots have none", () => {
  const t = trace();
  // Layer 0: token 0 is special, 1 → 1 2, 2 → 2 0, and in the other prompt 3 → 1 alone.
  assert.deepEqual(loadsOf(t, 0, [t.prompts[0]]), [1 / 4, 1 / 4, 2 / 4]);
  assert.deepEqual(loadsOf(t, 0, [t.prompts[1]]), [0, 1, 0]);
  assert.deepEqual(loadsOf(t, 0, t.prompts), [1 / 5, 2 / 5, 2 / 5]);
  assert.deepEqual(loadsOf(t, 1, t.prompts), [3 / 6, 2 / 6, 1 / 6]);
});

test("where nothing is assigned loads are zero", () => {
  assert.deepEqual(loadsOf(trace(), 0, []), [0, 0, 0]);
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
