// @ts-check
// SPDX-License-Identifier: Apache-2.0
// One passage in several languages: what a change, or every expert's absence, does to it.
/** @import { Effect } from "./effect.js" */
/** @import { Switches } from "./switches.js" */
/** @import { Passage, Said } from "./types.js" */

export class Parallels {
  /**
   * @param {Passage[]} passages
   * @param {Switches} switches
   * @param {Effect} effect
   * @param {(question: object) => void} ask the model
   */
  constructor(passages, switches, effect, ask) {
    this.languages = passages.filter((p) => p.parallel);
    this.switches = switches;
    this.effect = effect;
    this.ask = ask;
    /** @type {Passage[]} */
    this.compared = [];
  }

  /**
   * The passages that say what the text says, if it is one of them; else the first ones.
   * @param {string} text
   */
  choose(text) {
    const own = this.languages.find((p) => p.text === text) ?? this.languages[0];
    if (own?.topic === this.compared[0]?.topic) return;
    this.compared = this.languages.filter((p) => p.topic === own.topic);
    this.effect.ranking.tell(null);
  }

  /** Ask how much worse they have become. */
  compare() {
    const { compared, switches } = this;
    if (switches.intact || !compared.length) return;
    this.ask({ compared: compared.map((p) => p.text), changes: switches.changes });
  }

  /** Ask the same of every expert by itself. */
  scan() {
    this.ask({ scanned: true, compared: this.compared.map((p) => p.text) });
  }

  /** @param {Said} said */
  heard({ losses, scan }) {
    const { compared, effect, switches } = this;
    if (losses) {
      const changes = losses.map(({ own, intact }) => own - intact);
      effect.tell({ passages: compared, changes, said: switches.said() });
    }
    if (scan) effect.ranking.tell({ ...scan, labels: compared.map((p) => p.label) });
  }
}
