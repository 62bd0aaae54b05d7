// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What a panel beside the picture does with keys.

/**
 * Keys in a panel's buttons and fields act there: neither the picture nor a deck hears them.
 * @param {Event} event
 */
export const kept = (event) => event.stopPropagation();
