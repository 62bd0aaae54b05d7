// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The picture of one trace: its parts, its state, and how a change is drawn.
/** @import { Actions, Place, Scene, State } from "./types.js" */
/** @import { Palette } from "../../js/types.js" */
/** @import { Trace } from "./data/trace.js" */
/** @import { Quantities } from "./data/quantities.js" */

import { isDark, onThemeChange } from "../../js/theme.js";
import { Address, others, readAddress } from "./address.js";
import { fits, neighbour } from "./data/beside.js";
import { Colours } from "./colours.js";
import { Comparison } from "./panels/comparison.js";
import { Controls } from "./panels/controls.js";
import { DecisionPanel } from "./panels/decision.js";
import { GridView } from "./maps/grid.js";
import { obey } from "./hands.js";
import { h, only } from "../../js/dom.js";
import { Hues } from "./data/hues.js";
import { Loads } from "./data/loads.js";
import { layout, ranks } from "./layout.js";
import { Legend } from "./panels/legend.js";
import { LoadPanel } from "./panels/loadpanel.js";
import { MapView } from "./maps/map.js";
import { PathPanel } from "./panels/path.js";
import { Player } from "./play.js";
import { Rows } from "./maps/rows.js";
import { hitFrom, matches } from "./data/search.js";
import { fitted, focus } from "./state.js";
import { TakenPanel } from "./panels/taken.js";
import { TextView } from "./text/text.js";

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
    // Decks say how much larger their type is by an attribute of the host.
    /** @type {Place} */
    const place = host.dataset.scale ? "slide" : state.page ? "page" : "notebook";
    this.place = place;
    const loads = new Loads(trace);
    /** @type {Scene} */
    this.scene = {
      state,
      loads,
      colours: new Colours(palette, new Hues(trace, state, loads)),
      zoom: 1,
      rows: new Rows(trace, place, 1),
      hits: new Set(),
    };
    /** @type {Actions} */
    const actions = {
      set: (change) => this.set(change),
      draw: () => this.draw(),
      openPrompt: (number, token) => this.openPrompt(number, token),
      isolate: (expert) => this.isolate(expert),
      search: (query) => this.search(query),
      play: () => this.player.toggle(),
    };
    const { scene } = this;
    const [, rank] = ranks(state.page);
    this.controls = new Controls(trace, quantities, scene, actions);
    this.legend = new Legend(trace, quantities, scene, actions);
    this.text = new TextView("Text", trace, scene, actions, (token) => this.set({ token }));
    this.map = new MapView(trace, quantities, scene, actions, (token) => {
      this.set({ token });
      this.text.reveal(token);
    });
    this.comparison = new Comparison(trace, quantities, scene, actions, rank);
    this.grid = new GridView(trace, scene, actions);
    this.decision = new DecisionPanel(trace, scene, actions, rank);
    this.path = new PathPanel(trace, scene, actions);
    this.taken = new TakenPanel(trace, scene, rank);
    this.loads = new LoadPanel(trace, scene, actions, rank);
    this.player = new Player(this);
    /** One of two maps, and one of two panels: loads, or what an expert takes that is isolated. */
    this.maps = h("div");
    this.below = h("div");
    this.root = layout(trace, this, place, (event) => obey(this, event));
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
    this.observer.observe(this.maps);
  }

  stop() {
    this.player.stop();
    this.observer.disconnect();
    this.deafen();
    cancelAnimationFrame(this.frame);
    this.frame = -1; // no other is asked for
    this.address.stop();
    for (const text of [this.text, this.comparison.text]) text.stop();
    // Megabytes of pixels, which else wait for the collector.
    for (const all of this.root.querySelectorAll("canvas")) all.width = all.height = 0;
  }

  /**
   * The map's size has changed, as it also does when the picture is first laid out, when a hidden
   * slide is shown, and when it leaves the document or comes back (a notebook's cell is run again).
   * Only what is laid out listens: what is hidden or was never seen can be removed without a word
   * to anyone, and its listeners would keep it alive.
   */
  seen() {
    if (!this.host.getClientRects().length) {
      this.player.stop();
      return this.deafen();
    }
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
    this.player.stop();
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
    const zoom = parseFloat(getComputedStyle(root).fontSize) / TYPE || 1;
    this.scene.zoom = zoom;
    this.scene.rows = new Rows(this.trace, this.place, zoom);
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
    const { text, map, grid, decision, comparison, state } = this;
    const tokens = state.view === "tokens";
    only(this.maps, (tokens ? map : grid).element);
    only(this.below, (state.isolate === null ? this.loads : this.taken).element);
    // Everything is measured before anything is written: a measurement in between would have the
    // browser style and lay out the half-changed picture, and then once more.
    const { text: theirs, map: theirMap } = comparison;
    for (const view of [text, map, grid, decision, this.loads, theirs, theirMap]) view.look();
    this.takeTheme();
    const there = neighbour(state.beside, this.trace);
    this.controls.paint();
    text.paint();
    text.mark(focus(state).token);
    if (tokens) map.paint();
    else grid.paint();
    comparison.paint(there);
    decision.paint();
    this.path.paint();
    this.legend.paint();
    if (state.isolate === null) this.loads.paint(there);
    else this.taken.paint();
    // What surrounds the picture may have a part of the address.
    const more = this.host.dataset.address ?? others(location.hash);
    if (state.page) this.address.write(state, this.trace, more);
    this.host.dispatchEvent(new CustomEvent("drawn", { detail: { state, trace: this.trace } }));
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
    const { ground, ink, line, muted, others } = colours.theme;
    for (const [name, colour] of Object.entries({ ground, ink, line, muted, others })) {
      style.setProperty("--" + name, colour);
    }
    style.colorScheme = dark ? "dark" : "light";
  }
}
