# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# # Expert heatmaps: five languages and code
#
# What a picture of routing shows, and what it does not. All pictures are of 8x7m, a model of
# Mixtral's shape with 24 million parameters.
# -->
# # Expert heatmaps: five languages and code
#
# A quarter of an hour of reading, and five minutes for the sections marked *further*; about 8
# seconds on two cores, 2 GB of memory, no network.
#
# Afterwards you can
#
# - read a heatmap of routing, and say what a colour is and what it is not;
# - say in which layers a passage is routed differently in another language;
# - show that an expert's number means nothing in another layer;
# - further: tell close decisions from clear ones, and say what rounding does to them.

# %% tags=["install", "hide_code"] jupyter={"source_hidden": true} slideshow={"slide_type": "skip"}
# Installs moe_viz where it is missing, from the clone that this notebook lies in.
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("moe_viz") is None:
    clone = Path.cwd().parent
    if not (clone / "moe_viz" / "__init__.py").exists():
        sys.exit("moe_viz is missing. Open this notebook in a clone of its repository.")
    source = f"{clone}[model,arrow,analysis]"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# In the deck, Tab moves into a picture. Then ← → move through tokens, ↑ ↓ through layers, 0 – 7
# show one expert, / finds a token, Esc shows all again. Esc once more leaves the picture, and the
# arrow keys change slides again. (Tab goes on to its buttons and menus.)
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Record one passage in five languages, and a program
# -->
# ## 1 · One passage in five languages, and a program
#
# `8x7m` has Mixtral's architecture and is not Mixtral: 6 layers, 8 experts in each, and for every
# token a router picks 2 of them. We record what the routers say about one passage, written in each
# of five languages, and about a Python program.

# %% slideshow={"slide_type": "skip"}
from itertools import combinations

import numpy as np

import moe_viz as mv

# %% slideshow={"slide_type": "-"} tags=["show_code"]
model = mv.load("8x7m")
prompts = mv.prompts.passages().parallel("software_install")
prompts += mv.prompts.code().select("python", "gcd")
trace = mv.record(model, prompts, loss=True)
trace

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A colour is an expert: click on *Python*. Who is second?
# -->
# In the picture a token's colour is its *first choice*: of the eight experts of that layer, the
# one with the highest score. Click on a token: at the right are all eight, and below them its two
# in every layer.

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## In how many of the six layers will more than half of the French passage have one colour?
#
# - in none
# - in two
# - in four
# - in all six
# -->
# ## 2 · Predict
#
# **Write down a number:** in how many of the six layers will more than half of the French passage
# have the same colour?
#
# Then look: French is open, in layer 0. Click into the picture, and go down through the layers with
# ↓.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Press ↓ five times: where does one colour take over?
# -->
# ## The French passage

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace, prompt=1)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Only in the last layers does one colour take more than half of a passage
# -->
# ## 3 · The answer
#
# The share of tokens that have the commonest colour of their passage. The *untrained twin* has the
# same architecture, reads the same tokens, and has random weights: what it does too is not a result
# of training.

# %% slideshow={"slide_type": "skip"}
control = mv.record(mv.untrained_twin(model), prompts)


def commonest(recorded, label):
    """Of a label's tokens, the commonest first choice and its share, layer by layer."""
    part = recorded.select(label=label)
    counts = np.array([np.bincount(row, minlength=8) for row in part.experts[:, ~part.special, 0]])
    return counts.argmax(axis=1), counts.max(axis=1) / counts.sum(axis=1)


# %% slideshow={"slide_type": "-"}
layers = [f"layer {n}" for n in trace.layers]
shares = {label: commonest(trace, label)[1] for label in trace.labels}
untrained = np.max([commonest(control, label)[1] for label in trace.labels], axis=0)
rows = {**shares, "untrained twin, at most": untrained}
mv.table(rows, layers, "Share of the commonest first choice", form=".0%", shade="all", mark="fr")

# %% slideshow={"slide_type": "skip"}
last = {label: int(commonest(trace, label)[0][5]) for label in trace.labels}
print("the commonest expert of layer 5:", last)

