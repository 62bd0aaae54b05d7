// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The grid: layers from top to bottom, experts from left to right; a cell is an expert.
/** @import { Palette } from "../../js/types.js" */
/** @import { Head } from "./types.js" */

import { css, scaleOf } from "../../explorer/js/colours.js";
import { h, select, write } from "../../js/dom.js";
import { entryAddress } from "./address.js";
import { dotOn, drawSign } from "./cells.js";
import { gotoForm } from "./goto.js";
import { strongMeans } from "./marks.js";
import { cellSize, paintedBy, stepped, stride } from "./scale.js";
import { labelName, percent, several } from "./words.js";

const HINT = "Click or tap a cell, or use the arrow keys and Enter, to open an expert.";
/** Width of a sheet of paper between its margins, in CSS pixels. */
const PAPER = 680;
/** Cells smaller than this are not opened by a finger: it says which one it meets. */
const FINGER = 24;

export class Grid {
  /**
   * @param {Head} head
   * @param {Palette} palette
   * @param {(address: string) => void} go
   */
  constructor(head, palette, go) {
    this.head = head;
    this.palette = palette;
    this.go = go;
    this.cursor = { row: 0, expert: 0 };
    this.painted = paintedBy(head, "load");
    this.choice = "load";
    this.size = { w: 0, t: 0 };
    const { layers, experts } = head;
    this.canvas = h("canvas", {
      role: "application",
      tabindex: 0,
      "aria-label": `Grid of ${several(layers.length, "layer")} of ${experts} experts`,
      "aria-roledescription": "grid",
      "aria-describedby": "moe-viz-atlas-cell",
    });
    this.ring = h("div", { class: "ring", hidden: true });
    this.columns = h("div", { class: "columns" });
    this.above = h(
      "div",
      { class: "numbers above", "aria-hidden": "true" },
      h("span", { class: "axis" }, "expert"),
      this.columns,
    );
    this.rows = h("div", { class: "numbers rows", "aria-hidden": "true" });
    this.stack = h("div", { class: "stack" }, this.canvas, this.ring);
    const corner = h("div", { class: "corner", "aria-hidden": "true" }, "layer");
    this.panel = h("div", { class: "sheet" }, corner, this.above, this.rows, this.stack);
    this.said = h("span", { id: "moe-viz-atlas-cell", "aria-live": "polite" }, HINT);
    this.link = h("a", { class: "button idle" }, "Open");
    this.scale = h("div", { class: "scale" });
    this.sign = h("span", { "aria-hidden": "true" });
    this.dot = h("span");
    this.element = this.build();
    this.listen();
    new ResizeObserver(() => this.paint()).observe(this.element);
  }

  build() {
    const { head } = this;
    /** @type {[string, string][]} */
    const choices = [["load", "load beside even"]];
    if (head.labels.length > 1) {
      head.labels.forEach((label, n) => choices.push([`${n}`, `share of ${labelName(label)}`]));
    }
    choices.push(["found", "strong findings"]);
    const chosen = select("What colours show", choices, (choice) => {
      this.choice = choice;
      this.painted = paintedBy(head, choice);
      this.paint();
    });
    const dot = h("span", { class: "key" }, this.sign, this.dot);
    return h(
      "section",
      { class: "grid", "aria-labelledby": "moe-viz-atlas-grid" },
      h("h2", { id: "moe-viz-atlas-grid" }, "Experts"),
      h("div", { class: "row" }, h("label", {}, "Colour: ", chosen), this.scale, dot),
      h("p", { class: "muted small" }, strongMeans(head)),
      h("p", { class: "row cell" }, this.said, this.link),
      h("div", { class: "panel" }, this.panel),
      gotoForm(head, this.go),
    );
  }

