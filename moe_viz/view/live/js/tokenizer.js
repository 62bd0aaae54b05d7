// @ts-check
// SPDX-License-Identifier: Apache-2.0
// From a text to token ids, and what each token stands for: SentencePiece's byte pair encoding with
// bytes as fallback. Ids, pieces and spans are those of moe_viz.tokenization.

/**
 * A vocabulary as vocabulary.py writes it.
 * @typedef {object} Vocabulary
 * @property {string[]} pieces by id; "▁" is a space
 * @property {number[]} scores by id; the pair with the highest is merged first
 * @property {number[]} bytes ids of the 256 bytes
 * @property {number[]} control ids that spell nothing: BOS, EOS, unknown
 * @property {number | null} bos
 * @property {number | null} eos
 */
/**
 * @typedef {object} Encoding
 * @property {string} text
 * @property {number[]} ids
 * @property {string[]} pieces as a person reads them
 * @property {number[]} spans characters of the text: start and stop of each token
 * @property {boolean[]} special
 */

const SPACE = "▁";
/** @type {Record<string, string>} */
const SIGNS = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "\0": "␀", "\u00a0": "⍽" };
// A mark of byte order is a character like others.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

export class Tokenizer {
  /** @param {Vocabulary} vocabulary */
  constructor(vocabulary) {
    this.vocabulary = vocabulary;
    const { pieces, control, bytes } = vocabulary;
    const silent = new Set([...control, ...bytes]);
    /** @type {Map<string, number>} */
    this.idOf = new Map();
    for (const [id, piece] of pieces.entries()) if (!silent.has(id)) this.idOf.set(piece, id);
    const encoder = new TextEncoder();
    /** What each id spells. */
    this.contents = pieces.map((piece, id) =>
      control.includes(id) ? new Uint8Array() : encoder.encode(piece.replaceAll(SPACE, " ")),
    );
    for (const [byte, id] of bytes.entries()) this.contents[id] = Uint8Array.of(byte);
    this.control = new Set(control);
  }

  /**
   * The tokens of a text, BOS first.
   * @param {string} text
   * @returns {Encoding}
   */
  encode(text) {
    const { bos } = this.vocabulary;
    const ids = this.split(SPACE + text.replaceAll(" ", SPACE));
    return { ...this.drawn(bos === null ? ids : [bos, ...ids]), text };
  }

  /**
   * @param {string} text its spaces written as "▁"
   * @returns {number[]}
   */
  split(text) {
    const { bytes } = this.vocabulary;
    const ids = [];
    // No piece goes on past the space before a word, so that each word can be split by itself.
    for (const [word] of text.matchAll(/▁*[^▁]+|▁+$/gu)) {
      for (const part of this.merged(word)) {
        const id = this.idOf.get(part);
        if (id !== undefined) ids.push(id);
        else for (const byte of new TextEncoder().encode(part)) ids.push(bytes[byte]);
      }
    }
    return ids;
  }

  /**
   * Characters, merged pair by pair: of all pairs that are pieces, the one with the best score, and
   * of equal ones the first.
   * @param {string} word
   */
  merged(word) {
    const { scores } = this.vocabulary;
    const parts = [...word];
    /** @param {number} n */
    const scoreAt = (n) => scores[this.idOf.get(parts[n] + parts[n + 1]) ?? -1] ?? -Infinity;
    const pairs = parts.slice(1).map((_, n) => scoreAt(n));
    for (;;) {
      let best = -1;
      for (let n = 0; n < pairs.length; n++) {
        if (pairs[n] > (best < 0 ? -Infinity : pairs[best])) best = n;
      }
      if (best < 0) return parts;
      parts.splice(best, 2, parts[best] + parts[best + 1]);
      pairs.splice(best, 1);
      if (best > 0) pairs[best - 1] = scoreAt(best - 1);
      if (best < pairs.length) pairs[best] = scoreAt(best);
    }
  }

  /**
   * What one token looks like by itself.
   * @param {number} id
   */
  shown(id) {
    const { text } = spelled([this.contents[id]]);
    return visible([...(text || this.vocabulary.pieces[id])]);
  }

  /**
   * A sequence of ids, each with what it looks like and stands for; and the text that they spell.
   * @param {number[]} ids
   * @returns {Encoding}
   */
  drawn(ids) {
    const { pieces } = this.vocabulary;
    const first = ids.findIndex((id) => !this.control.has(id));
    const contents = ids.map((id, n) => {
      const spelled = this.contents[id];
      // A space is put in front of every text: it stands for no character.
      return n === first && pieces[id].startsWith(SPACE) ? spelled.subarray(1) : spelled;
    });
    const { text, spans } = spelled(contents);
    const characters = [...text];
    const shown = ids.map((id, n) => {
      const [from, to] = [spans[2 * n], spans[2 * n + 1]];
      if (from < to) return visible(characters.slice(from, to));
      return pieces[id] === SPACE ? "␣" : visible([...pieces[id]]);
    });
    const special = ids.map((id) => this.control.has(id));
    return { ids, text, pieces: shown, spans, special };
  }
}

/**
 * The text that tokens spell, and the characters of it that each stands for: a character of several
 * tokens is shown by all of them. Each byte of invalid UTF-8 counts as one character.
 * @param {Uint8Array[]} contents
 */
export function spelled(contents) {
  const whole = new Uint8Array(contents.reduce((n, content) => n + content.length, 0));
  let size = 0;
  for (const content of contents) {
    whole.set(content, size);
    size += content.length;
  }
  const characters = [];
  const characterAt = []; // of each byte
  for (let at = 0; at < size;) {
    const length = wellFormed(whole, at);
    const bytes = whole.subarray(at, at + Math.max(length, 1));
    for (const _ of bytes) characterAt.push(characters.length);
    characters.push(length ? decoder.decode(bytes) : "\ufffd");
    at += bytes.length;
  }
  /** @type {number[]} */
  const spans = [];
  let [at, stop] = [0, 0];
  for (const content of contents) {
    let start = stop;
    if (content.length) {
      start = characterAt[at];
      at += content.length;
      stop = characterAt[at - 1] + 1;
    }
    spans.push(start, stop);
  }
  return { text: characters.join(""), spans };
}

/**
 * Bytes of the character that begins here; 0 if it is not UTF-8.
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function wellFormed(bytes, at) {
  const lead = bytes[at];
  const length =
    lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length < 2) return length;
  // Some second bytes would spell too long a form, half a pair of UTF-16, or beyond Unicode.
  const least = { 0xe0: 0xa0, 0xf0: 0x90 }[lead] ?? 0x80;
  const most = { 0xed: 0x9f, 0xf4: 0x8f }[lead] ?? 0xbf;
  if (!(bytes[at + 1] >= least && bytes[at + 1] <= most)) return 0;
  for (let n = 2; n < length; n++) if ((bytes[at + n] & 0xc0) !== 0x80) return 0;
  return length;
}

/** @param {string[]} characters */
const visible = (characters) =>
  characters
    .map((c) => {
      if (c in SIGNS) return SIGNS[c];
      const code = (c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
      return INVISIBLE.test(c) ? `U+${code}` : c;
    })
    .join("");
