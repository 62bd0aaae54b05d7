// The elements of the picture, and where they stand.

const h = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
};
// The same words written again would be laid out again.
const write = (element, words) => { if (element.textContent !== words) element.textContent = words; };
const options = (pairs) => pairs.map(([value, name]) => h("option", { value }, name));
const select = (name, pairs, onchange) => h("select", { "aria-label": name, onchange }, ...options(pairs));

// A row for each expert, made once: from layer to layer lengths, shades and figures change, and rows
// made anew would be styled, laid out and painted anew, every one.
class Bars {
  constructor(...kinds) {
    this.rows = Array.from({ length: E }, (_, e) => {
      const number = h("div", { class: "n" }, String(e)), fill = h("div"), value = h("div", { class: "value" });
      const ticks = Object.fromEntries(kinds.map((kind) => [kind, h("div", { class: kind, hidden: true })]));
      number.style.background = colour(e); number.style.color = digitInk(e);
      return { number, fill, value, ticks, track: h("div", { class: "track" }, fill, ...Object.values(ticks)) };
    });
    this.element = h("div", { class: "bars" }, ...this.rows.flatMap((row) => [row.number, row.track, row.value]));
  }
  put(e, x, scale, chosen, value) {
    const row = this.rows[e], { fill } = row, shade = `${chosen} ${theme.ground}`;
    fill.style.width = Math.max(0, Math.min(1, x / scale || 0)) * 100 + "%";
    if (row.shade !== shade) {
      row.shade = shade;
      fill.className = "fill" + (chosen ? "" : " other");
      fill.style.background = chosen ? solid(e) : faint(e); fill.style.borderColor = chosen ? "" : colour(e);
    }
    write(row.value, value);
  }
  tick(e, kind, x, scale, title) {
    const line = this.rows[e].ticks[kind];
    line.hidden = x === null;
    if (x !== null) { line.style.left = (100 * x) / scale + "%"; line.title = title; }
  }
  // What the figure says beyond itself: a difference has a shade.
  figure(e, title, shade) {
    const { value } = this.rows[e];
    if (!shade && !value.title) return;
    value.className = "value" + (shade ? " difference" : ""); value.title = title;
    value.style.background = shade ? css(shade) : ""; value.style.color = !shade ? "" : shade[0] + shade[1] + shade[2] > 380 ? "#000" : "#fff";
  }
}

const state = { ...data.state, hover: null, isolate: null, faded: null, watched: data.state.watched ?? 0, view: [0, 1],
  beside: data.state.beside ?? "", signs: false, query: "" };
if (!QUANTITIES[state.mode]) state.mode = "first"; // what a small output has left out cannot be shown
const opening = (p) => { const t = p.text.replace(/\s+/g, " ").trim(); return t.length > 42 ? t.slice(0, 40) + "…" : t; };

const labelSelect = select("Label", labels.map((l) => [l, l]), () => openPrompt(prompts.findIndex((p) => label(p) === labelSelect.value)));
const promptSelect = select("Prompt", [], () => openPrompt(Number(promptSelect.value)));
const layerRange = h("input", { type: "range", min: 0, max: L - 1, "aria-label": "Layer", oninput: () => set({ layer: Number(layerRange.value) }) });
const layerName = h("b"), mapTitle = h("span", { class: "spare" }), found = h("span", { class: "muted", "aria-live": "polite" });
const modeSelect = select("Colour of the map", [["first", "first choice"], ...Object.entries(QUANTITIES).map(([k, q]) => [k, q.name])], () => set({ mode: modeSelect.value }));
const watchedSelect = select("Expert whose probability is shown", Array.from({ length: E }, (_, e) => [e, `expert ${e}`]), () => set({ watched: Number(watchedSelect.value) }));
const searchBox = h("input", { type: "search", placeholder: "find a token  /", "aria-label": "Find in the text", size: 14, oninput: () => search(searchBox.value) });
const signsBox = h("input", { type: "checkbox", onchange: () => set({ signs: signsBox.checked }) });
const besideSelect = h("select", { "aria-label": "Compare with", onchange: () => set({ beside: besideSelect.value }) });

// Headings by their rank: the picture has a page to itself, or is a part of a notebook.
const [TOP, H] = state.page ? ["h1", "h2"] : ["h2", "h3"];
const legend = h("div", { class: "legend" }), alike = h("div", { class: "alike" });
const text = new TextView("Text"), map = new MapView(), besideText = new TextView("Text beside it"), besideMap = new MapView();
const besideTitle = h(H);
const besideBox = h("div", { class: "beside", hidden: true });
const sentence = h("p", { class: "sentence", "aria-live": "polite" });
const decision = new Bars(), path = h("div", { class: "path" }), loads = new Bars("uniform", "there");
const decisionTitle = h(H), decisionNote = h("p", { class: "note" }), loadNote = h("p", { class: "note" });
const loadTitle = h(H, { title: "Share of the layer’s assignments: each token has one for every choice" });
const scopeSelect = select("Load of", [["prompt", "this prompt"], ["label", "this label"], ["all", "all prompts"]], () => draw());

const notes = [
  data.leftOut ? `${data.leftOut.toLocaleString("en")} prompts are left out to keep this output small; save_page keeps them.` : "",
  `Colour = expert number within its layer. The same number in another layer is another network. ${data.model}${/^mixtral-8x7b/i.test(data.model) ? "" : ", not Mixtral 8x7B"}.`,
  host.dataset.scale ? "" : "<s> is run and shown, and left out of loads.", // a slide shows no loads
  { half: "", byte: "To keep this output small, logits are shown to about a hundredth; save_page keeps them finer.",
    none: "To keep this output small, only the chosen experts and their gates are here; save_page keeps all logits." }[data.precision],
];
const caption = h("footer", {}, notes.filter(Boolean).join(" ") + " ",
  h("span", { class: "hint" }, `Keys: ← → token, ↑ ↓ layer, / find, 0 – ${Math.min(E, 10) - 1} one expert, Esc all.`));

const root = h("div", { class: "mv" + (state.page ? " page" : "") + (host.dataset.scale ? " deck" : ""), tabindex: 0, role: "group", "aria-roledescription": "explorer", "aria-label": `Routing explorer: ${data.title}`, onkeydown: onKey },
  h("header", {}, h(TOP, { class: "title" }, "Which expert takes which token"), h("span", { class: "muted" }, data.title), h("span", { class: "grow" }),
    h("label", { class: "prompts" }, "Prompt ", labelSelect, promptSelect), h("label", {}, "Layer ", layerRange, layerName)),
  ...(data.synthetic ? [h("div", { class: "banner", role: "note" }, h("span", {}, `${data.synthetic}: nothing here is about a trained model`))] : []),
  legend,
  h("div", { class: "body" },
    h("div", {}, h("div", { class: "tools" }, alike, h("label", { class: "spare" }, "Compare with ", besideSelect), h("span", { class: "grow" }), found, searchBox, h("label", { class: "spare", title: "Show spaces, tabs and line ends" }, signsBox, "spaces")),
      text.element, h("div", { class: "tools" }, h("label", {}, mapTitle, modeSelect), watchedSelect), map.element, besideBox),
    h("div", {}, sentence, h("section", {}, decisionTitle, decision.element, decisionNote),
      h("section", {}, h(H, {}, "This token through all layers", h("span", { class: "spare" }, ": first choice above second")), path),
      h("section", { class: "spare" }, h("div", { class: "row" }, loadTitle, scopeSelect), loads.element, loadNote))),
  caption);
const shadow = host.attachShadow({ mode: "open" });
shadow.append(h("style", {}, style), root);
