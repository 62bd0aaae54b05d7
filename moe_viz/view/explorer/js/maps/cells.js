// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The map's colours: one pixel for each column of tokens and each layer.
/** @import { Rgb } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */
/** @import { Colours } from "../colours.js" */

import { mixed, rgb } from "../colours.js";
import { NONE } from "../data/quantities.js";

/** Steps between an expert's colour and the ground. */
const LEVELS = 64;
/** Hues where most experts share a grey. */
const HUES = 8;

/**
 * What the colours say, and about which experts and quantities.
 * @typedef {object} Look
 * @property {Trace} trace
 * @property {Colours} colours
 * @property {Uint8Array | null} values a quantity (L, T) in 254ths; null: the first choice
 * @property {Rgb[]} scale 255 colours of the quantity
 * @property {number | null} only the one expert that is shown in full
 */

/**
 * Paint n tokens from `from` on, in `columns` columns, for layers `first` up to `last`.
 *
 * A column of several tokens shows the commonest expert, paler the smaller its share. Hues are
 * never averaged: a mixture of two experts' colours would be a third expert's.
 * @param {Uint8ClampedArray} out red, green, blue, opacity of each pixel
 * @param {Look} look
 * @param {number} columns
 * @param {number} from
 * @param {number} n
 * @param {number} first
 * @param {number} last
 */
export function paintCells(out, look, columns, from, n, first, last) {
  const ground = rgb(look.colours.theme.ground);
  const colourOf = look.values ? quantityColours(look, look.values) : expertColours(look);
  for (let l = first, pixel = 0; l < last; l++) {
    for (let c = 0; c < columns; c++, pixel += 4) {
      const a = from + Math.floor((c * n) / columns);
      const b = Math.max(a + 1, from + Math.floor(((c + 1) * n) / columns));
      const paint = colourOf(l, a, b) ?? ground;
      out[pixel] = paint[0];
      out[pixel + 1] = paint[1];
      out[pixel + 2] = paint[2];
      out[pixel + 3] = 255;
    }
  }
}

/**
 * The mean of those tokens a … b that have a number.
 * @param {Look} look
 * @param {Uint8Array} values
 */
function quantityColours({ trace, scale }, values) {
  /** @type {(layer: number, a: number, b: number) => Rgb | undefined} */
  return (layer, a, b) => {
    let sum = 0;
    let found = 0;
    for (let i = layer * trace.T + a, end = i + b - a; i < end; i++) {
      const v = values[i];
      if (v === NONE) continue;
      sum += v;
      found++;
    }
    return found ? scale[Math.round(sum / found)] : undefined;
  };
}

/**
 * The commonest first choice of the tokens a … b.
 * @param {Look} look
 */
function expertColours({ trace, colours, only }) {
  const { experts, T, E, K } = trace;
  const counts = new Uint32Array(E);
  const shades = shadesOf(colours, trace.many ? HUES : E);
  /** @type {(layer: number, a: number, b: number) => Rgb | undefined} */
  return (layer, a, b) => {
    let best = -1;
    let most = 0;
    for (let t = a, i = (layer * T + a) * K; t < b; t++, i += K) {
      const e = experts[i];
      if (e >= 0 && ++counts[e] > most) {
        most = counts[e];
        best = e;
      }
    }
    counts.fill(0);
    if (best < 0) return undefined;
    const one = b - a === 1;
    let level = one ? (trace.isSpecial(a) ? 0.3 : 1) : 0.25 + 0.75 * (most / (b - a));
    if (only !== null && best !== only && !(one && trace.involves(layer, a, only))) level *= 0.15;
    return shades[1 + colours.hues.of(layer, best)][Math.round(level * LEVELS)];
  };
}

/**
 * From the ground to each hue, the grey of those that have none first.
 * @param {Colours} colours
 * @param {number} hues
 */
function shadesOf(colours, hues) {
  return Array.from({ length: 1 + hues }, (_, n) =>
    Array.from({ length: LEVELS + 1 }, (_, step) =>
      mixed(colours.hue(n - 1), colours.theme.ground, step / LEVELS),
    ),
  );
}
