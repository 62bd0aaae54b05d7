// SPDX-License-Identifier: Apache-2.0
// What the parts of a page with a model in it tell each other.

import type { Answer } from "./worker.js";

/** What stands beside the picture. */
export type Mode = "look" | "change" | "write";

/** A text that comes with the page; the passages of a topic say the same in several languages. */
export interface Passage {
  label: string;
  topic: string;
  text: string;
}

/** What the worker says. */
export type Said = Partial<Answer> & { ready?: string };
