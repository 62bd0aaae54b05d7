// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Where a map's layers lie: how high each is, a little room after every eight, and thin bands for
// layers that have no experts.
/** @import { Place } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */

/**
 * Dense layers, one after the other.
 * @typedef {object} Band
 * @property {number} first the model's number
 * @property {number} last
 * @property {number} top
 * @property {number} height
 */

/** Where all layers cannot be labelled, every eighth and the last are; how far apart, in px. */
const EACH = 8;
/** Pixels of a map on a slide, at most. */
const SLIDE = 168;
const BETWEEN = 11;

export class Rows {
  /**
   * @param {Pick<Trace, "layers" | "dense">} trace
   * @param {Place} place
   * @param {number} zoom
   */
  constructor({ layers, dense }, place, zoom) {
    const few = layers.length <= 8;
    this.layers = layers;
    this.zoom = zoom;
    const exact = zoom * heightOf(layers.length, place);
    this.height = Math.max(1, place === "slide" ? Math.floor(exact) : Math.round(exact));
    this.gap = few ? 1 : 0.5;
    const room = few ? 0 : Math.round(3 * zoom);
    /** @type {number[]} */
    this.tops = [];
    /** @type {Band[]} */
    this.bands = [];
    const left = [...dense];
    let y = 0;
    for (const [l, number] of layers.entries()) {
      y = this.band(left, number, y);
      if (l && l % 8 === 0) y += room;
      this.tops.push(y);
      y += this.height;
    }
    this.total = this.band(left, Infinity, y);
  }

  /**
   * Bands for the dense layers before a layer, one for each run of them; how far down they end.
   * @param {number[]} left those that have none yet
   * @param {number} before
   * @param {number} y
   */
  band(left, before, y) {
    while (left.length && left[0] < before) {
      const first = left.shift() ?? 0;
      let last = first;
      while (left[0] === last + 1 && left[0] < before) last = left.shift() ?? 0;
      const height = Math.round(this.zoom * Math.max(12, 4 * (last - first + 1)));
      this.bands.push({ first, last, top: y, height: height - 1 });
      y += height;
    }
    return y;
  }

  /** @param {number} layer */
  top(layer) {
    return this.tops[layer];
  }

  /**
   * The layer at a height.
   * @param {number} y
   */
  at(y) {
    let layer = this.layers.length - 1;
    while (layer > 0 && y < this.tops[layer]) layer--;
    return layer;
  }

  /**
   * What is labelled at the edge, and how far down: bands, and as many layers as have room, above
   * all the one that is shown. A band's layer is −1.
   * @param {number} [here]
   * @returns {{ name: string, layer: number, y: number }[]}
   */
  named(here) {
    const { layers } = this;
    const n = layers.length;
    const bands = this.bands.map(({ first, last, top, height }) => {
      const name = first === last ? String(first) : `${first}–${last}`;
      return { name, layer: -1, y: top + height / 2 };
    });
    const first = here === undefined ? [] : [here];
    const some = [...first, 0, n - 1, ...layers.keys()].filter(
      (l) => n <= EACH || l === here || l === n - 1 || l % EACH === 0,
    );
    const found = [...bands];
    for (const layer of new Set(some)) {
      const y = this.tops[layer] + this.height / 2;
      const near = found.some((label) => Math.abs(label.y - y) < BETWEEN * this.zoom);
      if (!near) found.push({ name: String(layers[layer]), layer, y });
    }
    return found.sort((a, b) => a.y - b.y);
  }
}

/**
 * Pixels of a layer, for type of the designed size.
 * @param {number} layers
 * @param {Place} place
 */
function heightOf(layers, place) {
  const page = place === "page";
  if (place === "slide") {
    const room = layers <= 8 ? 0 : 3 * Math.floor((layers - 1) / 8);
    return (SLIDE - room) / Math.max(layers, 6);
  }
  if (layers <= 8) return page ? 40 : 24;
  if (layers <= 16) return 14;
  if (layers <= 48) return page ? 11 : 7;
  return page ? 7 : 4;
}
