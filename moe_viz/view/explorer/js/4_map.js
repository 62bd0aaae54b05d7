// The map: tokens from left to right, layers from top to bottom, and a strip of the whole below.

class MapView {
  constructor() {
    this.base = h("canvas", { role: "img" });
    // What is marked lies above the picture, so that the picture need not be painted again.
    this.rings = ["row", "column", "cell"].map((kind) => h("div", { class: `ring ${kind}` }));
    this.marks = h("div", { class: "marks", "aria-hidden": "true" }, ...this.rings);
    this.overview = h("canvas", { class: "overview", "aria-hidden": "true" });
    this.axis = h("div", { class: "axis", "aria-hidden": "true" });
    this.ends = h("div", { class: "ends" }, h("span"), h("span", { class: "hint" }, "click, then wheel: zoom · drag the strip: move · double click: all"), h("span"));
    this.stack = h("div", { class: "stack" }, this.base, this.marks);
    this.element = h("div", { class: "map" }, h("span", { class: "end" }, "input"), h("span"), this.axis, this.stack, h("span", { class: "end" }, "output"), this.ends, h("span", { class: "end" }, "whole"), this.overview);
    this.prompt = null; this.view = [0, 1]; this.painted = "";
    this.tiny = document.createElement("canvas");
    const at = this.marks;
    at.addEventListener("pointermove", (e) => set({ hover: this.spot(e) }));
    at.addEventListener("pointerleave", () => set({ hover: null }));
    at.addEventListener("click", (e) => { const { layer, token } = this.spot(e); set({ layer, hover: null }); this.onpick(token); root.focus({ preventScroll: true }); });
    at.addEventListener("dblclick", () => this.pan(this.prompt.start, Infinity));
    at.addEventListener("wheel", (e) => {
      if (!e.ctrlKey && root !== shadow.activeElement) return; // an unfocused picture lets the page scroll
      e.preventDefault();
      const [a, b] = this.view, x = across(at, e), size = Math.round(Math.max((b - a) * (e.deltaY > 0 ? 1.25 : 0.8), 8));
      this.pan(a + x * (b - a) - x * Math.min(size, this.prompt.stop - this.prompt.start), size);
    }, { passive: false });
    const drag = (e) => { if (e.buttons) { const p = this.prompt, [a, b] = this.view; this.pan(p.start + across(this.overview, e) * (p.stop - p.start) - (b - a) / 2); } };
    this.overview.addEventListener("pointerdown", (e) => { this.overview.setPointerCapture(e.pointerId); drag(e); });
    this.overview.addEventListener("pointermove", drag);
  }
  onpick(token) { set({ token }); text.reveal(token); }
  show(p) { this.prompt = p; this.view = [p.start, p.stop]; }
  pan(start, size = this.view[1] - this.view[0]) {
    const p = this.prompt, length = Math.min(size, p.stop - p.start), a = Math.round(Math.min(Math.max(start, p.start), p.stop - length));
    this.view = [a, a + length];
    draw();
  }
  reveal(t) {
    const [a, b] = this.view;
    if (t < a || t >= b) this.pan(t - (b - a) / 2);
  }

  // ---- Where things are

  rowHeight() { return Math.round(zoom * (L <= 8 ? (state.page ? 40 : 24) : L <= 16 ? 14 : state.page ? 11 : 7)); }
  rowTop(l) { return l * this.rowHeight() + (L > 8 ? Math.round(3 * zoom) * Math.floor(l / 8) : 0); }
  get height() { return this.rowTop(L - 1) + this.rowHeight(); }
  spot(event) {
    const box = this.marks.getBoundingClientRect(), y = ((event.clientY - box.top) / box.height) * this.height, [a, b] = this.view;
    let layer = L - 1;
    while (layer > 0 && y < this.rowTop(layer)) layer--;
    return { layer, token: Math.min(Math.max(Math.floor(a + across(this.marks, event) * (b - a)), a), b - 1) };
  }

  // ---- Painting

