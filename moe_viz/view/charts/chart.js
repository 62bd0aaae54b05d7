// Draws one chart of plotly where its description stands, and follows theme and size.
// In: `id` of its element, with its figure and the packed plotly beside it; `palette`, the themes.
const host = document.getElementById(id);
const chart = JSON.parse(document.getElementById(id + "-data").textContent);
if (!host || host.dataset.drawn) return;
host.dataset.drawn = "yes";
const say = (text) => { host.querySelector(".moe-viz-status").textContent = text; };

// On a slide, type that the last row of a lecture room can read.
const size = host.closest(".reveal") ? 18 : 13;
const themed = () => (isDark() ? palette.dark : palette.light);
const template = () => {
  const t = themed(), axis = { automargin: true, title: { standoff: 8 }, gridcolor: t.line, linecolor: t.line, zerolinecolor: t.line, tickcolor: t.line };
  const box = { bgcolor: t.ground, bordercolor: t.line, font: { color: t.ink } };
  return { layout: {
    paper_bgcolor: t.ground, plot_bgcolor: t.ground, font: { color: t.ink, size }, uniformtext: { minsize: size, mode: "hide" }, xaxis: axis, yaxis: axis,
    sliderdefaults: { ...box, bgcolor: t.muted, bordercolor: t.muted, activebgcolor: t.ink, tickcolor: t.muted }, updatemenudefaults: box,
    hoverlabel: { bgcolor: t.ground, bordercolor: t.ink, font: { color: t.ink } },
  } };
};
const paint = () => {
  const t = themed();
  Object.assign(host.style, { color: t.ink, background: t.ground, borderColor: t.line });
  host.style.colorScheme = isDark() ? "dark" : "light";
};

// Plotly is in a page once; the first chart unpacks it, and the others wait for that.
async function plotly() {
  if (window.Plotly) return window.Plotly;
  window.moeVizPlotly ??= unpacked();
  return window.moeVizPlotly;
}
async function unpacked() {
  const packed = document.querySelector("script.moe-viz-plotly");
  if (!packed) throw new Error("the drawing library is not in this page");
  const bytes = Uint8Array.from(atob(packed.textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = await new Response(stream).text();
  // As a function, so that a module loader that the page may have (require.js) is left alone.
  const module = { exports: {} };
  new Function("module", "exports", "define", "self", code)(module, module.exports, undefined, window);
  window.Plotly = module.exports.newPlot ? module.exports : window.Plotly;
  return window.Plotly;
}

const buttons = host.querySelector(".moe-viz-buttons");
// A saved picture keeps the line that the page has above it: what is drawn, and of which model.
const picture = (format) => {
  const above = 36, layout = { ...plot.layout, height: plot.layout.height + above, margin: { ...plot.layout.margin, t: (plot.layout.margin?.t ?? 16) + above } };
  layout.title = { text: `<b>${chart.title}</b>`, font: { size: 16 }, x: 0.01, xanchor: "left", y: 1, yanchor: "top", yref: "container", pad: { t: 12 } };
  return Plotly.downloadImage({ data: plot.data, layout }, { format, filename: chart.name, width: plot.offsetWidth, height: layout.height, scale: format === "png" ? 2 : 1 });
};
const download = (kind) => {
  if (kind !== "csv") return picture(kind);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([chart.csv], { type: "text/csv" }));
  link.download = chart.name + ".csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const plot = host.querySelector(".moe-viz-plot");
paint();
try {
  const Plotly = await plotly();
  // A figure on a hidden slide has no width yet: it is drawn when it is first seen.
  if (!plot.offsetWidth) await new Promise((seen) => {
    const watch = new ResizeObserver(() => { if (plot.offsetWidth) { watch.disconnect(); seen(); } });
    watch.observe(plot);
  });
  // As high as the page gives it: a slide's style sheet may give less than the figure asked for.
  const layout = { ...chart.figure.layout, template: template(), autosize: true, height: plot.offsetHeight };
  if (layout.legend?.y < 0) layout.legend.y *= chart.figure.layout.height / layout.height; // as many pixels below
  await Plotly.newPlot(plot, chart.figure.data, layout, { showSendToCloud: false, displaylogo: false, displayModeBar: false, responsive: false, scrollZoom: false });
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", chart.title + ". " + chart.sentence);
  let dark = isDark();
  const retheme = () => {
    paint();
    if (!plot.offsetWidth || isDark() === dark) return; // out of sight: when it is seen again
    dark = !dark;
    Plotly.relayout(plot, { template: template() });
  };
  onThemeChange(retheme);
  new ResizeObserver(() => { if (plot.offsetWidth) { retheme(); Plotly.Plots.resize(plot); } }).observe(plot);
  for (const kind of ["png", "svg", "csv"]) {
    const button = document.createElement("button");
    button.textContent = kind.toUpperCase();
    button.type = "button";
    button.title = "Save as " + kind.toUpperCase();
    button.addEventListener("click", () => download(kind));
    buttons.append(button);
  }
  const steps = layout.sliders?.[0].steps ?? [];
  if (steps.length) { // plotly's slider knows the pointer only
    plot.tabIndex = 0;
    // Plotly keeps presses to itself; after one in the chart, keys are meant for it.
    plot.addEventListener("pointerdown", () => plot.focus({ preventScroll: true }), true);
    plot.setAttribute("aria-label", plot.getAttribute("aria-label") + " Arrow keys move the slider.");
    host.querySelector(".moe-viz-status").setAttribute("role", "status");
    const step = async (move) => {
      const now = plot.layout.sliders[0].active ?? 0, next = Math.min(Math.max(now + move, 0), steps.length - 1);
      await Plotly.update(plot, steps[next].args[0], { "sliders[0].active": next }, steps[next].args[1]);
      say((plot.layout.sliders[0].currentvalue?.prefix ?? "") + steps[next].label);
    };
    let last = Promise.resolve(); // keys come faster than drawings
    plot.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!move) return;
      event.preventDefault();
      last = last.then(() => step(move));
    });
  }
  // Keys meant for a chart's slider or table must not change slides or cells.
  host.addEventListener("keydown", (event) => { if (event.key !== "Tab") event.stopPropagation(); });
  host.dataset.ready = "yes";
} catch (error) {
  plot.style.height = "auto";
  say("The chart cannot be drawn here (" + error.message + "). Its data are in the table below.");
}
