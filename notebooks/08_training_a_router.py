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
# # Training a router
#
# Nobody tells it which expert is right. What it learns from, what happens when it is left alone,
# and what a small loss does about it.
# -->
# # Training a router
#
# A quarter of an hour of reading, and five minutes for the section marked *further*; about 40
# seconds on two cores, 2 GB of memory, no network.
#
# Afterwards you can
#
# - say how a router learns, although nobody tells it which expert is right;
# - say what happens when it is left alone, and what that costs;
# - write down the loss that prevents it, and say what it does not ask for;
# - further: say when in its training a router makes up its mind.

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
# Start the training cells of sections 3, 5 and 6 before the lecture; they take some
# seven seconds each.
#
# </details>

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 1 · Nobody tells a router what is right
#
# Training compares the model's guess of the next token with the text, and nothing else. The router
# hears of it through the gates: of the two that ran, the one that helped more should have had the
# larger gate, so its score goes up, and the other's down.
#
# Experts that were not chosen are never asked. Let us see that, with one token.

# %% slideshow={"slide_type": "skip"}
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

import moe_viz as mv
from moe_viz.model import Mixtral, initialise

torch.set_num_threads(1)  # so small a model is no faster with two

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
import json

import plotly.graph_objects as go

from moe_viz.analysis import Finding
from moe_viz.analysis.load import load_shares
from moe_viz.files import embedded_folder
from moe_viz.view.charts import Chart
from moe_viz.view.charts.panels import grid
from moe_viz.view.palette import expert_colour

# %% slideshow={"slide_type": "skip"}
shape = {"hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 32}
shape |= {"expert_size": 64, "experts": 8, "experts_per_token": 2}
shape |= {"vocab_size": 256, "context": 64, "rope_theta": 1e4}
config = mv.MixtralConfig(name="very small", **shape)

# %% slideshow={"slide_type": "skip"}
model = initialise(Mixtral(config), seed=0)
model(torch.tensor([65])).logsumexp(-1).sum().backward()  # any loss would do
layer = model.layers[1].moe
trained = [e for e in range(8) if layer.experts[e].w1.weight.grad is not None]
heard = layer.router.weight.grad.abs().sum(dim=1)  # one row for each expert
print("experts that this token trains:", *trained)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert heard.nonzero().flatten().tolist() == trained
assert len(trained) == 2

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, every = go.Figure(), [f"expert {e}" for e in range(8)]
tints = [expert_colour(e) for e in range(8)]
words = ["trained" if e in trained else "never asked" for e in range(8)]
figure.add_bar(x=every, y=heard.tolist(), text=words, textposition="outside", marker_color=tints)
figure.update_xaxes(title="rows of the router of layer 1")
figure.update_yaxes(title="gradient, sizes added up", range=[0, 1.15 * float(heard.max())])
figure.update_layout(height=360, margin={"t": 16, "r": 16, "b": 16, "l": 64})
columns = {"expert": np.arange(8), "gradient": heard.numpy()}
data = Finding("gradient", "a very small mixture", "one token", columns)
said = f"Experts {trained[0]} and {trained[1]} ran. Only they, and their rows, change."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## One token, one step: only the two experts that ran are trained, and only their rows hear of it
# -->
# ## Who hears of one token

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "What one token changes in a router", "a very small mixture", said, data)

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 2 · The chosen ones learn
#
# A chosen expert is trained. A trained expert tends to be more useful than its neighbours, so it
# may be chosen more often. One that is never chosen stays as random as it began (the optimiser only
# shrinks it).
#
# Nothing in this asks for eight experts. How far does it go? We train a mixture so small that
# seconds are enough, on text that is here anyway: the passages of this course in five languages,
# and its programs, byte by byte.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
texts = [prompt.text for prompt in mv.prompts.curated()]
text = torch.tensor(list("\n".join(texts).encode()))
book = mv.ledger(config)
print(
    f"{config.layers} layers of {config.experts} experts, {config.experts_per_token} for each byte"
)
print(f"{book.total:,} parameters, {book.active:,} of them for any one byte")
print(f"{len(texts)} texts, {len(text):,} bytes")

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## After 160 steps of training, what share of the second layer's work has its busiest expert?
#
# A trained expert tends to be more useful, so it may be chosen more often.
#
# - about 1/8, as even as at the start
# - about 1/4
# - nearly 1/2, the most it can have
# -->
# ## Predict
#
# An expert's *load* is its share of a layer's work, two assignments for each token. With even
# loads, each of the eight has 1/8 or 12.5 %. No expert can have more than 1/2: it is at most one of
# a token's two.
#
# **Write down a number:** after 160 steps of training, what is the load of the busiest expert of
# the *second* layer? And of the *first*?

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## One step: the loss goes down, and so does what is added to it
# -->
# ## 3 · One step, and many
#
# A step reads eight pieces of text, and changes all weights a little so that the loss goes down.
# `extra` is for what section 5 will add to it; here it is nothing.

