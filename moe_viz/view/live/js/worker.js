// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The model at one end of a line, away from what draws: questions come in as messages, answers go
// out, each with its question's number. A newer question ends the one that is being answered.
/** @import { PackedTrace } from "../../explorer/js/types.js" */
/** @import { Changes } from "./decision.js" */
/** @import { Carried, Outlook, Run, Weighed, Writing } from "./machine.js" */
/** @import { Header } from "./tracefile.js" */
/** @import { Port, Scan } from "./types.js" */

import { brought } from "./brought.js";
import { changesNothing, unchanged } from "./decision.js";
import { Machine } from "./machine.js";
import { packed } from "./packing.js";
import { finished } from "./slices.js";
import { traceFile } from "./tracefile.js";

/**
 * The first message.
 * @typedef {object} Beginning
 * @property {Carried} carried
 * @property {number} tokens that there is to be room for
 * @property {boolean} [plain] whether to do without WebAssembly
 * @property {PackedTrace} like a trace of the model, whose numbers do not matter
 * @property {Header} record the header of its traces' files
 */
/**
 * A text to be run, intact and changed, and continued if `writing` says how. Or several texts, of
 * which only the change of loss is asked; or the last run as a file, or a file to be shown.
 * @typedef {object} Question
 * @property {number} [number] without one it ends no other
 * @property {string} text
 * @property {Changes} changes
 * @property {string} title of what is recorded
 * @property {number} guesses how many of the likeliest next tokens are to be told
 * @property {Writing} [writing]
 * @property {string[]} [compared]
 * @property {boolean} [scanned] whether every expert is switched off in turn for those
 * @property {boolean} [saved]
 * @property {Uint8Array<ArrayBuffer>} [brought]
 * @property {boolean} [stop] whether it asks for nothing, but ends what is being answered
 */
/**
 * What is told, part by part; `intact` is null where nothing is changed.
 * @typedef {object} Answer
 * @property {number} [number]
 * @property {PackedTrace} [trace] with the intact run's choices beside its own
 * @property {{ own: Outlook, intact: Outlook | null }} [outlook]
 * @property {boolean} [written] whether a text that was to be continued is whole
 * @property {string} [intact] how the text would have been continued, had nothing been changed
 * @property {{ own: number, intact: number, loads: number[][] }[]} [losses] of the texts compared,
 *   in nats a token, with the loads of the intact run
 * @property {Omit<Scan, "labels">} [scan] as far as it has come
 * @property {Uint8Array<ArrayBuffer>} [file] of a trace
 * @property {PackedTrace} [brought]
 * @property {string} [failed]
 */

/** How many milliseconds pass before a text that is being written is shown again. */
const PACE = 100;

/**
 * Answer what comes in as messages.
 * @param {Port} port a worker's own scope, or one end of a channel
 */
export function serve(port) {
  /** @type {Promise<Desk> | null} */
  let desk = null;
  port.onmessage = ({ data }) => {
    /** @param {object} message */
    const tell = (message) => port.postMessage(message);
    if (desk) return desk.then((ready) => ready.answer(data, tell));
    desk = Desk.of(data);
    return desk.then(
      ({ machine }) => tell({ ready: machine.model.engine.name }),
      (error) => tell({ failed: String(error) }),
    );
  };
}

/** @typedef {(part: Omit<Answer, "number">) => void} Say */

/** A machine with what was asked of it last. */
class Desk {
  /** @param {Beginning} beginning */
  static async of({ carried, tokens, plain, like, record }) {
    return new Desk(await Machine.of(carried, tokens, plain), like, record);
  }

  /**
   * @param {Machine} machine
   * @param {PackedTrace} like
   * @param {Header} record
   */
  constructor(machine, like, record) {
    this.machine = machine;
    this.like = like;
    this.record = record;
    this.newest = -1;
    /** @type {Promise<void>} what is being answered */
    this.turn = Promise.resolve();
    /** @type {{ text: string, run: Run, outlook: Outlook } | null} the last text, unchanged */
    this.intact = null;
    /** @type {{ run: Run, changes: Changes, outlook: Outlook | null } | null} what was told last */
    this.latest = null;
    /** @type {Map<string, Weighed>} texts that are compared, unchanged */
    this.weighed = new Map();
  }

  /**
   * One question after the other, since all of them use one memory: a newer one has the one that
   * is being answered give up.
   * @param {Question} question
   * @param {(answer: Answer) => void} tell
   */
  async answer(question, tell) {
    const { number = this.newest } = question;
    this.newest = number;
    this.turn = this.turn.then(() => this.reply(question, number, tell));
    return this.turn;
  }

  /**
   * @param {Question} question
   * @param {number} number
   * @param {(answer: Answer) => void} tell
   */
  async reply(question, number, tell) {
    const beside = question.number === undefined;
    const old = () => !beside && number < this.newest;
    if (old() || question.stop) return;
    /** @param {Omit<Answer, "number">} part */
    const say = (part) => tell(beside ? part : { number, ...part });
    try {
      if (question.brought) say({ brought: brought(question.brought, this.like, this.record) });
      else if (question.saved) await this.save(say);
      else if (question.scanned) await this.scan(question, say, old);
      else if (question.compared) await this.compare(question, say, old);
      else if (question.writing) await this.write(question, say, old);
      else await this.look(question, say, old);
    } catch (error) {
      say({ failed: String(error) });
    }
  }

