// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Draws one chart of plotly where its description stands, and follows theme and size.
/** @import { Palette } from "../js/types.js" */

import { isDark, onThemeChange } from "../js/theme.js";
import { bolder, template } from "./look.js";
import { plotly } from "./plotly.js";

/**
 * What is packed beside a chart: see chart.py.
 * @typedef {object} Packed
 * @property {{ data: any[], layout: any }} figure
 * @property {string} title
 * @property {string} sentence
 * @property {string} csv
 * @property {string} name of a file
 */

/** Plotly as far as it is used here: its figures and what is done with them have no types. */
/** @typedef {any} Plotly */
/** @typedef {HTMLElement & { data?: any, layout?: any }} Plot */
/** @typedef {"png" | "svg" | "csv"} Kind */

/** @type {Kind[]} */
const KINDS = ["png", "svg", "csv"];
/** Room, in pixels, that a saved picture has above for its title. */
const ABOVE = 36;
/** What of plotly's own is left out: its buttons, and what talks to servers. */
const CONFIG = {
  showSendToCloud: false,
  displaylogo: false,
  displayModeBar: false,
  responsive: false,
  scrollZoom: false,
};
/** @type {Record<string, number>} */
const MOVES = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };

/**
 * @param {string} id of the chart's element; its figure is in the element id-data
 * @param {Palette} palette
 */
export async function drawChart(id, palette) {
  const host = document.getElementById(id);
  if (!host || host.dataset.drawn) return;
  host.dataset.drawn = "yes";
  /** @type {Packed} */
  const packed = JSON.parse(document.getElementById(id + "-data")?.textContent ?? "");
  const chart = new Chart(host, packed, palette);
  chart.paint();
  try {
    await chart.draw();
    host.dataset.ready = "yes";
  } catch (error) {
    host.dataset.ready = "no";
    chart.plot.style.height = "auto";
    const reason = error instanceof Error ? error.message : error;
    chart.say(`The chart cannot be drawn here (${reason}). Its data are in the table below.`);
  }
}

class Chart {
  /**
   * @param {HTMLElement} host
   * @param {Packed} packed
   * @param {Palette} palette
   */
  constructor(host, packed, palette) {
    this.host = host;
    this.packed = packed;
    this.palette = palette;
    this.plot = /** @type {Plot} */ (host.querySelector(".moe-viz-plot"));
    this.status = /** @type {HTMLElement} */ (host.querySelector(".moe-viz-status"));
    /** @type {Plotly} */
    this.plotly = null;
    this.dark = isDark();
    /** @type {AbortController | null} */
    this.ears = null;
  }

  /** @param {string} text */
  say(text) {
    this.status.textContent = text;
  }

  async draw() {
    const { plot, host } = this;
    const { figure, title, sentence } = this.packed;
    this.plotly = await plotly();
    if (!plot.offsetWidth) await shown(plot);
    const least = figure.layout.meta?.least ?? 0; // below it what is written in it cannot be read
    if (plot.offsetWidth < least) {
      const frame = document.createElement("div");
      frame.style.overflowX = "auto";
      frame.tabIndex = 0; // so that keys scroll it
      plot.replaceWith(frame);
      frame.append(plot);
      plot.style.width = `${least}px`;
    }
    // As high as the page gives it: a slide's style sheet may give less than the figure asked for.
    const layout = {
      ...figure.layout,
      template: this.template(),
      autosize: true,
      height: plot.offsetHeight,
    };
    const { legend } = layout;
    if (legend?.y < 0) legend.y *= figure.layout.height / layout.height; // as many pixels below
    this.dark = isDark();
    const data = this.onSlide ? figure.data.map(bolder) : figure.data;
    await this.plotly.newPlot(plot, data, layout, CONFIG);
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", `${title}. ${sentence}`);
    this.follow();
    host.querySelector(".moe-viz-buttons")?.append(...KINDS.map((kind) => this.button(kind)));
    if (layout.sliders?.[0].steps.length) this.slide(layout.sliders[0].steps);
    // Keys meant for a chart's slider or table turn no slide and change no cell.
    host.addEventListener("keydown", (event) => {
      if (event.key !== "Tab") event.stopPropagation();
    });
  }

  // ---- Theme and size