# %% slideshow={"slide_type": "skip"}
STEPS, TEXTS, LENGTH = 160, 8, 64


def look(model, windows):
    """The loss of predicting each next byte, and every layer's routing."""
    routings = []
    with model.router_hooks(routings.append):
        logits = model(windows[:, :-1].flatten(), [LENGTH] * TEXTS)
    return functional.cross_entropy(logits, windows[:, 1:].flatten()), routings


# %% slideshow={"slide_type": "skip"}
def shares(routing):
    """Share of the assignments that each expert got: counted, so without a gradient."""
    return functional.one_hot(routing.experts, routing.logits.shape[1]).float().mean((0, 1))


def some_text(generator):
    """Eight windows of 65 bytes from anywhere."""
    starts = torch.randint(len(text) - LENGTH, (TEXTS, 1), generator=generator)
    return text[starts + torch.arange(LENGTH + 1)]


# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:3|4-6|7-8"]
def one_step(model, optimiser, windows, extra):
    """The loss, and what `extra` makes of the routing, go down a little."""
    loss, routings = look(model, windows)
    optimiser.zero_grad()
    (loss + sum(map(extra, routings))).backward()
    optimiser.step()
    loads = [shares(routing) for routing in routings]
    return torch.stack(loads).numpy(), loss.item()


# %% slideshow={"slide_type": "skip"}
def train(seed, extra):
    """Loads (steps, layers, experts) and losses (steps,) of one training."""
    model, draw = initialise(Mixtral(config), seed), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.005)
    seen = [one_step(model, optimiser, some_text(draw), extra) for _ in range(STEPS)]
    return np.array([loads for loads, _ in seen]), np.array([loss for _, loss in seen])


# %% [markdown] slideshow={"slide_type": "skip"}
# Three seeds: three different sets of random weights and pieces of text, so that we do not rely on
# one accident.

# %% slideshow={"slide_type": "skip"}
SEEDS = (0, 1, 2)
alone = [train(seed, extra=lambda routing: 0) for seed in SEEDS]


# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
def bands(loads):
    """Each expert's load as a band, step by step, in a panel for each layer."""
    figure = grid(go, ["layer 0", "layer 1"], 1, 2, 400, "step", "share of a step")
    for e, n in np.ndindex(8, 2):
        style = {"fillcolor": expert_colour(e), "line": {"width": 0}, "stackgroup": str(n)}
        axes = {"xaxis": f"x{n + 1}", "yaxis": f"y{n + 1}"}
        name = {"name": f"expert {e}", "legendgroup": e, "showlegend": n == 0}
        figure.add_scatter(y=loads[:, n, e], hovertemplate="%{y:.1%}", **style, **axes, **name)
    return figure.update_yaxes(tickformat=".0%", range=[0, 1])


# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
def drawn(loads, title):
    """The bands of one training, with their numbers."""
    step, layer, expert = (axis.ravel() for axis in np.indices(loads.shape))
    columns = {"step": step, "layer": layer, "expert": expert, "load": loads.ravel()}
    data = Finding("loads in training", title, "assignments of a step", columns)
    busiest = loads[-20:].mean(axis=0).max(axis=1)  # of each layer, over the last 20 steps
    said = "Over the last 20 steps the busiest expert has " + " and ".join(
        f"{x:.0%} in layer {n}" for n, x in enumerate(busiest)
    )
    return Chart(bands(loads), title, "a very small mixture, seed 0", f"{said}.", data)


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Left alone: in the second layer, one expert is soon among the two of most tokens
# -->
# ## Left alone

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
drawn(alone[0][0], "Loads without balancing")

# %% [markdown] slideshow={"slide_type": "skip"}
# Each band is an expert, and its height the expert's load; all bands together are the layer's whole
# work. The colours mean nothing across the two layers.


# %% slideshow={"slide_type": "skip"}
def end(trainings):
    """Loads over the last 20 steps: (seeds, layers, experts)."""
    return np.array([loads[-20:].mean(axis=0) for loads, _ in trainings])


# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## In all three seeds: one expert in layer 1 has nearly the most it can have
# -->
# ## The answer, for three seeds

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
loads = -np.sort(-end(alone))  # busiest first
rows = {(f"layer {n}", f"seed {SEEDS[i]}"): loads[i, n] for n in (0, 1) for i in (0, 1, 2)}
columns = ["busiest", *(f"{n}th" for n in range(4, 8)), "idlest"]
columns[1:1] = ["2nd", "3rd"]
mv.table(rows, columns, "Loads, last 20 steps; even is 12.5 %", form=".1%", shade="all")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
first = np.array([loads[0] for loads, _ in alone])
assert loads[:, 1, 0].min() > 0.35
assert loads[:, 1, -1].mean() < 0.03
assert first[:, 1].max() < 0.3
assert loads[:, 0, 0].mean() < loads[:, 1, 0].mean()

# %% [markdown] slideshow={"slide_type": "skip"}
# In layer 1 one expert is among the chosen two of most tokens: not far from 50 %, the most it can
# have; in the first step it had about a fifth. The idlest has next to nothing to do. This is the
# beginning of what is called *collapse*. In layer 0 the work stays more evenly spread, here.

# %% [markdown] slideshow={"slide_type": "skip"}
# So a router left alone need not collapse: this is one very small model over 160 steps. These
# numbers do not show why its layers differ.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 4 · What is bad about it?
#
# - An idle expert **occupies memory** and does nothing.
# - Where experts are on **different machines**, all wait for the busiest. With a load of 1/2
#   instead of 1/8 that is four times an even share.
#
# And the quality? We look at that in section 6.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, work = go.Figure(), end(alone)[0, 1]
for y, base, fill in ((work, 0, tints), (work.max() - work, work, "rgba(0,0,0,0)")):
    mark = {"color": fill, "line": {"color": tints, "width": 2}}
    figure.add_bar(x=every, y=y, base=base, marker=mark, showlegend=False)
figure.add_hline(y=1 / 8, line={"color": "#7f8a96", "dash": "dash"})
figure.update_xaxes(title="experts of layer 1, each on a machine of its own")
figure.update_yaxes(title="share of a step's work", tickformat=".0%")
figure.update_layout(height=360, barmode="overlay", margin={"t": 16, "r": 16, "b": 16, "l": 64})
columns = {"expert": np.arange(8), "load": work, "waiting": 1 - work / work.max()}
data = Finding("waiting", "a very small mixture, left alone, seed 0", "last 20 steps", columns)
said = f"Filled: work. Hollow: waiting, on average {1 - work.mean() / work.max():.0%} of the time."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## An idle expert fills memory; on machines of their own, all wait for the busiest (hollow)
# -->
# ## Work, and waiting

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Eight machines", "a very small mixture, left alone, seed 0", said, data)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## A loss for balance: 1 when all is even. And if all tokens go to the same two experts?
#
# $$E \, \sum_i f_i \, P_i$$
#
# The experts' shares of assignments $f$ and mean probabilities $P$ are then 1/2 for two of $E = 8$
# experts.
#
# - 2
# - 4
# - 8
#
# <small>Switch Transformer, arXiv 2101.03961</small>
# -->
# ## 5 · A loss for balance
#
# Add to the loss, in every layer, a small weight times
#
# $$E \, \sum_i f_i \, P_i$$
#
# $E$: how many experts there are. $f_i$: the share of assignments that expert $i$ got. $P_i$: the
# router's probability for it (softmax over all eight), averaged over tokens. (arXiv 2101.03961.)
#
# With even loads and probabilities it is $E \cdot E \cdot \frac{1}{E} \cdot \frac{1}{E} = 1$.
#
# **Write down a number:** and if all tokens go to the same two experts, with probability 1/2 each?


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Three lines of code: what is busy and probable as well costs most
# -->
# ## In code


# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:1-4|7-9"]
def balance(routing):
    """1 when even; more, the more busy experts are also probable."""
    f, P = shares(routing), routing.logits.softmax(-1).mean(0)
    return len(f) * (f * P).sum()


even = torch.ones(8) / 8
two = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0]) / 2
8 * even @ even, 8 * two @ two

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (8 * even @ even, 8 * two @ two) == (1, 4)

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# Counting has no gradient. It comes through $P$: the busier, the harder pushed down.
# -->
# $f$ is counted, and counting has no gradient. The gradient comes through $P$: it pushes
# each probability down, the harder the busier the expert; since they sum to 1, idle ones go up.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Balanced: the same weights to begin with, the same texts, and no expert is idle
# -->
# ## The same three trainings, balanced
#
# Weight 0.01, the same seeds, the same texts in the same order.

