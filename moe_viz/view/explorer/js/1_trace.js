// The trace: packed arrays, and what is read from them.

const data = JSON.parse(document.getElementById(id + "-data").textContent);
const [L, T, E, K] = data.shape;

function bytes(name) {
  const text = data.arrays[name];
  delete data.arrays[name]; // not needed twice in memory
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text).buffer;
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out.buffer;
}
// Every float16 there is, decoded once: arrays stay as small as they came.
const HALF = new Float32Array(65536);
for (let n = 0; n < 65536; n++) {
  const sign = n & 0x8000 ? -1 : 1, exponent = (n >> 10) & 31, fraction = n & 1023;
  HALF[n] = sign * (exponent === 0 ? fraction * 2 ** -24
    : exponent === 31 ? (fraction ? NaN : Infinity) : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
// Large notebook outputs carry bytes instead (see pack.py): how numbers are read depends on that.
const BYTE = Float32Array.from({ length: 256 }, (_, n) => (n === 255 ? -Infinity : -((n / 254) ** 2) * data.deepest));
const share = Float32Array.from({ length: 256 }, (_, n) => n / 255);
const [logitArray, logitOf] = data.precision === "half" ? [new Uint16Array(bytes("logits")), HALF]
  : data.precision === "byte" ? [new Uint8Array(bytes("logits")), BYTE] : [null, null];
const signed = (name) => (data.wide ? new Int16Array(bytes(name)) : new Int8Array(bytes(name)));
// In pairs two choices share a byte, four bits each, and the second gate is what the first leaves.
const pairs = data.paired ? new Uint8Array(bytes("experts")) : null;
const experts = pairs ? new Int8Array(L * T * K) : signed("experts");
const nibble = (n) => (n === 15 ? -1 : n);
if (pairs) for (let n = 0; n < pairs.length; n++) { experts[2 * n] = nibble(pairs[n] & 15); experts[2 * n + 1] = nibble(pairs[n] >> 4); }
const [gateArray, gateOf] = data.precision === "half" ? [new Uint16Array(bytes("gates")), HALF] : [pairs ? both(new Uint8Array(bytes("gates"))) : new Uint8Array(bytes("gates")), share];
function both(first) {
  const all = new Uint8Array(2 * first.length);
  for (let n = 0; n < first.length; n++) { all[2 * n] = first[n]; all[2 * n + 1] = experts[2 * n + 1] < 0 ? 0 : 255 - first[n]; }
  return all;
}
const others = data.other ? signed("others") : null; // the choices of another run of these tokens
const pieces = new Uint32Array(bytes("piece")), spans = new Uint32Array(bytes("spans"));
const flags = new Uint8Array(bytes("flags"));
const prompts = data.prompts.map(([label, text, start, stop, topic]) => ({ label, text, start, stop, topic }));

const hasLogits = logitArray !== null;
const logit = (layer, t, e) => logitOf[logitArray[(layer * T + t) * E + e]]; // less the row's largest
const choice = (layer, t, slot) => experts[(layer * T + t) * K + slot];
const gate = (layer, t, slot) => gateOf[gateArray[(layer * T + t) * K + slot]];
const chosenOf = (layer, t) => Array.from({ length: K }, (_, s) => [choice(layer, t, s), gate(layer, t, s)]).filter(([e]) => e >= 0);
const involves = (layer, t, e) => { for (let s = 0; s < K; s++) if (choice(layer, t, s) === e) return true; return false; };
const isSpecial = (t) => (flags[t] & 1) === 1;
const piece = (t) => data.pieces[pieces[t]];
const label = (p) => p.label || "text";
const labels = [...new Set(prompts.map(label))];
const percent = (x, digits = 0) => (100 * x).toFixed(digits) + "\u00a0%"; // never apart

function probabilities(layer, t) {
  if (!hasLogits) return Array.from({ length: E }, (_, e) => chosenOf(layer, t).find(([x]) => x === e)?.[1] ?? NaN);
  const row = Array.from({ length: E }, (_, e) => Math.exp(logit(layer, t, e)));
  const sum = row.reduce((a, b) => a + b, 0);
  return row.map((p) => p / sum);
}
// Experts by logit, strongest first; equal ones by number.
function ranking(layer, t) {
  return Array.from({ length: E }, (_, e) => e).sort((a, b) => logit(layer, t, b) - logit(layer, t, a) || a - b);
}

// How far the last of the chosen is before the next, in logits.
function margin(layer, t) {
  if (K === E) return Infinity;
  const row = ranking(layer, t);
  return logit(layer, t, row[K - 1]) - logit(layer, t, row[K]);
}
// The margin that 19 of 20 decisions stay below, rounded up: beyond it, colours say "clear" and no more.
let wide = 0;
function widest() {
  if (wide) return wide;
  const step = Math.max(1, Math.floor((L * T) / 20000)), some = [];
  for (let n = 0; n < L * T; n += step) some.push(margin(Math.floor(n / T), n % T));
  const most = some.filter(Number.isFinite).sort((a, b) => a - b), at = most[Math.floor(0.95 * most.length)] || 1;
  wide = [0.5, 1, 1.5, 2, 3, 5, 10, 20, 50].find((x) => x >= at) ?? 100;
  return wide;
}

// What a map can show instead of the first choice: from 0 to 1, for the scale of colours.
const QUANTITIES = {
  gate: { name: "gate of the first choice", ends: [percent(1 / K), "100 %"], at: (l, t) => (gate(l, t, 0) - 1 / K) / (1 - 1 / K || 1) },
};
if (hasLogits) Object.assign(QUANTITIES, {
  margin: { name: "margin to the runner-up, logits", get ends() { return ["0", `${widest()} or more`]; }, at: (l, t) => margin(l, t) / widest() },
  entropy: { name: "entropy ÷ log E", ends: ["0", "1"], at: (l, t) =>
    -probabilities(l, t).reduce((s, p) => s + (p > 0 ? p * Math.log(p) : 0), 0) / Math.log(E) },
  expert: { name: "probability of one expert", ends: ["0", "1"], at: (l, t) => probabilities(l, t)[state.watched] },
});
if (others) QUANTITIES.agreement = {
  name: `agreement with ${data.other}`, short: "agreement", ends: ["no expert shared", K === 2 ? "both" : "all"], at: (l, t) => {
    let both = 0, all = 0;
    for (let s = 0; s < K; s++) {
      const e = others[(l * T + t) * K + s];
      if (e < 0) continue;
      all++; both += involves(l, t, e);
    }
    return all ? both / all : NaN;
  },
};
// A quantity of all decisions is worked out when it is first looked at, a byte each; 255: no number.
const worked = new Map();
function quantity(mode) {
  const key = mode === "expert" ? `expert ${state.watched}` : mode;
  if (!worked.has(key)) {
    const at = QUANTITIES[mode].at, out = new Uint8Array(L * T);
    for (let l = 0, n = 0; l < L; l++) for (let t = 0; t < T; t++, n++) {
      const x = at(l, t);
      out[n] = Number.isNaN(x) ? 255 : Math.round(254 * Math.min(Math.max(x, 0), 1));
    }
    if (mode === "expert") for (const old of worked.keys()) if (old.startsWith("expert")) worked.delete(old);
    worked.set(key, out);
  }
  return worked.get(key);
}

// Shares of a layer's assignments: this prompt's, its label's, or all prompts'.
function loadOf(layer, chosen) {
  const counts = new Uint32Array(E); let total = 0;
  for (const p of chosen) for (let t = p.start, i = (layer * T + t) * K; t < p.stop; t++) {
    if (flags[t] & 1) { i += K; continue; }
    for (let s = 0; s < K; s++) { const e = experts[i++]; if (e >= 0) { counts[e]++; total++; } }
  }
  return Array.from(counts, (n) => n / (total || 1));
}