  listen() {
    const { canvas } = this;
    const { layers, experts } = this.head;
    // A finger is heard when it is lifted: words that grow under it would move what it presses.
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") this.tell(this.under(event));
    });
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "touch") this.rest();
    });
    canvas.addEventListener("focus", () => {
      if (canvas.matches(":focus-visible")) this.tell(this.cursor);
    });
    addEventListener("beforeprint", () => {
      this.panel.style.zoom = String(Math.min(1, PAPER / (this.panel.offsetWidth || 1)));
    });
    addEventListener("afterprint", () => (this.panel.style.zoom = ""));
    canvas.addEventListener("blur", () => (this.ring.hidden = true));
    canvas.addEventListener("click", (event) => {
      this.cursor = this.under(event);
      const small = Math.min(this.size.w, this.size.t) < FINGER;
      const finger = /** @type {PointerEvent} */ (event).pointerType === "touch";
      if (finger && small) this.tell(this.cursor);
      else this.open();
    });
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") this.open();
      else {
        const far = event.ctrlKey || event.metaKey;
        const next = stepped(event.key, far, this.cursor, layers.length, experts);
        if (!next || event.altKey) return;
        this.cursor = next;
        this.tell(next);
        this.reveal();
      }
      event.preventDefault();
    });
  }

  /** @param {MouseEvent} event */
  under(event) {
    const box = this.canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top) / this.size.t);
    const expert = Math.floor((event.clientX - box.left) / this.size.w);
    const { layers, experts } = this.head;
    return {
      row: Math.min(Math.max(row, 0), layers.length - 1),
      expert: Math.min(Math.max(expert, 0), experts - 1),
    };
  }

  open() {
    this.go(entryAddress(this.head.layers[this.cursor.row], this.cursor.expert));
  }

  /**
   * Say which cell it is and what is there, and ring it.
   * @param {{ row: number, expert: number }} cell
   */
  tell({ row, expert }) {
    const { w, t } = this.size;
    this.ring.hidden = false;
    this.ring.style.cssText =
      `width:${w}px;height:${t}px;` + `transform:translate(${expert * w}px,${row * t}px)`;
    write(this.said, this.words(row, expert));
    this.link.classList.remove("idle");
    this.link.href = entryAddress(this.head.layers[row], expert);
    this.link.ariaLabel = `Open expert ${expert} of layer ${this.head.layers[row]}`;
  }

  /** Back to the cell of the keyboard, or to none. */
  rest() {
    if (document.activeElement === this.canvas) this.tell(this.cursor);
    else this.ring.hidden = true;
  }

  /**
   * @param {number} row
   * @param {number} expert
   */
  words(row, expert) {
    const { head, choice } = this;
    const even = percent(head.choices / head.experts);
    const load = percent(head.load[row][expert]);
    const label = Number(choice);
    const of = Number.isNaN(label)
      ? ""
      : `, ${percent(head.by_label[label][row][expert])} of ${labelName(head.labels[label])}`;
    const found = several(head.found[row][expert], "strong finding");
    return (
      `Layer ${head.layers[row]}, expert ${expert}: ${load} of all tokens (even: ${even})` +
      `${of}; ${found}.`
    );
  }

  /** Scroll the panel so that the cursor's cell is seen, beside the numbers that stay. */
  reveal() {
    const panel = /** @type {HTMLElement} */ (this.panel.parentElement);
    const { w, t } = this.size;
    const left = this.rows.offsetWidth;
    const top = this.above.offsetHeight;
    const x = this.cursor.expert * w;
    const y = this.cursor.row * t;
    const right = panel.clientWidth - left - w;
    const bottom = panel.clientHeight - top - t;
    panel.scrollLeft = Math.max(Math.min(panel.scrollLeft, x), x - right);
    panel.scrollTop = Math.max(Math.min(panel.scrollTop, y), y - bottom);
  }

  paint() {
    const { head, painted, canvas } = this;
    const room = this.element.clientWidth - this.rows.offsetWidth - 4; // and the frame of a cell
    if (this.element.clientWidth < 1) return; // not shown now
    const L = head.layers.length;
    const E = head.experts;
    const { w, t } = (this.size = cellSize(room, L, E));
    const ratio = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.round(w * E * ratio);
    canvas.height = Math.round(t * L * ratio);
    canvas.style.width = `${w * E}px`;
    canvas.style.height = `${t * L}px`;
    const g = canvas.getContext("2d");
    if (!g) return;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.font = "13px system-ui, sans-serif";
    g.textAlign = "center";
    g.textBaseline = "middle";
    const gap = Math.min(w, t) >= 8 ? 1 : 0;
    const { cividis, difference } = this.palette;
    const colours = scaleOf(painted.diverging ? difference : cividis);
    painted.values.forEach((value, n) => {
      const x = (n % E) * w;
      const y = Math.floor(n / E) * t;
      const colour = colours[Math.round(254 * painted.at(value))];
      g.fillStyle = css(colour);
      g.fillRect(x, y, w - gap, t - gap);
      const worded = w >= 64 && t >= 24;
      if (worded) {
        g.fillStyle = dotOn(colour);
        g.fillText(painted.said(value), x + w / 2, y + t / 2);
      }
      if (!painted.dots[n]) return;
      const size = Math.min(w, t) >= 16 ? 6 : Math.min(w, t) >= 8 ? 4 : 2;
      g.fillStyle = dotOn(colour);
      drawSign(g, painted.sign, x + (worded ? 12 : w / 2), y + t / 2, size);
    });
    this.legend(colours);
    this.number();
  }

  /** @param {number[][]} colours */
  legend(colours) {
    const { ends, sign, dot } = this.painted;
    const steps = colours.filter((_, n) => n % 6 === 0 || n === 254).map((c) => css(c));
    const ramp = h("span", { class: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${steps.join()})`;
    const words = ends.map(([at, text]) => {
      const place = at === 0 ? "first" : at === 1 ? "last" : "middle";
      return h("span", { class: place }, text);
    });
    this.scale.replaceChildren(ramp, h("span", { class: "ends" }, ...words));
    write(this.sign, sign);
    write(this.dot, ` ${dot}`);
  }

  /** Numbers on the axes, as many as have room. */
  number() {
    const { w, t } = this.size;
    const { layers, experts } = this.head;
    const digits = String(experts - 1).length;
    const across = stride(w, 8 * digits + 8);
    const down = stride(t, 15);
    /** @param {string} text @param {string} style */
    const put = (text, style) => h("span", { style }, text);
    this.columns.replaceChildren();
    for (let e = 0; e < experts; e += across) {
      this.columns.append(put(String(e), `left:${(e + 0.5) * w}px`));
    }
    this.rows.replaceChildren();
    for (let row = 0; row < layers.length; row += down) {
      this.rows.append(put(String(layers[row]), `top:${(row + 0.5) * t}px`));
    }
  }
}
