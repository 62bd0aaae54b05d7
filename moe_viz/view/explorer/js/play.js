// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Walking through a prompt, token by token, as its model read or wrote it.
/** @import { Picture } from "./picture.js" */

/** Tokens a second. */
const PACE = 4;

export class Player {
  /** @param {Picture} picture */
  constructor(picture) {
    this.picture = picture;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.timer = undefined;
  }

  /** Walk through the prompt, or stop; from its start again where it has ended. */
  toggle() {
    const { picture } = this;
    const { state, prompt } = picture;
    if (state.playing) return this.stop();
    picture.set({ playing: true, hover: null });
    if (state.token >= prompt.stop - 1) picture.pick(prompt.start);
    this.timer = setInterval(() => this.step(), 1000 / PACE);
  }

  step() {
    const { picture } = this;
    const next = picture.state.token + 1;
    if (next < picture.prompt.stop) picture.pick(next);
    else this.stop();
  }

  stop() {
    clearInterval(this.timer);
    if (this.picture.state.playing) this.picture.set({ playing: false });
  }
}
