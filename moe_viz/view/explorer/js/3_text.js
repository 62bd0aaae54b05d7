// A prompt's text, each token coloured by its first choice in the chosen layer.

const MOST = 400; // tokens drawn at once: each of thousands would be painted again in every frame
const SIGNS = { "\n": "⏎", "\t": "⇥", " ": "·" };

class TextView {
  constructor(name) {
    this.element = h("div", { class: "text", tabindex: 0, role: "region", "aria-label": name });
    this.element.addEventListener("pointermove", (e) => { const t = this.tokenOf(e); set({ hover: t === null ? null : { layer: state.layer, token: t } }); });
    this.element.addEventListener("pointerleave", () => set({ hover: null }));
    this.element.addEventListener("scroll", () => { if (this.due.size) { this.look(); this.paintSeen(); } });
    this.element.addEventListener("click", (e) => { const t = this.tokenOf(e); if (t !== null) this.onpick(t); });
    this.chips = new Map(); this.due = new Map();
    this.prompt = this.only = null;
  }
  onpick(t) { set({ token: t }); }
  tokenOf(event) {
    const chip = event.target.closest?.(".tok");
    return chip ? chip.bytes[0] : null;
  }
  // Draw a prompt, around a token where not all of it is drawn.
  show(p, around = p.start) {
    this.prompt = p;
    const from = Math.max(p.start, Math.min(around - MOST / 2, p.stop - MOST)), to = Math.min(p.stop, from + MOST);
    const characters = Array.from(p.text), nodes = [];
    this.chips = new Map(); this.painted = ""; this.due = new Map(); this.width = null;
    for (let t = from; t < to; t++) {
      const a = spans[2 * t], b = spans[2 * t + 1];
      const shares = t > from && b - a === 1 && !isSpecial(t) && spans[2 * t - 2] === a && spans[2 * t - 1] === b;
      if (shares) { // one more byte of the same character: another stripe of it
        const chip = nodes.at(-1); chip.bytes.push(t); chip.classList.add("bytes"); this.chips.set(t, chip); continue;
      }
      const chip = h("span", { class: "tok" + (isSpecial(t) ? " special" : "") + (flags[t] & 2 ? " generated" : "") });
      const shown = isSpecial(t) || b === a ? [isSpecial(t) ? piece(t) + " " : ""] : characters.slice(a, b);
      for (const c of shown) chip.append(...this.character(c));
      chip.bytes = [t];
      nodes.push(chip); this.chips.set(t, chip);
    }
    const more = (n, where, at) => (n > 0 ? [h("button", { class: "more", tabindex: -1, onclick: (e) => { e.stopPropagation(); this.show(p, at); draw(); } }, `… ${n.toLocaleString("en")} tokens ${where} …`)] : []);
    this.element.replaceChildren(...more(from - p.start, "before", from - MOST / 4), ...nodes, ...more(p.stop - to, "after", to + MOST / 4));
    this.element.classList.toggle("code", ["python", "c", "javascript", "html", "code"].includes(p.label));
    // Where runs of spaces mean something all are kept; elsewhere none hangs, coloured, after a line.
    this.element.classList.toggle("exact", state.signs || /[ \t]{2}|(^|\n)[ \t]/.test(p.text));
    this.element.scrollTop = 0;
  }
  character(c) {
    if (c === " " && state.signs) return [h("span", { class: "sign" }, SIGNS[c])];
    if (c !== " " && SIGNS[c]) return [h("span", { class: "sign" }, SIGNS[c]), c];
    if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(c)) return [h("span", { class: "sign" }, "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0"))];
    return [c];
  }
  // How far down each token stands, which hangs on the width and the size of type; and what is in sight.
  look() {
    const { element } = this, width = `${element.clientWidth} ${zoom}`;
    if (width !== this.width) {
      this.width = width;
      const all = [...new Set(this.chips.values())], first = all[0]?.offsetTop;
      this.tops = new Map(all.map((chip) => [chip, chip.offsetTop - first]));
    }
    this.top = element.scrollTop; this.bottom = this.top + element.clientHeight;
  }
  // Colours hang on little: the pointer's way over a long text repaints none.
  paint() {
    const only = state.faded ?? state.isolate, key = `${theme.ground} ${state.layer} ${only} ${state.query}`;
    if (key === this.painted) return;
    this.painted = key;
    // A transition costs each token time whenever its style changes: only where some may fade.
    this.element.classList.toggle("fading", only !== null || only !== this.only);
    this.only = only;
    // Those in sight now, the others when they come into sight or there is time: a frame has 16 ms.
    this.due = new Map(this.tops);
    this.paintSeen();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.paintAll(), 120);
  }
  paintSeen() {
    const above = this.top - 60 * zoom; // a long token may reach down from two lines above
    const seen = [...this.due].filter(([, y]) => y > above && y < this.bottom);
    this.paintChips(seen.map(([chip]) => chip));
  }
  paintAll() {
    this.paintChips([...this.due.keys()]);
    if (this.query !== state.query) { this.query = state.query; this.width = null; } // hits are bold: lines break elsewhere
  }
  paintChips(chips) {
    const { layer } = state, { only } = this;
    for (const chip of chips) {
      this.due.delete(chip);
      const t = chip.bytes[0], n = chip.bytes.length;
      chip.classList.toggle("faded", only !== null && !chip.bytes.some((b) => involves(layer, b, only)));
      chip.classList.toggle("hit", chip.bytes.some((b) => hits.has(b)));
      if (isSpecial(t) || choice(layer, t, 0) < 0) { chip.style.backgroundImage = chip.style.backgroundColor = ""; continue; }
      const shade = (b) => css(mixed(colour(Math.max(0, choice(layer, b, 0))), theme.ground, strength(gate(layer, b, 0))));
      // Below, the gates of all k choices, in full colour: each from where the one before ends.
      const bar = []; let at = 0;
      for (let s = 0; s < K; s++) if (choice(layer, t, s) >= 0) bar.push(`${colour(choice(layer, t, s))} 0 ${100 * (at += gate(layer, t, s) || 0)}%`);
      const stripes = n === 1 ? "" : `, linear-gradient(90deg, ${chip.bytes.map((b, i) => `${shade(b)} 0 ${(100 * (i + 1)) / n}%`).join(", ")})`;
      chip.style.backgroundColor = n === 1 ? shade(t) : "";
      chip.style.backgroundImage = (at > 0 ? `linear-gradient(90deg, ${bar.join(", ")})` : "none") + stripes; // none: no gate is a number
    }
  }
  mark(t) {
    const chip = this.chips.get(t);
    if (chip === this.marked) return;
    this.marked?.classList.remove("chosen");
    chip?.classList.add("chosen");
    this.marked = chip;
  }
  // Bring a token into sight: into the part that is drawn, and into the frame.
  reveal(t) {
    if (this.prompt && t >= this.prompt.start && t < this.prompt.stop && !this.chips.has(t)) { this.show(this.prompt, t); this.look(); this.paint(); }
    const chip = this.chips.get(t);
    if (!chip) return;
    const box = chip.getBoundingClientRect(), frame = this.element.getBoundingClientRect(), scale = frame.height / this.element.offsetHeight || 1;
    if (box.top < frame.top || box.bottom > frame.bottom) this.element.scrollTop += (box.top - frame.top) / scale - this.element.clientHeight / 2;
  }
}
