// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What is taken along from a page, and brought to it: an address or a code, and traces as files.

import { h, write } from "../../js/dom.js";

/**
 * @typedef {object} Acts
 * @property {() => string} code of what is shown now
 * @property {(code: string) => boolean} enter what a code says; whether it said anything
 * @property {(question: object) => void} ask the model
 * @property {(words: string) => void} say
 */

export class Along {
  /**
   * @param {Acts} acts
   * @param {{ address: string, qr: string }} hosted where the same page is, if anywhere
   */
  constructor(acts, { address, qr }) {
    this.acts = acts;
    this.code = h("input", { readonly: true, "aria-label": "What is shown, as a code" });
    this.copied = h("span", { class: "muted", "aria-live": "polite" });
    this.pasted = h("input", { "aria-label": "A code to open", placeholder: "paste a code here" });
    this.file = h("input", { type: "file", accept: ".safetensors", "aria-label": "A trace" });
    this.file.onchange = () => {
      const [file] = this.file.files ?? [];
      if (file) this.bring(file);
      this.file.value = ""; // the same file may be brought again
    };
    const open = h("button", { onclick: () => this.enter() }, "Open");
    this.element = h(
      "details",
      { class: "pop", name: "pop", ontoggle: () => this.show() },
      h("summary", {}, "Share"),
      h(
        "div",
        { class: "body" },
        h("h2", {}, "What is shown now"),
        h("div", { class: "row" }, this.code, h("button", { onclick: () => this.copy() }, "Copy")),
        this.copied,
        ...(qr ? [h("img", { class: "qr", src: qr, alt: `QR code of ${address}` })] : []),
        h("h2", {}, "What somebody else has sent"),
        h("div", { class: "row" }, this.pasted, open),
        h("h2", {}, "The recording"),
        h(
          "div",
          { class: "row" },
          h("button", { onclick: () => acts.ask({ saved: true }) }, "Save the trace"),
          h("label", {}, "or show one: ", this.file),
        ),
        h(
          "p",
          { class: "muted" },
          "A file that moe_viz.Trace.load opens, with every router logit as it was computed here.",
        ),
      ),
    );
    this.pasted.onkeydown = (event) => {
      if (event.key === "Enter") this.enter();
    };
  }

  /** The code, when it is looked for and when it changes meanwhile. */
  show() {
    if (!this.element.open) return;
    this.code.value = this.acts.code();
    write(this.copied, "");
  }

  async copy() {
    this.code.select();
    try {
      await navigator.clipboard.writeText(this.code.value);
      write(this.copied, "Copied.");
    } catch {
      write(this.copied, "It is selected: copy it with the keyboard."); // as on file://
    }
  }

  /** @param {File} file */
  async bring(file) {
    this.acts.say(`${file.name} is read …`);
    this.acts.ask({ brought: new Uint8Array(await file.arrayBuffer()) });
  }

  /** @param {Uint8Array<ArrayBuffer>} file of a trace, as it was asked for */
  saved(file) {
    const address = URL.createObjectURL(new Blob([file]));
    h("a", { href: address, download: "trace.safetensors" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    this.acts.say("The trace has been saved.");
  }

  enter() {
    const found = this.acts.enter(this.pasted.value);
    write(this.copied, found ? "" : "This code names no text. It begins with text= or passage=.");
    if (!found) return;
    this.pasted.value = "";
    this.element.open = false;
  }
}
