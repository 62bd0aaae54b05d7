// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The line to the worker: questions go out with a number, and only answers to the newest are heard.
/** @import { PackedTrace } from "../../explorer/js/types.js" */
/** @import { Carried } from "./machine.js" */
/** @import { Said } from "./types.js" */

export class Line {
  /**
   * @param {string} code of the worker
   * @param {(said: Said) => void} hear
   */
  constructor(code, hear) {
    const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    this.worker = new Worker(address);
    URL.revokeObjectURL(address);
    this.number = 0;
    this.worker.onerror = (event) => hear({ failed: event.message });
    this.worker.onmessage = ({ data }) => {
      if (data.number === undefined || data.number === this.number) hear(data);
    };
  }

  /**
   * @param {Carried} carried
   * @param {number} tokens that there is to be room for
   * @param {PackedTrace} like
   */
  begin(carried, tokens, like) {
    const plain = typeof WebAssembly === "undefined";
    this.worker.postMessage({ carried, tokens, like, plain });
  }

  /** @param {object} question without its number */
  ask(question) {
    this.worker.postMessage({ ...question, number: ++this.number });
  }
}
