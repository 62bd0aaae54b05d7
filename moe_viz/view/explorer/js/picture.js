// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The picture of one trace: its parts, its state, and how a change is drawn.
/** @import { Actions, Scene, State } from "./types.js" */
/** @import { Palette } from "../../js/types.js" */
/** @import { Trace } from "./trace.js" */
/** @import { Quantities } from "./quantities.js" */

import { isDark, onThemeChange } from "../../js/theme.js";
import { Address, readAddress } from "./address.js";
import { fits, neighbour } from "./beside.js";
import { Colours } from "./colours.js";
import { Comparison } from "./comparison.js";
import { Controls } from "./controls.js";
import { meaning } from "./keys.js";
import { layout, ranks } from "./layout.js";
import { Legend } from "./legend.js";
import { MapView } from "./map.js";
import { DecisionPanel, LoadPanel } from "./panels.js";
import { hitAfter, hitFrom, matches } from "./search.js";
import { fitted, focus } from "./state.js";
import { TextView } from "./text.js";

/** Pixels of type at the designed size. */
const TYPE = 12;

export class Picture {
  /**
   * @param {HTMLElement} host
   * @param {Trace} trace
   * @param {Quantities} quantities
   * @param {State} state
   * @param {Palette} palette
   * @param {number} scale that a page opens with, and that its address need not mention
   */
  constructor(host, trace, quantities, state, palette, scale) {
    this.host = host;
    this.trace = trace;
    this.quantities = quantities;
    this.state = state;
    /** @type {Scene} */
    this.scene = { state, colours: new Colours(palette), zoom: 1, hits: new Set() };
    /** @type {Actions} */
    const actions = {
      set: (change) => this.set(change),
      draw: () => this.draw(),
      openPrompt: (number, token) => this.openPrompt(number, token),
      isolate: (expert) => this.isolate(expert),
      search: (query) => this.search(query),
    };
    const { scene } = this;
    const [, rank] = ranks(state.page);
    this.controls = new Controls(trace, quantities, scene, actions);
    this.legend = new Legend(trace.E, quantities, scene, actions);
    this.text = new TextView("Text", trace, scene, actions, (token) => this.set({ token }));
    this.map = new MapView(trace, quantities, scene, actions, (token) => {
      this.set({ token });
      this.text.reveal(token);
    });
    this.comparison = new Comparison(trace, quantities, scene, actions, rank);
    this.decision = new DecisionPanel(trace, scene, actions, rank);
    this.loads = new LoadPanel(trace, scene, actions, rank);
    const deck = Boolean(host.dataset.scale);
    this.root = layout(trace, this, state.page, deck, (event) => this.onKey(event));
    /** @type {boolean | null} */
    this.dark = null;
    this.frame = 0;
    this.address = new Address(scale);
    /** @type {AbortController | null} */
    this.ears = null;
    this.observer = new ResizeObserver(() => this.seen());
  }

  get prompt() {
    return this.trace.prompts[this.state.prompt];
  }

  // ---- From its first drawing to its end

  /** Draw what stands in the document now, and follow what happens there. */
  start() {
    this.controls.search.value = this.state.query;
    this.measure();
    this.openPrompt(this.state.prompt, this.state.token);
    this.drawNow();
    this.observer.observe(this.map.stack);
  }

  stop() {
    this.observer.disconnect();
    this.deafen();
    cancelAnimationFrame(this.frame);
    this.frame = -1; // no other is asked for
    this.address.stop();
    this.text.stop();
    this.comparison.text.stop();
  }

  /**
   * The map's size has changed, as it also does when the picture is first laid out, when a hidden
   * slide is shown, and when the picture leaves the document or comes back (a notebook's cell is
   * run again, or scrolled away). Only what is laid out listens: what is hidden or was never seen
   * can be removed without a word to anyone, and its listeners would keep it alive.
   */
  seen() {
    if (!this.host.getClientRects().length) return this.deafen();
    this.listen();
    this.measure();
    this.draw();
  }

  /** Follow the window and the theme. */
  listen() {
    if (this.ears) return;
    this.ears = new AbortController();
    const { signal } = this.ears;
    // The event says the address that was asked for; ours, written late, may stand there by now.
    const asked = (/** @type {HashChangeEvent} */ event) =>
      this.readHash(new URL(event.newURL).hash);
    if (this.state.page) addEventListener("hashchange", asked, { signal });
    addEventListener("beforeprint", () => this.drawAll(), { signal });
    onThemeChange(() => this.draw(), signal);
  }

  deafen() {
    this.ears?.abort();
    this.ears = null;
  }

  // ---- What changes

