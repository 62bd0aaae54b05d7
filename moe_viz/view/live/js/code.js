// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What is run and changed, as an address says it behind its #, or a code that is pasted elsewhere.
/** @import { State } from "../../explorer/js/types.js" */
/** @import { Trace } from "../../explorer/js/data/trace.js" */
/** @import { Changes } from "./decision.js" */
/** @import { Mode, Passage } from "./types.js" */

import { unchanged } from "./decision.js";

/** @type {Mode[]} */
const KNOWN = ["look", "change", "write"];
/** @typedef {{ text: string, mode: Mode, changes: Changes }} Said */
/** @typedef {{ L: number, E: number, k: number }} Shape */

/**
 * Only what is not as it is by default.
 * @param {Said} said
 * @param {Shape} shape
 * @param {Passage[]} passages those are named, not spelt out
 */
export function spelt({ text, mode, changes }, { k }, passages) {
  const code = new URLSearchParams();
  const known = passages.find((p) => p.text === text);
  if (known) code.set("passage", `${known.topic}.${known.label}`);
  else code.set("text", text);
  if (mode !== "look") code.set("do", mode);
  for (const name of /** @type {const} */ (["off", "forced"])) {
    const pairs = changes[name].flatMap((some, layer) => some.map((e) => `${layer}.${e}`));
    if (pairs.length) code.set(name, pairs.join("_"));
  }
  if (changes.k !== k) code.set("k", String(changes.k));
  if (changes.temperature !== 1) code.set("temperature", String(changes.temperature));
  if (changes.uniform) code.set("uniform", "1");
  if (changes.empty) code.set("empty", "1");
  return code.toString();
}

/**
 * A code with the place that is looked at, behind an address where there is one.
 * @param {string} code
 * @param {{ state: State, trace: Trace } | null} seen
 * @param {string} address where others find the page; none: the code alone is pasted there
 */
export function whole(code, seen, address) {
  const said = seen ? `${code}&layer=${seen.state.layer}&token=${seen.state.token}` : code;
  return address ? `${address}#${said}` : said;
}

/** The page's own address, if it is one that others can open. */
export function ownAddress() {
  return /^https?:$/.test(location.protocol) ? location.href.replace(/#.*/, "") : "";
}

/**
 * What a code says; null if it names no text. What is out of range is ignored.
 * @param {string} code with or without the address before it
 * @param {Shape} shape
 * @param {Passage[]} passages
 * @returns {Said & { layer: number | null, token: number | null } | null}
 */
export function read(code, { L, E, k }, passages) {
  const said = new URLSearchParams(code.trim().replace(/^[^#]*#/, ""));
  const name = said.get("passage");
  const text = passages.find((p) => `${p.topic}.${p.label}` === name)?.text ?? said.get("text");
  if (!text) return null;
  const changes = unchanged(L, k);
  for (const list of /** @type {const} */ (["off", "forced"])) {
    for (const pair of (said.get(list) ?? "").split("_").filter(Boolean)) {
      const [layer, e] = (/^(\d+)\.(\d+)$/.exec(pair) ?? []).slice(1).map(Number);
      const known = below(layer, L) && below(e, E);
      if (known && !changes[list][layer].includes(e)) changes[list][layer].push(e);
    }
  }
  const [asked, temperature] = [Number(said.get("k")), Number(said.get("temperature"))];
  if (below(asked, E + 1) && asked) changes.k = asked;
  if (temperature >= 0.1 && temperature <= 10) changes.temperature = temperature;
  changes.uniform = said.has("uniform");
  changes.empty = said.has("empty");
  /**
   * @param {string} what
   * @param {number} [most]
   */
  const number = (what, most = Infinity) => {
    const n = Number(said.get(what) || NaN);
    return below(n, most) ? n : null;
  };
  return {
    text,
    mode: KNOWN.find((mode) => mode === said.get("do")) ?? "look",
    changes,
    layer: number("layer", L),
    token: number("token"),
  };
}

/**
 * @param {number} x
 * @param {number} most
 */
const below = (x, most) => Number.isInteger(x) && x >= 0 && x < most;
