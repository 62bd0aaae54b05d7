// What is known about one decision, one token's path, and who is busy.

function bar(e, x, scale, chosen, value, ...marks) {
  const fill = h("div", { class: "fill" + (chosen ? "" : " other") }), number = h("div", { class: "n" }, String(e));
  fill.style.width = Math.max(0, Math.min(1, x / scale || 0)) * 100 + "%"; fill.style.background = chosen ? solid(e) : faint(e); if (!chosen) fill.style.borderColor = colour(e);
  number.style.background = colour(e); number.style.color = digitInk(e);
  return [number, h("div", { class: "track" }, fill, ...marks), value instanceof Node ? value : h("div", { class: "value" }, value)];
}
function tick(kind, x, scale, title) {
  const line = h("div", { class: kind, title });
  line.style.left = (100 * x) / scale + "%";
  return line;
}
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
let decided = "";
function paintDecision() {
  const { layer, token } = focus(), key = `${layer} ${token} ${theme.ground}`;
  if (key === decided) return;
  decided = key;
  const p = probabilities(layer, token), taken = new Set(chosenOf(layer, token).map(([e]) => e));
  sentence.textContent = say(layer, token);
  decisionTitle.textContent = hasLogits ? `Router, layer ${data.layers[layer]}: softmax over all ${E} experts` : `Router, layer ${data.layers[layer]}: gates of the chosen experts`;
  const scale = Math.max(...p.filter(Number.isFinite), 1e-9);
  decision.replaceChildren(...p.flatMap((x, e) => bar(e, x, scale, taken.has(e), Number.isFinite(x) ? percent(x, 1) : "–")));
  const gates = chosenOf(layer, token).map(([, g]) => percent(g));
  decisionNote.textContent = !gates.length ? "" : `Filled: the chosen. Their gates, ${gates.join(" and ")}, are the softmax over their scores alone.`;
  decision.title = decisionNote.textContent;
  path.replaceChildren(...Array.from({ length: L }, (_, l) => {
    const button = h("button", { "aria-current": String(l === layer), tabindex: -1, title: say(l, token), onclick: () => set({ layer: l }) });
    for (const [e] of chosenOf(l, token).slice(0, 2)) {
      const cell = h("span", { class: "cell" }, L <= 16 ? String(e) : "");
      cell.style.background = solid(e); cell.style.color = digitInk(e); button.append(cell);
    }
    if (L > 16) button.setAttribute("aria-label", say(l, token));
    return button;
  }));
}

const inScope = (p, scope) => (scope === "all" ? prompts : scope === "label" ? prompts.filter((q) => label(q) === label(p)) : [p]);
function paintLoads() {
  const own = loadOf(state.layer, inScope(current(), scopeSelect.value)), besides = besideOf();
  const theirs = besides && loadOf(state.layer, besides.label ? inScope(besides.prompt, "label") : [besides.prompt]);
  const scale = Math.max(...own, ...(theirs ?? []), 2 / E), even = () => tick("uniform", 1 / E, scale, "even: " + percent(1 / E, 1));
  loadTitle.textContent = `Load of layer ${data.layers[state.layer]} (even: ${percent(1 / E, 1)})${theirs ? `, beside ${besides.name}` : ""}`;
  loadNote.textContent = theirs ? `Bar: here; thick line: ${besides.name}; number: difference in points; dashed: even.` : `${K === 1 ? "" : K === 2 ? "Both choices count; d" : `All ${K} choices count; d`}${K === 1 ? "D" : ""}ashed: even.`;
  loads.title = loadNote.textContent;
  loads.replaceChildren(...own.flatMap((x, e) => {
    if (!theirs) return bar(e, x, scale, true, percent(x, 1), even());
    const points = 100 * (x - theirs[e]), value = h("div", { class: "value difference", title: `${percent(x, 1)} here, ${percent(theirs[e], 1)} there` }, (points > 0 ? "+" : "−") + Math.abs(points).toFixed(1));
    const shade = DIFFERENCE[Math.round(254 * Math.min(Math.max(0.5 + points / 50, 0), 1))];
    value.style.background = css(shade); value.style.color = shade[0] + shade[1] + shade[2] > 380 ? "#000" : "#fff";
    return bar(e, x, scale, true, value, even(), tick("there", theirs[e], scale, "there: " + percent(theirs[e], 1)));
  }));
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
  const scale = q ? [h("span", { class: "muted scale" }, `Map: ${q.name}, ${q.ends[0]} `, gradient(palette.cividis), ` ${q.ends[1]}`)] : [];
  legend.replaceChildren(h("span", {}, "Experts of this layer:"), ...swatches, h("span", { class: "muted" }, "token: its first expert, stronger for a larger gate (its weight); line below: all its gates"), ...scale);
}
function gradient(colours) {
  const box = h("span", { "aria-hidden": "true" });
  box.style.cssText = `display:inline-block;width:96px;height:10px;background:linear-gradient(90deg,${colours.join(",")})`;
  return box;
}