  /** Of the frame around the figure. */
  paint() {
    const { ink, ground, line } = this.theme;
    Object.assign(this.host.style, { color: ink, background: ground, borderColor: line });
    this.host.style.colorScheme = isDark() ? "dark" : "light";
  }

  get onSlide() {
    return Boolean(this.host.closest(".reveal"));
  }

  get theme() {
    return isDark() ? this.palette.dark : this.palette.light;
  }

  /** Of the figure. */
  template() {
    return template(this.theme, this.onSlide);
  }

  /** Follow theme and size as long as the chart is in the document; it may leave and come back. */
  follow() {
    const { plot } = this;
    const observer = new ResizeObserver(() => {
      if (!plot.isConnected) return this.deafen();
      this.listen();
      if (!plot.offsetWidth) return;
      this.retheme();
      this.plotly.Plots.resize(plot);
    });
    observer.observe(plot);
  }

  listen() {
    if (this.ears) return;
    this.ears = new AbortController();
    onThemeChange(() => this.retheme(), this.ears.signal);
  }

  deafen() {
    this.ears?.abort();
    this.ears = null;
  }

  retheme() {
    this.paint();
    // Out of sight: when it is seen again.
    if (!this.plot.offsetWidth || isDark() === this.dark) return;
    this.dark = !this.dark;
    this.plotly.relayout(this.plot, { template: this.template() });
  }

  // ---- What can be done with it

  /** @param {Kind} kind */
  button(kind) {
    const button = document.createElement("button");
    button.textContent = kind.toUpperCase();
    button.type = "button";
    button.title = "Save as " + kind.toUpperCase();
    button.addEventListener("click", () => {
      if (kind === "csv") this.saveTable();
      else this.savePicture(kind);
    });
    return button;
  }

  saveTable() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.packed.csv], { type: "text/csv" }));
    link.download = this.packed.name + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /**
   * A picture that leaves the page takes along what the page says above it: what is drawn, of which
   * model.
   * @param {"png" | "svg"} format
   */
  savePicture(format) {
    const { plot, packed } = this;
    const { data, layout } = plot;
    const height = layout.height + ABOVE;
    const margin = { ...layout.margin, t: (layout.margin?.t ?? 16) + ABOVE };
    const title = {
      text: `<b>${packed.title}</b>`,
      font: { size: 16 },
      x: 0.01,
      xanchor: "left",
      y: 1,
      yanchor: "top",
      yref: "container",
      pad: { t: 12 },
    };
    const figure = { data, layout: { ...layout, height, margin, title } };
    const scale = format === "png" ? 2 : 1;
    const { offsetWidth: width } = plot;
    const wanted = { format, filename: packed.name, width, height, scale };
    return this.plotly.downloadImage(figure, wanted);
  }

  /**
   * Plotly's slider knows the pointer only: arrow keys move it too.
   * @param {any[]} steps
   */
  slide(steps) {
    const { plot } = this;
    plot.tabIndex = 0;
    // Plotly keeps presses to itself; after one in the chart, keys are meant for it.
    plot.addEventListener("pointerdown", () => plot.focus({ preventScroll: true }), true);
    plot.setAttribute("aria-label", plot.ariaLabel + " Arrow keys move the slider.");
    this.status.setAttribute("role", "status");
    let last = Promise.resolve(); // keys come faster than drawings
    plot.addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      if (!move) return;
      event.preventDefault();
      last = last.then(() => this.step(steps, move));
    });
  }

  /**
   * @param {any[]} steps
   * @param {number} move
   */
  async step(steps, move) {
    const { plot } = this;
    const slider = plot.layout.sliders[0];
    const active = Math.min(Math.max((slider.active ?? 0) + move, 0), steps.length - 1);
    const { args, label } = steps[active];
    await this.plotly.update(plot, args[0], { "sliders[0].active": active }, args[1]);
    this.say((plot.layout.sliders[0].currentvalue?.prefix ?? "") + label);
  }
}

/**
 * A figure on a hidden slide has no width yet: it is drawn when it is first seen.
 * @param {HTMLElement} plot
 * @returns {Promise<void>}
 */
function shown(plot) {
  return new Promise((seen) => {
    const watch = new ResizeObserver(() => {
      if (!plot.offsetWidth) return;
      watch.disconnect();
      seen();
    });
    watch.observe(plot);
  });
}