# %% [markdown] slideshow={"slide_type": "skip"}
# ## In two layers
#
# French: in two, the last two, like English, German and Spanish. (Italian and Python only in layer
# 4.) In layers 0 to 2 every passage is a mixture of colours, hardly more uneven than with random
# weights; in the last two all are more uneven than that.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
half = {label: np.flatnonzero(share > 0.5).tolist() for label, share in shares.items()}
assert all(half[label] == [4, 5] for label in ("en", "fr", "de", "es"))
assert half["it"] == half["python"] == [4]
assert all((share[:3] < untrained[:3] + 0.1).all() for share in shares.values())
assert all((share[4:] > untrained[4:]).all() for share in shares.values())
assert last["es"] == last["it"]
fourth = {label: int(commonest(trace, label)[0][4]) for label in trace.labels}
assert fourth["fr"] == fourth["de"]
assert len(set(fourth.values())) == 5

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Which colour do Spanish and Italian share in layer 5?
# -->
# So is there an expert for each language? Here are two passages at once, in the last layer: Spanish
# above, Italian below. (*Compare with* sets this; the loads of both are on the right, and a click
# there switches sides.)

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace, prompt=3, layer=5, beside=4)

# %% [markdown] slideshow={"slide_type": "skip"}
# In this passage Spanish and Italian have the *same* commonest expert in the last layer. In layer 4
# they do not, but French and German do.
#
# And all this is 8x7m. The paper on Mixtral (arXiv 2401.04088) measured no routing by language;
# across eight kinds of text it found no obvious pattern by topic, and some by syntax. Notebook 05
# asks how much of what we see here is language at all.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## *Python*, *3* and *pip* are in all five passages. Where will each have one colour in all five?
#
# - in every layer
# - in the first layers
# - in the last layers
# - nowhere
# -->
# ## 4 · The same tokens in five languages
#
# Different languages use different tokens. But this passage names things that nobody translates:
# `Python`, `3`, `python --version`, `pip`. They are the same tokens in all five passages; only what
# stands around them differs.
#
# **Write down:** in which layers will they have the same colour in all five languages: in all of
# them, in the first ones, in the last ones?
#
# In the picture, press / and type `python`; the *Parallel* buttons change the language and keep the
# token. To see two passages at once, set *Compare with*; with `all of python` only the loads are
# compared. A picture opens that way with `mv.explore(trace, prompt=1, beside=2)`, or
# `beside="python"`.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Click en, de, es, it: does *Python* keep its colour?
# -->
# ## One token, `Python`, in layer 4

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
at = trace.select(prompt=1).tokens.index("␣Python")
mv.explore(trace, prompt=1, layer=4, token=at)

# %% [markdown] slideshow={"slide_type": "skip"}
# Now all seven pieces, in all languages and layers: a row that keeps one colour is a token that
# goes to the same expert in all five.

# %% slideshow={"slide_type": "skip"}
pieces = ["␣Python", "3", "␣py", "thon", "␣--", "version", "␣pip"]
languages = trace.labels[:5]


def first_choices(recorded):
    """The first choice of every piece in every language, (layers, languages, pieces)."""
    parts = [recorded.select(label=label) for label in languages]
    rows = [[part.tokens.index(piece) for piece in pieces] for part in parts]
    return np.stack([part.experts[:, row, 0] for part, row in zip(parts, rows, strict=True)], 1)


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In which layers does a row keep one colour in all five languages?
# -->
# ## Seven pieces in five languages

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
import plotly.graph_objects as go

from moe_viz.view.charts import Chart
from moe_viz.view.palette import EXPERTS, WHITE_DIGITS

first = first_choices(trace)
places = [(n, label) for n in trace.layers for label in languages]
x = [6 * n + languages.index(label) for n, label in places]
grid = np.full((len(pieces), 6 * len(layers) - 1), np.nan)
grid[:, x] = first.reshape(-1, len(pieces)).T
colours = [[(e + side) / 8, colour] for e, colour in enumerate(EXPERTS) for side in (0, 1)]
figure = go.Figure(
    go.Heatmap(z=grid.tolist(), y=pieces, colorscale=colours, zmin=-0.5, zmax=7.5, xgap=1, ygap=1,
               showscale=False, hovertemplate="%{y}: expert %{z}<extra></extra>")
)  # fmt: skip
chosen = first.reshape(-1, len(pieces)).astype(int)  # (places, pieces)
ink = ["#fff" if e in WHITE_DIGITS else "#000" for e in chosen.ravel()]
figure.add_scatter(x=np.repeat(x, len(pieces)), y=pieces * len(x), text=chosen.ravel(), mode="text",
                   textfont={"size": 19, "color": ink}, hoverinfo="skip")  # fmt: skip
