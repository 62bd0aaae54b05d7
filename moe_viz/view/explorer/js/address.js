// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The address of a page says what is shown, so that one decision can be linked to.
/** @import { OpeningState, State, View } from "./types.js" */
/** @import { Trace } from "./data/trace.js" */
/** @import { Quantities } from "./data/quantities.js" */

import { read, spelt } from "./data/beside.js";

/** @type {View[]} */
const VIEWS = ["tokens", "experts", "touched"];
const NAMES = ["prompt", "layer", "token", "mode", "view", "beside", "scale"];
/** Least and most that type can be scaled by. */
const SCALES = [0.5, 3];

/**
 * What an address changes; anything it names that is not there is ignored.
 * @param {string} hash #prompt=3&layer=2&token=14&mode=entropy&view=experts&beside=prompt 0&scale=2
 * @param {Trace} trace
 * @param {Quantities} quantities
 * @param {number} prompt that is meant if the address names none
 * @returns {Partial<OpeningState>}
 */
export function readAddress(hash, trace, quantities, prompt) {
  const said = new URLSearchParams(hash.slice(1));
  /** @type {Partial<OpeningState>} */
  const change = {};
  const number = whole(said.get("prompt"), trace.prompts.length);
  if (number !== null) change.prompt = number;
  const layer = said.has("layer") ? trace.layers.indexOf(Number(said.get("layer"))) : -1;
  if (layer >= 0) change.layer = layer;
  const p = trace.prompts[number ?? prompt];
  const token = whole(said.get("token"), p.stop - p.start);
  if (token !== null) change.token = p.start + token;
  else if (said.has("prompt")) change.token = null;
  const mode = said.get("mode");
  if (quantities.offers(mode)) change.mode = mode;
  const view = VIEWS.find((name) => name === said.get("view"));
  if (view) change.view = view;
  const beside = read(said.get("beside") ?? "", trace);
  if (beside) change.beside = beside;
  const scale = Number(said.get("scale") ?? NaN);
  if (scale >= SCALES[0] && scale <= SCALES[1]) change.scale = scale;
  return change;
}

/**
 * @param {State} state
 * @param {Trace} trace
 * @param {number} scale that a page opens with, and that needs no mention
 * @param {string} more what else the page's address says
 */
export function addressOf(state, trace, scale, more = "") {
  const said = new URLSearchParams({
    prompt: String(state.prompt),
    layer: String(trace.layers[state.layer]),
    token: String(state.token - trace.prompts[state.prompt].start),
    mode: state.mode,
  });
  if (state.view !== "tokens") said.set("view", state.view);
  const beside = spelt(state.beside, trace);
  if (beside) said.set("beside", beside);
  if (state.scale !== scale) said.set("scale", String(state.scale));
  return "#" + said + (more && `&${more}`);
}

/**
 * What an address says that is not about the picture: who surrounds it may not have read it yet.
 * @param {string} hash
 */
export function others(hash) {
  const said = new URLSearchParams(hash.slice(1));
  for (const name of NAMES) said.delete(name);
  return said.toString();
}

/** The address, which is written a moment after a change. */
export class Address {
  /** @param {number} scale that the page opens with */
  constructor(scale) {
    this.scale = scale;
    this.text = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.later = undefined;
  }

  /**
   * @param {State} state
   * @param {Trace} trace
   * @param {string} [more] what else it says
   */
  write(state, trace, more) {
    const text = addressOf(state, trace, this.scale, more);
    if (text === this.text) return;
    this.text = text;
    this.stop();
    const put = () => {
      try {
        history.replaceState(null, "", text);
      } catch {
        // A sandbox may forbid it; nothing depends on it.
      }
    };
    this.later = setTimeout(put, 150); // browsers allow few changes a second
  }

  stop() {
    clearTimeout(this.later);
  }
}

/**
 * A whole number below `count`, or null.
 * @param {string | null} text
 * @param {number} count
 */
function whole(text, count) {
  const x = text === null ? NaN : Number(text);
  return Number.isInteger(x) && x >= 0 && x < count ? x : null;
}
