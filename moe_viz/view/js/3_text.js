// A prompt's text, each token coloured by its first choice in the chosen layer.

const MOST = 400; // tokens drawn at once: each of thousands would be painted again in every frame
const SIGNS = { "\n": "⏎", "\t": "⇥", " ": "·" };

class TextView {
  constructor(name) {
    this.element = h("div", { class: "text", tabindex: 0, role: "region", "aria-label": name });
    this.element.addEventListener("pointermove", (e) => { const t = this.tokenOf(e); set({ hover: t === null ? null : { layer: state.layer, token: t } }); });
    this.element.addEventListener("pointerleave", () => set({ hover: null }));
    this.element.addEventListener("click", (e) => { const t = this.tokenOf(e); if (t !== null) this.onpick(t); });
    this.chips = new Map();
    this.prompt = null;
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
    this.chips = new Map(); this.painted = ""; this.tops = null;
    for (let t = from; t < to; t++) {
      const a = spans[2 * t], b = spans[2 * t + 1];
      const shares = t > from && b - a === 1 && !isSpecial(t) && spans[2 * t - 2] === a && spans[2 * t - 1] === b;
      if (shares) { // one more byte of the same character: another stripe of it
        const chip = nodes.at(-1); chip.bytes.push(t); this.chips.set(t, chip); continue;
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
  // Colours hang on little: the pointer's way over a long text repaints none.
  paint() {
    const only = state.faded ?? state.isolate, key = `${theme.ground} ${state.layer} ${only} ${state.query}`;
    if (key === this.painted) return;
    this.painted = key;
    // Those in sight now, the others when there is time: a frame has 16 milliseconds.
    if (this.width !== this.element.clientWidth || !this.tops) { // where each token stands hangs on the width alone
      this.width = this.element.clientWidth;
      this.tops = [...new Set(this.chips.values())].map((chip) => [chip, chip.offsetTop - this.element.offsetTop]);
    }
    const top = this.element.scrollTop - 30, bottom = top + this.element.clientHeight + 60, seen = [], rest = [];
    for (const [chip, y] of this.tops) (y >= top && y <= bottom ? seen : rest).push(chip);
    this.paintChips(seen, only);
    clearTimeout(this.later);
    if (rest.length) this.later = setTimeout(() => { if (this.painted === key) this.paintChips(rest, only); }, 120);
  }
  paintChips(chips, only) {
    for (const chip of chips) {
      const t = chip.bytes[0], layer = state.layer;
      chip.classList.toggle("faded", only !== null && !chip.bytes.some((b) => involves(layer, b, only)));
      chip.classList.toggle("hit", chip.bytes.some((b) => hits.has(b)));
      if (isSpecial(t) || choice(layer, t, 0) < 0) { chip.style.background = ""; continue; }
      const n = chip.bytes.length, one = n === 1 ? css(mixed(colour(choice(layer, t, 0)), theme.ground, strength(gate(layer, t, 0)))) : "";
      const stripes = chip.bytes.map((b, i) => `${css(mixed(colour(Math.max(0, choice(layer, b, 0))), theme.ground, strength(gate(layer, b, 0))))} ${(100 * i) / n}% ${(100 * (i + 1)) / n}%`);
      // Below, the gates of all k choices, in full colour.
      const bar = []; let at = 0;
      for (const [e, g] of chosenOf(layer, t)) bar.push(`${colour(e)} ${100 * at}% ${100 * (at += g)}%`);
      chip.style.background = `linear-gradient(90deg, ${bar.join(", ")}) bottom / 100% 4px no-repeat${one ? ` ${one}` : `, linear-gradient(90deg, ${stripes.join(", ")})`}`;
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
    if (this.prompt && t >= this.prompt.start && t < this.prompt.stop && !this.chips.has(t)) { this.show(this.prompt, t); this.paint(); }
    const chip = this.chips.get(t);
    if (!chip) return;
    const box = chip.getBoundingClientRect(), frame = this.element.getBoundingClientRect(), scale = frame.height / this.element.offsetHeight || 1;
    if (box.top < frame.top || box.bottom > frame.bottom) this.element.scrollTop += (box.top - frame.top) / scale - this.element.clientHeight / 2;
  }
}