  /**
   * @param {number} number
   * @param {number | null} [token]
   */
  openPrompt(number, token = null) {
    const { state, scene, trace } = this;
    const p = trace.prompts[number];
    const at = token ?? trace.firstShown(p);
    const beside = fits(state.beside, trace, number) ? state.beside : null;
    Object.assign(state, { prompt: number, token: at, hover: null, beside });
    scene.hits = matches(trace, p, state.query);
    this.text.show(p, at);
    this.map.show(p);
    this.text.reveal(at);
    this.controls.open();
    this.draw();
  }

  /** @param {Partial<State>} change */
  set(change) {
    Object.assign(this.state, change);
    if ("signs" in change) this.text.show(this.prompt, this.state.token);
    this.draw();
  }

  /** @param {number} expert */
  isolate(expert) {
    this.set({ isolate: this.state.isolate === expert ? null : expert });
  }

  /** @param {number} token */
  pick(token) {
    this.set({ token, hover: null });
    this.text.reveal(token);
    this.map.reveal(token);
  }

  /** @param {string} query */
  search(query) {
    const { state, scene } = this;
    state.query = query;
    scene.hits = matches(this.trace, this.prompt, query);
    const next = hitFrom(scene.hits, state.token);
    if (next !== undefined) this.pick(next);
    else this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const { state, root, controls } = this;
    const { activeElement: field } = /** @type {ShadowRoot} */ (root.getRootNode());
    const place = {
      typing: field === controls.search,
      field: field instanceof HTMLInputElement || field instanceof HTMLSelectElement,
      button: field !== root && field !== null,
      idle: state.isolate === null && !state.query,
      experts: this.trace.E,
    };
    const meant = meaning(event, place);
    if (meant.act === "leave") return;
    event.stopPropagation();
    if (meant.act === "keep") return;
    event.preventDefault();
    const { start, stop } = this.prompt;
    if (meant.act === "token") {
      this.pick(Math.min(Math.max(state.token + meant.n, start), stop - 1));
    } else if (meant.act === "layer") {
      const layer = Math.min(Math.max(state.layer + meant.n, 0), this.trace.L - 1);
      this.set({ layer, hover: null });
    } else if (meant.act === "isolate") this.isolate(meant.n);
    else if (meant.act === "find") controls.search.focus();
    else if (meant.act === "next") {
      const next = hitAfter(this.scene.hits, state.token);
      if (next !== undefined) this.pick(next);
    } else if (meant.act === "clear") {
      controls.search.value = "";
      this.search("");
      this.set({ isolate: null, hover: null });
      root.focus({ preventScroll: true });
    } else if (meant.act === "blur" && field instanceof HTMLElement) field.blur();
  }

  // ---- The address

  /** @param {string} hash */
  readHash(hash) {
    if (hash === this.address.text) return;
    const { state, trace, quantities } = this;
    const change = readAddress(hash, trace, quantities, state.prompt);
    const said = {
      ...state,
      ...change,
      token: change.token === null ? -1 : (change.token ?? state.token),
    };
    Object.assign(state, fitted(said, trace, quantities));
    this.measure();
    this.openPrompt(state.prompt, state.token);
  }

  // ---- Drawing

  /** How large type is: as asked for, and larger on a wide page. All painting follows it. */
  measure() {
    const { state, root, host } = this;
    // A deck asks for larger type by an attribute of the host, unless the picture asks for its own.
    const scale = state.scale === 1 ? Number(host.dataset.scale) || 1 : state.scale;
    root.style.setProperty("--scale", String(scale));
    this.scene.zoom = parseFloat(getComputedStyle(root).fontSize) / TYPE || 1;
  }

  /** Several changes in one frame are drawn once. */
  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const { text, map, comparison, state } = this;
    // Everything is measured before anything is written: a measurement in between would have the
    // browser style and lay out the half-changed picture, and then once more.
    for (const view of [text, map, comparison.text, comparison.map]) view.look();
    this.takeTheme();
    const there = neighbour(state.beside, this.trace);
    this.controls.paint();
    text.paint();
    text.mark(focus(state).token);
    map.paint();
    comparison.paint(there);
    this.decision.paint();
    this.legend.paint();
    this.loads.paint(there);
    if (state.page) this.address.write(state, this.trace);
  }

  /** Print shows everything at once. */
  drawAll() {
    this.drawNow();
    this.text.paintAll();
    this.comparison.text.paintAll();
  }

  takeTheme() {
    const dark = isDark();
    if (dark === this.dark) return;
    this.dark = dark;
    const { colours } = this.scene;
    colours.use(dark);
    const { style } = this.root;
    const { ground, ink, line, muted } = colours.theme;
    for (const [name, colour] of Object.entries({ ground, ink, line, muted })) {
      style.setProperty("--" + name, colour);
    }
    style.colorScheme = dark ? "dark" : "light";
  }
}
