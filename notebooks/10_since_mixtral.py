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
# # Since Mixtral
#
# Four ideas in the mixtures that came after it: many small experts, a bias for balance, a lid, and
# experts on several devices.
# -->
# # Since Mixtral
#
# A quarter of an hour of reading, and five minutes for the sections marked *further*; about 8
# seconds on two cores, 2 GB of memory, no network.
#
# Afterwards you can
#
# - say in four ideas, two of them older than Mixtral, how mixtures are built now: OLMoE,
#   DeepSeek-V3, Qwen3 and gpt-oss ([reading list](READING.md));
# - say how a bias can do what a balancing loss does;
# - say what it means that a model drops tokens, and why Mixtral does not;
# - say why balance matters most where experts lie on several devices;
# - further: record another mixture, and ask it the questions of notebook 05.

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

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Cut each of eight experts into eight. Let 16 of the 64 work on a token. What grows?
#
# - what is stored
# - what a token uses
# - both
# - only the choice of sets
# -->
# ## 1 · Many small experts
#
# Cut each of Mixtral's eight experts into eight: 64 small ones in each layer, and let 16 of them
# work on a token instead of 2.
#
# **Write down:** does the model then store more, or use more for a token? And how many different
# sets of experts can a token get in one layer: 28, as before, or how many?

# %% slideshow={"slide_type": "skip"}
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
from scipy.spatial.distance import jensenshannon

