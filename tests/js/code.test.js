// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";

import { ownAddress, read, spelt, whole } from "../../moe_viz/view/live/js/code.js";
import { unchanged } from "../../moe_viz/view/live/js/decision.js";
import { generator } from "../../moe_viz/view/live/js/sampling.js";

const SHAPE = { L: 6, E: 8, k: 2 };
const PASSAGES = [
  { topic: "cat", label: "en", text: "Our cat answers to no name." },
  { topic: "cat", label: "fr", text: "Le chat ne répond à aucun nom." },
  { topic: "c & d", label: "code", text: "a = b # & %20" },
];
const TEXTS = [
  "a",
  " ",
  "  both ends  ",
  "a&text=b&off=1.1&k=8",
  "#",
  "C# and F#",
  "#text=other",
  "100 % of 5%25 + 3",
  "a+b = c",
  "line\nand\r\nline\ttab",
  "👩‍👩‍👧‍👦 🇩🇪 é 中文 שלום",
  "passage=cat.en",
  "\u0000\u200f\u2028\ufeff",
  "\ufeffa mark in front",
  "https://example.org/lab.html#text=b",
  '<script>alert("1")</script>',
  "word ".repeat(50_000),
];

const nothing = () => unchanged(SHAPE.L, SHAPE.k);
const reread = (said) => read(spelt(said, SHAPE, PASSAGES), SHAPE, PASSAGES);

/** The experts that a list names when 5.6 comes after something else. */
function listed(list, pair) {
  const { changes } = read(`text=a&${list}=${pair}_5.6`, SHAPE, PASSAGES);
  return changes[list].flat();
}

/** Changes by chance, that name each expert once at most in a layer. */
function changesBy(random) {
  const some = () => Array.from({ length: SHAPE.E }, (_, e) => e).filter(() => random() < 0.2);
  const changes = nothing();
  for (let layer = 0; layer < SHAPE.L; layer++) {
    if (random() < 0.5) changes.off[layer] = some();
    if (random() < 0.3) {
      changes.forced[layer] = some().filter((e) => !changes.off[layer].includes(e));
    }
  }
  if (random() < 0.5) changes.k = 1 + Math.floor(random() * SHAPE.E);
  if (random() < 0.5) changes.temperature = 0.1 + random() * 9.9;
  changes.uniform = random() < 0.3;
  changes.empty = random() < 0.3;
  return changes;
}

test("what is spelt is read again: text, mode and every change", () => {
  const random = generator(1);
  for (let n = 0; n < 400; n++) {
    const text = TEXTS[n % (TEXTS.length - 1)];
    const mode = ["look", "change", "write"][n % 3];
    const said = { text, mode, changes: changesBy(random) };
    assert.deepEqual(reread(said), { ...said, layer: null, token: null });
  }
});

test("every text is read as it was, with and without an address before it", () => {
  for (const text of TEXTS) {
    const said = { text, mode: "look", changes: nothing() };
    assert.deepEqual(reread(said), { ...said, layer: null, token: null });
    const code = spelt(said, SHAPE, PASSAGES);
    for (const before of ["#", "file:///a%20b/lab.html#", "https://example.org/lab.html?a=b#"]) {
      assert.equal(read(before + code, SHAPE, PASSAGES).text, text);
    }
    assert.equal(read(`\n ${code} `, SHAPE, PASSAGES).text, text, "as it was pasted");
  }
});

test("only what is changed is spelt, as others spell parts of addresses", () => {
  const text = "Good & bad";
  const plain = spelt({ text, mode: "look", changes: nothing() }, SHAPE, PASSAGES);
  assert.deepEqual(Object.fromEntries(new URLSearchParams(plain)), { text });
  const changes = { ...nothing(), k: 4, temperature: 0.5, uniform: true, empty: true };
  changes.off[5] = [6, 7];
  changes.off[0] = [1];
  changes.forced[3] = [2];
  const whole = new URLSearchParams(spelt({ text, mode: "write", changes }, SHAPE, PASSAGES));
  assert.deepEqual(Object.fromEntries(whole), {
    text,
    do: "write",
    off: "0.1_5.6_5.7",
    forced: "3.2",
    k: "4",
    temperature: "0.5",
    uniform: "1",
    empty: "1",
  });
});

