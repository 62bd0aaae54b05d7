// @ts-check
// SPDX-License-Identifier: Apache-2.0
// What multiplies: the WebAssembly kernel, or plain JavaScript where there is none. Both work on
// one memory, in which weights and all that is computed lie at byte addresses.

/**
 * @typedef {object} Engine
 * @property {string} name
 * @property {Float32Array} floats the memory as float32
 * @property {Uint8Array} bytes the memory as bytes
 * @property {Multiply} multiply
 * @property {Blend} blend
 */
/**
 * y[t, r] = scale[r] · Σ x[t, i] · w[r, i], for T vectors x of n numbers that lie `apart` bytes
 * from each other, and R rows of w, whose weights take `size` bytes: 1 with a scale for each row,
 * 2 (bfloat16), or 4. `row` is room for two rows of floats.
 * @callback Multiply
 * @param {number} x
 * @param {number} apart
 * @param {number} w
 * @param {number} size
 * @param {number} scale
 * @param {number} y
 * @param {number} T
 * @param {number} R
 * @param {number} n
 * @param {number} row
 * @returns {void}
 */
/**
 * y[i] = Σ p[s] · v[s, i], for S rows v of n numbers that lie `apart` bytes from each other.
 * @callback Blend
 * @param {number} p
 * @param {number} v
 * @param {number} apart
 * @param {number} y
 * @param {number} S
 * @param {number} n
 * @returns {void}
 */

/** Tokens that pass through a matrix together: their numbers stay in the processor's cache. */
export const BLOCK = 32;
/** Bytes of one page of WebAssembly's memory. */
const PAGE = 65536;

/**
 * @param {BufferSource} kernel kernel.wasm
 * @param {number} size bytes of memory
 * @returns {Promise<Engine>}
 */
export async function compiled(kernel, size) {
  // All that the context can need, from the start: growing would detach the views of it.
  const memory = new WebAssembly.Memory({ initial: Math.ceil(size / PAGE) });
  const { instance } = await WebAssembly.instantiate(kernel, { page: { memory } });
  const { multiply, blend } = /** @type {any} */ (instance.exports);
  return { name: "WebAssembly", ...views(memory.buffer), multiply, blend };
}

/**
 * @param {number} size bytes of memory
 * @returns {Engine}
 */
export function interpreted(size) {
  const { floats, bytes } = views(new ArrayBuffer(Math.ceil(size / 16) * 16));
  const signed = new Int8Array(bytes.buffer);
  const halves = new Uint16Array(bytes.buffer);
  const shifted = new Uint32Array(1);
  const shiftedAsFloat = new Float32Array(shifted.buffer);

  /** @type {Multiply} */
  const multiply = (x, apart, w, size, scale, y, T, R, n, row) => {
    const [from, step, to] = [x >> 2, apart >> 2, y >> 2];
    for (let r = 0; r < R; r++) {
      let at = row >> 2;
      let by = 1;
      if (size === 1) {
        for (let i = 0; i < n; i++) floats[at + i] = signed[w + r * n + i];
        by = floats[(scale >> 2) + r];
      } else if (size === 2) {
        for (let i = 0; i < n; i++) {
          shifted[0] = halves[(w >> 1) + r * n + i] << 16;
          floats[at + i] = shiftedAsFloat[0];
        }
      } else at = (w >> 2) + r * n;
      for (let t = 0; t < T; t++) {
        const start = from + t * step;
        // Four sums, since an addition that waits for the one before takes four times as long.
        let [a, b, c, d] = [0, 0, 0, 0];
        for (let i = 0; i < n; i += 4) {
          a += floats[start + i] * floats[at + i];
          b += floats[start + i + 1] * floats[at + i + 1];
          c += floats[start + i + 2] * floats[at + i + 2];
          d += floats[start + i + 3] * floats[at + i + 3];
        }
        floats[to + t * R + r] = by * (a + b + c + d);
      }
    }
  };

  /** @type {Blend} */
  const blend = (p, v, apart, y, S, n) => {
    const [shares, rows, step, to] = [p >> 2, v >> 2, apart >> 2, y >> 2];
    floats.fill(0, to, to + n);
    for (let s = 0; s < S; s++) {
      const [share, start] = [floats[shares + s], rows + s * step];
      for (let i = 0; i < n; i++) floats[to + i] += share * floats[start + i];
    }
  };

  return { name: "JavaScript", floats, bytes, multiply, blend };
}

/** @param {ArrayBuffer} buffer */
const views = (buffer) => ({ floats: new Float32Array(buffer), bytes: new Uint8Array(buffer) });