  look() { this.width = Math.min(this.stack.clientWidth || 600, 4096); }
  paint() {
    const { width } = this, only = state.faded ?? state.isolate;
    const key = [this.view, width, zoom, theme.ground, state.mode, state.mode === "expert" ? state.watched : "", only].join(" ");
    if (key !== this.painted) { this.painted = key; this.paintBase(width); }
    const strip = `${this.prompt.start} ${this.view} ${width} ${zoom} ${theme.ground} ${state.layer} ${state.mode} ${state.watched} ${only} ${state.query}`;
    if (strip !== this.strip) { this.strip = strip; this.paintOverview(width); }
    this.paintMarks(width);
  }
  paintBase(width) {
    const [from, to] = this.view, n = to - from, g = sized(this.base, width, this.height);
    if (!g) return; // no canvas here: text, decision and loads do without
    const columns = Math.min(n, Math.floor(width)), cell = width / columns;
    // One point for each column and layer, then stretched: thousands of rectangles cost more.
    this.tiny.width = columns; this.tiny.height = L;
    const small = this.tiny.getContext("2d"), picture = small.createImageData(columns, L);
    paintCells(picture.data, columns, from, n, 0, L);
    small.putImageData(picture, 0, 0);
    g.fillStyle = theme.ground; g.fillRect(0, 0, width, this.height);
    g.imageSmoothingEnabled = false;
    const rowHeight = this.rowHeight(), gap = L <= 8 ? 1 : 0.5;
    for (let l = 0; l < L; l++) g.drawImage(this.tiny, 0, l, columns, 1, 0, this.rowTop(l), width, rowHeight - gap);
    if (cell > 3) for (let c = 1; c < columns; c++) g.fillRect(c * cell - 0.5, 0, 0.5, this.height);
    if (state.mode === "first" && cell >= 12 * zoom && rowHeight >= 12 * zoom && columns === n && (state.faded ?? state.isolate) === null) {
      g.font = `600 ${11 * zoom}px system-ui, sans-serif`; g.textAlign = "center"; g.textBaseline = "middle";
      for (let l = 0; l < L; l++) for (let c = 0; c < n; c++) {
        const e = choice(l, from + c, 0);
        if (e < 0 || isSpecial(from + c)) continue;
        g.fillStyle = digitInk(e); g.fillText(e, (c + 0.5) * cell, this.rowTop(l) + rowHeight / 2);
      }
    }
    this.base.setAttribute("aria-label", `Map of ${n} tokens by ${L} layers of ${data.model}, layer ${data.layers[0]} on top; colour: ${state.mode === "first" ? "number of the first-choice expert within its layer" : QUANTITIES[state.mode].name}.`);
    const p = this.prompt;
    this.ends.firstChild.textContent = from === p.start ? "first token" : `token ${from - p.start}`;
    this.ends.lastChild.textContent = to === p.stop ? "last token" : `token ${to - 1 - p.start}`;
  }
  paintMarks(width) {
    const [from, to] = this.view, at = focus(), cell = width / (to - from), rowHeight = this.rowHeight(), top = this.rowTop(at.layer);
    const [row, column, point] = this.rings, inside = at.token >= from && at.token < to;
    const place = (ring, x, y, w, h) => { ring.style.transform = `translate(${x}px, ${y}px)`; ring.style.width = w + "px"; ring.style.height = h + "px"; };
    place(row, 0, top, width, rowHeight);
    // The ring never covers what it marks: around a thin column it is wider than the column.
    const w = Math.max(cell, 8), x = Math.min(Math.max((at.token - from + 0.5) * cell - w / 2, 0), width - w);
    column.hidden = point.hidden = !inside;
    place(column, x, 0, w, this.height); place(point, x, top, w, rowHeight);
    const key = `${at.layer} ${rowHeight} ${zoom}`;
    if (key === this.axisKey) return;
    this.axisKey = key;
    const rows = L <= 8 ? data.layers.map((_, i) => i) : [0, 8, 16, 24, L - 1].filter((i, n, all) => i < L && all.indexOf(i) === n);
    this.axis.replaceChildren(...rows.map((i) => { const s = h("span", { class: i === at.layer ? "here" : "" }, String(data.layers[i])); s.style.top = this.rowTop(i) + rowHeight / 2 + "px"; return s; }));
  }
  paintOverview(width) {
    const p = this.prompt, n = p.stop - p.start, height = Math.round(16 * zoom), bar = height / 2, g = sized(this.overview, width, height);
    if (!g) return;
    const columns = Math.min(n, Math.floor(width));
    this.tiny.width = columns; this.tiny.height = 1;
    const small = this.tiny.getContext("2d"), picture = small.createImageData(columns, 1);
    paintCells(picture.data, columns, p.start, n, state.layer, state.layer + 1);
    small.putImageData(picture, 0, 0);
    g.imageSmoothingEnabled = false;
    g.drawImage(this.tiny, 0, bar / 2, width, bar);
    g.fillStyle = theme.ink;
    for (const t of hits) if (t >= p.start && t < p.stop) g.fillRect(((t - p.start) / n) * width - 1, 0, 2, bar / 2);
    const x = ((this.view[0] - p.start) / n) * width, w = ((this.view[1] - this.view[0]) / n) * width;
    g.strokeStyle = theme.ink; g.lineWidth = 2; g.strokeRect(x + 1, 1, Math.max(w - 2, 2), height - 2);
  }
}

