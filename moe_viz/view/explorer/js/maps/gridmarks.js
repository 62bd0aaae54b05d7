// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What lies over the map of experts and layers: the selected token's choices and its way through
// the layers, the expert that is isolated, and those that are off.
/** @import { Scene } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */

import { focus } from "../state.js";

/** From this width on, in pixels, a cell has room for a line across it. */
const WIDE = 20;

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Trace} trace
 * @param {Scene} scene
 * @param {number} width
 */
export function paintMarks(g, trace, scene, width) {
  const { rows, colours, state, zoom } = scene;
  const { ink, ground } = colours.theme;
  const at = focus(state);
  const cell = width / trace.E;
  const high = rows.height - rows.gap;
  const wide = Math.max(cell - 1, 4 * zoom);
  /** @param {number} e */
  const left = (e) => Math.min(Math.max((e + 0.5) * cell - wide / 2, 0), width - wide);
  const way = wayOf(trace, at.token, (l, e) => [(e + 0.5) * cell, rows.top(l) + high / 2]);
  g.strokeStyle = ink;
  g.lineWidth = 1;
  g.stroke(way);
  for (let l = 0; l < trace.L; l++) {
    for (const [e] of trace.chosen(l, at.token)) {
      const hue = colours.hues.of(l, e);
      g.fillStyle = hue < 0 ? ground : colours.hue(hue);
      g.fillRect(left(e), rows.top(l), wide, high);
      g.lineWidth = Math.min(2, high / 3) * Math.min(zoom, 1.5);
      g.strokeRect(left(e) + 0.5, rows.top(l) + 0.5, wide - 1, high - 1);
    }
  }
  // Most of the way lies within cells.
  if (cell >= WIDE) edged(g, way, ink, ground, 1);
  edged(
    g,
    crosses(trace, (l, e) => [left(e), rows.top(l), wide, high]),
    ink,
    ground,
    2.5,
  );
  g.strokeStyle = ink;
  g.lineWidth = 2;
  g.strokeRect(1, rows.top(at.layer) - 1, width - 2, high + 2);
  if (state.isolate === null) return;
  g.lineWidth = 3;
  g.strokeRect(left(state.isolate) - 1, rows.top(state.layer) - 2, wide + 2, high + 4);
}

/**
 * The line that joins a token's first choices.
 * @param {Trace} trace
 * @param {number} token
 * @param {(layer: number, e: number) => [x: number, y: number]} middle of a cell
 */
function wayOf(trace, token, middle) {
  const way = new Path2D();
  for (let l = 0; l < trace.L; l++) {
    const first = trace.choice(l, token, 0);
    if (first >= 0) way.lineTo(...middle(l, first));
  }
  return way;
}

/**
 * A cross in the cell of each expert that is off.
 * @param {Trace} trace
 * @param {(layer: number, e: number) => [x: number, y: number, wide: number, high: number]} cell
 */
function crosses(trace, cell) {
  const drawn = new Path2D();
  for (const [l, experts] of trace.off.entries()) {
    for (const e of experts) {
      const [x, y, wide, high] = cell(l, e);
      drawn.moveTo(x, y);
      drawn.lineTo(x + wide, y + high);
      drawn.moveTo(x + wide, y);
      drawn.lineTo(x, y + high);
    }
  }
  return drawn;
}

/**
 * A line with an edge that shows on every colour.
 * @param {CanvasRenderingContext2D} g
 * @param {Path2D} path
 * @param {string} ink
 * @param {string} ground
 * @param {number} thick
 */
function edged(g, path, ink, ground, thick) {
  g.strokeStyle = ground;
  g.lineWidth = thick + 2;
  g.stroke(path);
  g.strokeStyle = ink;
  g.lineWidth = thick;
  g.stroke(path);
}
