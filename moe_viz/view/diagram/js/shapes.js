// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a drawing is made of: text, blocks, wires; and how its numbers are written.
/** @import { Rule } from "./types.js" */

import { svg } from "../../js/dom.js";

const MINUS = "−";

/**
 * @param {number} x
 * @param {number} y
 * @param {string} words
 * @param {string} cls
 * @param {string | null} [fill]
 */
export function text(x, y, words, cls, fill = null) {
  return svg("text", { x, y, class: cls, style: fill && `fill: ${fill}` }, words);
}

/**
 * A block, its name and its parameters.
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 * @param {string} name
 * @param {number} parameters
 * @param {boolean} counted whether there is room for the number
 */
export function block(x, y, width, height, name, parameters, counted) {
  const words = counted && parameters ? `${name}, ${brief(parameters)}` : name;
  return svg(
    "g",
    {},
    svg("title", {}, `${name}: ${parameters.toLocaleString("en")} parameters`),
    svg("rect", { x, y, width, height, rx: 4, class: "block" }),
    text(x + width / 2, y + height / 2, words, "inside"),
  );
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} cls
 */
export const plus = (x, y, cls) =>
  svg(
    "g",
    { class: cls },
    svg("circle", { cx: x, cy: y, r: 10, class: "node" }),
    text(x, y, "+", "sign"),
  );

/**
 * @param {number} x1
 * @param {number} y1
 * @param {number} x2
 * @param {number} y2
 */
export const arrow = (x1, y1, x2, y2) =>
  path(
    [
      [x1, y1],
      [x2, y2],
    ],
    true,
  );

/**
 * A wire through points, with a head at its end.
 * @param {number[][]} points
 * @param {boolean} headed
 * @param {boolean} [strong]
 */
export function path(points, headed, strong = false) {
  const way = points.map(([x, y], n) => `${n ? "L" : "M"}${x} ${y}`).join(" ");
  const wire = svg("path", { d: way, class: strong ? "wire strong" : "wire" });
  if (!headed) return wire;
  const [[a, b], [x, y]] = points.slice(-2);
  const [dx, dy] = [Math.sign(x - a), Math.sign(y - b)];
  const [left, right] = [-4, 4].map((w) => `${x - 7 * dx + w * dy} ${y - 7 * dy + w * dx}`);
  const head = `M${x} ${y} L${left} L${right} Z`;
  return svg("g", {}, wire, svg("path", { d: head, class: "head" }));
}

/**
 * A score as it is written.
 * @param {number} x
 */
export const told = (x) => (x < 0 ? MINUS : "") + Math.abs(x).toFixed(2);

/**
 * A gate: a share, where the gates of a token add up to 1; else a factor.
 * @param {Rule} rule
 * @param {number} gate
 */
export function gateOf({ normalised, scale }, gate) {
  return normalised && scale === 1 ? `${(100 * gate).toFixed(0)}\u00a0%` : gate.toFixed(2);
}

/**
 * A number of parameters as people say it.
 * @param {number} n
 */
export function brief(n) {
  if (n < 1e5) return n.toLocaleString("en");
  const [unit, size] = n >= 1e9 ? ["B", 1e9] : n >= 1e6 ? ["M", 1e6] : ["K", 1e3];
  const x = n / Number(size);
  return `${x >= 99.95 ? x.toFixed(0) : x.toPrecision(3)}\u00a0${unit}`;
}