figure.update_layout(height=400, margin={"t": 40, "r": 8, "b": 16, "l": 80})
figure.update_xaxes(tickvals=x, ticktext=[label for _, label in places], showgrid=False)
figure.update_xaxes(title="language, layer by layer", tickangle=0, zeroline=False)
figure.update_yaxes(title="piece", autorange="reversed", showgrid=False, type="category")
figure.update_yaxes(tickfont={"size": 22})
for n, layer in enumerate(layers):
    figure.add_annotation(text=f"<b>{layer}</b>", x=6 * n + 2, y=1, yref="paper", yanchor="bottom",
                          showarrow=False)  # fmt: skip
columns = {"layer": np.repeat([n for n, _ in places], len(pieces))}
columns |= {"language": np.repeat([label for _, label in places], len(pieces))}
columns |= {"piece": np.tile(pieces, len(places)), "expert": first.ravel()}
data = mv.analysis.Finding("first choices", trace.provenance.title, "seven pieces", columns)
said = "A colour and its number are the first choice; in another layer they mean another expert."
Chart(figure, "First choices of seven pieces", trace.provenance.title, said, data)

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# Nearly all in the first ones: there the token decides.
# -->
# For the seven pieces and all ten pairs of languages: how often is the first choice the same in
# both?


# %% slideshow={"slide_type": "skip"}
def alike(recorded):
    """How often a piece has the same first choice in two languages, over all ten pairs of them."""
    pairs = combinations(first_choices(recorded).swapaxes(0, 1), 2)
    return np.mean([(a == b).mean(axis=1) for a, b in pairs], axis=0)


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In layer 4 most go elsewhere in another language. Under random weights they do not.
# -->
# ## The same way in another language?

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = go.Figure()
pink, grey = {"color": "#c2478e", "width": 4}, {"color": "#7f8a96", "width": 3, "dash": "dash"}
shown = {"8x7m": (trace, pink), "untrained twin": (control, grey)}
for name, (recorded, line) in shown.items():
    figure.add_scatter(x=trace.layers, y=alike(recorded), name=name, line=line,
                       mode="lines+markers", marker={"size": 10})  # fmt: skip
figure.update_layout(height=340, margin={"t": 16, "r": 16, "b": 48, "l": 64})
figure.update_xaxes(title="layer", dtick=1)
figure.update_yaxes(title="same first choice", tickformat=".0%", range=[0, 1.05])
columns = {"layer": np.array(trace.layers), "8x7m": alike(trace), "untrained twin": alike(control)}
data = mv.analysis.Finding("alike", trace.provenance.title, "seven pieces, ten pairs", columns)
said = "How often one piece has the same first choice in two languages: the mean over ten pairs."
Chart(figure, "Same piece, another language", trace.provenance.title, said, data)

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert alike(trace)[:4].min() > 0.65
assert alike(control).min() > 0.6
assert alike(trace)[4] < 0.4 < 0.55 < alike(trace)[5] < alike(control)[5]

