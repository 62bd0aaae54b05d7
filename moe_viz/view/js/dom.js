// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Elements. Strings only ever become text nodes and attributes, never markup.

/**
 * An element with attributes, listeners (`onclick: act`) and children; null and false are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  element.append(...children);
  return element;
}

/**
 * An element of a drawing, with attributes, listeners and children.
 * @param {string} tag
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * Set an element's text, if it differs: the same words written again would be laid out again.
 * @param {Element} element
 * @param {string} words
 */
export function write(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/**
 * Have an element hold this one child, if it does not.
 * @param {Element} element
 * @param {Element} child
 */
export function only(element, child) {
  if (element.firstElementChild !== child) element.replaceChildren(child);
}

/**
 * Values and their names as a list's entries.
 * @param {[value: string | number, name: string][]} pairs
 */
export const options = (pairs) => pairs.map(([value, name]) => h("option", { value }, name));

/**
 * A list to choose from.
 * @param {string} name for screen readers
 * @param {[value: string | number, name: string][]} pairs
 * @param {(value: string) => void} act
 */
export function select(name, pairs, act) {
  const attributes = { "aria-label": name, onchange: () => act(element.value) };
  const element = h("select", attributes, ...options(pairs));
  return element;
}

/**
 * How far across an element a pointer is, 0 … 1, also where reveal.js scales the page.
 * @param {Element} element
 * @param {MouseEvent} event
 */
export function across(element, event) {
  const box = element.getBoundingClientRect();
  return (event.clientX - box.left) / box.width;
}
