// SPDX-License-Identifier: Apache-2.0
// What a page of an atlas holds: moe_viz/view/atlas/entries.py writes it. Rows of tables are arrays
// in the order of its COLUMNS; null is a number that there is none of.

type Share = number | null;
/** By marks.py: not found; found; found, but the twin has the like; found to be less. */
export type Mark = 0 | 1 | 2 | 3;

export interface Head {
  title: string;
  synthetic: boolean;
  layers: number[];
  experts: number;
  choices: number;
  documents: number;
  tokens: number;
  labels: string[];
  /** The untrained twin's title; empty without one. */
  control: string;
  /** How often a piece occurs at least. */
  minimum: number;
  /** Pieces of an expert that are listed at most, and neighbours, partners, moves, contexts. */
  many: number;
  some: number;
  notes: string[];
  /** Why a table is empty, by its name. */
  left_out: Record<string, string>;
  /** Share of all tokens, by row and expert. */
  load: number[][];
  /** Share of a label's tokens, by label, row and expert. */
  by_label: number[][][];
  /** Tokens of each label. */
  tokens_of: number[];
  /** Experts found to take more of a label than of the rest: row · experts + expert, and mark. */
  surely: [cell: number, mark: Mark][][];
  /** Strong findings, by row and expert. */
  found: number[][];
  pieces: string[];
  counts: number[];
  /** Addresses of the layers' files; empty where the page holds them. */
  parts: string[];
}

export interface Layer {
  layer: number;
  /** Of each piece the three experts that take most: expert, permille, expert, permille, … */
  best: number[][];
  /** Pieces and the experts that they are a finding of. */
  sure: [piece: number, expert: number][];
  entries: Entry[];
}

/** What a search needs of a layer. */
export interface Favourites {
  best: Int16Array;
  /** Pieces and experts: piece · experts + expert. */
  sure: Set<number>;
}

type Tested = [
  name: string,
  share: Share,
  rest: Share,
  twin: Share,
  twinRest: Share,
  q: Share,
  mark: Mark,
];

type Beside = [expert: number, share: Share, low: Share, high: Share, matched: Share];

export interface Entry {
  said: string;
  load: [label: string, share: Share, low: Share, high: Share, assignments: number, work: Share][];
  contexts: [
    before: string,
    token: string,
    after: string,
    label: string,
    document: string,
    gate: Share,
  ][];
  pieces: [
    piece: string,
    share: Share,
    count: number,
    occurrences: number,
    twin: Share,
    firstHalf: Share,
    secondHalf: Share,
    q: Share,
    mark: Mark,
  ][];
  kinds: [kind: string, share: Share, random: Share, twin: Share, q: Share, mark: Mark][];
  labels: Tested[];
  places: Tested[];
  neighbours: [where: string, piece: string, count: number, times: Share][];
  partners?: Beside[];
  moves?: Beside[];
  origins?: [expert: number, share: Share, matched: Share][];
  gates: [gate: Share, margin: Share, uses: number][];
  effects?: [label: string, loss: Share, change: Share, low: Share, high: Share, p: Share][];
}

/** What the page's address asks for. */
export type Route =
  | { at: "all" }
  | { at: "entry"; row: number; expert: number }
  | { at: "find"; what: "any" | "piece" | "label"; text: string }
  | { at: "lost"; said: string };

/** Something that a search offers. */
export interface Offer {
  what: "piece" | "label" | "expert";
  text: string;
  /** Its number among pieces or labels; of an expert, row · experts + expert. */
  number: number;
}

/** What the grid's cells show. */
export interface Painted {
  /** By row · experts + expert. */
  values: number[];
  /** How far along the scale of colours, 0 … 1. */
  at(value: number): number;
  diverging: boolean;
  /** A value in words, for cells that have room for them. */
  said(value: number): string;
  /** What stands below the scale: position 0 … 1, and words. */
  ends: [at: number, words: string][];
  /** Which cells have a sign, which one, and what that means. */
  dots: boolean[];
  sign: "●" | "◆";
  dot: string;
}