# %% [markdown] slideshow={"slide_type": "skip"}
# In the first four layers the token decides: mostly the same expert, whatever the language, and
# with random weights about as much. In layer 4 of 8x7m the same token mostly goes to another expert
# in another language; in the last, less often. Random weights do not do that: it came with
# training, in this model, on these seven pieces of one passage.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## In which layers will the router be surest of its two?
#
# Its *margin*: by how much the third expert missed.
#
# - in the first
# - in the last
# - in all alike
# -->
# ## 5 · What else a map can show · further
#
# | colour of the map | it answers |
# | :-- | :-- |
# | first choice | which expert? |
# | gate of the first choice | how much does the first count, against the second? |
# | margin | by how much did the third miss? in logits |
# | entropy, divided by log 8 | how undecided is the router? 0: all on one, 1: all eight equal |
# | probability of one expert | how much is this expert wanted, chosen or not? |
#
# Light is high, dark is low. The next picture shows the margins of the English passage; the menu
# *Colour of the map* has the others. **Before you look:** will the router be surer in the first
# layers, or in the last?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Dark is a close decision: which layers are the surest?
# -->
# ## The margin: dark is close

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace, mode="margin")

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Surer in the last two layers; under random weights all are much alike
# -->
# ## Counted


# %% slideshow={"slide_type": "skip"}
def certainty(recorded):
    """Mean first gate, share of margins below 0.1 logits, mean normalised entropy, by layer."""
    rows = ~recorded.special
    z = recorded.router_logits[:, rows]
    p = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    entropy = -(p * np.log(p)).sum(axis=2) / np.log(8)
    close = recorded.margins[:, rows] < 0.1
    return recorded.gates[:, rows, 0].mean(axis=1), close.mean(axis=1), entropy.mean(axis=1)


# %% slideshow={"slide_type": "-"}
names = ("first gate", "margin < 0.1", "entropy")
rows = {}
for title, recorded in (("8x7m", trace), ("untrained twin", control)):
    for name, values in zip(names, certainty(recorded), strict=True):
        rows[title, name] = values
mv.table(rows, layers, "Mean gate, share of close decisions, mean entropy", form=".2f")

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
gate, close, entropy = certainty(trace)
assert 1 / 9 < close[5] < 1 / 5
assert gate[4:].min() > gate[:4].max()
assert close[4:].max() < close[:4].min()
assert entropy[4:].max() < entropy[:4].min()
assert np.ptp(certainty(control)[0]) < 0.05

# %% [markdown] slideshow={"slide_type": "skip"}
# Surer in the last two layers: larger first gates, fewer close decisions, less entropy. With
# random weights all layers are much alike. But sure is not certain: even in the last layer about
# one decision in seven is close.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Computed in bfloat16, how many of 100 decisions will come out differently?
#
# - none
# - about one
# - about ten
# - about half
# -->
# ## 6 · Close decisions, and rounding · further
#
# The file of 8x7m holds its weights in bfloat16: two to three decimal digits. So far we computed
# with them in float32. Now the same weights and the same tokens, computed in bfloat16.
#
# **Write down:** of 100 decisions (one token in one layer, two experts), how many will come out
# differently? And which?

# %% slideshow={"slide_type": "skip"}
rough = mv.record(mv.load("8x7m", dtype="bfloat16"), prompts)
found = mv.compare(trace, rough)
overlap, identical = (found.where(what=what) for what in ("overlap", "identical"))
print(f"sets: {identical['share'].mean():.1%} are the same")
print(f"overlap: {overlap['share'].mean():.1%} (chance {overlap['chance'].mean():.1%})")

# %% [markdown] slideshow={"slide_type": "skip"}
# *Sets*: both experts the same. *Overlap*: how many of the two are shared, on average; *chance*:
# the same for unrelated choices.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Click on a cell that is not yellow: was it a close decision?
# -->
# ## float32 and bfloat16: darker is where they differ

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore([trace, rough], mode="agreement")

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Fewer than one in a hundred come out differently: the closest ones
# -->
# ## Which decisions come out differently?

# %% slideshow={"slide_type": "-"}
columns = ["changed", "median margin of all", "median margin of the changed"]
values = zip(1 - identical["share"], identical["margin"], identical["margin_changed"], strict=True)
rows = dict(zip(layers, values, strict=True))
mv.table(rows, columns, "float32 and bfloat16", form=[".1%", ".3f", ".3f"])

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert 0.99 < identical["share"].mean() < 0.998
assert np.nanmax(identical["margin_changed"] / identical["margin"]) < 0.5

