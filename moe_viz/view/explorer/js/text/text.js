// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A prompt's text, each token coloured by its first choice in the chosen layer, or by how many
// experts it shares with the selected one; as a text, or in columns by expert.
/** @import { Prompt, Scene, Actions } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */

import { Chips } from "./chips.js";
import { css, mixed } from "../colours.js";
import { Columns } from "./columns.js";
import { h } from "../../../js/dom.js";

/** Tokens drawn at once: each of thousands would be painted again in every frame. */
const MOST = 400;
const PROGRAMS = ["python", "c", "javascript", "html", "code"];

export class TextView {
  /**
   * @param {string} name for screen readers
   * @param {Trace} trace
   * @param {Scene} scene
   * @param {Actions} actions
   * @param {(token: number) => void} pick what a click on a token does
   */
  constructor(name, trace, scene, actions, pick) {
    this.trace = trace;
    this.scene = scene;
    this.actions = actions;
    this.pick = pick;
    this.element = h("div", {
      class: "text",
      dir: "auto", // a right-to-left prompt runs from the right
      tabindex: 0,
      role: "region",
      "aria-label": name,
    });
    this.element.addEventListener("pointermove", (event) => {
      const token = this.tokenOf(event);
      const { layer } = scene.state;
      actions.set({ hover: token === null ? null : { layer, token } });
    });
    this.element.addEventListener("pointerleave", () => actions.set({ hover: null }));
    this.element.addEventListener("scroll", () => {
      if (!this.due.size) return;
      this.look();
      this.paintSeen();
    });
    this.element.addEventListener("click", (event) => {
      const token = this.tokenOf(event);
      if (token !== null) this.pick(token);
    });
    /** @type {Prompt | null} */
    this.prompt = null;
    /** @type {Chips | null} */
    this.chips = null;
    /** @type {Map<HTMLElement, number>} elements to be painted, and how far down they are */
    this.due = new Map();
    /** @type {Map<HTMLElement, number>} */
    this.tops = new Map();
    this.painted = this.width = this.arranged = this.walked = "";
    this.columns = new Columns(trace, scene);
    /** @type {number | null} */
    this.only = null;
    /** @type {HTMLElement | undefined} */
    this.marked = undefined;
    /** @type {Node[]} buttons for the tokens that are not drawn */
    this.before = [];
    /** @type {Node[]} */
    this.after = [];
    this.query = "";
    this.top = this.bottom = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.later = undefined;
  }

  /** @param {Event} event */
  tokenOf(event) {
    const chip = event.target instanceof Element ? event.target.closest(".tok") : null;
    return (chip && this.chips?.tokens.get(chip)?.[0]) ?? null;
  }

  /**
   * Draw a prompt, around a token where not all of it is drawn.
   * @param {Prompt} p
   */
  show(p, around = p.start) {
    const { signs } = this.scene.state;
    const from = Math.max(p.start, Math.min(around - MOST / 2, p.stop - MOST));
    const to = Math.min(p.stop, from + MOST);
    this.prompt = p;
    this.chips = new Chips(this.trace, p, from, to, signs);
    this.due = this.tops = new Map();
    this.painted = this.width = this.arranged = this.walked = "";
    this.before = this.more(from - p.start, "before", from - MOST / 4);
    this.after = this.more(p.stop - to, "after", to + MOST / 4);
    this.element.replaceChildren(...this.before, ...this.chips.elements, ...this.after);
    this.element.classList.toggle("code", PROGRAMS.includes(p.label));
    // Where runs of spaces mean something, all are kept; elsewhere none hang after a line.
    const exact = signs || /[ \t]{2}|(^|\n)[ \t]/.test(p.text);
    this.element.classList.toggle("exact", exact);
    this.element.scrollTop = 0;
  }

  /**
   * A button for the tokens that are not drawn.
   * @param {number} n
   * @param {string} where
   * @param {number} at
   */
  more(n, where, at) {
    if (n <= 0) return [];
    /** @param {Event} event */
    const onclick = (event) => {
      event.stopPropagation();
      if (this.prompt) this.show(this.prompt, at);
      this.actions.draw();
    };
    const name = `… ${n.toLocaleString("en")} tokens ${where} …`;
    return [h("button", { class: "more", dir: "ltr", tabindex: -1, onclick }, name)];
  }

  /** Measure what is in sight, and, once for each width and size of type, where tokens are. */
  look() {
    const { element } = this;
    const width = `${element.clientWidth} ${this.scene.zoom}`;
    if (width !== this.width) {
      this.width = width;
      const all = this.chips?.elements ?? [];
      const first = all[0]?.offsetTop;
      this.tops = new Map(all.map((chip) => [chip, chip.offsetTop - first]));
    }
    this.top = element.scrollTop;
    this.bottom = this.top + element.clientHeight;
  }

