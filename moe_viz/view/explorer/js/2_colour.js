// Colours: experts, quantities, and the theme that they are mixed into.

let theme = palette.light;
const parsed = new Map(); // a dozen colours, asked for a thousand times in a frame
function rgb(hex) {
  if (!parsed.has(hex)) parsed.set(hex, [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16)));
  return parsed.get(hex);
}
const mixed = (a, b, share) => { const y = rgb(b); return rgb(a).map((v, n) => Math.round(v * share + y[n] * (1 - share))); };
const css = (c) => `rgb(${c[0]} ${c[1]} ${c[2]})`;
const hex = (c) => "#" + c.map((v) => v.toString(16).padStart(2, "0")).join("");
const colour = (e) => palette.experts[e % palette.experts.length];
const digitInk = (e) => (palette.white.includes(e % palette.experts.length) ? "#fff" : "#000");
// Beyond eight experts colours repeat; a hatch tells the groups apart, the number is always there.
const hatch = (e) => {
  const group = Math.floor(e / palette.experts.length);
  return group ? `repeating-linear-gradient(${45 * group}deg, transparent 0 4px, #0005 4px 5px), ` : "";
};
const filled = (e, c) => `${hatch(e)}linear-gradient(${c}, ${c})`;
const solid = (e) => filled(e, colour(e));
const faint = (e) => filled(e, css(mixed(colour(e), theme.ground, theme === palette.dark ? 0.45 : 0.3)));

const scaleOf = (anchors) => Array.from({ length: 255 }, (_, n) => {
  const at = (n / 254) * (anchors.length - 1), i = Math.min(Math.floor(at), anchors.length - 2);
  return mixed(anchors[i + 1], anchors[i], at - i);
});
const CIVIDIS = scaleOf(palette.cividis), DIFFERENCE = scaleOf(palette.difference);

// How strongly a token's background takes its expert's colour, by the gate.
const strength = (g) => {
  const x = K > 1 ? (g - 1 / K) / (1 - 1 / K) : 1;
  return theme.faintest + (theme.strongest - theme.faintest) * Math.min(Math.max(x || 0, 0), 1);
};
