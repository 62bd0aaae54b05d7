// State: what is looked at. Everything on the screen follows from it and from the trace.

let zoom = 1, hits = new Set(), legendKey = "", loadKey = "", besideKey = ""; // what was drawn last
const current = () => prompts[state.prompt];
// What the decision panel speaks of: what the pointer is on, else what is pinned.
const focus = () => state.hover ?? { layer: state.layer, token: state.token };

const sizeOf = (p) => `Map of ${(p.stop - p.start).toLocaleString("en")} tokens × ${L} layers`;
function firstShown(p) { let t = p.start; while (t < p.stop - 1 && isSpecial(t)) t++; return t; }
function openPrompt(number, token = null) {
  const p = prompts[number], at = token ?? firstShown(p);
  Object.assign(state, { prompt: number, token: at, hover: null });
  hits = matches(state.query);
  text.show(p, at); map.show(p); text.reveal(at);
  labelSelect.value = label(p);
  promptSelect.replaceChildren(...options(prompts.flatMap((q, n) => (label(q) === label(p) ? [[n, opening(q)]] : []))));
  promptSelect.value = number;
  offerComparisons(number);
  draw();
}
function set(change) {
  Object.assign(state, change);
  if ("signs" in change) { text.show(current(), state.token); besideKey = ""; }
  draw();
}
const isolate = (e) => set({ isolate: state.isolate === e ? null : e });
function pick(t) { set({ token: t, hover: null }); text.reveal(t); map.reveal(t); }

// ---- Comparing

// Prompts of one topic under different labels belong together: parallel passages, or one algorithm.
function parallels(number) {
  const { topic } = prompts[number];
  return topic ? prompts.flatMap((q, n) => (q.topic === topic ? [[label(q), n]] : [])) : [];
}
// The token of another prompt that is the same piece as the one looked at: its first occurrence.
function alikeIn(number) {
  const { start, stop } = prompts[number];
  for (let t = start; t < stop; t++) if (!isSpecial(t) && piece(t) === piece(state.token)) return t;
  return null;
}
function offerComparisons(number) {
  const same = parallels(number), group = (title, pairs) => (pairs.length ? [h("optgroup", { label: title }, ...options(pairs))] : []);
  const buttons = same.map(([l, n]) => h("button", { "aria-pressed": String(n === number), onclick: () => openPrompt(n, alikeIn(n)) }, l));
  alike.replaceChildren(...(same.length > 1 ? [h("span", { class: "muted", title: "The same passage in other languages, or the same algorithm in other programming languages" }, "Parallel: "), ...buttons] : []));
  besideSelect.replaceChildren(...options([["", "nothing"]]),
    ...group("Parallel", same.filter(([, n]) => n !== number).map(([l, n]) => [`prompt ${n}`, l])),
    ...group("All of a label", labels.length > 1 ? labels.filter((l) => l !== label(prompts[number])).map((l) => [`label ${labels.indexOf(l)}`, `all of ${l}`]) : []),
    ...group("Another prompt", prompts.flatMap((q, n) => (n === number || n >= 400 ? [] : [[`prompt ${n}`, `${label(q)}: ${opening(q)}`]]))));
  besideSelect.value = state.beside;
  if (besideSelect.selectedIndex < 0) { state.beside = ""; besideSelect.value = ""; }
}
// What stands beside: a prompt, or a whole label.
function besideOf() {
  const [kind, n] = state.beside.split(" ");
  if (kind === "prompt") return { prompt: prompts[n], number: Number(n), label: false, name: label(prompts[n]) };
  if (kind === "label") { const l = labels[n]; return { prompt: prompts.find((p) => label(p) === l), label: true, name: `all of ${l}` }; }
  return null;
}
function paintBeside() {
  const besides = besideOf(), shown = besides !== null && !besides.label;
  besideBox.hidden = !shown;
  if (!shown) { besideBox.replaceChildren(); besideKey = ""; return; }
  const key = `${state.beside} ${state.signs}`;
  if (key !== besideKey) {
    besideKey = key;
    besideBox.replaceChildren(besideTitle, besideText.element, besideMap.element);
    besideText.show(besides.prompt); besideMap.show(besides.prompt);
    besideText.look(); besideMap.look(); // new here
    besideTitle.textContent = `Beside it, ${besides.name}. ${sizeOf(besides.prompt)}`;
    // A click over there changes sides.
    const swap = (t) => { const was = state.prompt; state.beside = `prompt ${was}`; openPrompt(besides.number, t); };
    besideText.onpick = besideMap.onpick = swap;
  }
  besideText.paint(); besideText.mark(focus().token); besideMap.paint();
}

