// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { Switches } from "../../moe_viz/view/live/js/switches.js";

const at = (layer, ...experts) => Array.from({ length: 6 }, (_, l) => (l === layer ? experts : []));
const made = () => new Switches(6, 8, 2);

test("experts are switched off and on, forced and not, and all is undone", () => {
  const switches = made();
  assert.equal(switches.flip(5, 6), "");
  assert.equal(switches.force(2, 7), "");
  assert.equal(switches.force(2, 1), "");
  assert.deepEqual(switches.changes.off, at(5, 6));
  assert.deepEqual(switches.changes.forced, at(2, 1, 7));
  assert.equal(switches.said(), "off: 5/6, every token to 2/1, 2/7");
  switches.flip(5, 6);
  switches.force(2, 7);
  assert.equal(switches.said(), "every token to 2/1");
  for (let n = 0; n < 4; n++) switches.back();
  assert.equal(switches.said(), "off: 5/6");
  switches.back();
  assert.ok(switches.intact);
  switches.back();
  assert.ok(switches.intact, "nothing is before the beginning");
});

test("one that is off is forced on nobody, and one that is forced is not off", () => {
  const switches = made();
  switches.flip(3, 4);
  switches.force(3, 4);
  assert.deepEqual([switches.changes.off, switches.changes.forced], [at(-1), at(3, 4)]);
  switches.flip(3, 4);
  assert.deepEqual([switches.changes.off, switches.changes.forced], [at(3, 4), at(-1)]);
});

test("the control takes the place of what is off, and is forced no longer", () => {
  const switches = made();
  switches.force(3, 1);
  switches.flip(3, 4);
  switches.instead(3, 1);
  const { off, forced } = switches.changes;
  assert.deepEqual(off, at(3, 1));
  assert.ok(!forced[3].includes(1), "an expert cannot be both");
});

test("what a layer cannot choose is refused, and nothing has changed then", () => {
  const switches = made();
  assert.match(switches.set({ off: at(0, 0, 1, 2, 3, 4, 5, 6) }), /1 experts left cannot choose 2/);
  assert.match(switches.set({ forced: at(0, 0, 1, 2) }), /2 experts cannot be sent to 3/);
  assert.notEqual(switches.set({ off: at(0, 3), forced: at(0, 3) }), "", "off and forced");
  assert.ok(switches.intact);
  assert.equal(switches.earlier.length, 0);
  // A slot that stays empty needs no other expert.
  assert.equal(switches.set({ off: at(0, 0, 1, 2, 3, 4, 5, 6), empty: true }), "");
});
