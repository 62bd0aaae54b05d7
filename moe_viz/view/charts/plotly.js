// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The drawing library, which travels packed in a page or an output (see chart.py).

/** Plotly is there once in a page; what comes first brings it, and the others wait for that. */
export function plotly() {
  /** @type {any} */
  const page = window;
  if (page.Plotly) return page.Plotly;
  page.moeVizPlotly ??= unpacked(page);
  return page.moeVizPlotly;
}

/** @param {any} page */
async function unpacked(page) {
  const packed = document.querySelector("script.moe-viz-plotly")?.textContent;
  if (!packed) throw new Error("the drawing library is not in this page");
  const bytes = Uint8Array.from(atob(packed.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = await new Response(stream).text();
  // As a function, so that a module loader that the page may have (require.js) is left alone.
  const module = { exports: /** @type {any} */ ({}) };
  const run = new Function("module", "exports", "define", "self", code);
  run(module, module.exports, undefined, window);
  page.Plotly = module.exports.newPlot ? module.exports : page.Plotly;
  return page.Plotly;
}
