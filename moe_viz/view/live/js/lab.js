// @ts-check
// SPDX-License-Identifier: Apache-2.0
// A page with a model in it: a text above, the picture of how it is routed, and beside the picture
// one of three things: the decision (Look), what is changed (Change), or what comes next (Write).
/** @import { PackedTrace, State } from "../../explorer/js/types.js" */
/** @import { Trace } from "../../explorer/js/data/trace.js" */
/** @import { Serve } from "./line.js" */
/** @import { About, Chip, Mode, Said } from "./types.js" */

import { packedBeside } from "../../explorer/js/elements.js";
import { Along } from "./along.js";
import { ChangePanel } from "./change.js";
import { ownAddress, read, spelt, whole } from "./code.js";
import { Effect } from "./effect.js";
import { Line } from "./line.js";
import { Parallels } from "./parallels.js";
import { Ranking } from "./ranking.js";
import { whenSeen } from "./seen.js";
import { Switches } from "./switches.js";
import { aboutOf, Tray } from "./tray.js";
import { WritePanel } from "./write.js";

/** How many milliseconds after the last key a text is run. */
const BREATH = 250;

/**
 * @param {string} id of the picture's host, beside which the recorded example is packed
 * @param {string} model whose parts are in elements beside this id, once in a file
 * @param {Serve} serve the model, at one end of a line
 */
export function mountLab(id, model, serve) {
  const host = document.getElementById(id);
  if (host) new Lab(host, model, serve).begin();
}

class Lab {
  /**
   * @param {HTMLElement} host
   * @param {string} model
   * @param {Serve} serve
   */
  constructor(host, model, serve) {
    this.host = host;
    this.model = model;
    /** @type {About} */
    this.about = JSON.parse(packedBeside(`${model}-about`));
    /** @type {PackedTrace} */
    this.like = JSON.parse(packedBeside(host.id));
    /** Whether the page's address says what is shown. */
    this.addressed = this.like.state.page;
    const [L, , E, k] = this.like.shape;
    this.shape = { L, E, k };
    this.switches = new Switches(L, E, k);
    const hosted = this.about.address || (this.addressed ? ownAddress() : "");
    this.along = new Along(
      {
        code: () => whole(this.spelt(), this.seen, hosted),
        enter: (code) => this.enterCode(code),
        ask: (question) => this.line.askBeside(question),
        say: (words) => this.tray.say(words),
      },
      this.about,
    );
    this.tray = new Tray(
      this.about,
      {
        typed: () => this.soon(),
        mode: (mode) => this.enter(mode),
        pick: () => this.soon(0),
        attempt: (chip) => this.attempt(chip),
      },
      [this.along.element, aboutOf(this.about)],
    );
    this.line = new Line(serve, (said) => this.heard(said));
    const ranking = new Ranking(
      () => this.parallels.scan(),
      (layer, expert) => this.offAlone(layer, expert),
    );
    this.effect = new Effect(
      ranking,
      (token) => host.moeViz?.set({ token }),
      () => host.moeViz?.set({ view: "tokens", mode: "agreement" }),
    );
    this.parallels = new Parallels(this.about.passages, this.switches, this.effect, (question) =>
      this.line.ask(question),
    );
    this.change = new ChangePanel(this.switches, this.effect, {
      changed: () => this.run(),
      release: () => host.moeViz?.set({ isolate: null }),
    });
    this.write = new WritePanel({
      write: (writing) => this.run({ writing }),
      stop: () => this.stop(),
    });
    /** @type {Mode} */
    this.mode = "look";
    /** @type {{ state: State, trace: Trace } | null} what the picture shows */
    this.seen = null;
    /** @type {Partial<State>} how the next trace is to be opened */
    this.opening = {};
    this.timer = 0;
  }

  begin() {
    const { host, tray, like } = this;
    host.before(tray.element);
    tray.text.value = like.prompts[like.state.prompt][1];
    host.addEventListener("drawn", (event) => this.look(/** @type {CustomEvent} */ (event).detail));
    this.change.listen(host);
    if (this.addressed) {
      this.enterCode(location.hash);
      const asked = (/** @type {HashChangeEvent} */ event) =>
        this.enterCode(new URL(event.newURL).hash);
      addEventListener("hashchange", asked);
    }
    tray.say("The model is being unpacked …");
    // On a slide that is never shown nothing is unpacked.
    whenSeen(host, () => this.unpack());
  }

  unpack() {
    const { model, about, like } = this;
    const { record, ...rest } = JSON.parse(packedBeside(`${model}-model`));
    const carried = { ...rest, weights: packedBeside(`${model}-weights`) };
    this.line.begin({ carried, tokens: about.tokens, like, record });
  }

  /** @param {{ state: State, trace: Trace }} seen */
  look(seen) {
    this.seen = seen;
    this.change.look(seen.state, seen.trace);
    this.write.look(seen.state, seen.trace);
    this.along.show();
  }

