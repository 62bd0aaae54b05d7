// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A trace that somebody brings as a file, packed as the picture takes it: as explorer/pack.py does.
/** @import { PackedPrompt, PackedTrace } from "../../explorer/js/types.js" */
/** @import { Header } from "./tracefile.js" */

import { base64, belowLargest, float16 } from "./packing.js";
import { opened } from "./opened.js";

/** Experts from which on a number takes two bytes. */
const WIDE = 128;
/** How an intervention that ablates is stamped; see moe_viz.trace.provenance. */
const ABLATED = /^ablated ((?:\d+\/\d+(?:, )?)+) \((?:next best|nothing) instead\)(.*)/;

/**
 * Raises `RangeError` for what is no such file, and for routers that choose by another rule.
 * @param {Uint8Array<ArrayBuffer>} file
 * @param {PackedTrace} like a trace of a model that chooses as Mixtral does
 * @param {Header} record the header of its traces
 * @returns {PackedTrace}
 */
export function brought(file, like, record) {
  const { header, arrays } = opened(file);
  const plain = !header.rule || JSON.stringify(header.rule) === JSON.stringify(record.rule);
  if (!plain || !arrays.router_logits || !(header.scored ?? []).every(Boolean)) {
    throw new RangeError(
      "This page shows traces of models that choose as Mixtral does, with their logits. " +
        "moe_viz.explore shows all others.",
    );
  }
  const logits = new Float32Array(arrays.router_logits.bytes.buffer);
  const shares = new Float32Array(arrays.gates.bytes.buffer);
  if (![logits, shares].every((numbers) => numbers.every(Number.isFinite))) {
    throw new RangeError(
      "There are gaps in this trace, NaN or infinite: moe_viz.explore shows it.",
    );
  }
  const [L, T, E] = arrays.router_logits.shape;
  const K = arrays.experts.shape[2];
  const flags = new Uint8Array(T);
  for (let t = 0; t < T; t++) {
    flags[t] = Number(arrays.special.bytes[t] !== 0) + 2 * Number(arrays.generated.bytes[t] !== 0);
  }
  const wide = E >= WIDE;
  const experts = new Int16Array(arrays.experts.bytes.buffer);
  const { provenance } = header;
  /** @type {number[]} */
  const layers = header.layers;
  const off = layers.map((layer) => switchedOff(provenance, layer));
  const random = provenance.weights?.startsWith("random weights");
  return {
    ...like,
    title: titleOf(provenance),
    model: provenance.model,
    synthetic: random ? provenance.weights : "",
    date: provenance.date ?? "",
    shape: [L, T, E, K],
    layers,
    dense: denseOf(header),
    prompts: promptsOf(header, arrays),
    pieces: header.pieces,
    precision: "half",
    paired: false,
    more: 0,
    leftOut: 0,
    gaps: 0,
    wide,
    off: off.map(({ everywhere }) => everywhere),
    partlyOff: off.map(({ partly }) => partly),
    other: "",
    twin: false,
    arrays: {
      experts: base64(wide ? experts : Int8Array.from(experts)),
      gates: base64(float16(shares)),
      logits: base64(float16(belowLargest(logits, E))),
      piece: base64(arrays.pieces.bytes),
      spans: base64(arrays.spans.bytes),
      flags: base64(flags),
    },
  };
}

/**
 * @param {Header} header
 * @param {Record<string, { bytes: Uint8Array<ArrayBuffer> }>} arrays
 */
function promptsOf({ labels }, { texts, text_stops, prompt_stops }) {
  const ends = [...new BigInt64Array(text_stops.bytes.buffer)].map(Number);
  const stops = [...new BigInt64Array(prompt_stops.bytes.buffer)].map(Number);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return labels.map((/** @type {string} */ label, /** @type {number} */ n) => {
    const text = decoder.decode(texts.bytes.subarray(n ? ends[n - 1] : 0, ends[n]));
    return /** @type {PackedPrompt} */ ([label, text, n ? stops[n - 1] : 0, stops[n], ""]);
  });
}

/** @param {Header} header */
function denseOf({ mixtures = [], model_layers = 0 }) {
  if (!mixtures.length) return [];
  return Array.from({ length: model_layers }, (_, l) => l).filter((l) => !mixtures.includes(l));
}

/** @param {Record<string, any>} provenance */
function titleOf({ model, dtype, quantisation, weights = "trained", interventions = [] }) {
  const parts = [model, dtype];
  if (quantisation && quantisation !== "none") parts.push(quantisation);
  if (weights.startsWith("random weights")) parts.push(weights);
  return [...parts, ...interventions].filter(Boolean).join(" · ");
}

/**
 * Experts of a layer that were ablated: for every token, and for some of them only.
 * @param {Record<string, any>} provenance
 * @param {number} layer
 */
function switchedOff({ interventions = [] }, layer) {
  /** @type {[Set<number>, Set<number>]} */
  const [everywhere, partly] = [new Set(), new Set()];
  for (const stamp of interventions) {
    const [, pairs, rest] = ABLATED.exec(stamp) ?? [];
    if (!pairs) continue;
    const cut = rest.lastIndexOf(" in ");
    const where = rest.slice(cut < 0 ? 0 : cut + 4);
    const layers = /^layers ([\d, ]+)(…)?/.exec(where);
    if (layers && !layers[2] && !layers[1].match(/\d+/g)?.includes(String(layer))) continue;
    const some = cut >= 0 && /tokens|prompts|…/.test(where);
    for (const pair of pairs.split(", ")) {
      const [at, e] = pair.split("/").map(Number);
      if (at === layer) (some ? partly : everywhere).add(e);
    }
  }
  const inOrder = (/** @type {Set<number>} */ set) => [...set].sort((a, b) => a - b);
  for (const e of everywhere) partly.delete(e);
  return { everywhere: inOrder(everywhere), partly: inOrder(partly) };
}