// Offsets are divided by the drawn size, so that they hold under reveal's scaling too.
const across = (canvas, event) => { const box = canvas.getBoundingClientRect(); return (event.clientX - box.left) / box.width; };
function sized(canvas, width, height) {
  const ratio = Math.min(devicePixelRatio || 1, 2), g = canvas.getContext("2d"), w = Math.round(width * ratio), t = Math.round(height * ratio);
  if (!g) return null;
  if (canvas.width !== w || canvas.height !== t) { canvas.width = w; canvas.height = t; canvas.style.height = height + "px"; }
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  return g;
}

// Colours of n tokens from `from` on, in `columns` columns, for layers `first` up to `last`. A column
// of several tokens shows the commonest expert, paler the smaller its share. Hues are never averaged:
// a mixture of two experts' colours would be a third expert's.
function paintCells(out, columns, from, n, first, last) {
  const only = state.faded ?? state.isolate, counts = new Uint32Array(E), ground = rgb(theme.ground), LEVELS = 64;
  const shades = state.mode === "first" ? Array.from({ length: E }, (_, e) => Array.from({ length: LEVELS + 1 }, (_, s) => mixed(colour(e), theme.ground, s / LEVELS))) : null;
  const values = shades ? null : quantity(state.mode);
  for (let l = first, pixel = 0; l < last; l++) for (let c = 0; c < columns; c++, pixel += 4) {
    const a = from + Math.floor((c * n) / columns), b = Math.max(a + 1, from + Math.floor(((c + 1) * n) / columns));
    let paint = ground;
    if (values) {
      let sum = 0, found = 0;
      for (let t = a; t < b; t++) { const v = values[l * T + t]; if (v !== 255) { sum += v; found++; } }
      if (found) paint = CIVIDIS[Math.round(sum / found)];
    } else {
      let best = -1, most = 0;
      for (let t = a, i = (l * T + a) * K; t < b; t++, i += K) { const e = experts[i]; if (e >= 0 && ++counts[e] > most) { most = counts[e]; best = e; } }
      counts.fill(0);
      if (best >= 0) {
        let level = b - a === 1 ? (isSpecial(a) ? 0.3 : 1) : 0.25 + 0.75 * (most / (b - a));
        if (only !== null && best !== only && !(b - a === 1 && involves(l, a, only))) level *= 0.15;
        paint = shades[best][Math.round(level * LEVELS)];
      }
    }
    out[pixel] = paint[0]; out[pixel + 1] = paint[1]; out[pixel + 2] = paint[2]; out[pixel + 3] = 255;
  }
}
