// @ts-check
// SPDX-License-Identifier: Apache-2.0
// The layers: in the page, or in scripts beside it that are loaded when they are needed.
/** @import { Favourites, Head, Layer } from "./types.js" */

/** Layers that stay in memory, of those that are loaded. */
const KEPT = 6;

export class Layers {
  /**
   * @param {string} id of the page's element: a layer's is `${id}-layer-3`
   * @param {Head} head
   * @param {string} handed the function that a part calls
   */
  constructor(id, head, handed) {
    this.id = id;
    this.head = head;
    /** @type {Map<number, Promise<Layer>>} the latest last */
    this.kept = new Map();
    /** @type {Map<number, Favourites>} */
    this.favourites = new Map();
    /** @type {Map<number, Layer>} */
    this.arrived = new Map();
    /** @type {any} */ (window)[handed] = (
      /** @type {number} */ row,
      /** @type {Layer} */ data,
    ) => {
      this.arrived.set(row, data);
    };
  }

  /**
   * A layer with its entries. Rejects with a sentence where its file is missing.
   * @param {number} row
   */
  at(row) {
    const found = this.kept.get(row) ?? this.open(row);
    this.kept.delete(row);
    this.kept.set(row, found);
    const [oldest] = this.kept.keys();
    if (this.head.parts.length && this.kept.size > KEPT) this.kept.delete(oldest);
    found.catch(() => this.kept.delete(row)); // the file may be there next time
    return found;
  }

  /**
   * What a search needs of a layer.
   * @param {number} row
   */
  async favouritesOf(row) {
    const known = this.favourites.get(row);
    if (known) return known;
    await this.at(row);
    return /** @type {Favourites} */ (this.favourites.get(row));
  }

  /** @param {number} row */
  async open(row) {
    const { parts, experts } = this.head;
    const element = document.getElementById(`${this.id}-layer-${row}`);
    /** @type {Layer} */
    const layer = parts.length
      ? await this.load(row, parts[row])
      : JSON.parse(element?.textContent ?? "");
    const sure = new Set(layer.sure.map(([v, e]) => v * experts + e));
    this.favourites.set(row, { best: Int16Array.from(layer.best.flat()), sure });
    return layer;
  }

  /**
   * @param {number} row
   * @param {string} address
   * @returns {Promise<Layer>}
   */
  load(row, address) {
    const layer = this.head.layers[row];
    const script = document.createElement("script");
    return new Promise((resolve, reject) => {
      script.onload = () => {
        const data = this.arrived.get(row);
        this.arrived.delete(row);
        if (data?.layer === layer && data.entries.length === this.head.experts) resolve(data);
        else reject(new Error(foreign(layer, address)));
      };
      script.onerror = () => reject(new Error(missing(layer, address)));
      script.src = address;
      document.head.append(script);
    }).finally(() => script.remove());
  }
}

/**
 * @param {number} layer
 * @param {string} address
 */
function missing(layer, address) {
  const [folder, file] = address.split("/").map(decodeURIComponent);
  return (
    `Layer ${layer}’s file, ${folder}/${file}, is not beside this page: ` +
    `copy the folder ${folder} too.`
  );
}

/**
 * @param {number} layer
 * @param {string} address
 */
function foreign(layer, address) {
  const name = decodeURIComponent(address);
  return `${name} does not hold layer ${layer} of this atlas: it belongs to another page.`;
}