# %% slideshow={"slide_type": "skip"}
balanced = [train(seed, extra=lambda routing: 0.01 * balance(routing)) for seed in SEEDS]

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
drawn(balanced[0][0], "Loads with balancing, weight 0.01")

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 6 · What it changed, and what it did not
#
# To see what a collapsed router costs we need one that has collapsed. The same loss with its sign
# turned makes one: it rewards what is busy and probable. The rest is as before.

# %% slideshow={"slide_type": "skip"}
turned = [train(seed, extra=lambda routing: -0.05 * balance(routing)) for seed in SEEDS]
ways = {"left alone": alone, "balanced": balanced, "sign turned": turned}

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
colours = dict(zip(ways, ("#c2478e", "#2a9d5c", "#a0622d"), strict=True))
figure, rows = grid(go, [*ways], 1, 3, 400, "experts of layer 1, busiest first", "load"), []
for n, (name, trainings) in enumerate(ways.items()):
    ranked, axes = -np.sort(-end(trainings)[:, 1]), {"xaxis": f"x{n + 1}", "yaxis": f"y{n + 1}"}
    figure.add_bar(x=np.arange(8), y=ranked.mean(0), marker_color=colours[name], **axes)
    for i, each in enumerate(ranked):
        mark = {"symbol": "circle-open", "size": 9, "color": "#7f8a96", "line": {"width": 2}}
        figure.add_scatter(x=np.arange(8), y=each, mode="markers", marker=mark, **axes)
        rows += [(name, SEEDS[i], rank, load) for rank, load in enumerate(each)]
figure.update_yaxes(tickformat=".0%", range=[0, 0.53])
figure.update_xaxes(tickvals=[])
figure.update_layout(showlegend=False)
names = ("training", "seed", "rank", "load")
columns = {n: np.array(c) for n, c in zip(names, zip(*rows, strict=True), strict=True)}
data = Finding("three ways", "a very small mixture, layer 1", "last 20 steps", columns)
said = "Bars: the mean of three seeds; rings: each of them. Even is 12.5 %, the most 50 %."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Balanced, nearly even; with the sign of that loss turned, two experts do everything
# -->
# ## Three ways to train the same mixture

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Loads of layer 1", "a very small mixture, three seeds", said, data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
after = [end(trainings) for trainings in ways.values()]
assert (after[1][:, 1].max(axis=1) + 0.05 < after[0][:, 1].max(axis=1)).all()
assert (after[1][:, 1].min(axis=1) > after[0][:, 1].min(axis=1)).all()
assert after[0][:, 1].min(axis=1).mean() < 0.03 < after[1].min()
assert np.sort(after[2])[..., -2:].min() > 0.49

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## In each layer, six of eight experts never work. What does that cost this mixture in loss?
#
# - it hardly learns
# - it learns clearly less
# - nothing that can be seen
# -->
# Balanced, layer 1 is much nearer to even: in all three runs its busiest expert has less to do, and
# its idlest more. Layer 0 had less to gain. With the sign turned, two experts of each layer do
# everything.
#
# **Write down:** how much higher is the loss of a mixture in which six of eight experts never work?

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
one = 3 * config.hidden_size * config.expert_size  # parameters of an expert
at_work = {n: book.total - one * (end(t) < 0.005).sum((1, 2)).mean() for n, t in ways.items()}
final = {n: np.mean([losses[-20:] for _, losses in t], axis=1) for n, t in ways.items()}
figure = grid(go, ["loss", "parameters at work"], 1, 2, 400, "", "nats a byte")
for name, trainings in ways.items():
    losses = np.mean([losses for _, losses in trainings], axis=0)
    y = np.convolve(losses, np.ones(20) / 20, "valid")
    line = {"color": colours[name], "width": 4}
    figure.add_scatter(x=np.arange(20, STEPS + 1), y=y, name=name, line=line)
    for y, base, fill in ((at_work[name], 0, colours[name]), (book.total, 0, "rgba(0,0,0,0)")):
        mark = {"color": fill, "line": {"color": colours[name], "width": 3}}
        axes = {"xaxis": "x2", "yaxis": "y2", "showlegend": False}
        figure.add_bar(x=[name], y=[y], base=base, marker=mark, width=0.6, **axes)
