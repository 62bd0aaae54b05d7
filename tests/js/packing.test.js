// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { halves } from "../../moe_viz/view/explorer/js/data/packed.js";
import { base64, float16 } from "../../moe_viz/view/live/js/packing.js";

test("every float16 comes back, and what lies between two goes to the nearer, ties to even", () => {
  const table = halves();
  const finite = [...table.keys()].filter((bits) => Number.isFinite(table[bits]));
  assert.deepEqual([...float16(Float32Array.from(finite, (b) => table[b]))], finite);
  for (let bits = 0; bits < 0x7bff; bits++) {
    const [low, high] = [table[bits], table[bits + 1]];
    const middle = (low + high) / 2; // exact in float32
    const near = float16(Float32Array.of(middle, (low + middle) / 2, (middle + high) / 2));
    assert.deepEqual([...near], [bits + (bits & 1), bits, bits + 1]);
    assert.equal(float16(Float32Array.of(-middle))[0], 0x8000 | (bits + (bits & 1)));
  }
  const odd = Float32Array.of(65519, 65520, 1e10, Infinity, -Infinity, 2 ** -26, 1e-30, -0);
  assert.deepEqual([...float16(odd)], [0x7bff, 0x7c00, 0x7c00, 0x7c00, 0xfc00, 0, 0, 0x8000]);
  assert.ok(Number.isNaN(table[float16(Float32Array.of(NaN))[0]]));
});

test("bytes of a part of an array are its own", () => {
  const whole = Uint16Array.of(1, 2, 3, 4);
  assert.equal(base64(whole.subarray(1, 3)), Buffer.from([2, 0, 3, 0]).toString("base64"));
  const large = Uint8Array.from({ length: 100_001 }, (_, n) => n);
  assert.equal(base64(large), Buffer.from(large).toString("base64"));
});