# %% [markdown] slideshow={"slide_type": "skip"}
# Fewer than one in a hundred, and those that were close. So a difference between two recordings
# means little by itself: look at the margin first, and say in which arithmetic it was recorded. The
# title of every picture does.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## A token's two experts in one layer, and its two in the next: will they share a number?
#
# - more often than by chance
# - as often as by chance
# - less often than by chance
# -->
# ## 7 · The same number in another layer
#
# Expert 3 of layer 1 is dark red in the pictures, and so is expert 3 of layer 2.
#
# **Write down:** do the two experts of a token in one layer, and its two in the next, have the same
# numbers more often than by chance?

# %% slideshow={"slide_type": "skip"}
rng = np.random.default_rng(0)


def in_common(recorded, order=None):
    """How often a token's experts in a layer and in the next have a number in common, by layer."""
    chosen = recorded.experts[:, ~recorded.special]  # (layers, tokens, 2)
    after = chosen[1:] if order is None else order[chosen[1:]]  # the next layer's, permuted
    return (chosen[:-1, :, :, None] == after[:, :, None, :]).any(axis=(2, 3)).mean(axis=1)


as_is = in_common(trace)
renumbered = [in_common(trace, rng.permutation(8)) for _ in range(500)]
low, middle, high = np.quantile(renumbered, [0.005, 0.5, 0.995], axis=0)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The real numbering is like any other: a colour means nothing in the next layer
# -->
# ## Measured
#
# How often do they have a number in common? For two pairs that have nothing to do with each other:
# 13 times in 28, 46 % (of the 28 pairs 15 avoid both numbers, 13 do not). Beside it: the same after
# permuting the numbers of the next layer's experts at random, 500 times.

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
names = [f"layers {n} and {n + 1}" for n in trace.layers[:-1]]
spread = {"array": high - middle, "arrayminus": middle - low, "thickness": 12, "width": 0}
grey, pink = {"color": "#7f8a96"}, {"symbol": "diamond", "size": 15, "color": "#c2478e"}
figure = go.Figure()
figure.add_scatter(x=names, y=middle, mode="markers", name="99 of 100 random numberings",
                   error_y={**spread, **grey}, marker={**grey, "size": 12})  # fmt: skip
figure.add_scatter(x=names, y=as_is, mode="markers", name="the real numbering", marker=pink)
figure.add_hline(y=13 / 28, line={"dash": "dash", "width": 1.5, **grey})
figure.add_annotation(x=0.5, y=13 / 28, text="13 in 28", showarrow=False, yanchor="bottom")
figure.update_layout(height=360, margin={"t": 16, "r": 16, "b": 48, "l": 64})
figure.update_yaxes(title="tokens with a number in common", tickformat=".0%", range=[0, 0.8])
figure.update_layout(legend={"orientation": "h", "y": -0.15})
columns = {"layer": np.array(trace.layers[:-1]), "share": as_is, "from": low, "to": high}
data = mv.analysis.Finding("number in common", trace.provenance.title, "tokens", columns)
said = "Dashed: 13 in 28, two pairs that have nothing to do with each other."
Chart(figure, "A number in common with the next layer", trace.provenance.title, said, data)

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert ((low <= as_is) & (as_is <= high)).all()

# %% [markdown] slideshow={"slide_type": "skip"}
# The real numbering is like any other. (Experts of neighbouring layers may well be related, but not
# because they share a number.)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## We reverse the order of layer 3's experts: 0 becomes 7, 1 becomes 6. What will change?
#
# - the model's predictions
# - the colours from layer 3 on
# - only the colours of layer 3
# - nothing
# -->
# ## Shown: different numbers, the same model
#
# We reverse the order of layer 3's experts, both the router's rows and the networks: number 0
# becomes 7, 1 becomes 6. **Predict:** what happens to the predictions of the model, and to the
# colours?

# %% slideshow={"slide_type": "skip"}
layer = model.layers[3].moe


def turn_round():
    layer.router.weight.data = layer.router.weight.data.flip(0)
    layer.experts = type(layer.experts)(reversed(layer.experts))


turn_round()
other = mv.record(model, prompts, loss=True)
turn_round()  # and back

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Layer 3 has other numbers; every prediction is the same
# -->
# ## As it was, and with layer 3 reversed: darker is where they differ

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore([other, trace], mode="agreement", layer=3)

