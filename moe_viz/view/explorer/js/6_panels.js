// What is known about one decision, one token's path, and who is busy.

function say(layer, t) {
  const chosen = chosenOf(layer, t);
  const names = chosen.map(([e, g], n) => `${n ? "" : "expert "}${e} (${percent(g)})`).join(chosen.length > 2 ? ", " : " and ");
  const taken = new Set(chosen.map(([e]) => e)), next = hasLogits ? ranking(layer, t).find((e) => !taken.has(e)) : undefined;
  let close = "";
  if (next !== undefined && chosen.length) {
    const gap = Math.min(...chosen.map(([e]) => logit(layer, t, e))) - logit(layer, t, next);
    if (Number.isFinite(gap)) close = gap >= 0 ? `; ${next} missed by ${gap.toFixed(2)} logits` : `; by its logits ${next} would have come before`;
  }
  return `In layer ${data.layers[layer]}, ‘${piece(t)}’ ${chosen.length ? "goes to " + names : "goes to no expert"}${close}.`;
}
let decided = "", walked = "";
function paintDecision() {
  const { layer, token } = focus(), key = `${layer} ${token} ${theme.ground}`;
  if (key === decided) return;
  decided = key;
  const p = probabilities(layer, token), taken = new Set(chosenOf(layer, token).map(([e]) => e));
  write(sentence, say(layer, token));
  write(decisionTitle, hasLogits ? `Router, layer ${data.layers[layer]}: softmax over all ${E} experts` : `Router, layer ${data.layers[layer]}: gates of the chosen experts`);
  const scale = Math.max(...p.filter(Number.isFinite), 1e-9);
  p.forEach((x, e) => decision.put(e, x, scale, taken.has(e), Number.isFinite(x) ? percent(x, 1) : "–"));
  const gates = chosenOf(layer, token).map(([, g]) => percent(g));
  write(decisionNote, !gates.length ? "" : `Filled: the chosen. Their gates, ${gates.join(" and ")}, are the softmax over their scores alone.`);
  decision.element.title = decisionNote.textContent;
  const way = `${token} ${theme.ground}`; // the same in every layer: only the mark moves
  if (way !== walked) { walked = way; paintPath(token); }
  path.querySelector("[aria-current=true]")?.setAttribute("aria-current", "false");
  path.children[layer].setAttribute("aria-current", "true");
}
function paintPath(token) {
  path.replaceChildren(...Array.from({ length: L }, (_, l) => {
    const said = say(l, token), button = h("button", { "aria-current": "false", tabindex: -1, title: said, onclick: () => set({ layer: l }) });
    for (const [e] of chosenOf(l, token).slice(0, 2)) {
      const cell = h("span", { class: "cell" }, L <= 16 ? String(e) : "");
      cell.style.background = solid(e); cell.style.color = digitInk(e); button.append(cell);
    }
    if (L > 16) button.setAttribute("aria-label", said);
    return button;
  }));
}

const inScope = (p, scope) => (scope === "all" ? prompts : scope === "label" ? prompts.filter((q) => label(q) === label(p)) : [p]);
function paintLoads() {
  const own = loadOf(state.layer, inScope(current(), scopeSelect.value)), besides = besideOf();
  const theirs = besides && loadOf(state.layer, besides.label ? inScope(besides.prompt, "label") : [besides.prompt]);
  const scale = Math.max(...own, ...(theirs ?? []), 2 / E);
  write(loadTitle, `Load of layer ${data.layers[state.layer]} (even: ${percent(1 / E, 1)})${theirs ? `, beside ${besides.name}` : ""}`);
  write(loadNote, theirs ? `Bar: here; thick line: ${besides.name}; number: difference in points; dashed: even.` : `${K === 1 ? "" : K === 2 ? "Both choices count; d" : `All ${K} choices count; d`}${K === 1 ? "D" : ""}ashed: even.`);
  loads.element.title = loadNote.textContent;
  own.forEach((x, e) => {
    const points = theirs ? 100 * (x - theirs[e]) : 0;
    loads.put(e, x, scale, true, theirs ? (points > 0 ? "+" : "−") + Math.abs(points).toFixed(1) : percent(x, 1));
    loads.tick(e, "uniform", 1 / E, scale, "even: " + percent(1 / E, 1));
    loads.tick(e, "there", theirs ? theirs[e] : null, scale, theirs ? "there: " + percent(theirs[e], 1) : "");
    loads.figure(e, theirs ? `${percent(x, 1)} here, ${percent(theirs[e], 1)} there` : "", theirs ? DIFFERENCE[Math.round(254 * Math.min(Math.max(0.5 + points / 50, 0), 1))] : null);
  });
}
function paintLegend() {
  const swatches = Array.from({ length: E }, (_, e) => {
    const b = h("button", {
      class: "swatch", "aria-pressed": String(state.isolate === e), "aria-label": `Expert ${e}: show only its tokens`, tabindex: -1, onclick: () => isolate(e),
      onpointerenter: () => set({ faded: e }), onpointerleave: () => set({ faded: null }),
    }, String(e));
    b.style.background = solid(e); b.style.color = digitInk(e);
    return b;
  });
  const q = QUANTITIES[state.mode];
  const scale = q ? [h("span", { class: "muted scale" }, `Map: ${q.short ?? q.name}, ${q.ends[0]} `, gradient(palette.cividis), ` ${q.ends[1]}`)] : [];
  legend.replaceChildren(h("span", {}, "Experts of this layer:"), ...swatches, h("span", { class: "muted" }, "token: its first expert, stronger for a larger gate (its weight); line below: all its gates"), ...scale);
}
function gradient(colours) {
  const box = h("span", { class: "gradient", "aria-hidden": "true" });
  box.style.background = `linear-gradient(90deg, ${colours.join(", ")})`;
  return box;
}
