// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Draws a figure of plotly that a notebook holds bare, as it was saved, when it is first seen.

import { plotly } from "../charts/plotly.js";

/** @param {string} id of the figure's element; what to draw is in the element id-data */
export async function drawFigure(id) {
  const host = document.getElementById(id);
  const packed = document.getElementById(id + "-data")?.textContent;
  if (!host || !packed || host.dataset.drawn) return;
  host.dataset.drawn = "yes";
  const { data, layout } = JSON.parse(packed);
  try {
    const library = await plotly();
    const watch = new ResizeObserver(async () => {
      if (!host.offsetWidth) return; // on a hidden slide
      watch.disconnect();
      const config = { displaylogo: false, showSendToCloud: false, responsive: true };
      await library.newPlot(host, data ?? [], layout ?? {}, config);
      host.dataset.ready = "yes";
    });
    watch.observe(host);
  } catch (error) {
    host.dataset.ready = "no";
    const reason = error instanceof Error ? error.message : error;
    host.textContent = `The figure cannot be drawn here (${reason}).`;
  }
}
