// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What keys mean. Whatever is typed into a picture stays there: in JupyterLab `dd` would delete the
// cell, and a deck would turn its slide.

/**
 * Where a key is pressed.
 * @typedef {object} Place
 * @property {boolean} typing in the search box
 * @property {boolean} field in that or in another field
 * @property {boolean} button on a button, or on anything else that is not the picture as a whole
 * @property {boolean} idle nothing is isolated, searched for or played: Escape has nothing to undo
 * @property {number[]} experts those of the legend, in its order
 */

/**
 * - leave: not our key, the page may have it; keep: the browser acts on it as usual, and the page
 *   does not see it; nothing: neither of them sees it.
 * @typedef {"leave" | "keep" | "nothing" | "blur" | "clear" | "find" | "next" | "play"} Plain
 * @typedef {{ act: Plain } | { act: "token" | "layer" | "isolate", n: number }} Meaning
 */

/** @type {Record<string, Meaning>} */
const MOVES = {
  ArrowLeft: { act: "token", n: -1 },
  ArrowRight: { act: "token", n: 1 },
  ArrowUp: { act: "layer", n: -1 },
  ArrowDown: { act: "layer", n: 1 },
};
/** These would turn a slide. */
const TURNING = ["PageUp", "PageDown", "Home", "End", "?"];

/**
 * @param {KeyboardEvent} event
 * @param {Place} place
 * @returns {Meaning}
 */
export function meaning({ key, ctrlKey, metaKey, altKey }, place) {
  if (ctrlKey || metaKey || altKey || key === "Tab") return { act: "leave" };
  if (key === "Escape") return { act: place.idle && !place.field ? "blur" : "clear" };
  if (place.typing && key === "Enter") return { act: "next" };
  if (place.field) return { act: "keep" };
  if (key === "/") return { act: "find" };
  if (MOVES[key]) return MOVES[key];
  if (/^[0-9]$/.test(key) && Number(key) < place.experts.length) {
    return { act: "isolate", n: place.experts[Number(key)] };
  }
  if ((key === "Enter" || key === " ") && place.button) return { act: "keep" };
  if (key === " ") return { act: "play" };
  if (TURNING.includes(key)) return { act: "keep" };
  return { act: /^[a-zA-Z]$/.test(key) || key === "Enter" ? "nothing" : "leave" };
}
