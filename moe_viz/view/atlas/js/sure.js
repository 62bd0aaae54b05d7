// @ts-check
// SPDX-License-Identifier: Apache-2.0
// How sure the atlas is: said below its title, and again on each expert's page.
/** @import { Head } from "./types.js" */

import { h } from "../../js/dom.js";
import { marksMean, Q_MEANS, strongMeans } from "./marks.js";
import { percent, several } from "./words.js";

export const SURE = "How sure is this?";

/** @param {Head} head */
export const besideIt = (head) =>
  head.control
    ? "The untrained twin, the same network with random weights, on the same texts: " +
      `${head.control}.`
    : "No untrained twin stands beside it: what a router does without training is not known here.";

/** @param {Head} head */
export function sureness(head) {
  const { choices, experts } = head;
  const even = `${choices}/${experts} (${percent(choices / experts)})`;
  const sentences = [
    head.control
      ? `${besideIt(head)} It is one twin, of one seed: another would differ somewhat.`
      : besideIt(head),
    "Shares are of tokens: how many of them have the expert among their " +
      `${several(choices, "choice")}.`,
    `Even routing would give each expert ${even}; that is a tick to read by, and no test.`,
    marksMean(head),
    Q_MEANS,
    strongMeans(head),
    "The test of labels and places counts documents, not tokens: a document full of one word " +
      "counts once. Kinds are held against random sets of pieces as frequent.",
    "The untrained twin sends most single pieces to one expert too, so a single piece is found " +
      "only beside it: the pieces by which the twin is ahead tell how many of the others are " +
      "chance.",
    "The same expert number in another layer is another network.",
  ];
  return h("ul", {}, ...sentences.map((sentence) => h("li", {}, sentence)));
}