figure.update_layout(barmode="overlay", xaxis={"title": "step"}, yaxis={"range": [2.2, 4.7]})
figure.update_layout(yaxis2={"range": [0, 1.05 * book.total]})
columns = {"training": np.array([*ways]), "at work": np.array([*at_work.values()])}
columns["loss"] = np.array([x.mean() for x in final.values()])
data = Finding("cost of collapse", "a very small mixture", "last 20 steps, three seeds", columns)
said = "Loss: the mean of three seeds over 20 steps. Hollow: stored, and never asked."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Nothing, by the end of this toy. But collapsed, most of what is stored never works.
# -->
# ## What a collapsed router costs

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Three trainings", "a very small mixture, three seeds", said, data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {}
for name, trainings in ways.items():
    loads = end(trainings)
    rows[name] = [loads[:, 1].max(axis=1).mean(), at_work[name], *final[name]]
columns = ["busiest, layer 1", "parameters at work", *(f"loss, seed {n}" for n in SEEDS)]
mv.table(rows, columns, f"Last 20 steps; {book.total:,} parameters stored",
         note="At work: without experts that have less than 0.5 % of a layer's work.",
         form=[".0%", ",.0f", ".2f", ".2f", ".2f"])  # fmt: skip

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
learnt = np.mean([losses[0] for _, losses in alone]) - final["left alone"].mean()
apart = np.ptp([*final.values()], axis=0)
print(f"learnt in {STEPS} steps: {learnt:.2f} nats a byte; the three ways differ by up to", end=" ")
print(f"{apart.max():.2f} for the same seed")
assert apart.max() < 0.05 * learnt
early = {n: np.mean([losses[20:60] for _, losses in t]) for n, t in ways.items()}
assert early["sign turned"] > early["balanced"] + 0.03
assert at_work["sign turned"] == book.active == book.total - 12 * one
assert book.active < book.total / 2

# %% [markdown] slideshow={"slide_type": "skip"}
# - **In loss, nothing** (on the texts being trained on): the collapsed mixture is behind at first,
#   and no longer by step 160. For so short a training of so small a model, two are enough.
# - **What was paid for**: a mixture that asks the same two experts for every token is a dense model
#   of 107,840 parameters that stores 255,296. And on devices of their own, six of eight would wait.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## At scale it costs quality, too: 256 experts left alone, or balanced
#
# | | test perplexity | load of the busiest, over the mean |
# | :-- | --: | --: |
# | left alone | 39.8 | 17.8 |
# | balanced, five ways | 35.6 to 35.7 | 1.07 to 1.47 |
#
# <small>Shazeer et al. 2017, arXiv 1701.06538, Table 6</small>
# -->
# So this toy shows that balancing balances, and not what it is worth. In a larger model, with more
# text, collapse costs **quality** too: of a mixture with 256 experts the perplexity on the test
# texts was 39.8 when left alone, and 35.6 or 35.7 with any of five settings of two balancing
# losses; left alone, the busiest had 17.8 times the mean load (arXiv 1701.06538, Table 6).

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## 8x7m was balanced over nine kinds of text. How busy is its busiest expert on French alone?
#
# In its last layer; 1/2 is the most.
#
# - as even as over all nine
# - a little busier
# - much busier, nearly 1/2
# -->
# ## 7 · Even over what?
#
# `8x7m`, this course's model, was trained with the same loss and weight (and a z-loss of 0.001), on
# a mix of five languages and four kinds of code. It has Mixtral's architecture, and is not Mixtral.
#
# **Write down two numbers:** the load of the busiest expert of its last layer, over the whole mix?
# And over the French passages alone?

# %% slideshow={"slide_type": "skip"}
model = mv.load("8x7m", device="cpu")
prompts = mv.prompts.curated()[::3]
trace = mv.record(model, prompts)
twin = mv.record(mv.untrained_twin(model), prompts)


# %% slideshow={"slide_type": "skip"}
def busiest(trace, labels):
    """Load of every layer's busiest expert, over labels that count alike."""
    loads = np.mean([load_shares(trace.select(label=label))[0] for label in labels], axis=0)
    return loads.max(axis=1)


kinds = {"the whole mix": trace.labels, "English": ["en"], "French": ["fr"], "Python": ["python"]}
found = {name: busiest(trace, labels) for name, labels in kinds.items()}
control = {name: busiest(twin, labels) for name, labels in kinds.items()}

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
how = json.loads((embedded_folder() / "training.json").read_text(encoding="utf-8"))
assert (how["settings"]["balance"], how["steps"]) == (0.01, 15000)
assert len(set(trace.labels)) == 9
assert found["the whole mix"].max() < 0.175 < 0.25 < 0.35 < found["English"][4:].min()
assert found["French"][4:].min() > 0.45 > 0.2 > control["French"].max()
assert max(loads[-1] for loads in control.values()) < 0.25

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, shades = go.Figure(), ("#8a63d2", "#0d8fa8", "#c98a00", "#6b7f1f")
marks = ("circle", "square", "diamond", "triangle-up")
for (name, y), colour, mark in zip(found.items(), shades, marks, strict=True):
    style = {"line": {"color": colour, "width": 4}, "marker": {"symbol": mark, "size": 12}}
    figure.add_scatter(y=y, name=name, mode="lines+markers", **style)
