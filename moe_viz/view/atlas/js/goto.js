// @ts-check
// SPDX-License-Identifier: Apache-2.0
// An expert by its numbers: where cells are smaller than a finger, and for who knows them.
/** @import { Head } from "./types.js" */

import { h, select } from "../../js/dom.js";
import { entryAddress } from "./address.js";

/**
 * @param {Head} head
 * @param {(address: string) => void} go
 */
export function gotoForm(head, go) {
  /** @type {[number, string][]} */
  const layers = head.layers.map((layer) => [layer, String(layer)]);
  const layer = select("Layer", layers, () => {});
  const expert = h("input", {
    type: "number",
    "aria-label": "Expert",
    min: 0,
    max: head.experts - 1,
    step: 1,
    value: 0,
    required: true,
  });
  return h(
    "form",
    {
      class: "row goto",
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        go(entryAddress(Number(layer.value), Number(expert.value)));
      },
    },
    h("span", {}, "Layer"),
    layer,
    h("span", {}, "expert"),
    expert,
    h("button", {}, "Open"),
  );
}