// ---- Finding

// Tokens that the query's occurrences in the text reach into.
function matches(query) {
  // The signs that stand for spaces, tabs and line ends find these.
  const wanted = Array.from(query.toLowerCase(), (c) => ({ "␣": " ", "⏎": "\n", "⇥": "\t" })[c] ?? c), found = new Set(), p = current();
  if (!wanted.length || !p) return found;
  const characters = Array.from(p.text, (c) => c.toLowerCase()), covered = new Uint8Array(characters.length + 1);
  for (let i = 0; i + wanted.length <= characters.length; i++) {
    if (wanted.every((c, n) => characters[i + n] === c)) covered.fill(1, i, i + wanted.length);
  }
  for (let t = p.start; t < p.stop; t++) if (!isSpecial(t) && covered.subarray(spans[2 * t], spans[2 * t + 1]).includes(1)) found.add(t);
  return found;
}
function search(query) {
  state.query = query;
  hits = matches(query);
  found.textContent = query ? `${hits.size} tokens` : "";
  const next = [...hits].find((t) => t >= state.token) ?? [...hits][0];
  if (next !== undefined) pick(next); else draw();
}
function nextHit() {
  const all = [...hits], next = all.find((t) => t > state.token && !hits.has(t - 1)) ?? all[0];
  if (next !== undefined) pick(next);
}

// ---- Keys

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab") return;
  const field = shadow.activeElement, typing = field === searchBox, inField = typing || /^(SELECT|INPUT)$/.test(field?.tagName ?? "");
  const p = current(), move = { ArrowLeft: -1, ArrowRight: 1 }[event.key], climb = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (event.key === "Escape" && !inField && state.isolate === null && !state.query) field?.blur(); // nothing to undo: keys are for the page again
  else if (event.key === "Escape") { searchBox.value = ""; search(""); set({ isolate: null, hover: null }); root.focus({ preventScroll: true }); }
  else if (typing && event.key === "Enter") nextHit();
  else if (inField) { event.stopPropagation(); return; }
  else if (event.key === "/") searchBox.focus();
  else if (move) pick(Math.min(Math.max(state.token + move, p.start), p.stop - 1));
  else if (climb) set({ layer: Math.min(Math.max(state.layer + climb, 0), L - 1), hover: null });
  else if (/^[0-9]$/.test(event.key) && Number(event.key) < E) isolate(Number(event.key));
  else if (event.key === "Enter" && field !== root && field !== null) { event.stopPropagation(); return; } // a button
  else if ([" ", "PageUp", "PageDown", "Home", "End", "?"].includes(event.key)) { event.stopPropagation(); return; } // they would turn a slide
  else if (!/^[a-zA-Z]$/.test(event.key) && event.key !== "Enter") return;
  // Whatever was typed here stays here: in JupyterLab `dd` would delete the cell.
  event.preventDefault();
  event.stopPropagation();
}

// ---- The address of a page says what is looked at, so that one decision can be linked to

