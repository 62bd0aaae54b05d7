// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a picture does when a key is pressed in it.
/** @import { Picture } from "./picture.js" */

import { meaning } from "./keys.js";
import { hitAfter } from "./data/search.js";

/**
 * @param {Picture} picture
 * @param {KeyboardEvent} event
 */
export function obey(picture, event) {
  const { state, root, controls, trace, scene } = picture;
  const { activeElement: field } = /** @type {ShadowRoot} */ (root.getRootNode());
  const meant = meaning(event, {
    typing: field === controls.search,
    field: field instanceof HTMLInputElement || field instanceof HTMLSelectElement,
    button: field !== root && field !== null,
    idle: state.isolate === null && !state.query && !state.playing,
    experts: scene.colours.hues.named(state.layer),
  });
  if (meant.act === "leave") return;
  event.stopPropagation();
  if (meant.act === "keep") return;
  event.preventDefault();
  const { start, stop } = picture.prompt;
  if (meant.act === "token") {
    picture.pick(Math.min(Math.max(state.token + meant.n, start), stop - 1));
  } else if (meant.act === "layer") {
    const layer = Math.min(Math.max(state.layer + meant.n, 0), trace.L - 1);
    picture.set({ layer, hover: null });
  } else if (meant.act === "isolate") picture.isolate(meant.n);
  else if (meant.act === "play") picture.player.toggle();
  else if (meant.act === "find") controls.search.focus();
  else if (meant.act === "next") {
    const next = hitAfter(scene.hits, state.token);
    if (next !== undefined) picture.pick(next);
  } else if (meant.act === "clear") {
    controls.search.value = "";
    picture.player.stop();
    picture.search("");
    picture.set({ isolate: null, asked: null, hover: null });
    root.focus({ preventScroll: true });
  } else if (meant.act === "blur" && field instanceof HTMLElement) field.blur();
}
