// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The edge of a map: its layers' numbers, and what lies between layers of experts.
/** @import { Scene } from "../types.js" */
/** @import { Rows } from "./rows.js" */

import { h } from "../../../js/dom.js";

/**
 * @param {Rows} rows
 * @param {number} here the layer that is shown
 */
export function layerNames(rows, here) {
  return rows.named(here).map(({ name, layer, y }) => {
    const label = h("span", { class: layer === here ? "here" : "" }, name);
    label.style.top = y + "px";
    return label;
  });
}

/**
 * Layers without experts, as thin grey bands that say what they are.
 * @param {CanvasRenderingContext2D} g
 * @param {Rows} rows
 * @param {number} width
 * @param {Scene} scene
 */
export function paintBands(g, rows, width, { colours, zoom }) {
  const { line, ink } = colours.theme;
  for (const { first, last, top, height } of rows.bands) {
    g.fillStyle = line;
    g.fillRect(0, top, width, height);
    g.fillStyle = ink;
    g.font = `${10.5 * zoom}px system-ui, sans-serif`;
    g.textAlign = "center";
    g.textBaseline = "middle";
    const dense = first === last ? "dense: no experts" : "dense layers: no experts";
    g.fillText(dense, width / 2, top + height / 2 + 0.5);
  }
}