const ADDRESSED = ["prompt", "layer", "token", "mode", "beside", "scale"];
function readAddress() {
  if (!state.page) return;
  const said = new URLSearchParams(location.hash.slice(1)), number = (key, low, high) => { const x = said.has(key) ? Number(said.get(key)) : NaN; return Number.isInteger(x) && x >= low && x < high ? x : null; };
  state.prompt = number("prompt", 0, prompts.length) ?? state.prompt;
  const layer = data.layers.indexOf(Number(said.get("layer") ?? NaN));
  if (layer >= 0) state.layer = layer;
  const p = current(), token = number("token", 0, p.stop - p.start);
  if (token !== null) state.token = p.start + token; else if (said.has("prompt")) state.token = null;
  if (QUANTITIES[said.get("mode")]) state.mode = said.get("mode");
  if (/^(prompt|label) \d+$/.test(said.get("beside") ?? "")) state.beside = said.get("beside");
  const scale = said.has("scale") ? Number(said.get("scale")) : NaN;
  if (scale >= 0.5 && scale <= 3) state.scale = scale;
}
let addressed = "", addressing;
function writeAddress() {
  if (!state.page) return;
  const values = { prompt: state.prompt, layer: data.layers[state.layer], token: state.token - current().start, mode: state.mode, beside: state.beside, scale: state.scale === data.state.scale ? "" : state.scale };
  const address = "#" + new URLSearchParams(ADDRESSED.filter((key) => values[key] !== "").map((key) => [key, values[key]]));
  if (address === addressed) return;
  addressed = address;
  clearTimeout(addressing); // browsers allow few changes a second
  addressing = setTimeout(() => { try { history.replaceState(null, "", address); } catch { /* a sandbox may forbid it, and nothing hangs on it */ } }, 150);
}

// ---- Drawing

let waiting = false, themed = null;
// How large type is drawn: as asked for, and larger on a wide page. What is painted follows it.
function measure() {
  // A deck asks for larger type by an attribute of the host, unless the picture asked for its own.
  root.style.setProperty("--scale", state.scale === 1 ? Number(host.dataset.scale) || 1 : state.scale);
  zoom = parseFloat(getComputedStyle(root).fontSize) / 12 || 1;
}
function draw() {
  if (waiting) return; // several changes in one frame are drawn once
  waiting = true;
  requestAnimationFrame(() => { waiting = false; drawNow(); });
}
function drawNow() {
  // Everything is measured before anything is written: a measurement in between would have the
  // browser style and lay out the half-changed picture, and then once more.
  for (const view of [text, map, besideText, besideMap]) view.look();
  const dark = isDark();
  if (themed !== dark) {
    themed = dark; theme = dark ? palette.dark : palette.light;
    for (const name of ["ground", "ink", "line", "muted"]) root.style.setProperty("--" + name, theme[name]);
    root.style.colorScheme = dark ? "dark" : "light";
  }
  layerRange.value = state.layer; write(layerName, String(data.layers[state.layer])); modeSelect.value = state.mode;
  watchedSelect.value = state.watched; watchedSelect.hidden = state.mode !== "expert";
  signsBox.checked = state.signs;
  write(mapTitle, `${sizeOf(current())}${state.mode === "first" ? "; colours start afresh in each layer" : ""}: `);
  text.paint(); text.mark(focus().token); map.paint(); paintBeside(); paintDecision();
  const nextLegend = `${state.isolate} ${state.mode} ${state.watched} ${theme.ground}`, nextLoad = `${state.layer} ${state.prompt} ${scopeSelect.value} ${state.beside} ${theme.ground}`;
  if (legendKey !== nextLegend) { legendKey = nextLegend; paintLegend(); }
  if (loadKey !== nextLoad) { loadKey = nextLoad; paintLoads(); }
  writeAddress();
}
readAddress();
measure();
openPrompt(state.prompt, state.token);
drawNow();
if (state.page) addEventListener("hashchange", () => { if (location.hash !== addressed) { readAddress(); measure(); openPrompt(state.prompt, state.token); } });
new ResizeObserver(() => { measure(); draw(); }).observe(map.stack); // also when a slide that was hidden is shown
addEventListener("beforeprint", () => { drawNow(); text.paintAll(); besideText.paintAll(); }); // paper shows all at once
onThemeChange(draw);
