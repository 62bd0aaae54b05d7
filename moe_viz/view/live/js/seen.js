// @ts-check
// SPDX-License-Identifier: Apache-2.0
// When something is first seen: in the window, and on the slide that is shown.

/**
 * @param {HTMLElement} element
 * @param {() => void} act once
 */
export function whenSeen(element, act) {
  // Slides lie on top of each other; a deck makes those inert that are not shown.
  const slide = element.closest("section");
  let inside = false;
  const look = () => {
    if (!inside || element.closest("[inert]")) return;
    sight.disconnect();
    turned.disconnect();
    act();
  };
  const sight = new IntersectionObserver((entries) => {
    inside = entries[entries.length - 1].isIntersecting;
    look();
  });
  const turned = new MutationObserver(look);
  sight.observe(element);
  if (slide) turned.observe(slide, { attributeFilter: ["inert"] });
}
