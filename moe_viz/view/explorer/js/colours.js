// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Colours: experts, quantities, and the theme that they are mixed into.
/** @import { Rgb } from "./types.js" */
/** @import { Palette } from "../../js/types.js" */

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
  /** @param {Palette} palette */
  constructor(palette) {
    this.palette = palette;
    this.theme = palette.light;
    this.quantity = scaleOf(palette.cividis);
    this.difference = scaleOf(palette.difference);
  }

  /** @param {boolean} dark */
  use(dark) {
    this.theme = dark ? this.palette.dark : this.palette.light;
  }

  /** @param {number} e */
  expert(e) {
    return this.palette.experts[e % this.palette.experts.length];
  }

  /** @param {number} e */
  digit(e) {
    return this.palette.white.includes(e % this.palette.experts.length) ? "#fff" : "#000";
  }

  /**
   * The ground of an expert's number, as CSS.
   * @param {number} e
   */
  solid(e) {
    return this.filled(e, this.expert(e));
  }

  /**
   * The same for an expert that was not chosen.
   * @param {number} e
   */
  faint(e) {
    const share = this.theme === this.palette.dark ? 0.45 : 0.3;
    return this.filled(e, css(mixed(this.expert(e), this.theme.ground, share)));
  }

  /**
   * Beyond eight experts colours repeat; a hatch tells the groups apart, beside the number.
   * @param {number} e
   * @param {string} colour
   */
  filled(e, colour) {
    const group = Math.floor(e / this.palette.experts.length);
    const hatch = `repeating-linear-gradient(${45 * group}deg, transparent 0 4px, #0005 4px 5px), `;
    return `${group ? hatch : ""}linear-gradient(${colour}, ${colour})`;
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
