// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The model away from the page's own thread, which draws: questions come in as messages, answers go
// out, each with its question's number. A newer question ends the one that is being answered.
/** @import { Changes } from "./decision.js" */
/** @import { Carried } from "./machine.js" */

import { Machine } from "./machine.js";

/**
 * @typedef {object} Question
 * @property {number} number
 * @property {string} text
 * @property {Changes} changes
 * @property {number} guesses how many of the likeliest next tokens
 */
/** @typedef {{ carried: Carried, tokens: number, plain: boolean }} Beginning the first message */

/** How many milliseconds pass before it is looked whether there is a newer question. */
const SLICE = 40;

/** Answer what comes in as messages, as long as the worker lives. */
export function serve() {
  /** @type {Promise<Machine> | null} */
  let machine = null;
  /** @type {number} */
  let newest = -1;
  self.onmessage = async ({ data }) => {
    /** @type {(message: object) => void} */
    const tell = (message) => self.postMessage(message);
    if (!machine) {
      const { carried, tokens, plain } = /** @type {Beginning} */ (data);
      machine = Machine.of(carried, tokens, plain);
      return machine.then(
        (ready) => tell({ ready: ready.model.engine.name }),
        (error) => tell({ failed: String(error) }),
      );
    }
    const { number, text, changes, guesses } = /** @type {Question} */ (data);
    newest = number;
    const given = () => number < newest;
    try {
      const running = await machine;
      const run = await finished(running.record(text, changes), given);
      if (!run) return;
      tell({ number, run });
      const outlook = await finished(running.outlook(run.encoding.ids, guesses), given);
      if (outlook) tell({ number, outlook });
    } catch (error) {
      tell({ number, failed: String(error) });
    }
  };
}

/**
 * What a run comes to; null if it was given up on the way.
 * @template T
 * @param {Generator<number, T>} steps
 * @param {() => boolean} given whether it is given up
 * @returns {Promise<T | null>}
 */
export async function finished(steps, given) {
  let since = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() - since < SLICE) continue;
    await new Promise((go) => setTimeout(go)); // messages come in between
    if (given()) return null;
    since = performance.now();
  }
}
