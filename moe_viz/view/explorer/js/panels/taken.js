// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What one expert of one layer takes: the pieces that it took most, each with the share of its
// occurrences that went there, beside what the untrained twin does with the same piece.
/** @import { Prompt, Scene } from "../types.js" */
/** @import { Trace } from "../data/trace.js" */

import { h, write } from "../../../js/dom.js";
import { inScope } from "../data/loads.js";
import { percent } from "../data/words.js";

/** Pieces that are listed. */
const SHOWN = 8;
const ALONE =
  " Without an untrained twin beside it no single piece is a finding: " +
  "a router with random weights keeps a piece at one expert too.";

/**
 * A piece that an expert took.
 * @typedef {object} Taken
 * @property {string} piece
 * @property {number} all its occurrences
 * @property {number} here those of them that went to the expert
 * @property {number | null} twin the largest share of them that one expert of the twin took
 */

export class TakenPanel {
  /**
   * @param {Trace} trace
   * @param {Scene} scene
   * @param {"h2" | "h3"} rank of its heading
   */
  constructor(trace, scene, rank) {
    this.trace = trace;
    this.scene = scene;
    this.title = h(rank);
    this.list = h("div", { class: "taken" });
    this.note = h("p", { class: "note" });
    this.element = h("section", { class: "spare" }, this.title, this.list, this.note);
    this.painted = "";
  }

  paint() {
    const { trace } = this;
    const { state, colours } = this.scene;
    const { isolate, layer, prompt, scope } = state;
    const key = [isolate, layer, prompt, scope, state.asked, colours.theme.ground].join();
    if (isolate === null || key === this.painted) return;
    this.painted = key;
    const prompts = inScope(trace, trace.prompts[prompt], scope);
    const found = takenBy(trace, layer, isolate, prompts);
    const where = { prompt: "this prompt", label: "this label", all: "all prompts" }[scope];
    const pieces = `${found.length.toLocaleString("en")} piece${found.length === 1 ? "" : "s"}`;
    write(
      this.title,
      `Expert ${isolate} of layer ${trace.layers[layer]} takes ${pieces}, ${where}`,
    );
    this.list.replaceChildren(
      ...found.slice(0, SHOWN).flatMap((taken) => this.row(taken, layer, isolate)),
    );
    write(this.note, this.explained());
  }

  /**
   * @param {Taken} taken
   * @param {number} layer
   * @param {number} e
   */
  row({ piece, all, here, twin }, layer, e) {
    const { colours } = this.scene;
    const { K, E } = this.trace;
    const fill = h("div", { class: "fill" });
    fill.style.width = percent(here / all, 2).replace("\u00a0", "");
    fill.style.background = colours.solid(layer, e);
    const even = h("div", { class: "uniform" });
    even.style.left = percent(K / E, 2).replace("\u00a0", "");
    const track = h("div", { class: "track" }, fill, even);
    if (twin !== null) {
      const line = h("div", { class: "there", title: `twin: ${percent(twin)}` });
      line.style.left = percent(twin, 2).replace("\u00a0", "");
      track.append(line);
    }
    const beside = twin === null ? "" : `, twin ${percent(twin)}`;
    const value = `${here} of ${all}${beside}`;
    return [h("code", {}, piece), track, h("div", { class: "value" }, value)];
  }

  explained() {
    const { K, E, twin } = this.trace;
    const tick = `Bar: share of a piece’s occurrences that came here; dashed: ${K} of ${E}.`;
    if (twin) {
      return `${tick} Thick line: what one expert of the untrained twin takes of the same piece.`;
    }
    return tick + ALONE;
  }
}

/**
 * The pieces that an expert took, most taken first.
 * @param {Trace} trace
 * @param {number} layer
 * @param {number} e
 * @param {Prompt[]} prompts
 * @returns {Taken[]}
 */
export function takenBy(trace, layer, e, prompts) {
  const { pieces, vocabulary, T, E, K } = trace;
  const others = trace.twin ? trace.others : null;
  const all = new Uint32Array(vocabulary.length);
  const here = new Uint32Array(vocabulary.length);
  /** @type {Map<number, Uint32Array>} of each piece, how often the twin's experts took it */
  const theirs = new Map();
  for (const p of prompts) {
    for (let t = p.start; t < p.stop; t++) {
      if (trace.isSpecial(t)) continue;
      const piece = pieces[t];
      all[piece]++;
      if (trace.involves(layer, t, e)) here[piece]++;
      if (!others) continue;
      const counts = theirs.get(piece) ?? new Uint32Array(E);
      theirs.set(piece, counts);
      for (let i = (layer * T + t) * K, end = i + K; i < end; i++) {
        if (others[i] >= 0) counts[others[i]]++;
      }
    }
  }
  const taken = Array.from(here, (_, n) => n).filter((n) => here[n]);
  taken.sort((a, b) => here[b] - here[a] || all[a] - all[b] || a - b);
  return taken.map((n) => {
    const counts = theirs.get(n);
    const twin = counts ? Math.max(...counts) / all[n] : null;
    return { piece: vocabulary[n], all: all[n], here: here[n], twin };
  });
}
