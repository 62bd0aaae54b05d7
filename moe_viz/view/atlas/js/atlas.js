// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The page of an atlas: a header, a search, the grid of all experts, and an entry for each.
/** @import { Palette } from "../../js/types.js" */
/** @import { Head } from "./types.js" */

import { h, write } from "../../js/dom.js";
import { readAddress } from "./address.js";
import { EntryView } from "./entry.js";
import { Finder } from "./finder.js";
import { Grid } from "./grid.js";
import { headerOf } from "./header.js";
import { exactly } from "./match.js";
import { Layers } from "./parts.js";
import { Results } from "./results.js";
import { called } from "./words.js";

/**
 * @param {string} id of the element that the page goes into; its data are beside it
 * @param {Palette} palette
 * @param {string} handed the function that a layer's script calls
 */
export function mountAtlas(id, palette, handed) {
  const host = document.getElementById(id);
  const data = document.getElementById(`${id}-head`);
  if (host && data) new Page(host, JSON.parse(data.textContent ?? ""), palette, handed).begin();
}

class Page {
  /**
   * @param {HTMLElement} host
   * @param {Head} head
   * @param {Palette} palette
   * @param {string} handed
   */
  constructor(host, head, palette, handed) {
    this.host = host;
    this.head = head;
    const layers = new Layers(host.id, head, handed);
    this.grid = new Grid(head, palette, (address) => this.go(address));
    this.entry = new EntryView(head, layers);
    this.results = new Results(head, layers);
    this.finder = new Finder(head, (address, replaces) => this.go(address, replaces));
    this.header = headerOf(head);
    this.lost = h("p", { class: "error", role: "status" });
    this.all = h("div", {}, this.results.element, this.grid.element);
    /** Where the page was scrolled to before an entry was opened. */
    this.height = 0;
  }

  begin() {
    const { header, finder, lost, all, entry } = this;
    this.host.replaceChildren(header, finder.element, lost, all, entry.element);
    addEventListener("hashchange", () => this.show());
    addEventListener("beforeprint", () => {
      for (const details of this.host.querySelectorAll("details")) details.open = true;
    });
    this.show();
  }

  /**
   * @param {string} address
   * @param {boolean} replaces what is typed replaces what was typed before it
   */
  go(address, replaces = false) {
    const here = readAddress(location.hash, this.head).at;
    if (address === (location.hash || "#")) return;
    if (replaces && here === "find") {
      try {
        history.replaceState(null, "", address);
      } catch {
        location.hash = address; // a browser allows only so many changes a second
        return;
      }
      this.show();
    } else location.hash = address;
  }

  /** What the address says. */
  show() {
    const { head, all, entry, header } = this;
    const route = readAddress(location.hash, head);
    const opened = route.at === "entry";
    const before = !entry.element.hidden;
    if (opened && !before) this.height = scrollY;
    all.hidden = opened;
    header.classList.toggle("brief", opened);
    entry.element.hidden = !opened;
    write(this.lost, route.at === "lost" ? route.said : "");
    document.title = `Atlas of ${head.title}`;
    if (route.at === "entry") {
      const { row, expert } = route;
      document.title = `${called(head.layers[row], expert)} – Atlas of ${head.title}`;
      this.grid.cursor = { row, expert };
      void entry.show(row, expert);
      if (!before) {
        entry.title.focus({ preventScroll: true });
        scrollTo(0, 0);
      }
      return;
    }
    const asked = route.at === "find" ? route.text : "";
    this.finder.put(asked);
    const what = route.at === "find" ? route.what : "any";
    this.results.show(asked, exactly(head, asked, what));
    this.grid.paint();
    if (before) {
      if (!asked) this.grid.canvas.focus({ preventScroll: true });
      scrollTo(0, this.height);
    }
  }
}
