// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A drawing in its place in a document: its steps, the score that can be changed, and its words.
/** @import { Packed } from "./types.js" */
/** @import { Palette } from "../../js/types.js" */

import { h, write } from "../../js/dom.js";
import { isDark, onThemeChange } from "../../js/theme.js";
import { decide } from "./decide.js";
import { draw } from "./drawing.js";
import { gateOf, told } from "./shapes.js";

/** Type of the designed size, in px; and what a changed score goes in. */
const TYPE = 13;
const FINE = 0.05;

/**
 * @param {string} id of the element; what to draw is in the element id-data
 * @param {string} style
 * @param {Palette} palette
 */
export function mountDiagram(id, style, palette) {
  const host = document.getElementById(id);
  if (!host || host.shadowRoot) return;
  /** @type {Packed} */
  const packed = JSON.parse(document.getElementById(id + "-data")?.textContent ?? "");
  const shadow = host.attachShadow({ mode: "open" });
  const diagram = new DiagramView(host, packed, palette);
  shadow.append(h("style", {}, style), diagram.root);
  diagram.start();
}

class DiagramView {
  /**
   * @param {HTMLElement} host
   * @param {Packed} packed
   * @param {Palette} palette
   */
  constructor(host, packed, palette) {
    this.host = host;
    this.packed = packed;
    this.palette = palette;
    this.scores = [...packed.scores];
    this.step = 0;
    this.changed = decide(packed.rule, this.scores, packed.bias, packed.blocks.chosen).next;
    this.width = 0;
    const { blocks, name, steps, caption, source } = packed;
    const names = ["all", ...steps.map(([word], n) => `${n + 1} ${word}`)];
    this.buttons = names.map((word, n) => h("button", { onclick: () => this.go(n) }, word));
    this.frame = h("div", { class: "frame" });
    this.sentence = h("p", { class: "sentence", "aria-live": "polite" });
    this.now = h("p", { class: "now" });
    this.score = h("input", {
      type: "range",
      step: FINE,
      "aria-label": "Its score",
      oninput: () => this.change(Number(this.score.value)),
    });
    this.expert = h("input", {
      type: "number",
      min: 0,
      max: blocks.experts - 1,
      "aria-label": "Expert whose score is changed",
      onchange: () => this.pick(Number(this.expert.value)),
    });
    this.reset = h("button", { onclick: () => this.back() }, "as it was");
    const title = `Layer ${blocks.layer} of ${name}: ${blocks.chosen} of ${blocks.experts} experts`;
    this.root = h(
      "div",
      {
        class: "mv" + (host.dataset.scale ? " slide" : ""),
        tabindex: 0,
        role: "group",
        "aria-roledescription": "diagram",
        "aria-label": title,
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.onKey(event),
      },
      h(
        "header",
        {},
        h(packed.page ? "h1" : "h2", { class: "title" }, title),
        h("span", { class: "muted" }, source),
      ),
      h("div", { class: "steps", role: "group", "aria-label": "Steps" }, ...this.buttons),
      h(
        "div",
        { class: "picture" },
        h("div", { class: "words" }, this.sentence, this.now),
        this.frame,
      ),
      h(
        "div",
        { class: "change" },
        h("label", {}, "change expert ", this.expert),
        this.score,
        this.reset,
        h("span", { class: "hint muted" }, "← → step; click a bar"),
      ),
      h("p", { class: "muted caption" }, caption),
    );
  }

  start() {
    this.paint();
    new ResizeObserver(() => this.paint()).observe(this.frame);
    onThemeChange(() => this.paint());
  }

  /** @param {number} step */
  go(step) {
    this.step = Math.min(Math.max(step, 0), this.packed.steps.length);
    this.draw();
  }

  /** @param {number} e */
  pick(e) {
    if (!(e >= 0 && e < this.packed.blocks.experts)) return this.draw();
    this.changed = e;
    this.draw();
  }

  /** @param {number} score */
  change(score) {
    this.scores[this.changed] = score;
    this.draw();
  }

  back() {
    this.scores = [...this.packed.scores];
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
    event.stopPropagation(); // a deck would turn its slide, a notebook delete its cell
    const field = this.field();
    if (field instanceof HTMLInputElement) return;
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) {
      event.preventDefault();
      this.go(this.step + by);
    } else if (/^[0-6]$/.test(event.key)) this.go(Number(event.key));
  }

  field() {
    return /** @type {ShadowRoot} */ (this.root.getRootNode()).activeElement;
  }

  /** Size and theme, and then the drawing. */
  paint() {
    const dark = isDark();
    const theme = dark ? this.palette.dark : this.palette.light;
    for (const name of ["ground", "ink", "line", "muted", "others", "shared"]) {
      const colour = /** @type {Record<string, any>} */ (theme)[name];
      this.root.style.setProperty("--" + name, colour);
    }
    this.root.style.colorScheme = dark ? "dark" : "light";
    const own = this.packed.scale;
    const scale = own === 1 ? Number(this.host.dataset.scale) || 1 : own;
    this.root.style.setProperty("--scale", String(scale));
    const zoom = parseFloat(getComputedStyle(this.root).fontSize) / TYPE || 1;
    const width = Math.round((this.frame.clientWidth || 700) / zoom);
    this.width = Math.min(Math.max(width, 330), 1060);
    this.draw();
  }

  draw() {
    const { packed, scores, step, width, changed, palette } = this;
    const { rule, bias, blocks, steps } = packed;
    const decision = decide(rule, scores, bias, blocks.chosen);
    const low = this.root.classList.contains("slide");
    const pick = (/** @type {number} */ e) => this.pick(e);
    this.frame.replaceChildren(
      draw(packed, decision, { step, width, low, changed, pick, palette }),
    );
    this.buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === step)));
    const named = steps.map(([name]) => name).join(", ");
    const said = step ? steps[step - 1][1] : `What happens to one token in one layer: ${named}.`;
    write(this.sentence, said);
    write(this.now, this.told(decision));
    this.expert.value = String(changed);
    const spread = Math.max(...packed.scores) - Math.min(...packed.scores.filter((x) => x > -1e4));
    this.score.min = String(Math.min(...packed.scores.filter((x) => x > -1e4)) - FINE);
    this.score.max = String(Math.max(...packed.scores) + 0.3 * spread + 1);
    this.score.value = String(scores[changed]);
    this.reset.disabled = scores.every((x, e) => x === packed.scores[e]);
  }

  /**
   * What came of these scores.
   * @param {import("./types.js").Decision} decision
   */
  told({ chosen, gates, next, ranking }) {
    const { packed, changed, scores } = this;
    const all = chosen.map((e, n) => `${e} (${gateOf(packed.rule, gates[n])})`).join(", ");
    const last = Math.min(...chosen.map((e) => ranking[e]));
    const unit = packed.rule.plain ? "" : " in score";
    const missed = next < 0 ? "" : `; ${next} missed by ${told(last - ranking[next])}${unit}`;
    const moved = scores[changed] !== packed.scores[changed];
    const was = decide(packed.rule, packed.scores, packed.bias, packed.blocks.chosen).chosen;
    const lost = was.filter((e) => !chosen.includes(e));
    const hands =
      moved && lost.length ? ` The last place has changed hands: ${lost.join(", ")} is out.` : "";
    return `Kept: ${all}${missed}.${hands}`;
  }
}
