// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import wabt from "wabt";

const at = (name) => new URL(`../../moe_viz/view/live/${name}`, import.meta.url);

test("the kernel that pages carry is the one whose source is here", async () => {
  const { parseWat } = await wabt();
  const module = parseWat("kernel.wat", readFileSync(at("kernel.wat"), "utf8"));
  module.validate();
  const { buffer } = module.toBinary({});
  assert.deepEqual(Buffer.from(buffer), readFileSync(at("kernel.wasm")), "make kernel");
});
