// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What is shown: how it begins, and how it is fitted to a trace.
/** @import { OpeningState, Scope, Spot, State } from "./types.js" */
/** @import { Trace } from "./data/trace.js" */
/** @import { Quantities } from "./data/quantities.js" */

import { fits } from "./data/beside.js";

/**
 * What the decision panel describes: the decision under the pointer, else the pinned one.
 * @param {State} state
 * @returns {Spot}
 */
export const focus = (state) => state.hover ?? { layer: state.layer, token: state.token };

/**
 * A whole state, yet to be fitted to a trace.
 * @param {OpeningState} opening as Python or an address says
 * @param {Scope} scope
 * @returns {State}
 */
export function begin(opening, scope) {
  return {
    ...opening,
    token: opening.token ?? -1,
    hover: null,
    isolate: null,
    faded: null,
    watched: 0,
    asked: null,
    sorted: false,
    playing: false,
    signs: false,
    query: "",
    scope,
  };
}

/**
 * What was shown of one trace, for another: the same layer, prompt and place in it.
 * @param {State} state
 * @param {Trace} from
 * @param {Trace} to
 * @returns {State}
 */
export function carried(state, from, to) {
  const layer = to.layers.indexOf(from.layers[state.layer]);
  const place = state.token - from.prompts[state.prompt].start;
  const p = to.prompts[state.prompt];
  return {
    ...state,
    layer: layer >= 0 ? layer : state.layer,
    token: p ? Math.min(p.start + place, p.stop - 1) : -1,
    hover: null,
    faded: null,
    playing: false,
  };
}

/**
 * A state that names only what exists. A token outside the prompt becomes its first.
 * @param {State} state
 * @param {Trace} trace
 * @param {Quantities} quantities
 * @returns {State}
 */
export function fitted(state, trace, quantities) {
  const { isolate, asked, token, mode } = state;
  const prompt = within(state.prompt, trace.prompts.length);
  const p = trace.prompts[prompt];
  return {
    ...state,
    prompt,
    layer: within(state.layer, trace.L),
    token: token >= p.start && token < p.stop ? token : trace.firstShown(p),
    mode: quantities.offers(mode) ? mode : "first", // a small output has left out what others need
    beside: fits(state.beside, trace, prompt) ? state.beside : null,
    watched: within(state.watched, trace.E),
    isolate: isolate !== null && isolate < trace.E ? isolate : null,
    asked: asked !== null && asked < trace.E ? asked : null,
  };
}

/**
 * @param {number} n
 * @param {number} count
 */
const within = (n, count) => Math.min(Math.max(n, 0), count - 1);
