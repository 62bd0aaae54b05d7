// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The model away from the page's own thread, which draws: questions come in as messages, answers go
// out, each with its question's number. A newer question ends the one that is being answered.
/** @import { PackedTrace } from "../../explorer/js/types.js" */
/** @import { Changes } from "./decision.js" */
/** @import { Carried, Outlook, Run } from "./machine.js" */

import { changesNothing, unchanged } from "./decision.js";
import { Machine } from "./machine.js";
import { packed } from "./packing.js";

/**
 * The first message.
 * @typedef {object} Beginning
 * @property {Carried} carried
 * @property {number} tokens that there is to be room for
 * @property {boolean} plain whether to do without WebAssembly
 * @property {PackedTrace} like a trace of the model, whose numbers do not matter
 */
/**
 * A text to be run, intact and changed.
 * @typedef {object} Question
 * @property {number} number
 * @property {string} text
 * @property {Changes} changes
 * @property {string} title of what is recorded
 * @property {number} guesses how many of the likeliest next tokens are to be told
 */
/**
 * What a question's text looks like to the model; `intact` is null where nothing is changed.
 * @typedef {object} Answer
 * @property {number} number
 * @property {PackedTrace} [trace] with the intact run's choices beside its own
 * @property {{ own: Outlook, intact: Outlook | null }} [outlook]
 * @property {string} [failed]
 */

/** How many milliseconds pass before it is looked whether there is a newer question. */
const SLICE = 40;

/** Answer what comes in as messages, as long as the worker lives. */
export function serve() {
  /** @type {Promise<Desk> | null} */
  let desk = null;
  self.onmessage = ({ data }) => {
    /** @param {object} message */
    const tell = (message) => self.postMessage(message);
    if (desk) return desk.then((ready) => ready.answer(data, tell));
    desk = Desk.of(data);
    return desk.then(
      ({ machine }) => tell({ ready: machine.model.engine.name }),
      (error) => tell({ failed: String(error) }),
    );
  };
}

/** A machine with what was asked of it last. */
class Desk {
  /** @param {Beginning} beginning */
  static async of({ carried, tokens, plain, like }) {
    return new Desk(await Machine.of(carried, tokens, plain), like);
  }

  /**
   * @param {Machine} machine
   * @param {PackedTrace} like
   */
  constructor(machine, like) {
    this.machine = machine;
    this.like = like;
    this.newest = -1;
    /** @type {{ text: string, run: Run, outlook: Outlook } | null} the last text, unchanged */
    this.intact = null;
  }

  /**
   * @param {Question} question
   * @param {(answer: Answer) => void} tell
   */
  async answer({ number, text, changes, title, guesses }, tell) {
    this.newest = number;
    const old = () => number < this.newest;
    const { L, k } = this.machine.model.manifest.shape;
    const plain = changesNothing(changes, k);
    try {
      if (this.intact?.text !== text) {
        const run = await finished(this.machine.record(text, unchanged(L, k)), old);
        if (!run) return;
        if (plain) tell({ number, trace: packed(run, changes, this.like, title) });
        const outlook = await finished(this.machine.outlook(run.encoding.ids, guesses), old);
        if (!outlook) return;
        this.intact = { text, run, outlook };
      } else if (plain) {
        tell({ number, trace: packed(this.intact.run, changes, this.like, title) });
      }
      const { intact } = this;
      if (plain) return tell({ number, outlook: { own: intact.outlook, intact: null } });
      const run = await finished(this.machine.record(text, changes), old);
      if (!run) return;
      tell({ number, trace: packed(run, changes, this.like, title, intact.run) });
      const own = await finished(this.machine.outlook(run.encoding.ids, guesses), old);
      if (own) tell({ number, outlook: { own, intact: intact.outlook } });
    } catch (error) {
      tell({ number, failed: String(error) });
    }
  }
}

/**
 * What a run comes to; null if it was given up on the way.
 * @template T
 * @param {Generator<number, T>} steps
 * @param {() => boolean} old whether it is given up
 * @returns {Promise<T | null>}
 */
export async function finished(steps, old) {
  let since = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - since < SLICE) continue;
    await new Promise((go) => setTimeout(go)); // messages come in between
    if (old()) return null;
    since = performance.now();
  }
}
