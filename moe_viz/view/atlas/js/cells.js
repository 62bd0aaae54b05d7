// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What is drawn in a cell of the grid.

/**
 * A cell's sign; where there is no room for a shape, 2 × 2 pixels.
 * @param {CanvasRenderingContext2D} g
 * @param {"●" | "◆"} sign
 * @param {number} x
 * @param {number} y
 * @param {number} size
 */
export function drawSign(g, sign, x, y, size) {
  const r = size / 2;
  g.beginPath();
  if (size <= 2) g.rect(Math.floor(x) - 1, Math.floor(y) - 1, 2, 2);
  else if (sign === "●") g.arc(x, y, r, 0, 7);
  else {
    g.moveTo(x - r - 1, y);
    g.lineTo(x, y - r - 1);
    g.lineTo(x + r + 1, y);
    g.lineTo(x, y + r + 1);
  }
  g.fill();
}

/**
 * Black or white, whichever stands out more.
 * @param {number[]} colour
 */
export function dotOn(colour) {
  const [r, g, b] = colour.map((v) => ((v / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}