# %% slideshow={"slide_type": "skip"}
difference = np.nanmax(abs(other.loss - trace.loss))
same = (other.experts[..., 0] == trace.experts[..., 0]).mean(axis=1)
print(f"largest change of a token's loss, −ln of its probability: {difference:.6f}")
print("same colour, by layer:", "  ".join(f"{x:.0%}" for x in same))

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert difference < 1e-3
assert np.delete(same, 3).min() > 0.99
assert (other.experts[3] == 7 - trace.experts[3]).mean() > 0.99

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A colour is a number within one layer
#
# - Between layers it means nothing: layer 3 changed all its colours, and the model stayed the same.
# - In 8x7m's first layers the token decides; in the last two, what stands before it as well.
# - One passage is a picture, not statistics: those come next.
# -->
# ## What to take home
#
# - A colour is a number within one layer. Between layers it means nothing: in layer 3 all colours
#   changed, and the model did not.
# - In 8x7m, seven pieces that no language translates mostly have the same first choice in layers 0
#   to 3, mostly another in layer 4, and in layer 5 something between.
# - Further: many decisions are close; rounding to bfloat16 alone flips some, fewer than one in a
#   hundred.
# - One passage is a picture, not statistics: those are in the next notebook.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# One subject in three programming languages and HTML: record
# `mv.prompts.code().parallel("gcd")`, and use `commonest`. Is there a layer in which more than
# half of a program has one colour? Look at it with `mv.explore`.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# Find the closest decision of the whole recording: which token, in which passage
# and layer, and which two experts were nearly equal? Does bfloat16 (`rough`, of section
# 6) decide otherwise? `trace.margins` is (layers, tokens).

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# Are the *weights* of experts with the same number more alike than other pairs? Put each expert's
# weights in one row, and compute the cosine between all experts of layer 0 and all of layer 1. An
# expert is `model.layers[0].moe.experts[3]`, with the matrices `.w1.weight`, `.w2.weight`,
# `.w3.weight`.

# %% slideshow={"slide_type": "skip"}
# Your answer.


# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# Texts of your own: `mv.explore(mv.record(model, ["…", "…"], labels=["a", "b"]))`, and *Compare
# with* in the picture; or `mv.explore(model)`, a box to type into.
#
# [Previous: one token through the router](03_one_token_through_the_router.ipynb) · [Next: do
# experts specialise?](05_do_experts_specialise.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
programs = mv.record(model, mv.prompts.code().parallel("gcd"))
for label in programs.labels:
    which, share = commonest(programs, label)
    print(f"{label:12}" + "".join(f"{x:7.0%} ({e})" for e, x in zip(which, share, strict=True)))
half = {label: commonest(programs, label)[1] > 0.5 for label in programs.labels}
assert {label: over.sum() for label, over in half.items() if over.any()} == {"python": 1}
assert half["python"][4]
print("Only the Python program, in layer 4. HTML comes close in the last layer, Python in layer 3.")
mv.explore(programs, layer=4)

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
margins = np.where(trace.special, np.inf, trace.margins)
n, t = np.unravel_index(margins.argmin(), margins.shape)
second, third = np.argsort(-trace.router_logits[n, t])[1:3]
where = next(p.label for p in trace.prompts if p.start <= t < p.stop)
print(f"layer {n}, {trace.tokens[t]!r} in {where}: second {second}, third {third}, "
      f"{margins[n, t]:.6f} logits apart")  # fmt: skip
print("float32:", trace.experts[n, t], " bfloat16:", rough.experts[n, t])


# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3


# %% slideshow={"slide_type": "skip"} tags=["solution"]
def rows(n):
    weights = [
        np.concatenate([w.weight.numpy().ravel() for w in (e.w1, e.w2, e.w3)])
        for e in model.layers[n].moe.experts
    ]
    return np.array([w / np.linalg.norm(w) for w in weights])


cosine = rows(0) @ rows(1).T
print(f"same number: {np.diag(cosine).mean():.4f}")
print(f"all pairs: {cosine.min():.4f} … {cosine.max():.4f}")
assert abs(cosine).max() < 0.05  # 1 would be the same network, up to its size
