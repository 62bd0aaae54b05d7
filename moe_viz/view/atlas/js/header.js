// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What the atlas is of, and how sure it is.
/** @import { Head } from "./types.js" */

import { h } from "../../js/dom.js";
import { percent, several } from "./words.js";

/** @param {Head} head */
export function headerOf(head) {
  const facts = [
    several(head.documents, "document"),
    several(head.tokens, "token"),
    `${several(head.layers.length, "layer")} × ${several(head.experts, "expert")}, ` +
      `${head.choices} a token`,
  ];
  const beside = head.control
    ? `Beside it: ${head.control}, on the same texts.`
    : "No untrained twin stands beside it: what a router does without training is not known here.";
  return h(
    "header",
    {},
    h("h1", {}, "Atlas of ", h("bdi", {}, head.title)),
    ...(head.synthetic
      ? [h("p", { class: "stamp" }, "random weights: nothing here is about a real model")]
      : []),
    h("p", {}, facts.join(" · ")),
    h("p", { class: "muted" }, beside),
    ...head.notes.map((note) => h("p", { class: "muted" }, note)),
    sureness(head),
  );
}

/** @param {Head} head */
function sureness(head) {
  const { choices, experts } = head;
  const even = `${choices}/${experts} (${percent(choices / experts)})`;
  const sentences = [
    `Every share is of tokens that have the expert among their ${several(choices, "choice")}.`,
    `Even routing would give each expert ${even}; that is a tick to read by, and no test.`,
    "A finding (●) holds at a rate of at most 5 % false discoveries among all that was tested " +
      "with it (Benjamini and Hochberg; for single pieces the untrained twin is the knockoff), " +
      "and in each half of the documents by itself.",
    "Documents are counted, not tokens: a document full of one word counts once.",
    "An untrained router sends most single pieces to one expert too, so a single piece is a " +
      "finding only beside the twin.",
    "The same expert number in another layer is another network.",
  ];
  return h(
    "details",
    { class: "sure" },
    h("summary", {}, "How sure is this?"),
    h("ul", {}, ...sentences.map((sentence) => h("li", {}, sentence))),
  );
}
