// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Colours: experts, quantities, and the theme that they are mixed into.
/** @import { Rgb } from "./types.js" */
/** @import { Palette } from "../../js/types.js" */
/** @import { Hues } from "./data/hues.js" */

/** How much of its colour the smallest thing that is shared is shown in. */
const LEAST = 0.2;

/** @type {Map<string, Rgb>} */
const parsed = new Map(); // a dozen colours, asked for a thousand times in a frame

/**
 * @param {string} hex #rrggbb
 * @returns {Rgb} 0 … 255 each
 */
export function rgb(hex) {
  let found = parsed.get(hex);
  if (!found) {
    found = [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
    parsed.set(hex, found);
  }
  return found;
}

/**
 * `share` of a colour and the rest of another, in sRGB.
 * @param {string} a
 * @param {string} b
 * @param {number} share
 * @returns {Rgb}
 */
export function mixed(a, b, share) {
  const rest = rgb(b);
  return rgb(a).map((v, n) => Math.round(v * share + rest[n] * (1 - share)));
}

/** @param {Rgb} colour */
export const css = (colour) => `rgb(${colour[0]} ${colour[1]} ${colour[2]})`;

/**
 * 255 colours between anchors.
 * @param {string[]} anchors
 */
export function scaleOf(anchors) {
  return Array.from({ length: 255 }, (_, n) => {
    const at = (n / 254) * (anchors.length - 1);
    const i = Math.min(Math.floor(at), anchors.length - 2);
    return mixed(anchors[i + 1], anchors[i], at - i);
  });
}

export class Colours {
  /**
   * @param {Palette} palette
   * @param {Hues} hues
   */
  constructor(palette, hues) {
    this.palette = palette;
    this.hues = hues;
    this.theme = palette.light;
    this.quantity = scaleOf(palette.cividis);
    this.difference = scaleOf(palette.difference);
  }

  /** @param {boolean} dark */
  use(dark) {
    this.theme = dark ? this.palette.dark : this.palette.light;
  }

  /**
   * The colour of a hue, by its number; −1: the grey of all that have none.
   * @param {number} hue
   */
  hue(hue) {
    return hue < 0 ? this.theme.others : this.palette.experts[hue % this.palette.experts.length];
  }

  /**
   * @param {number} layer
   * @param {number} e
   */
  expert(layer, e) {
    return this.hue(this.hues.of(layer, e));
  }

  /**
   * @param {number} layer
   * @param {number} e
   */
  digit(layer, e) {
    const hue = this.hues.of(layer, e);
    if (hue < 0) return this.theme.ink;
    return this.palette.white.includes(hue % this.palette.experts.length) ? "#fff" : "#000";
  }

  /**
   * The ground of an expert's number, as CSS.
   * @param {number} layer
   * @param {number} e
   */
  solid(layer, e) {
    return this.filled(this.hues.of(layer, e), this.expert(layer, e));
  }

  /**
   * The same for an expert that was not chosen.
   * @param {number} layer
   * @param {number} e
   */
  faint(layer, e) {
    const share = this.theme === this.palette.dark ? 0.45 : 0.3;
    const colour = css(mixed(this.expert(layer, e), this.theme.ground, share));
    return this.filled(this.hues.of(layer, e), colour);
  }

  /**
   * Beyond eight hues colours repeat; a hatch tells the groups apart, beside the number.
   * @param {number} hue
   * @param {string} colour
   */
  filled(hue, colour) {
    const group = Math.max(0, Math.floor(hue / this.palette.experts.length));
    const hatch = `repeating-linear-gradient(${45 * group}deg, transparent 0 4px, #0005 4px 5px), `;
    return `${group ? hatch : ""}linear-gradient(${colour}, ${colour})`;
  }

  /**
   * The ground of a token that shares something with the selected one; nothing shared: the plain
   * ground. A first step that can be seen, and then even ones.
   * @param {number} share
   */
  shared(share) {
    const { ground, shared } = this.theme;
    return mixed(shared, ground, share > 0 ? LEAST + (1 - LEAST) * share : 0);
  }

  /** The same as 255 steps. */
  sharing() {
    return Array.from({ length: 255 }, (_, n) => this.shared(n / 254));
  }

  /**
   * How strongly a token's ground takes its expert's colour.
   * @param {number} gate of the first of k choices
   * @param {number} k
   */
  strength(gate, k) {
    const { faintest, strongest } = this.theme;
    const x = k > 1 ? (gate - 1 / k) / (1 - 1 / k) : 1;
    return faintest + (strongest - faintest) * Math.min(Math.max(x || 0, 0), 1);
  }
}
