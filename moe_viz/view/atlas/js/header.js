// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What the atlas is of, and how sure it is.
/** @import { Head } from "./types.js" */

import { h } from "../../js/dom.js";
import { besideIt, SURE, sureness } from "./sure.js";
import { several } from "./words.js";

/** @param {Head} head */
export function headerOf(head) {
  const facts = [
    several(head.documents, "document"),
    several(head.tokens, "token"),
    `${several(head.layers.length, "layer")} × ${several(head.experts, "expert")}, ` +
      `${head.choices} a token`,
  ];
  return h(
    "header",
    {},
    h("h1", {}, "Atlas of ", h("bdi", {}, head.title)),
    ...(head.synthetic
      ? [h("p", { class: "stamp" }, "random weights: nothing here is about a real model")]
      : []),
    h("p", {}, facts.join(" · ")),
    h("p", { class: "muted" }, besideIt(head)),
    ...head.notes.map((note) => h("p", { class: "muted" }, note)),
    h("details", { class: "sure" }, h("summary", {}, SURE), sureness(head)),
  );
}