test("a passage of the page is named and not spelt out", () => {
  for (const { topic, label, text } of PASSAGES) {
    const said = { text, mode: "look", changes: nothing() };
    const code = spelt(said, SHAPE, PASSAGES);
    assert.equal(code, new URLSearchParams({ passage: `${topic}.${label}` }).toString());
    assert.equal(reread(said).text, text);
  }
  // Where the passage is unknown, the text counts if there is one.
  assert.equal(read("passage=dog.en&text=b", SHAPE, PASSAGES).text, "b");
  assert.equal(read("passage=dog.en", SHAPE, PASSAGES), null);
});

test("a code that names no text says nothing", () => {
  for (const code of [
    "",
    "#",
    "   ",
    "text=",
    "#text=",
    "off=1.1",
    "hello",
    "%",
    "%E4%",
    "https://a.b/c",
  ]) {
    assert.equal(read(code, SHAPE, PASSAGES), null, code);
  }
});

test("what is out of range is ignored", () => {
  for (const list of ["off", "forced"]) {
    for (const pair of ["6.0", "0.8", "-1.0", "0.-1", "1.2e5", "1", "a.b", "NaN.1", "Infinity.1"]) {
      assert.deepEqual(listed(list, pair), [6], `${list}=${pair}`);
    }
  }
  for (const k of ["0", "9", "-1", "1.5", "", "two", "Infinity"]) {
    assert.deepEqual(read(`text=a&k=${k}`, SHAPE, PASSAGES).changes, nothing(), `k=${k}`);
  }
  for (const t of ["0", "0.09", "10.1", "-1", "", "NaN", "Infinity", "hot"]) {
    const found = read(`text=a&temperature=${t}`, SHAPE, PASSAGES).changes;
    assert.deepEqual(found, nothing(), `temperature=${t}`);
  }
  for (const mode of ["", "Change", "toString", "look"]) {
    assert.equal(read(`text=a&do=${mode}`, SHAPE, PASSAGES).mode, "look");
  }
});

test("half a pair names no expert", () => {
  for (const list of ["off", "forced"]) {
    for (const pair of [".", "1.", ".1", "1.5.5"]) {
      assert.deepEqual(listed(list, pair), [6], `${list}=${pair}`);
    }
  }
});

test("an expert that is named twice is off once, and forced once", () => {
  for (const list of ["off", "forced"]) {
    const found = read(`text=a&${list}=5.6_5.6_5.6_5.2`, SHAPE, PASSAGES).changes;
    assert.deepEqual([...found[list][5]].sort(), [2, 6], list);
  }
});

test("a place is read, and no other than there can be", () => {
  const place = (code) => {
    const { layer, token } = read(`text=a&${code}`, SHAPE, PASSAGES);
    return [layer, token];
  };
  assert.deepEqual(place("layer=5&token=7"), [5, 7]);
  assert.deepEqual(place("layer=0&token=0"), [0, 0]);
  assert.deepEqual(place("layer=-1&token=1.5"), [null, null]);
  assert.deepEqual(place("layer=a&token=b"), [null, null]);
});

test("a layer that there is none of, and a place that is left empty, are ignored", () => {
  const { layer, token } = read("text=a&layer=6&token=", SHAPE, PASSAGES);
  assert.deepEqual([layer, token], [null, null]);
});

test("a place is told behind a code, and an address before it where there is one", () => {
  const seen = { state: { layer: 4, token: 11 }, trace: {} };
  const hosted = whole("text=C%23", seen, "https://a.b/lab.html?x=1");
  assert.equal(hosted, "https://a.b/lab.html?x=1#text=C%23&layer=4&token=11");
  const found = read(hosted, SHAPE, PASSAGES);
  assert.deepEqual([found.text, found.layer, found.token], ["C#", 4, 11]);
  assert.equal(whole("text=a", null, "https://a.b/"), "https://a.b/#text=a");
  assert.equal(whole("text=a", seen, ""), "text=a&layer=4&token=11", "in a notebook");
});

test("a page tells its own address where others can open it, and no folder", () => {
  const before = globalThis.location;
  try {
    const href = "https://a.b/lab.html?x=1#prompt=0&text=old";
    globalThis.location = { protocol: "https:", href };
    assert.equal(ownAddress(), "https://a.b/lab.html?x=1");
    globalThis.location = { protocol: "http:", href: "http://127.0.0.1:8000/" };
    assert.equal(ownAddress(), "http://127.0.0.1:8000/");
    globalThis.location = { protocol: "file:", href: "file:///home/a/lab.html" };
    assert.equal(ownAddress(), "");
  } finally {
    globalThis.location = before;
  }
});
