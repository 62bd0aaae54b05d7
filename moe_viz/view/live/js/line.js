// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The line to the model: questions go out with a number, and only answers to the newest are heard.
// The model is in a worker; where a page may have none, on the page's own thread, in slices.
/** @import { Port, Said } from "./types.js" */
/** @import { Beginning } from "./worker.js" */

/** @typedef {(port: Port) => void} Serve what listens there and answers; see worker.js */

export class Line {
  /**
   * @param {Serve} serve with all that it needs in it, so that its text runs in a worker
   * @param {(said: Said) => void} hear
   */
  constructor(serve, hear) {
    this.serve = serve;
    this.hear = hear;
    this.number = 0;
    /** @type {Beginning | null} said again, should a worker not begin */
    this.beginning = null;
    /** Whether anything has been heard: a worker that says nothing may never have begun. */
    this.alive = false;
    /** @type {Port | null} none until there is a model to run */
    this.port = null;
  }

  /**
   * @param {Port} port
   * @returns {Port}
   */
  listen(port) {
    port.onmessage = ({ data }) => {
      this.alive = true;
      this.beginning = null; // it is large
      if (data.number === undefined || data.number === this.number) this.hear(data);
    };
    if (!(port instanceof MessagePort)) {
      port.onerror = (event) => {
        if (this.alive) return this.hear({ failed: event.message });
        this.port = this.listen(this.near());
        if (this.beginning) this.port.postMessage(this.beginning);
      };
    }
    return port;
  }

  /** The model on this thread. */
  near() {
    const { port1, port2 } = new MessageChannel();
    this.serve(port2);
    return port1;
  }

  /** @param {Beginning} beginning */
  begin(beginning) {
    this.beginning = beginning;
    this.port = this.listen(worker(this.serve) ?? this.near());
    this.port.postMessage(beginning);
  }

  /** @param {object} question without its number; nobody hears it before there is a model */
  ask(question) {
    this.port?.postMessage({ ...question, number: ++this.number });
  }

  /** @param {object} question that ends no other, and that is answered when its turn comes */
  askBeside(question) {
    this.port?.postMessage(question);
  }
}

/**
 * A worker of the page's own; null where it may have none.
 * @param {Serve} serve
 */
function worker(serve) {
  const code = new Blob([`(${serve})(self);`], { type: "text/javascript" });
  const address = URL.createObjectURL(code);
  try {
    return new Worker(address);
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(address);
  }
}