  /** @param {Mode} mode */
  enter(mode) {
    const { host, change, write, tray } = this;
    this.mode = mode;
    tray.press(mode);
    change.element.remove();
    write.element.remove();
    if (mode !== "look") host.append({ change, write }[mode].element);
    if (mode === "write" && this.seen) host.moeViz?.set({ token: this.seen.trace.T - 1 });
    if (mode === "change") {
      host.moeViz?.set({ view: "experts" });
      if (!this.effect.found) this.parallels.compare();
    }
    this.address();
  }

  /**
   * One expert off, and nothing else.
   * @param {number} layer
   * @param {number} expert
   */
  offAlone(layer, expert) {
    this.switches.reset();
    this.switches.flip(layer, expert);
    this.change.select(layer, expert);
    this.effect.turn("languages");
    this.opening = { layer };
    this.change.after("");
  }

  /** @param {Chip} chip */
  attempt({ mode, text, query, off, write }) {
    const { tray, host } = this;
    this.enter(mode);
    tray.text.value = text;
    this.clear();
    if (query) host.moeViz?.set({ query });
    if (off) this.offAlone(...off);
    else this.run(write ? { writing: this.write.asked() } : {});
  }

  /** Nothing is changed. */
  clear() {
    this.switches.reset();
    this.effect.clear();
    this.change.draw();
  }

  // ---- What is shown, as a code

  /** What is run and changed, as a part of an address. */
  spelt() {
    const { mode, switches, shape, about, tray } = this;
    const { changes } = switches;
    return spelt({ text: tray.text.value, mode, changes }, shape, about.passages);
  }

  /** Have the page's address say it too. */
  address() {
    if (this.addressed) this.host.dataset.address = this.spelt();
    this.host.moeViz?.set({});
  }

  /**
   * @param {string} code
   * @returns {boolean} whether it says what to run
   */
  enterCode(code) {
    const said = read(code, this.shape, this.about.passages);
    if (!said) return false;
    const { text, mode, changes, layer, token } = said;
    if (code.startsWith("#") && this.spelt() === spelt(said, this.shape, this.about.passages)) {
      return true; // the picture's own part of the address has changed
    }
    this.clear();
    const refused = this.switches.set(changes);
    this.change.draw();
    this.enter(mode);
    this.tray.text.value = text;
    this.opening = { ...(layer !== null && { layer }), ...(token !== null && { token }) };
    if (refused) this.tray.say(refused);
    else this.soon(0);
    return true;
  }

  // ---- What is asked

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
    const { changes } = this.switches;
    this.parallels.choose(text);
    const title = [this.about.title, this.switches.said()].filter(Boolean).join(" · ");
    this.tray.say("Running …");
    this.write.compare(null);
    this.line.ask({ text, changes, title, guesses: 8, ...more });
    this.address();
  }

  /** What has been written stays. */
  stop() {
    this.line.ask({ stop: true });
    this.write.writing(false);
    this.tray.say("Stopped.");
  }

  // ---- What is answered

  /** @param {Said} said */
  heard(said) {
    const { ready, failed, trace, outlook, written, intact, file, brought } = said;
    const { tray, write, effect } = this;
    this.parallels.heard(said);
    if (failed) tray.say(failed.replace(/^\w*Error: /, ""));
    if (ready) this.run();
    if (trace) {
      const { opening } = this;
      this.opening = {};
      const token = trace.shape[1] - 1;
      // What comes next is asked of the end.
      const atEnd = written !== undefined || (this.mode === "write" && !("token" in opening));
      this.host.moeViz?.show(trace, atEnd ? { ...opening, token } : opening);
      tray.say(`${trace.shape[1]} tokens. Nothing that you type leaves this page.`);
      write.writing(written === false);
      write.tell(null); // what was told of other tokens
    }
    if (outlook) {
      write.tell(outlook);
      const both = outlook.intact && { own: outlook.own, intact: outlook.intact };
      if (this.seen) effect.tellText(both, this.seen.trace);
      if (this.mode === "change") this.parallels.compare();
    }
    if (intact !== undefined && this.seen) {
      const [{ text }] = this.seen.trace.prompts;
      write.compare(intact, text.slice(tray.text.value.length));
    }
    if (file) this.along.saved(file);
    if (brought) this.show(brought);
  }

  /** @param {PackedTrace} trace that somebody has brought */
  show(trace) {
    const { passages } = this.about;
    for (const prompt of trace.prompts) {
      prompt[4] = passages.find((p) => p.text === prompt[1])?.topic ?? "";
    }
    this.clear();
    this.write.tell(null);
    this.write.compare(null);
    this.enter("look");
    this.tray.text.value = trace.prompts[0][1];
    this.host.moeViz?.show(trace, { prompt: 0 });
    const [, T] = trace.shape;
    this.tray.say(`Brought: ${trace.model}, ${T} tokens. What you type is run by this page again.`);
  }
}
