// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Data that stand beside a picture, in as many script elements as it takes, since none may be long.

/** @param {string} id of what the data belong to */
export function packedBeside(id) {
  return elementsBeside(id)
    .map((element) => element.textContent)
    .join("");
}

/**
 * The elements id-data, id-data-1 and so on.
 * @param {string} id
 */
export function elementsBeside(id) {
  const found = [];
  let element = document.getElementById(id + "-data");
  while (element) {
    found.push(element);
    element = document.getElementById(`${id}-data-${found.length}`);
  }
  return found;
}