grey = {"dash": "dash", "color": "#7f8a96", "width": 3}
figure.add_scatter(y=control["French"], name="French, untrained twin", mode="lines", line=grey)
figure.update_xaxes(title="layer", dtick=1)
figure.update_yaxes(title="load of the busiest expert", tickformat=".0%", range=[0, 0.55])
figure.update_layout(height=400, margin={"t": 40, "r": 16, "b": 16, "l": 64})
figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
columns = {"text": np.repeat([*found], 6), "layer": np.tile(np.arange(6), 4)}
columns |= {"load": np.concatenate([*found.values()])}
columns |= {"untrained": np.concatenate([*control.values()])}
data = Finding("busiest", "8x7m", "assignments, labels counting alike", columns)
said = "; ".join(f"{name}: {y[-1]:.0%} in the last layer" for name, y in found.items())

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Even over the mix is not even over each kind of text, least of all in the last layers
# -->
# ## The busiest expert, layer by layer

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Load of the busiest expert", "8x7m", f"{said}.", data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
columns = [*(f"layer {n}" for n in trace.layers), "untrained, layer 5"]
rows = {name: [*loads, control[name][-1]] for name, loads in found.items()}
mv.table(rows, columns, "Load of the busiest expert; even is 12.5 %", form=".0%", shade="all")

# %% [markdown] slideshow={"slide_type": "skip"}
# The loss looks at one batch at a time: 16 pieces of text, of all nine kinds; in the last fifth of
# the run a batch is two longer pieces, and the loss looks at nine batches together, again of all
# nine kinds. Over the mix (all nine labels counting alike) the busiest has 17 % at most; *one kind
# of text* may use few experts, and in 8x7m's last two layers it does. Its untrained twin spreads
# each kind about as evenly as the mix. Balancing does not forbid specialising, but what it is
# evened over matters: over each device's few texts it holds specialisation down, over all texts of
# a step it allows it (arXiv 2501.11873).
#
# The paper on Mixtral (arXiv 2401.04088) measured no routing by language, and says nothing of a
# balancing loss, so it cannot be compared here: notebook 05.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## After a sixtieth of its training, how many of 8x7m's choices are as they will be at the end?
#
# Unrelated choices would agree in a quarter.
#
# - a quarter, as by chance
# - about half
# - nearly all
# -->
# ## 8 · When does a router make up its mind? · further
#
# 8x7m's training lasted 15,000 steps. At eight moments the routing of the same 23 texts was saved.
# Compare each moment with the last: how many of a token's two experts are the two that it will have
# at the end? Unrelated choices would share one in four; step 0, before any training, is the
# control.
#
# **Write down a number:** after 256 steps, a sixtieth of the training, what share do they have in
# common with the end?

# %% slideshow={"slide_type": "skip"}
with np.load(embedded_folder() / "saturation.npz") as saved:
    steps, experts = saved["steps"], saved["experts"]  # (moments, layers, tokens, 2)
now = mv.record(model, mv.prompts.curated().texts[::8])  # the same texts
experts = experts[:, :, ~now.special]  # without <s>
kept = (experts[..., None] == experts[-1][:, :, None, :]).any(-1).mean((2, 3))  # (moments, layers)
each = np.array([(experts == e).any(-1).mean(-1) for e in range(8)])  # (8, moments, layers)
chance = (each * each[:, -1:]).sum(0) / 2  # of unrelated choices with these loads
assert (now.experts[:, ~now.special] == experts[-1]).mean() > 0.97

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
layer_of, step_of = np.tile(np.arange(6), len(steps)), np.repeat(steps, 6)
columns = {"step": step_of, "layer": layer_of, "kept": kept.ravel(), "chance": chance.ravel()}
data = Finding("saturation", "8x7m", "assignments, special tokens left out", columns)
said = f"Assignments as at the end: {kept[0].mean():.0%} at step 0, {kept[4].mean():.0%} after 256 "
said += f"and {kept[6].mean():.0%} after 4,096 steps; unrelated choices: {chance[4].mean():.0%}."

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Half early, the rest never quite: choices change to the end
# -->
# ## Share of the final routing

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, names = go.Figure(), [f"{step:,}" for step in steps]
for n, mark in enumerate(("circle", "square", "diamond", "triangle-up", "cross", "star")):
    style = {"mode": "lines+markers", "marker": {"symbol": mark, "size": 9}}
    figure.add_scatter(x=names, y=kept[:, n], name=f"layer {n}", **style)
