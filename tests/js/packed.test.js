// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, decode, halves } from "../../moe_viz/view/explorer/js/data/packed.js";
import { base64, packed } from "./traces.js";

test("every kind of float16 has the value that IEEE 754 gives its bits", () => {
  const half = halves();
  const known = {
    0x0000: 0,
    0x0001: 2 ** -24, // the smallest subnormal
    0x03ff: 1023 * 2 ** -24, // the largest
    0x0400: 2 ** -14, // the smallest normal
    0x3555: 0.333251953125, // nearest to a third
    0x3bff: 0.99951171875,
    0x3c00: 1,
    0x3c01: 1.0009765625,
    0x4248: 3.140625, // nearest to π
    0x7bff: 65504,
    0x7c00: Infinity,
    0xc000: -2,
    0xfbff: -65504,
    0xfc00: -Infinity,
  };
  for (const [bits, value] of Object.entries(known)) assert.equal(half[bits], value, bits);
  assert.ok(Object.is(half[0x8000], -0));
  for (const bits of [0x7c01, 0x7e00, 0xfe00, 0xffff]) assert.ok(Number.isNaN(half[bits]));
  assert.equal(halves(), half, "made once");
});

test("base64 is read with and without the browser's own reader", () => {
  const given = Uint8Array.from({ length: 256 }, (_, n) => n);
  const text = Buffer.from(given).toString("base64");
  assert.deepEqual(new Uint8Array(bytes(text)), given);
  const own = Uint8Array.fromBase64;
  try {
    Uint8Array.fromBase64 = undefined;
    assert.deepEqual(new Uint8Array(bytes(text)), given);
    Uint8Array.fromBase64 = (given) => Uint8Array.from(Buffer.from(given, "base64"));
    assert.deepEqual(new Uint8Array(bytes(text)), given);
  } finally {
    if (own) Uint8Array.fromBase64 = own;
    else delete Uint8Array.fromBase64;
  }
});

test("bytes of logits are squares down to the deepest, and 255 is minus infinity", () => {
  const logits = base64(Uint8Array.of(0, 127, 254, 255));
  const gates = base64(Uint8Array.of(255, 51));
  const arrays = { experts: base64(Int8Array.of(0, 1)), gates, logits };
  const found = decode(packed({ shape: [1, 1, 4, 2], precision: "byte" }, arrays));
  const values = Array.from(found.logits, (n) => found.logitOf[n]);
  assert.deepEqual(values, [-0, -5, -20, -Infinity]); // (127 / 254)² · 20 = 5
  assert.deepEqual(
    Array.from(found.gates, (n) => found.gateOf[n]),
    [1, Math.fround(0.2)],
  );
});

test("two choices come out of a byte, and the second gate is what the first leaves", () => {
  const experts = base64(Uint8Array.of(0x21, 0xf3, 0x0d, 0xee));
  const gates = base64(Uint8Array.of(155, 98, 128, 0));
  const changes = { shape: [1, 4, 14, 2], precision: "none", paired: true };
  const found = decode(packed(changes, { experts, gates, logits: undefined }));
  assert.deepEqual([...found.experts], [1, 2, 3, -1, 13, 0, -2, -2]);
  assert.deepEqual([...found.gates], [155, 100, 98, 0, 128, 127, 0, 0]);
  assert.equal(found.logits, null);
});

test("an expert's number takes two bytes where there are many", () => {
  const experts = base64(Int16Array.of(300, -1));
  const gates = base64(Uint16Array.of(0x3c00, 0));
  const found = decode(packed({ shape: [1, 1, 512, 2], wide: true }, { experts, gates }));
  assert.deepEqual([...found.experts], [300, -1]);
});