  /**
   * @param {Question} question
   * @param {Say} say
   * @param {() => boolean} old
   */
  async look({ text, changes, title, guesses }, say, old) {
    const { machine, like } = this;
    const { L, k } = machine.model.manifest.shape;
    const plain = changesNothing(changes, k);
    if (this.intact?.text !== text) {
      const run = await finished(machine.record(text, unchanged(L, k)), old);
      if (!run) return;
      if (plain) {
        this.latest = { run, changes, outlook: null };
        say({ trace: packed(run, changes, like, title) });
      }
      const outlook = await finished(machine.outlook(run.encoding.ids, guesses), old);
      if (!outlook) return;
      this.intact = { text, run, outlook };
    } else if (plain) {
      say({ trace: packed(this.intact.run, changes, like, title) });
    }
    const { intact } = this;
    if (plain) {
      this.latest = { ...intact, changes };
      return say({ outlook: { own: intact.outlook, intact: null } });
    }
    const run = await finished(machine.record(text, changes), old);
    if (!run) return;
    this.latest = { run, changes, outlook: null };
    say({ trace: packed(run, changes, like, title, intact.run) });
    const own = await finished(machine.outlook(run.encoding.ids, guesses), old);
    if (!own) return;
    this.latest = { run, changes, outlook: own };
    say({ outlook: { own, intact: intact.outlook } });
  }

  /**
   * What was told last, as a file.
   * @param {Say} say
   */
  async save(say) {
    const { latest, machine } = this;
    if (!latest) throw new RangeError("Nothing has been run yet.");
    const { run, changes } = latest;
    const never = () => false;
    if (!latest.outlook) {
      await finished(machine.record(run.encoding, changes), never);
      latest.outlook = await finished(machine.outlook(run.encoding.ids, 1), never);
    }
    const losses = latest.outlook?.losses ?? new Float32Array();
    const { k } = machine.model.manifest.shape;
    say({ file: traceFile(run, losses, changes, k, this.record) });
  }

  /**
   * @param {Question} question
   * @param {Say} say
   * @param {() => boolean} old
   */
  async write({ text, changes, title, guesses, writing }, say, old) {
    if (!writing) return;
    const { machine, like } = this;
    let since = performance.now();
    const steps = machine.write(text, changes, writing, (run) => {
      if (performance.now() - since < PACE) return;
      since = performance.now();
      this.latest = { run, changes, outlook: null };
      say({ trace: packed(run, changes, like, title), written: false });
    });
    const run = await finished(steps, old);
    if (!run) return;
    this.latest = { run, changes, outlook: null };
    say({ trace: packed(run, changes, like, title), written: true });
    // All of it is run once more: what comes next is told of every token, not of the last alone.
    const whole = await finished(machine.record(run.encoding, changes), old);
    const own = whole && (await finished(machine.outlook(run.encoding.ids, guesses), old));
    if (!own) return;
    this.latest = { run, changes, outlook: own };
    say({ outlook: { own, intact: null } });
    const { L, k } = machine.model.manifest.shape;
    if (changesNothing(changes, k)) return;
    const other = await finished(
      machine.write(text, unchanged(L, k), writing, () => {}),
      old,
    );
    if (other) say({ intact: other.encoding.text.slice(text.length) });
  }

  /**
   * @param {Question} question
   * @param {Say} say
   * @param {() => boolean} old
   */
  async compare({ compared = [], changes }, say, old) {
    const losses = await this.lossesOf(compared, changes, old);
    if (losses) say({ losses });
  }

  /**
   * Each expert off by itself, from the last layer on: what that does to some texts.
   * @param {Question} question
   * @param {Say} say
   * @param {() => boolean} old
   */
  async scan({ compared = [] }, say, old) {
    const { L, E, k } = this.machine.model.manifest.shape;
    const found = [];
    for (let n = 0; n < L * E; n++) {
      const [layer, expert] = [L - 1 - Math.floor(n / E), n % E];
      const changes = unchanged(L, k);
      changes.off[layer] = [expert];
      const losses = await this.lossesOf(compared, changes, old);
      if (!losses) return;
      found.push({ layer, expert, changes: losses.map(({ own, intact }) => own - intact) });
      say({ scan: { done: n + 1, all: L * E, found } });
    }
  }

  /**
   * The losses of texts, changed and intact; null if they were given up.
   * @param {string[]} texts
   * @param {Changes} changes
   * @param {() => boolean} old
   */
  async lossesOf(texts, changes, old) {
    const { machine, weighed } = this;
    const { L, k } = machine.model.manifest.shape;
    const found = [];
    for (const text of texts) {
      const intact =
        weighed.get(text) ?? (await finished(machine.weigh(text, unchanged(L, k)), old));
      if (!intact) return null;
      weighed.set(text, intact);
      const own = await finished(machine.weigh(text, changes), old);
      if (!own) return null;
      found.push({ own: own.loss, intact: intact.loss, loads: intact.loads });
    }
    return found;
  }
}
