// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Canvases: one of a given size and sharpness, and a small one whose pixels are a map's cells.
/** @import { Scene } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */
/** @import { Quantities } from "../data/quantities.js" */

import { paintCells } from "./cells.js";

/**
 * An empty canvas of this size, as sharp as the screen; null without support for canvases.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
export function sized(canvas, width, height) {
  const g = canvas.getContext("2d");
  if (!g) return null;
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const w = Math.round(width * ratio);
  const t = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== t) {
    canvas.width = w;
    canvas.height = t;
    canvas.style.height = height + "px";
  }
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  return g;
}

/** One pixel for each column and layer, to be stretched: thousands of rectangles cost more. */
export class Cells {
  /**
   * @param {Trace} trace
   * @param {Quantities} quantities
   * @param {Scene} scene
   */
  constructor(trace, quantities, scene) {
    this.trace = trace;
    this.quantities = quantities;
    this.scene = scene;
    this.canvas = document.createElement("canvas");
  }

  /**
   * n tokens from `from` on in so many columns, layers `first` up to `last`.
   * @param {number} columns
   * @param {number} from
   * @param {number} n
   * @param {number} first
   * @param {number} last
   */
  paint(columns, from, n, first, last) {
    const { canvas, trace } = this;
    const { state, colours } = this.scene;
    canvas.width = columns;
    canvas.height = last - first;
    const g = canvas.getContext("2d");
    if (!g) return canvas;
    const { mode } = state;
    const values = mode === "first" ? null : this.quantities.values(mode, state);
    const scale = mode === "shared" ? colours.sharing() : colours.quantity;
    const look = { trace, colours, values, scale, only: state.faded ?? state.isolate };
    const picture = g.createImageData(columns, last - first);
    paintCells(picture.data, look, columns, from, n, first, last);
    g.putImageData(picture, 0, 0);
    return canvas;
  }
}
