// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A picture in its place in a document: put there once, given other traces, and taken away.
/** @import { Mounted, OpeningState, PackedTrace, State } from "./types.js" */
/** @import { Palette } from "../../js/types.js" */

import { readAddress } from "./address.js";
import { packedBeside } from "./elements.js";
import { h } from "../../js/dom.js";
import { Picture } from "./picture.js";
import { Quantities } from "./data/quantities.js";
import { begin, carried, fitted } from "./state.js";
import { Trace } from "./data/trace.js";

/**
 * Draw the trace that is packed beside an element, in that element's shadow. The element's `moeViz`
 * then controls the picture.
 * @param {string} id of the element; its trace is in the element id-data
 * @param {string} style
 * @param {Palette} palette
 */
export function mountExplorer(id, style, palette) {
  const host = document.getElementById(id);
  if (!host || host.moeViz) return;
  const text = packedBeside(id);
  const shadow = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const sheet = h("style", {}, style);
  /** @type {Picture | null} */
  let picture = null;

  /** @type {Mounted["show"]} */
  const show = (given, change = {}) => {
    /** @type {PackedTrace} */
    const packed = typeof given === "string" ? JSON.parse(given) : given;
    const trace = new Trace(packed);
    const quantities = new Quantities(trace);
    const before = picture ?? lookedAt(id);
    const asked = picture
      ? change
      : { prompt: packed.state.prompt, token: packed.state.token ?? -1 };
    const state = before
      ? { ...carried(before.state, before.trace, trace), ...anew(asked) }
      : opened(packed.state, trace, quantities);
    const fitting = fitted(state, trace, quantities);
    const next = new Picture(host, trace, quantities, fitting, palette, packed.state.scale);
    const focused = shadow.activeElement !== null;
    picture?.stop();
    picture = next;
    // As high as before until the new one is drawn: a page that were shorter would be scrolled up.
    host.style.minHeight = `${host.offsetHeight}px`;
    shadow.replaceChildren(sheet, next.root);
    next.start();
    host.style.minHeight = "";
    if (focused) next.root.focus({ preventScroll: true });
  };

  const teardown = () => {
    picture?.stop();
    picture = null;
    shadow.replaceChildren();
    delete host.moeViz;
  };

  /** @type {Mounted["take"]} */
  const take = (from, change) => {
    const found = packedBeside(from);
    if (found) show(found, change);
  };

  /** @type {Mounted["set"]} */
  const set = (change) => picture?.set(change);

  const leave = () => {
    if (picture) looks().set(id, { state: picture.state, trace: picture.trace });
  };

  show(text);
  host.moeViz = { show, take, set, leave, teardown };
}

/** How pictures were looked at that others are to replace, by the id of both. */
const looks = () => (window.moeVizLooks ??= new Map());

/**
 * How the picture was looked at that this one replaces, if it said so: to be asked once.
 * @param {string} id
 */
function lookedAt(id) {
  const found = looks().get(id);
  looks().delete(id);
  return found;
}

/**
 * What the first trace is opened with: as Python says, and on a page as its address says.
 * @param {OpeningState} opening
 * @param {Trace} trace
 * @param {Quantities} quantities
 */
function opened(opening, trace, quantities) {
  const said = opening.page ? readAddress(location.hash, trace, quantities, opening.prompt) : {};
  // Of many experts those are named that are busiest in all prompts: their loads are shown first.
  return begin({ ...opening, ...said }, trace.many ? "all" : "prompt");
}

/**
 * A change of the state that the next trace opens in; another prompt opens at its first token.
 * @param {Partial<State>} change
 */
const anew = (change) => ("prompt" in change ? { token: -1, ...change } : change);
