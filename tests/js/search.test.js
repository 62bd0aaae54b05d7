// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { hitAfter, hitFrom, matches } from "../../moe_viz/view/explorer/js/data/search.js";
import { base64, trace } from "./traces.js";

/** A prompt of a special token and then one token for each span. */
function prompt(text, spans) {
  const T = spans.length + 1;
  return trace(
    { shape: [1, T, 3, 2], layers: [0], prompts: [["", text, 0, T, ""]] },
    {
      experts: base64(new Int8Array(2 * T)),
      gates: base64(new Uint16Array(2 * T)),
      logits: base64(new Uint16Array(3 * T)),
      piece: base64(new Uint32Array(T)),
      spans: base64(Uint32Array.from([0, 0, ...spans.flat()])),
      flags: base64(Uint8Array.from({ length: T }, (_, n) => (n ? 0 : 1))),
    },
  );
}
const found = (t, query) => [...matches(t, t.prompts[0], query)];

test("a word is found across tokens, whatever its case", () => {
  const t = prompt("The Router routes", [
    [0, 3],
    [3, 7],
    [7, 10],
    [10, 17],
  ]);
  assert.deepEqual(found(t, "router"), [2, 3]); // " Rou", "ter"
  assert.deepEqual(found(t, "ROUT"), [2, 3, 4]); // "Rout" reaches into "ter"
  assert.deepEqual(found(t, "he"), [1]);
  assert.deepEqual(found(t, "nothing"), []);
  assert.deepEqual(found(t, ""), []);
});

test("characters beyond the basic plane count as one, as spans count them", () => {
  // 𝔐 and 😀 are two UTF-16 units each.
  const t = prompt("𝔐😀ab", [
    [0, 1],
    [1, 2],
    [1, 2],
    [1, 2],
    [1, 2],
    [2, 4],
  ]);
  assert.deepEqual(found(t, "ab"), [6]);
  assert.deepEqual(found(t, "😀"), [2, 3, 4, 5]); // four bytes of one character
  assert.deepEqual(found(t, "𝔐"), [1]);
  assert.deepEqual(found(t, "\ud83d"), [], "half a character is none");
});

test("the signs for spaces, line ends and tabs find these", () => {
  const t = prompt("a b\n\tc", [
    [0, 1],
    [1, 3],
    [3, 4],
    [4, 6],
  ]);
  assert.deepEqual(found(t, "⏎"), [3]);
  assert.deepEqual(found(t, "⇥"), [4]);
  assert.deepEqual(found(t, "a␣b"), [1, 2]);
});

test("special tokens are never found", () => {
  const t = prompt("ab", [[0, 2]]);
  t.spans.set([0, 2]); // of the first, which is special
  assert.deepEqual(found(t, "a"), [1]);
});

test("the next hit is the next occurrence, and after the last comes the first", () => {
  const hits = new Set([2, 3, 7]);
  assert.equal(hitFrom(hits, 3), 3);
  assert.equal(hitFrom(hits, 4), 7);
  assert.equal(hitFrom(hits, 8), 2);
  assert.equal(hitAfter(hits, 2), 7, "3 belongs to the occurrence that begins at 2");
  assert.equal(hitAfter(hits, 7), 2);
  assert.equal(hitAfter(new Set(), 0), undefined);
});
