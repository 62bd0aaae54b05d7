// SPDX-License-Identifier: Apache-2.0
// What the parts of a page with a model in it tell each other.

import type { Answer } from "./worker.js";

/** What the model listens at: a worker's own scope, a worker, or one end of a channel. */
export interface Port {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: object): void;
  /** Of a worker alone. */
  onerror?: ((event: ErrorEvent) => void) | null;
}

/** What stands beside the picture. */
export type Mode = "look" | "change" | "write";

/** A text that comes with the page; the passages of a topic say the same in several languages. */
export interface Passage {
  label: string;
  topic: string;
  text: string;
  /** Whether the topic is there in several languages. */
  parallel: boolean;
}

/** What a page knows of itself. */
export interface About {
  title: string;
  /** Paragraphs about the model in the page. */
  words: string[];
  chips: Chip[];
  /** Tokens that there is room for. */
  tokens: number;
  passages: Passage[];
  /** Where the same page is hosted, and that as a QR code; empty where it is not. */
  address: string;
  qr: string;
}

/** A thing to try: a text in a mode, and what to do there. */
export interface Chip {
  name: string;
  mode: Mode;
  text: string;
  query?: string;
  off?: [layer: number, expert: number];
  write?: boolean;
}

/** Every expert switched off in turn, as far as that has come. */
export interface Scan {
  done: number;
  all: number;
  /** Of the passages. */
  labels: string[];
  /** By how many nats a token each passage has become worse. */
  found: { layer: number; expert: number; changes: number[] }[];
}

/** What the worker says. */
export type Said = Partial<Answer> & { ready?: string };