grey = {"dash": "dash", "color": "#7f8a96"}
figure.add_scatter(x=names, y=chance.mean(1), name="unrelated", mode="lines", line=grey)
figure.update_layout(height=400, margin={"t": 16, "r": 16, "b": 16, "l": 64})
figure.update_xaxes(title="steps of training (not to scale)", type="category")
figure.update_yaxes(title="as at the end", tickformat=".0%", range=[0, 1.02])
Chart(figure, "How soon routing is as at the end", "8x7m", said, data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"]
rows = {f"step {n:,}": [*row, c] for n, row, c in zip(steps, kept, chance.mean(1), strict=True)}
columns = [*(f"layer {n}" for n in range(6)), "chance"]
mv.table(rows, columns, "As at the end", form=".0%", shade="all")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert 1.7 < kept[4].mean() / chance[4].mean() < 2.5
assert (round(kept[0].mean(), 2), round(kept[4].mean(), 2)) == (0.38, 0.52)
assert abs(kept[0, -1] - chance[0, -1]) < 0.05

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A router that has settled has not necessarily found anything out
#
# - Layer 0 begins far above chance, before anything was learnt.
# - Much of its final routing is its random beginning.
# - The last layer begins at chance.
# -->
# ## What the curves say
#
# - **Half early, the rest never quite.** After a sixtieth of the training 52 % of all assignments
#   are as at the end. That is twice what unrelated choices give, but 38 % were so at step 0, before
#   any training.
# - They keep changing to the end: after step 4,096 still a sixth to a third of them, by layer.
# - **Layer 0** begins far above chance, with 66 % at step 0, before anything was learnt. Much of
#   its final routing is its random beginning. The last layer begins at chance.
#
# A warning: a router that has settled has not necessarily found anything out.

# %% slideshow={"slide_type": "skip"}
most = each.max(0) / 2  # load of the busiest expert: (moments, layers)
columns = [f"step {n:,}" for n in steps]
mv.table({"layer 5": most[:, -1]}, columns, "Load of the busiest expert", form=".0%", shade="all")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert round(kept[0, 0], 2) == 0.66
assert 0.16 < 1 - kept[6].max() < 0.18
assert 0.32 < 1 - kept[6].min() < 0.35
assert most[0, -1] < 0.15 < 0.38 < most[2, -1] < 0.4
assert most[-1, -1] < 0.22

# %% [markdown] slideshow={"slide_type": "skip"}
# For a while, 8x7m's last layer went the way of section 3: at step 16 one expert had almost two
# fifths of these texts' work, at the end one fifth. It was balanced from the first step on.

# %% slideshow={"slide_type": "skip"}
from moe_viz.analysis.snapshots import Snapshots
from moe_viz.view.charts.film import film

run, passage = Snapshots.load(), "cat/fr"
pieces = model.tokenizer.describe(run.pieces(passage))[1].pieces

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A French text while 8x7m learns. Move the slider: when does one colour take the last layer?
# -->
# ## The film of a training
#
# One French text, and who takes each of its tokens; on the right, what the model had learnt by
# then, and the loads of the last layer on other French texts. Move the slider from step 0 to the
# end, or click on the picture and use the arrow keys.

# %% slideshow={"slide_type": "-"}
film(run, passage, pieces, ["fr", "fr-prose"], opens=0)

# %% [markdown] slideshow={"slide_type": "skip"}
# In the last layer one expert takes four in five of this text's tokens at step 550, nearly nine in
# ten at the end. Until step 302 it changed hands.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
choices = run.choices(passage).where(layer=5).rows()
taken = {row["step"]: np.bincount([int(e) for e in row["first"].split()]) for row in choices}
assert round(taken[550].max() / taken[550].sum(), 1) == 0.8
assert 0.86 < taken[15000].max() / taken[15000].sum() < 0.9
assert len({taken[step].argmax() for step in (165, 223, 302)}) > 1
assert {taken[step].argmax() for step in taken if step > 302} == {6}

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
parted, figure = run.parted().where(layer=5), go.Figure()
at = np.maximum(parted["step"].astype(float), 0.5)  # a logarithmic axis has no 0
looks = {"meaning": ("one meaning, two languages", "#8a63d2"),
         "language": ("one language, two meanings", "#0d8fa8")}  # fmt: skip
for column, (name, colour) in looks.items():
    line = {"color": colour, "width": 3}
    figure.add_scatter(x=at, y=parted[column], name=name, mode="lines+markers", line=line)
figure.update_xaxes(type="log", dtick=1, title="step of training (0 stands at the left)")
figure.update_yaxes(title="load that would have to move", tickformat=".0%", range=[0, 0.9])
figure.update_layout(height=400, margin={"t": 40, "r": 16, "b": 16, "l": 64})
figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
ends = {column: parted[column][[0, -1]] for column in looks}
said = "; ".join(
    f"{looks[c][0]}: {a:.0%} at step 0, {b:.0%} at the end" for c, (a, b) in ends.items()
)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Words of one language come together; words of one meaning do not
# -->
# ## When languages part
#
# Two little words, such as *and* and *und*, or *and* and *the*: how much of one's load in the last
# layer would have to move to match the other's (notebook 05)?

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "How far apart little words are", "8x7m in training, layer 5", f"{said}.", parted)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert abs(ends["meaning"][0] - ends["language"][0]) < 0.1
assert ends["meaning"].round(2).tolist() == [0.73, 0.62]
assert ends["language"].round(2).tolist() == [0.76, 0.12]
assert parted["meaning"].min() > 0.5

