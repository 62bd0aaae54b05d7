// SPDX-License-Identifier: Apache-2.0
// What pack.py writes and what is shown. A test holds PackedTrace, PackedArrays and
// OpeningState equal to what Python packs. L layers, T tokens, E experts, K choices of a token.

import type { Trace } from "./data/trace.js";
import type { Colours } from "./colours.js";
import type { Loads } from "./data/loads.js";
import type { Rows } from "./maps/rows.js";

/** The JSON beside a picture. */
export interface PackedTrace {
  title: string;
  model: string;
  /** Says so where the weights are random; else empty. */
  synthetic: string;
  date: string;
  /** [L, T, E, K] */
  shape: [number, number, number, number];
  /** (L,) the model's numbers of the layers */
  layers: number[];
  /** The model's numbers of its layers without experts. */
  dense: number[];
  prompts: PackedPrompt[];
  /** Every different piece once. */
  pieces: string[];
  /**
   * How scores and gates are written: float16; bytes; the highest scores alone as float16, gates
   * as bytes; or gates alone as bytes.
   */
  precision: "half" | "byte" | "top" | "none";
  /** How far bytes of logits reach below their row's maximum. */
  deepest: number;
  /** Experts beside the chosen ones whose scores are here, where not all are; else 0. */
  more: number;
  rule: PackedRule;
  /** Whether an expert's number takes two bytes. */
  wide: boolean;
  /** Whether two choices share a byte, and the second gate is what the first leaves. */
  paired: boolean;
  /** Prompts that were left out to keep an output small. */
  leftOut: number;
  /** Decisions whose numbers are NaN or infinite. */
  gaps: number;
  /** (L) experts that were ablated, for every token. */
  off: number[][];
  /** (L) experts that were ablated for some tokens. */
  partlyOff: number[][];
  /** Title of another run of the same tokens; else empty. */
  other: string;
  /** Whether that is the untrained twin of a trained model. */
  twin: boolean;
  arrays: PackedArrays;
  state: OpeningState;
}

/** How choices and gates came about. */
export interface PackedRule {
  /** Whether the largest logits are chosen: then logits travel, else what the choice goes by. */
  plain: boolean;
  /** What the choice goes by. */
  words: string;
  /** Whether logits travel of which the router takes a softmax. */
  softmax: boolean;
  /** Whether gates are shares of a token's gates, which do not add up to 1. */
  shares: boolean;
  /** Whether gates are the softmax over the scores of the chosen, as in Mixtral. */
  normal: boolean;
  /** Whether gates were recorded. */
  gated: boolean;
  /** What else is to be known. */
  note: string;
  /** What is added to numbers that travel: 0 where they are less their row's maximum. */
  top: number;
  /** (L) whether a layer's choice goes by scores; empty: all. */
  scored: boolean[];
}

/** label, text, first row, row after the last, topic (which parallel texts share) */
export type PackedPrompt = [string, string, number, number, string];

/** Little-endian bytes in base64. */
export interface PackedArrays {
  /** (L, T, K) int8, or int16 where wide; −1: an unused slot. Paired: (L, T) uint8, 15: unused. */
  experts: string;
  /** (L, T, K) float16, or uint8 in 255ths. Paired: (L, T), the first of each two. */
  gates: string;
  /**
   * (L, T, E) float16, or uint8 steps: what choices go by, less the row's largest or rule.top. If
   * only the highest are here (L, T, K + more): of the chosen, then of the nearest.
   */
  logits?: string;
  /** (L, T, more) the experts that came next, like experts */
  nearest?: string;
  /** (L, T, K) the choices of another run, like experts */
  others?: string;
  /** (T,) uint32, numbers of pieces */
  piece: string;
  /** (T, 2) uint32, characters of the prompt's text */
  spans: string;
  /** (T,) uint8, 1: special, 2: generated */
  flags: string;
}

/** What a picture opens with. */
export interface OpeningState {
  prompt: number;
  /** The row of a layer; the model's number of it is layers[layer]. */
  layer: number;
  /** A row of the trace; null: the prompt's first that is not special. */
  token: number | null;
  mode: Mode;
  beside: Beside | null;
  view: View;
  /** Whether the picture has a page, and its address, to itself. */
  page: boolean;
  /** Of all type. */
  scale: number;
}

/** What is shown: everything on the screen follows from it and from the trace. */
export interface State extends OpeningState {
  token: number;
  /** The decision under the pointer. */
  hover: Spot | null;
  /** The expert whose tokens alone are shown, and the one whose swatch the pointer is on. */
  isolate: number | null;
  faded: number | null;
  /** The expert whose probability is shown. */
  watched: number;
  /** An expert that is given a colour where there are too many for each to have one. */
  asked: number | null;
  /** Whether the text stands in columns, one an expert. */
  sorted: boolean;
  /** Whether the tokens are walked through, one after the other. */
  playing: boolean;
  /** Whether spaces, tabs and line ends are shown as signs. */
  signs: boolean;
  query: string;
  /** Whose loads are shown. */
  scope: Scope;
}

/** What a prompt is compared with: another one, or all of a label. */
export type Beside = { kind: "prompt"; number: number } | { kind: "label"; label: string };
export type Scope = "prompt" | "label" | "all";
/** What the map's colours say: the first choice, or a quantity. */
export type Mode = "first" | QuantityName;
export type QuantityName = "shared" | "gate" | "margin" | "entropy" | "expert" | "agreement";
/** Which map is shown: of tokens and layers, or of experts and layers, by load or as touched. */
export type View = "tokens" | "experts" | "touched";

export interface Spot {
  layer: number;
  token: number;
}

export interface Prompt {
  label: string;
  text: string;
  start: number;
  stop: number;
  topic: string;
}

/** Where a picture stands: a page and a slide have other room than an output in a notebook. */
export type Place = "page" | "slide" | "notebook";

/** What all parts of a picture draw from, besides the trace. */
export interface Scene {
  state: State;
  colours: Colours;
  loads: Loads;
  /** Pixels for each pixel of the design: how large type is. */
  zoom: number;
  /** Where layers lie in the maps. */
  rows: Rows;
  /** Tokens that the query is found in. */
  hits: Set<number>;
}

/** What a picture's parts ask for when they are used. */
export interface Actions {
  set(change: Partial<State>): void;
  draw(): void;
  openPrompt(number: number, token?: number | null): void;
  isolate(expert: number): void;
  play(): void;
  search(query: string): void;
}

export type Rgb = number[];

/** What a host element carries as `moeViz` while a picture stands in it. */
export interface Mounted {
  /**
   * Put another trace in the place of this one: the object, or its text. Layer, mode, prompt, token
   * and the rest stay as they are where the new trace has them, except for what `change` says.
   */
  show(packed: PackedTrace | string, change?: Partial<State>): void;
  /** Put the trace there that is packed in the elements id-data, id-data-1 and so on. */
  take(id: string, change?: Partial<State>): void;
  /** Look at something else of the same trace. The host's event `drawn` tells what is shown. */
  set(change: Partial<State>): void;
  /** Have the picture that is put in this one's place be looked at as this one is. */
  leave(): void;
  /** Remove the picture, and every listener, observer, timer and frame with it. */
  teardown(): void;
}

declare global {
  interface HTMLElement {
    moeViz?: Mounted;
  }
  interface Window {
    moeVizLooks?: Map<string, { state: State; trace: Trace }>;
  }
}
