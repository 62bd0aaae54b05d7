// SPDX-License-Identifier: Apache-2.0
// What diagram.py packs. E experts, k of them chosen.

export interface Blocks {
  layer: number;
  width: number;
  attention: number;
  norm: number;
  router: number;
  /** Parameters of one expert. */
  expert: number;
  experts: number;
  chosen: number;
  /** Parameters of experts that every token uses. */
  shared: number;
  rest: number;
  dense: number[];
}

/** See moe_viz/trace/rule.py. */
export interface Rule {
  score: "softmax" | "sigmoid" | "sqrtsoftplus";
  bias: "" | "scores" | "logits";
  groups: number;
  groups_kept: number;
  group_score: "best" | "two best";
  outside_zero: boolean;
  normalised: boolean;
  scale: number;
  plain: boolean;
  words: string;
}

export interface Packed {
  name: string;
  blocks: Blocks;
  rule: Rule;
  /** (E) the router's logits */
  scores: number[];
  bias: number[] | null;
  /** Whose the scores are. */
  source: string;
  /** Whether they are a token's. */
  real: boolean;
  /** Six of them: name and sentence. */
  steps: [string, string][];
  caption: string;
  scale: number;
  /** Whether it has a page to itself. */
  page: boolean;
}

/** What a router does with its scores. */
export interface Decision {
  /** (E) what the choice goes by */
  ranking: number[];
  /** The chosen, first first. */
  chosen: number[];
  /** (k) their gates */
  gates: number[];
  /** The first that was not chosen; −1: there is none. */
  next: number;
}