# %% [markdown] slideshow={"slide_type": "skip"}
# From about step 100 on the words of one language come together, to 12 % at the end. Words of one
# meaning stay as far apart as they were at first, or nearly (73 %, then 62 %).

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A router hears only of the experts that ran; a small loss keeps the others in work
#
# - Left alone it may collapse: stored, paid for, and never asked.
# - At scale that costs quality and idle devices; in a toy, nothing.
# - Even over the mix is not even over each kind of text.
# -->
# ## What to take home
#
# - Nobody tells a router what is right: it hears of it through the gates of the experts that ran.
# - Left alone it may collapse. A small loss prevents that, and asks for nothing but balance.
# - Collapse wastes what is stored, and devices; it cost quality in a large model of 2017 (arXiv
#   1701.06538), and nothing in a toy.
# - Even over the mix is not even over each kind of text.
# - Further: much of the routing is settled early, and some of it before anything was learnt.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# Train seed 0 with a tenth of the balancing weight, and with ten times as much. How
# busy is the busiest expert of layer 1 then?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# With *one* expert for each token, `replace(config, experts_per_token=1)`, repeat
# the cell of section 1. What does the router hear, and why?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# Compute the balancing loss of 8x7m's own routing in its last layer, over the whole
# `trace` of section 7 and over the English passages. `trace.select(label="en")` has
# `.router_logits` and `.experts`; leave out `.special` tokens.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# [Previous: what it costs](07_what_it_costs.ipynb) ·
# [Next: the real Mixtral](09_the_real_mixtral.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
print(f"weight 0      {end(alone)[0, 1].max():.1%}")
print(f"weight 0.01   {end(balanced)[0, 1].max():.1%}")
for weight in (0.001, 0.1):
    run = train(0, lambda routing, weight=weight: weight * balance(routing))
    print(f"weight {weight:<6} {end([run])[0, 1].max():.1%}")
print("In this layer, and with this seed: the larger the weight, the nearer to even (12.5 %).")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
single = initialise(Mixtral(replace(config, experts_per_token=1)), seed=0)
single(torch.tensor([65])).logsumexp(-1).sum().backward()
print("largest gradient of the router:", single.layers[1].moe.router.weight.grad.abs().max().item())
print("A gate is the softmax over the chosen scores. For a single one it is always 1, whatever the")
print("score: the router learns nothing. With k = 1 the softmax is taken over all experts instead.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for name, part in (("all", trace), ("English", trace.select(label="en"))):
    logits = torch.from_numpy(part.router_logits[-1][~part.special].copy())
    chosen = torch.from_numpy(part.experts[-1][~part.special].astype(np.int64))
    f, P = functional.one_hot(chosen, 8).float().mean((0, 1)), logits.softmax(-1).mean(0)
    print(f"{name:8} {8 * (f * P).sum():.2f}   (even: 1, all to the same two: at most 4)")
print("Over the mix nearly 1, as it was trained to be. English alone is far from even, and nothing")
print("in the loss objects: it was never asked of English alone.")
