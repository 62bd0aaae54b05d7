// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A page with a model in it: a text above, the picture of how it is routed, and beside the picture
// one of three things: the decision (Look), what is changed (Change), or what comes next (Write).
/** @import { PackedTrace, State } from "../../explorer/js/types.js" */
/** @import { Trace } from "../../explorer/js/data/trace.js" */
/** @import { Chip, Mode, Passage, Said } from "./types.js" */

import { packedBeside } from "../../explorer/js/elements.js";
import { ChangePanel } from "./change.js";
import { Line } from "./line.js";
import { Tray } from "./tray.js";
import { WritePanel } from "./write.js";

/** How many milliseconds after the last key a text is run. */
const BREATH = 250;

/**
 * @param {string} id of the picture's host; what belongs to the model is in elements beside it
 * @param {string} code of the worker
 */
export function mountLab(id, code) {
  const host = document.getElementById(id);
  if (host) new Lab(host, code).begin();
}

class Lab {
  /**
   * @param {HTMLElement} host
   * @param {string} code
   */
  constructor(host, code) {
    this.host = host;
    /** @type {{ title: string, passages: Passage[], chips: Chip[], tokens: number }} */
    this.about = JSON.parse(packedBeside(`${host.id}-about`));
    /** @type {PackedTrace} */
    this.like = JSON.parse(packedBeside(host.id));
    this.tray = new Tray(this.about, {
      typed: () => this.soon(),
      mode: (mode) => this.enter(mode),
      pick: (text) => this.open(text),
      attempt: (chip) => this.attempt(chip),
    });
    this.line = new Line(code, (said) => this.heard(said));
    const { L, E, K } = shapeOf(this.like);
    this.change = new ChangePanel({ L, E, k: K }, this.about.passages, {
      changed: () => this.run(),
      release: () => host.moeViz?.set({ isolate: null }),
      compare: (texts, changes) => this.line.ask({ compared: texts, changes }),
    });
    this.write = new WritePanel({
      write: (writing) => this.run({ writing }),
      stop: () => this.stop(),
    });
    /** @type {Mode} */
    this.mode = "look";
    this.timer = 0;
  }

  begin() {
    const { host, tray, like } = this;
    host.before(tray.element);
    tray.text.value = like.prompts[0][1];
    host.addEventListener("drawn", (event) => {
      /** @type {{ state: State, trace: Trace }} */
      const { state, trace } = /** @type {CustomEvent} */ (event).detail;
      this.change.look(state, trace);
      this.write.look(state, trace);
    });
    // Before the picture hears it, which lets no key go further.
    const hear = (/** @type {KeyboardEvent} */ event) => {
      // Within the picture and not in one of its fields, where letters are text.
      const typed = /** @type {Element} */ (event.composedPath()[0]).matches("input, select");
      if (this.mode === "change" && event.key === "o" && !typed) this.change.flip();
    };
    host.addEventListener("keydown", hear, { capture: true });
    host.moeViz?.set({});
    tray.say("The model is being unpacked …");
    const carried = JSON.parse(packedBeside(`${host.id}-model`));
    const weights = packedBeside(`${host.id}-weights`);
    this.line.begin({ ...carried, weights }, this.about.tokens, like);
  }

  /** @param {Mode} mode */
  enter(mode) {
    const { host, change, write } = this;
    this.mode = mode;
    for (const panel of [change.element, write.element]) panel.remove();
    const panel = { look: null, change: change.element, write: write.element }[mode];
    if (panel) host.append(panel);
    if (mode === "change") host.moeViz?.set({ view: "experts" });
  }

  /** @param {Chip} chip */
  attempt({ mode, text, query, off, write }) {
    const { tray, change, host } = this;
    tray.press(mode);
    this.enter(mode);
    tray.text.value = text;
    if (off) change.only(...off);
    else change.reset();
    if (query) host.moeViz?.set({ query });
    this.run(write ? { writing: this.write.asked() } : {});
  }

  /** @param {string} text */
  open(text) {
    this.tray.text.value = text;
    this.soon(0);
  }

  /** @param {number} [wait] */
  soon(wait = BREATH) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.run(), wait);
  }

  /** @param {object} [more] */
  run(more = {}) {
    clearTimeout(this.timer); // what has just been typed is run now
    const text = this.tray.text.value;
    if (!text) return this.tray.say("Type a text.");
    const { changes } = this.change;
    const title = [this.about.title, this.change.said()].filter(Boolean).join(" · ");
    this.tray.say("Running …");
    this.line.ask({ text, changes, title, guesses: 8, ...more });
  }

  /** What has been written stays. */
  stop() {
    this.line.ask({ stop: true });
    this.write.writing(false);
    this.tray.say("Stopped.");
  }

  /** @param {Said} said */
  heard({ ready, failed, trace, outlook, losses, written }) {
    const { tray, host } = this;
    if (failed) return tray.say(failed.replace(/^\w*Error: /, ""));
    if (ready) {
      this.run();
      return;
    }
    if (trace) {
      const last = trace.shape[1] - 1;
      host.moeViz?.show(trace, written === undefined ? {} : { token: last });
      tray.say(`${trace.shape[1]} tokens. Nothing that you type leaves this page.`);
      this.write.writing(written === false);
      this.write.tell(null); // what was told of other tokens
    }
    if (outlook) {
      this.write.tell(outlook);
      if (this.mode === "change") this.change.compare();
    }
    if (losses) this.change.tell(losses);
  }
}

/** @param {PackedTrace} packed */
const shapeOf = ({ shape: [L, T, E, K] }) => ({ L, T, E, K });
