// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Where a map's layers lie: how high each is, and a little room after every eight.

export class Rows {
  /**
   * @param {number} layers
   * @param {boolean} page a page has more room than an output in a notebook
   * @param {number} zoom
   */
  constructor(layers, page, zoom) {
    const few = layers <= 8;
    const many = layers > 16;
    this.layers = layers;
    this.height = Math.round(zoom * (few ? (page ? 40 : 24) : !many ? 14 : page ? 11 : 7));
    this.room = few ? 0 : Math.round(3 * zoom);
    this.gap = few ? 1 : 0.5;
  }

  /** @param {number} layer */
  top(layer) {
    return layer * this.height + this.room * Math.floor(layer / 8);
  }

  get total() {
    return this.top(this.layers - 1) + this.height;
  }

  /**
   * The layer at a height.
   * @param {number} y
   */
  at(y) {
    let layer = this.layers - 1;
    while (layer > 0 && y < this.top(layer)) layer--;
    return layer;
  }

  /** The layers that are labelled at the edge. */
  named() {
    const { layers } = this;
    if (layers <= 8) return Array.from({ length: layers }, (_, l) => l);
    return [...new Set([0, 8, 16, 24, layers - 1])].filter((l) => l < layers);
  }
}