  /** Colours depend on little: moving the pointer over a long text repaints nothing. */
  paint() {
    const { state, colours } = this.scene;
    const only = state.faded ?? state.isolate;
    this.arrange();
    this.walk();
    const shared = state.mode === "shared" ? state.token : "";
    const key = [colours.theme.ground, state.layer, only, state.query, shared, state.asked].join();
    if (key === this.painted) return;
    this.painted = key;
    // A transition costs each token time whenever its style changes: only where some may fade.
    this.element.classList.toggle("fading", only !== null || only !== this.only);
    this.only = only;
    // Those in sight now, the others when they come into sight or there is time: a frame has 16 ms.
    this.due = new Map(this.tops);
    this.paintSeen();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.paintAll(), 120);
  }

  /** As a text, or in columns by expert: again for each layer. */
  arrange() {
    const { chips, scene, element } = this;
    const { sorted, layer, asked } = scene.state;
    const key = sorted ? `${layer} ${asked}` : "";
    if (!chips || key === this.arranged) return;
    this.arranged = key;
    this.width = ""; // tokens are elsewhere now
    element.classList.toggle("sorted", sorted);
    if (sorted) this.columns.arrange(chips, element, [...this.before, ...this.after]);
    else element.replaceChildren(...this.before, ...chips.elements, ...this.after);
  }

  /** While tokens are walked through, those that are yet to come are pale. */
  walk() {
    const { playing, token } = this.scene.state;
    const key = playing ? String(token) : "";
    if (key === this.walked || !this.chips) return;
    this.walked = key;
    for (const [chip, [t]] of this.chips.tokens) {
      chip.classList.toggle("ahead", playing && t > token);
    }
  }

  paintSeen() {
    const above = this.top - 60 * this.scene.zoom; // a token may reach down from two lines above
    const seen = [...this.due].filter(([, y]) => y > above && y < this.bottom);
    this.paintChips(seen.map(([chip]) => chip));
  }

  paintAll() {
    this.paintChips([...this.due.keys()]);
    const { query } = this.scene.state;
    if (this.query === query) return;
    this.query = query;
    this.width = ""; // hits are bold: lines break elsewhere
  }

  /** @param {HTMLElement[]} chips */
  paintChips(chips) {
    const { trace, only } = this;
    const { hits } = this.scene;
    const { layer } = this.scene.state;
    for (const chip of chips) {
      this.due.delete(chip);
      const tokens = this.chips?.tokens.get(chip) ?? [];
      const faded = only !== null && !tokens.some((t) => trace.involves(layer, t, only));
      chip.classList.toggle("faded", faded);
      const found = tokens.some((t) => hits.has(t));
      chip.classList.toggle("hit", found);
      chip.classList.toggle(
        "differs",
        tokens.some((t) => trace.differs(layer, t)),
      );
      const plain = trace.isSpecial(tokens[0]) || trace.choice(layer, tokens[0], 0) < 0;
      chip.style.backgroundColor = plain || tokens.length > 1 ? "" : this.shade(layer, tokens[0]);
      chip.style.backgroundImage = plain
        ? ""
        : this.gates(layer, tokens) + this.stripes(layer, tokens);
    }
  }

  /**
   * The ground of a token: its first expert's colour, stronger for a larger gate; or the stronger
   * the more experts it shares with the selected one.
   * @param {number} layer
   * @param {number} t
   */
  shade(layer, t) {
    const { colours, state } = this.scene;
    if (state.mode === "shared") {
      return css(colours.shared(this.trace.shared(layer, t, state.token) / this.trace.K));
    }
    const colour = colours.expert(layer, Math.max(0, this.trace.choice(layer, t, 0)));
    const share = colours.strength(this.trace.gate(layer, t, 0), this.trace.K);
    return css(mixed(colour, colours.theme.ground, share));
  }

  /**
   * Below, the gates of all choices, in full colour: each begins where the one before ends.
   * @param {number} layer
   * @param {number[]} tokens
   */
  gates(layer, [t]) {
    if (this.scene.state.mode === "shared") return "none";
    let at = 0;
    const bar = [];
    for (const [e, gate] of this.trace.chosen(layer, t)) {
      at += gate || 0;
      bar.push(`${this.scene.colours.expert(layer, e)} 0 ${100 * at}%`);
    }
    // None where no gate is a number.
    return at > 0 ? `linear-gradient(90deg, ${bar.join(", ")})` : "none";
  }

  /**
   * A character of several tokens has a stripe for each.
   * @param {number} layer
   * @param {number[]} tokens
   */
  stripes(layer, tokens) {
    const n = tokens.length;
    if (n === 1) return "";
    const all = tokens.map((t, i) => `${this.shade(layer, t)} 0 ${(100 * (i + 1)) / n}%`);
    return `, linear-gradient(90deg, ${all.join(", ")})`;
  }

  /** @param {number} t */
  mark(t) {
    const chip = this.chips?.at.get(t);
    if (chip === this.marked) return;
    this.marked?.classList.remove("chosen");
    chip?.classList.add("chosen");
    this.marked = chip;
  }

  /**
   * Bring a token into sight: into the part that is drawn, and into the frame.
   * @param {number} t
   */
  reveal(t) {
    const p = this.prompt;
    if (p && t >= p.start && t < p.stop && !this.chips?.at.has(t)) {
      this.show(p, t);
      this.look();
      this.paint();
    }
    const chip = this.chips?.at.get(t);
    if (!chip) return;
    const box = chip.getBoundingClientRect();
    const frame = this.element.getBoundingClientRect();
    const scale = frame.height / this.element.offsetHeight || 1;
    if (box.top >= frame.top && box.bottom <= frame.bottom) return;
    this.element.scrollTop += (box.top - frame.top) / scale - this.element.clientHeight / 2;
  }

  stop() {
    clearTimeout(this.later);
  }
}
