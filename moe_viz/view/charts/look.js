// @ts-check
// SPDX-License-Identifier: Apache-2.0
// How a figure looks: its theme; and on a slide larger and bolder, for the last row.
/** @import { Theme } from "../js/types.js" */

/** Size of type, in pixels, on a page and on a slide. */
const TYPE = { page: 13, slide: 18 };

/**
 * A template of plotly in the colours of a theme.
 * @param {Theme} theme
 * @param {boolean} onSlide
 */
export function template({ ground, ink, line, muted }, onSlide) {
  const size = onSlide ? TYPE.slide : TYPE.page;
  const axis = {
    automargin: true,
    title: { standoff: 8 },
    gridcolor: line,
    linecolor: line,
    zerolinecolor: line,
    tickcolor: line,
  };
  const box = { bgcolor: ground, bordercolor: line, font: { color: ink } };
  const slider = {
    ...box,
    bgcolor: muted,
    bordercolor: muted,
    activebgcolor: ink,
    tickcolor: muted,
  };
  const layout = {
    paper_bgcolor: ground,
    plot_bgcolor: ground,
    font: { color: ink, size, family: "system-ui, sans-serif" },
    uniformtext: { minsize: size, mode: "hide" },
    xaxis: axis,
    yaxis: axis,
    sliderdefaults: slider,
    updatemenudefaults: box,
    hoverlabel: { bgcolor: ground, bordercolor: ink, font: { color: ink } },
  };
  return { layout };
}

/**
 * A trace with lines and marks that the last row of a lecture room can see.
 * @param {any} trace
 */
export function bolder(trace) {
  if (trace.type !== "scatter") return trace;
  const { line = {}, marker = {} } = trace;
  const size = Array.isArray(marker.size) ? marker.size : 1.4 * (marker.size ?? 6);
  return { ...trace, line: { ...line, width: 2 * (line.width ?? 2) }, marker: { ...marker, size } };
}