import moe_viz as mv
from moe_viz.analysis import Finding
from moe_viz.analysis import published_routing as routing
from moe_viz.view.charts import Chart
from moe_viz.view.palette import expert_colour

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
grey, figure = "#7f8a96", go.Figure()
sixteen = np.random.default_rng(0).permutation(64)[:16]
for at, count, on in ((0, 8, [2, 5]), (10, 64, sixteen)):
    cells = np.arange(count)
    tall = 64 / count  # all together are as large
    look = {"color": [grey if e in on else "rgba(0,0,0,0)" for e in cells]}
    look["line"] = {"color": grey, "width": 3}
    bar = {"base": cells * tall % 8, "width": 0.92, "marker": look, "showlegend": False}
    figure.add_bar(x=at + cells * 8 // count, y=np.full(count, tall), hoverinfo="skip", **bar)
for at, name in ((-0.46, "2 of 8"), (9.54, "16 of 64")):
    named = {"x": at, "y": 8.15, "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    figure.add_annotation(text=f"<b>{name}</b>", **named)
figure.update_xaxes(visible=False)
figure.update_yaxes(visible=False, range=[-0.1, 9])
figure.update_layout(height=360, barmode="overlay", margin={"t": 8, "r": 16, "b": 16, "l": 16})
columns = {"experts": np.array([8, 64]), "chosen": np.array([2, 16])}
data = Finding("cut", "a layer", "experts", columns)
said = "Filled: the experts that work on one token. The area is the same, stored and used."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## As much is stored, as much is used; a token has far more sets to choose from
# -->
# ## The same layer, cut fine

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "One layer: all experts, and those of one token", "a drawing", said, data)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## *Fine-grained* experts: 28 sets become half a quadrillion
#
# <small>DeepSeekMoE, arXiv 2401.06066</small>
# -->
# ## Counted

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:1-3|4-7|8-9"]
shape = mv.ledger("mixtral-8x7b").config
small = {"expert_size": shape.expert_size // 8}
fine = replace(shape, experts=64, experts_per_token=16, **small)
rows = {}
for config in (shape, fine):
    size, k, n = mv.ledger(config), config.experts_per_token, config.experts
    rows[f"{k} of {n}"] = size.total / 1e9, size.active / 1e9, math.comb(n, k)
columns = ["stored, billions", "used, billions", "sets in a layer"]
mv.table(rows, columns, form=[".2f", ".2f", ","])

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert math.comb(8, 2) == 28
assert math.comb(64, 16) == 488_526_937_079_580
assert abs(mv.ledger(fine).total / mv.ledger(shape).total - 1) < 0.001
assert abs(mv.ledger(fine).active / mv.ledger(shape).active - 1) < 0.001

# %% [markdown] slideshow={"slide_type": "skip"}
# As much is stored and used (routers apart, which are tiny). But there are 488,526,937,079,580 sets
# instead of 28. Such experts are called *fine-grained* (DeepSeekMoE, arXiv 2401.06066).
#
# The same layer in full, with one token's way through it:

# %% slideshow={"slide_type": "skip"} tags=["hide_code"]
mv.diagram(fine)

# %% [markdown] slideshow={"slide_type": "skip"}
# ## And one for everybody
#
# If every token needs some of the same work (grammar, say), each of the chosen experts must learn
# it. A *shared expert* (2401.06066) works on every token, beside the chosen ones; the router is not
# asked.
#
# | model | experts | chosen | shared | stored, used (billions) | source |
# | :-- | --: | --: | --: | --: | :-- |
# | Mixtral 8x7B | 8 | 2 | – | 46.7, 12.9 | arXiv 2401.04088 |
# | OLMoE | 64 | 8 | – | 6.9, 1.3 | arXiv 2409.02060 |
# | DeepSeek-V3 | 256 | 8 | 1 | 671, 37 | arXiv 2412.19437 |
# | Qwen3-235B-A22B | 128 | 8 | – | 235, 22 | arXiv 2505.09388 |
# | gpt-oss-120b | 128 | 4 | – | 117, 5.1 | arXiv 2508.10925 |

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
models = {
    "Mixtral 8x7B": ("2 of 8", 46.7, 12.9),
    "OLMoE": ("8 of 64", 6.9, 1.3),
    "DeepSeek-V3": ("8 of 256, and 1 shared", 671, 37),
    "Qwen3-235B-A22B": ("8 of 128", 235, 22),
    "gpt-oss-120b": ("4 of 128", 117, 5.1),
}
rules, stored, used = (np.array(c) for c in zip(*models.values(), strict=True))
figure = go.Figure()
names = [f"{name}<br>{rule}" for name, rule in zip(models, rules, strict=True)]
for name, s, u in zip(names, stored, used, strict=True):
    line = {"color": grey, "width": 6}
    figure.add_scatter(x=[u, s], y=[name] * 2, mode="lines", line=line, showlegend=False)
for name, x, fill in (("used by a token", used, grey), ("stored", stored, "rgba(0,0,0,0)")):
    look = {"size": 20, "color": fill, "line": {"color": grey, "width": 4}}
    text = [
        f"{u / s:.0%} of it" if x is used else f"{s:g}" for s, u in zip(stored, used, strict=True)
    ]
    place = "middle left" if x is used else "middle right"
    figure.add_scatter(x=x, y=names, mode="markers+text", marker=look, name=name, text=text,
                       textposition=place, cliponaxis=False)  # fmt: skip
figure.update_xaxes(title="billions of parameters, logarithmic", type="log", range=[-0.5, 3.2])
figure.update_xaxes(tickvals=[1, 10, 100, 1000])
figure.update_yaxes(autorange="reversed")
figure.update_layout(height=400, margin={"t": 40, "r": 16, "b": 16, "l": 16})
figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
columns = {"model": np.array([*models]), "chosen": rules, "stored": stored, "used": used}
data = Finding("models", "PUBLISHED", "billions of parameters", columns)
said = "Share that a token uses: " + ", ".join(
    f"{name} {u / s:.0%}" for name, s, u in zip(models, stored, used, strict=True)
)
assert (used / stored).argmax() == 0

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Since Mixtral: more experts, and a token uses a smaller share of what is stored
# -->
# ## More experts, and a smaller share of them

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
papers = "arXiv 2401.04088, 2409.02060, 2412.19437, 2505.09388, 2508.10925"
Chart(figure, "Stored, and used by a token", f"PUBLISHED, {papers}", f"{said}.", data)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A bias that only the choice sees: busy experts get less of it, idle ones more
#
# <small>DeepSeek-V3; arXiv 2408.15664</small>
# -->
# ## 2 · A bias instead of a loss
#
# Notebook 08 added a loss to keep experts busy. It pulls at the routers and at all weights before
# them, also where balance and prediction want different things. DeepSeek-V3 does it beside the
# learning, with only a very small loss besides (arXiv 2408.15664, 2412.19437): each expert has a
# *bias*, added to its score when the best are chosen, and **only** then. The gates come from the
# scores without it.
#
# After each step: experts with more than their share get a little less bias, the others a little
# more.


# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:1-2|5-6|9-10"]
def chosen(scores, bias, k=2):
    return np.argsort(-(scores + bias), axis=1)[:, :k]  # (tokens, k)


def load(experts):
    return np.bincount(experts.ravel(), minlength=8) / experts.size


def adjusted(bias, experts, step=0.005):
    return bias - step * np.sign(load(experts) - 1 / 8)


# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## One expert is among the two of most tokens. Can eight biases make the loads even?
#
# 8x7m's last layer on English; nothing else is trained.
#
# - no: they are too few
# - yes, and few decisions change
# - yes, and about half of them change
# -->
# ## On a router that is far from even
#
# 8x7m's last layer, on English: its logits, turned into scores between 0 and 1 (a *sigmoid* of
# each, as DeepSeek-V3 has it, arXiv 2412.19437). One expert is among the two of most tokens. Only
# the bias changes.
#
# **Write down:** can eight numbers make it even? And how many of the decisions will then be
# different?

# %% slideshow={"slide_type": "skip"}
model = mv.load("8x7m", device="cpu")
english = mv.record(model, mv.prompts.passages().select("en"))
scores = 1 / (1 + np.exp(-english.router_logits[5, ~english.special].astype(float)))
rng, bias, loads = np.random.default_rng(0), np.zeros(8), []
for _ in range(150):
    batch = scores[rng.choice(len(scores), 512)]
    bias = adjusted(bias, chosen(batch, bias))
    loads.append(load(chosen(scores, bias)))
before, after = chosen(scores, np.zeros(8)), chosen(scores, bias)
kept = np.mean([len({*a} & {*b}) / 2 for a, b in zip(before.tolist(), after.tolist(), strict=True)])

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
figure, every = go.Figure(), np.array([load(before), *loads])
for e in range(8):
    look = {"line": {"color": expert_colour(e), "width": 3}, "mode": "lines"}
    figure.add_scatter(x=np.arange(len(every)), y=every[:, e], name=f"expert {e}", **look)
figure.add_hline(y=1 / 8, line={"color": "#7f8a96", "dash": "dash"})
figure.update_xaxes(title="steps in which only the bias changes")
figure.update_yaxes(title="load", tickformat=".0%", rangemode="tozero")
figure.update_layout(height=400, margin={"t": 16, "r": 16, "b": 16, "l": 64})
columns = {"step": np.repeat(np.arange(len(every)), 8), "expert": np.tile(range(8), len(every))}
columns["load"] = every.ravel()
data = Finding("loads", "8x7m, layer 5, English", "assignments, two for each token", columns)
said = f"Busiest expert: {every[0].max():.0%} before, {every[-1].max():.1%} after; even is 12.5%."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Eight numbers make it nearly even: the biases move until each expert has about its share
# -->
# ## Eight numbers make it nearly even

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Loads while a bias is adjusted", "8x7m, layer 5, English, no training", said, data)

# %% slideshow={"slide_type": "skip"}
print(f"of the two experts of a token, as without the bias: {kept:.0%}")
mv.table({"bias": bias}, [f"expert {e}" for e in range(8)], form="+.2f")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert every[0].max() > 0.35 > 0.17 > every[-1].max()
assert 0.35 < kept < 0.65
assert bias[every[0].argmax()] == bias.min()

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
had, has = ((sets[:, :, None] == np.arange(8)).any(1) for sets in (before, after))
stay = (had & has).sum(0) / before.size
figure, colours = go.Figure(), [expert_colour(e) for e in range(8)]
for whole, at in ((had.sum(0) / before.size, -0.42), (has.sum(0) / before.size, 0.02)):
    for y, base, fill in ((stay, 0, colours), (whole - stay, stay, "rgba(0,0,0,0)")):
        look = {"color": fill, "line": {"color": colours, "width": 3}}
        bar = {"offset": at, "width": 0.4, "marker": look, "showlegend": False}
        figure.add_bar(x=np.arange(8), y=y, base=base, **bar)
figure.add_hline(y=1 / 8, line={"color": grey, "dash": "dash"})
figure.update_xaxes(title="expert: left without the bias, right with it", dtick=1)
figure.update_yaxes(title="load", tickformat=".0%")
figure.update_layout(height=400, barmode="overlay", margin={"t": 16, "r": 16, "b": 16, "l": 64})
columns = {"expert": np.arange(8), "stay": stay}
columns |= {"leave": had.sum(0) / before.size - stay, "come": has.sum(0) / before.size - stay}
data = Finding("changed", "8x7m, layer 5, English", "assignments, two for each token", columns)
said = f"Filled: the same tokens with and without the bias, {kept:.0%} of all assignments. Hollow: "
said += "tokens that leave the expert (left) and that come to it (right)."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## At a price: filled, the decisions that stay; hollow, those that change
# -->
# ## Even, and at a price

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Whose tokens an expert has", "8x7m, layer 5, English, no training", said, data)

# %% [markdown] slideshow={"slide_type": "skip"}
# Many tokens now go elsewhere. Here the experts have not learnt from that; in
# training they do, and the bias moves slowly, beside the learning. A trace of such a model keeps
# the bias, since the choice does not follow from the scores alone.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## 64 English tokens, and room for 20 at each expert. In which layer are more dropped?
#
# Two experts each: 128 assignments. Who comes too late is dropped.
#
# - in the first
# - in the last
# - nothing is: there is room for 160
# -->
# ## 3 · A lid: capacity
#
# Where experts lie on different machines, each has room for so many tokens at a time: the
# *capacity*. GShard and Switch Transformer set it to an even share, times a factor of 1 to 2 (arXiv
# 2006.16668, 2101.03961). Who comes too late is *dropped*: that expert does not work on the token.
# Dropped by both of its experts, a token's hidden state passes on as it was. The idea is older than
# Mixtral; not every newer one needs it: DeepSeek-V3, kept even by its bias, drops nothing (arXiv
# 2412.19437).
#
# **Write down:** 64 English tokens, two experts each, a factor of 1.25: each expert has room for
# 20. How many of the 128 assignments are dropped in 8x7m's layer 0? In its last?


# %% slideshow={"slide_type": "skip"}
def dropped(experts, factor=1.25):
    """Which assignments (tokens, k) find their expert full, first come, first served."""
    room = math.ceil(factor * experts.size / 8)
    places = np.zeros(experts.shape, int)
    for e in range(8):
        there = experts == e
        places[there] = np.arange(there.sum())
    return places >= room, places


some = np.flatnonzero(~english.special)[:64]

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
figure, counts = go.Figure(), {}
for panel, layer in enumerate((0, 5)):
    experts = english.experts[layer, some].astype(int)
    late, places = dropped(experts)
    counts[layer] = int(late.sum())
    for e in range(8):
        here = experts == e
        ground = ["rgba(0,0,0,0)" if x else expert_colour(e) for x in late[here]]
        look = {"color": ground, "line": {"color": expert_colour(e), "width": 2}}
        bar = {"base": places[here], "width": 0.7, "marker": look, "showlegend": False}
        x = np.full(here.sum(), e + 10 * panel)
        figure.add_bar(x=x, y=np.full(here.sum(), 0.7), **bar)
    lid = {"color": grey, "width": 3}
    figure.add_shape(
        type="line", x0=10 * panel - 0.6, x1=10 * panel + 7.6, y0=19.85, y1=19.85, line=lid
    )
    named = {"x": 10 * panel - 0.4, "xanchor": "left", "showarrow": False}
    figure.add_annotation(text=f"<b>layer {layer}</b>", yref="paper", y=1, yanchor="top", **named)
    figure.add_annotation(
        text="room for 20", y=20, yanchor="bottom", **named | {"x": 10 * panel + 5}
    )
names = [f"{e}" for _ in range(2) for e in range(8)]
ticks = [e + 10 * panel for panel in range(2) for e in range(8)]
figure.update_xaxes(tickvals=ticks, ticktext=names, title="expert")
figure.update_yaxes(title="tokens, in their order", rangemode="tozero")
figure.update_layout(height=430, barmode="overlay", margin={"t": 16, "r": 16, "b": 16, "l": 64})
columns = {"layer": np.array([*counts]), "dropped": np.array([*counts.values()])}
data = Finding("dropped", "8x7m", "of 128 assignments, room for 20 at each expert", columns)
said = f"Hollow: dropped. {counts[0]} of 128 in layer 0, {counts[5]} in layer 5."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Tokens sorted by expert; hollow, who found it full: few in the first layer, many in the last
# -->
# ## Tokens sorted by expert, and a lid

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Capacity for 20 tokens at each expert", "8x7m, 64 tokens of English", said, data)

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert counts[0] < 20 < 40 < counts[5]

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Who else is in the batch?
#
# What is dropped depends on the others: the same text beside other texts may come
# out differently. Here 32 tokens of one English text, in layer 5: alone, and as the last of four
# texts in a batch, whose capacity is four times as large.

# %% slideshow={"slide_type": "skip"}
mix = mv.record(model, mv.prompts.curated()[::3])


def beginning(trace, prompt):
    """Rows of the first 32 tokens of a text."""
    first = trace.prompts[prompt].start + 1  # after <s>
    return np.arange(first, first + 32)


tongues = [next(n for n, p in enumerate(mix.prompts) if p.label == x) for x in ("de", "fr", "es")]
own = beginning(english, 0)
neighbours = {
    "alone": [],
    "after three English texts": [english.experts[5, beginning(english, n)] for n in (1, 2, 3)],
    "after German, French, Spanish": [mix.experts[5, beginning(mix, n)] for n in tongues],
}

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
figure, lost = go.Figure(), {}
for row, (name, others) in enumerate(neighbours.items()):
    late = dropped(np.concatenate([*others, english.experts[5, own]]).astype(int))[0][-32:]
    lost[name] = int(late.sum())
    for k in (0, 1):
        colours = [expert_colour(e) for e in english.experts[5, own, k].tolist()]
        ground = ["rgba(0,0,0,0)" if x else c for x, c in zip(late[:, k], colours, strict=True)]
        look = {"symbol": "square", "size": 18, "color": ground}
        look["line"] = {"color": colours, "width": 3}
        y = np.full(32, row + 0.3 * k - 0.15)
        figure.add_scatter(x=np.arange(32), y=y, mode="markers", marker=look, showlegend=False)
pieces = [english.tokens[n] for n in own]
figure.update_xaxes(tickvals=np.arange(32), ticktext=pieces, tickangle=-90)
figure.update_yaxes(tickvals=[0, 1, 2], ticktext=[*neighbours], range=[2.5, -0.5])
figure.update_xaxes(title="tokens, each with its first and its second choice")
figure.update_layout(height=360, margin={"t": 16, "r": 16, "b": 16, "l": 16})
figure.update_layout({axis: {"showgrid": False, "zeroline": False} for axis in ("xaxis", "yaxis")})
columns = {"batch": np.array([*lost]), "dropped": np.array([*lost.values()])}
data = Finding("neighbours", "8x7m, layer 5", "of 64 assignments", columns)
said = "Hollow: dropped. Of 64: " + ", ".join(f"{n} {name}" for name, n in lost.items()) + "."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The same text, the same model: what is dropped depends on who else is in the batch
# -->
# ## The same text, other neighbours

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "A text in three batches", "8x7m, layer 5, 32 tokens of English", said, data)

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
few, some_lost, many = sorted(lost.values())
assert [*lost.values()] == [some_lost, many, few]
assert few < 16 < some_lost < many

# %% [markdown] slideshow={"slide_type": "skip"}
# The other English texts want the same experts, and came first. Those in other languages want
# others. Mixtral, as published (arXiv 2401.04088), has no lid: every chosen expert runs, however
# many ask it.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Four devices, two experts each. On which texts do they wait longer for the busiest?
#
# - on English alone
# - on five languages and code
# - alike: it was trained to be even
# -->
# ## 4 · Experts on several devices
#
# A model that is too large for one device is divided. *Expert parallelism* puts experts 0 and 1 on
# one device, 2 and 3 on the next. Each token travels to its experts and back, and the layer is done
# when the *busiest* device is.
#
# **Write down:** with four devices, what share of the time do they wait, on average, on English
# alone? On a mix of five languages and code?

# %% slideshow={"slide_type": "skip"}
texts = {"English alone": english, "all nine kinds": mix}


def waiting(experts):
    """Load of each of four devices, and the share of their time in which they wait."""
    work = np.bincount(experts.ravel() // 2, minlength=4) / experts.size
    return work, 1 - work.mean() / work.max()


# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
looks = dict(zip(texts, ("#0d8fa8", "#c2478e"), strict=True))
figure, rows, devices = go.Figure(), [], [f"device {n}" for n in range(4)]
for name, trace in texts.items():
    work, idle = waiting(trace.experts[5, ~trace.special])
    rows += [(name, device, share, idle) for device, share in enumerate(work)]
    said = f"{name}: {idle:.0%} waiting"
    figure.add_bar(x=devices, y=work, name=said, marker_color=looks[name])
figure.add_hline(y=1 / 4, line={"color": grey, "dash": "dash"})
figure.update_xaxes(title="each with two of the layer's eight experts")
figure.update_yaxes(title="share of the work", tickformat=".0%")
figure.update_layout(height=400, barmode="group", margin={"t": 40, "r": 16, "b": 16, "l": 64})
figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
names = ("text", "device", "share", "waiting")
columns = {n: np.array(c) for n, c in zip(names, zip(*rows, strict=True), strict=True)}
data = Finding("devices", "8x7m, layer 5", "assignments", columns)
waits = {name: waiting(trace.experts[5, ~trace.special])[1] for name, trace in texts.items()}
said = "; ".join(f"{name}: the four wait {idle:.0%} of the time" for name, idle in waits.items())

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## All wait for the busiest device, and longer on English alone than on all kinds together
# -->
# ## All wait for the busiest

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Work of four devices", "8x7m, layer 5, two experts each", said + ".", data)

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert set(mix.labels) == {p.label for p in mv.prompts.curated()}
assert len(set(mix.labels)) == 9
assert waits["English alone"] > 0.35 > 0.25 > waits["all nine kinds"]

# %% [markdown] slideshow={"slide_type": "skip"}
# ## What helps
#
# Balance over everything is not balance at each moment (notebook 08, section 7). Servers mix many
# people's texts into a step, which helps; and DeepSeek-V3 is served with copies of busy experts on
# several devices (arXiv 2412.19437).
#
# How much does mixing help? A server that writes answers computes one token for each person in a
# step. So draw that many tokens from anywhere in the texts, 200 times.

# %% slideshow={"slide_type": "skip"}
people = 2 ** np.arange(11)
idle = {}
for name, trace in texts.items():
    experts = trace.experts[5, ~trace.special]
    steps = [[experts[rng.choice(len(experts), n)] for _ in range(200)] for n in people]
    idle[name] = [np.mean([waiting(step)[1] for step in same]) for same in steps]

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
figure = go.Figure()
for (name, y), symbol in zip(idle.items(), ("circle", "square"), strict=True):
    style = {"mode": "lines+markers", "marker": {"symbol": symbol, "size": 12}}
    style["line"] = {"color": looks[name], "width": 4}
    figure.add_scatter(x=people, y=y, name=name, **style)
figure.update_xaxes(title="people, one token each in a step", type="log", tickvals=people)
figure.update_yaxes(title="waiting, on average", tickformat=".0%", range=[0, 0.62])
figure.update_layout(height=400, margin={"t": 40, "r": 16, "b": 16, "l": 64})
figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
columns = {"text": np.repeat([*idle], len(people)), "people": np.tile(people, 2)}
columns["waiting"] = np.concatenate([*idle.values()])
data = Finding("people", "8x7m, layer 5", "mean of 200 steps", columns)
said = "; ".join(f"{name}: {y[0]:.0%} for one, {y[-1]:.0%} for {people[-1]:,}"
                 for name, y in idle.items())  # fmt: skip

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Many people in one step shorten the wait, if they do not all write the same kind of text
# -->
# ## Many people in one step

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Waiting of four devices", "8x7m, layer 5, two experts each", f"{said}.", data)

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert idle["all nine kinds"][-1] < 0.6 * idle["all nine kinds"][0]
assert 0.7 < idle["English alone"][-1] / idle["English alone"][0] < 0.85
assert idle["English alone"][-1] > 1.5 * idle["all nine kinds"][-1]
assert abs(idle["all nine kinds"][-1] - idle["all nine kinds"][7]) < 0.03

# %% [markdown] slideshow={"slide_type": "skip"}
# One token keeps at most two of the four devices busy. With more people of all kinds the wait gets
# shorter, up to about a hundred; what is left is the unevenness of the mix. On English alone it
# shrinks less: with many people the reason is no longer chance, but what English prefers.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Other rules and ideas, in a line of code each
#
# | idea | for example | in a line of code |
# | :-- | :-- | :-- |
# | softmax over the chosen | Mixtral, gpt-oss | `topk(z).softmax()` |
# | softmax over all | OLMoE; shared out: Qwen3 | `topk(z.softmax())` |
# | sigmoid for each expert | DeepSeek-V3 | `topk(z.sigmoid() + b)` |
# | first groups, then experts in them | DeepSeek-V3 | `topk(group_scores)` |
# | expert choice | arXiv 2202.09368 | `scores.T.topk(capacity)` |
# | upcycling | arXiv 2212.05055 | `[copy(ffn) for _ in range(E)]` |
# | hash layers (arXiv 2106.04426) | DeepSeek-V4's first | `table[token_id]` |
# -->
# ## Other rules for gates and choice
#
# | idea | for example | in a line of code |
# | :-- | :-- | :-- |
# | softmax over the chosen | Mixtral, gpt-oss | `topk(z).softmax()` |
# | softmax over all, not shared out | OLMoE | `topk(z.softmax())` |
# | … and shared out | Qwen3 | `w / w.sum()` |
# | sigmoid for each expert | DeepSeek-V3 | `topk(z.sigmoid() + b)` |
# | first groups, then experts in them | DeepSeek-V3 | `topk(group_scores)` |
#
# Which rule each of seventy families follows: [families](../docs/families.md).

# %% [markdown] slideshow={"slide_type": "skip"}
# ## And other ideas
#
# *Expert choice* turns the question round: each expert picks its tokens, so all have equal work,
# and a token may get none. *Upcycling* makes a mixture of a trained dense model: its block is
# copied into every expert, and training goes on. *Hash layers* have no router.
#
# | idea | for example | in a line of code |
# | :-- | :-- | :-- |
# | expert choice (arXiv 2202.09368) | – | `scores.T.topk(capacity)` |
# | upcycling (arXiv 2212.05055) | – | `[copy(ffn) for _ in range(E)]` |
# | hash layers (arXiv 2106.04426) | DeepSeek-V4's first | `table[token_id]` |

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 5 · The questions of notebook 05, asked of OLMoE · further
#
# OLMoE's routing on five kinds of text is published beside Mixtral's (notebook 09, section 8). How
# far apart are the loads of two kinds of text, on average over all pairs? 0 bits: the same; 1 bit:
# no expert in common.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Kinds of text part OLMoE's experts, and hardly Mixtral's
# -->
# ## How far apart kinds of text are

# %% slideshow={"slide_type": "skip"}
kinds = ("github", "arxiv", "wikipedia", "book", "c4")


def apart(name, layer):
    """Jensen-Shannon divergence of two kinds' first choices in bits, the mean of all pairs."""
    found = routing.published_loads(name, "first")
    loads = [found.where(label=kind, layer=layer)["share"] for kind in kinds]
    return np.mean([jensenshannon(a, b, 2) ** 2 for a, b in combinations(loads, 2)])


# %% slideshow={"slide_type": "-"}
bits = {routing.MODELS[m]: [apart(m, n) for n in (0, 7, 15)] for m in ("mixtral", "olmoe")}
mv.table(bits, ["layer 0", "layer 7", "layer 15"], f"PUBLISHED, {routing.SOURCE}: bits, at most 1",
         form=".4f", shade="all", note=" ".join(routing.NOTES))  # fmt: skip

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Two models, two answers
#
# OLMoE's experts (arXiv 2409.02060) part by kind of text, and more so in later layers; Mixtral's
# hardly. 64 experts can part further than 8, but put together at random into eight groups they
# still part more than ten times as far (notebook 09). The two differ in much else: in size, in
# text, in tokens read, and in how their experts were begun. Counts do not tell which of these it
# is.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
mixtral, olmoe = bits.values()
assert max(mixtral) < 0.016 < 0.3 < min(olmoe)

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 6 · A guest · further
#
# Other families are run by transformers, and recorded through one seam. Here a tiny OLMoE with
# random weights, which needs no network; every picture says so. (Needs `moe-viz[guests]`.)

# %% slideshow={"slide_type": "skip"}
import importlib.util

if importlib.util.find_spec("transformers"):
    import transformers

    transformers.logging.set_verbosity_error()
    tiny = transformers.OlmoeConfig(
        vocab_size=8192, hidden_size=64, intermediate_size=32, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=4, num_experts=64, num_experts_per_tok=8,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    guest = mv.guest(transformers.OlmoeForCausalLM(tiny), model.tokenizer, "a tiny OLMoE")
    guest = mv.untrained_twin(guest)  # stamped: random weights
    shown = mv.record(guest, mv.prompts.passages().select("en", "cat"))
else:
    shown = english.select(prompt=0)
    print("transformers is not installed: pip install 'moe-viz[guests]'. 8x7m is shown instead.")

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 64 experts, 8 for each token, random weights

# %% slideshow={"slide_type": "skip"} tags=["hide_code"]
mv.explore(shown)

# %% [markdown] slideshow={"slide_type": "skip"}
# Where there is a network, a real one (**not run here**):
#
# ```python
# model = mv.load("ibm-granite/granite-3.1-1b-a400m-base")  # 32 experts, 8 for each token
# model = mv.load("allenai/OLMoE-1B-7B-0924")  # 64 experts, 8 for each token
# trace = mv.record(model, mv.prompts.passages())
# control = mv.record(mv.untrained_twin(model), mv.prompts.passages())
# mv.report(trace, control).save("report")
# ```

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## More and smaller experts, and more ways to keep them evenly busy
#
# - Many small experts: for the same computing, far more combinations.
# - A bias that only the choice sees can balance instead of a loss.
# - Balance matters where devices wait for the busiest, or a lid drops tokens.
# -->
# ## What to take home
#
# - Newer mixtures have many small experts, some a shared one: for the same computing more
#   combinations.
# - A bias that only the choice sees can balance loads instead of a loss.
# - A lid drops tokens; then a text's result depends on its neighbours. Mixtral has none.
# - Experts on several devices wait for the busiest: that is what balance is for.
# - Whether experts part by kind of text differs from model to model. Ask each by itself.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# By what factor must the capacity of section 3 grow until nothing is dropped in layer 5?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# In section 2 the steps of the bias were 0.005. What happens with 0.1? Draw the busiest expert's
# load.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# Choose the pairs of experts that share a device so that the four wait as little as possible on
# English. How much is gained? And on the mix, with the same pairs?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# [Previous: the real Mixtral](09_the_real_mixtral.ipynb) · [all notebooks](README.md)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
experts = english.experts[5, some].astype(int)
needed = 8 * load(experts).max()
print(f"{needed:.2f}: the busiest expert has {load(experts).max():.0%} of the work, even is 12.5%")
assert not dropped(experts, needed)[0].any()

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
large, busiest = np.zeros(8), []
for _ in range(150):
    large = adjusted(large, chosen(scores, large), step=0.1)
    busiest.append(load(chosen(scores, large)).max())
print("busiest expert in the last ten steps:", *(f"{x:.0%}" for x in busiest[-10:]))
print("It overshoots: experts are full at one step and empty at the next. The step is the price of")
print("quickness.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3


# %% slideshow={"slide_type": "skip"} tags=["solution"]
def pairings(left):
    """All ways to put experts into pairs."""
    if not left:
        yield []
        return
    first, *rest = left
    for n, other in enumerate(rest):
        for more in pairings(rest[:n] + rest[n + 1 :]):
            yield [(first, other), *more]


work = load(english.experts[5, ~english.special])
best = min(pairings(list(range(8))), key=lambda pairs: max(work[a] + work[b] for a, b in pairs))
for name, trace in texts.items():
    own = load(trace.experts[5, ~trace.special])
    busiest = max(own[a] + own[b] for a, b in best)
    print(f"{name}: waiting {1 - 0.25 / busiest:.0%} (before {waits[name]:.0%})")
print("Pairs that suit one kind of text need not suit another.")
