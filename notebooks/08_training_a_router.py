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
# # Training a router
#
# A quarter of an hour of reading, and five minutes for the section marked *further*; about half
# a minute of a laptop's CPU, 2 GB of memory, no network.
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
# Start the training cells of sections 3 and 5 before the lecture; they take some
# seven seconds each.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1 · Nobody tells a router what is right
#
# Training compares the model's guess of the next token with the text, and nothing else. The router
# hears of it through the gates: of the two that ran, the one that helped more should have had the
# larger gate, so its score goes up, and the other's down.
#
# Experts that were not chosen are never asked. Let us see that, with one token.

# %% slideshow={"slide_type": "skip"}
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from torch.nn import functional

# %% slideshow={"slide_type": "skip"}
import moe_viz as mv
from moe_viz.analysis import Finding
from moe_viz.analysis.load import load_shares
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral, initialise
from moe_viz.view.charts import Chart
from moe_viz.view.charts.panels import grid
from moe_viz.view.palette import expert_colour

# %% slideshow={"slide_type": "skip"}
torch.set_num_threads(1)  # so small a model is no faster with two
shape = {"hidden_size": 64, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 32}
shape |= {"expert_size": 64, "experts": 8, "experts_per_token": 2}
shape |= {"vocab_size": 256, "context": 64, "rope_theta": 1e4}
config = mv.MixtralConfig(name="very small", **shape)

# %% slideshow={"slide_type": "-"} tags=["show_code"]
model = initialise(Mixtral(config), seed=0)
model(torch.tensor([65])).logsumexp(-1).sum().backward()  # any loss would do
layer = model.layers[1].moe
trained = [e for e in range(8) if layer.experts[e].w1.weight.grad is not None]
heard = layer.router.weight.grad.abs().sum(dim=1)  # one row for each expert
print("experts that this token trains:     ", *trained)
print("router's rows that it changes:      ", *heard.nonzero().flatten().tolist())
assert heard.nonzero().flatten().tolist() == trained
assert len(trained) == 2

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · The chosen ones learn
#
# A chosen expert is trained. A trained expert tends to be more useful than its neighbours, so it
# may be chosen more often. One that is never chosen stays as random as it began.
#
# Nothing in this asks for eight experts. How far does it go? We train a mixture so small that
# seconds are enough, on text that is here anyway: the Python files of this library, byte by byte.

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
files = sorted(Path(mv.__file__).parent.rglob("*.py"))
text = torch.tensor(list("\n".join(f.read_text(encoding="utf-8") for f in files).encode()))
book = mv.ledger(config)
print(
    f"{config.layers} layers of {config.experts} experts, {config.experts_per_token} for each byte"
)
print(f"{book.total:,} parameters, {book.active:,} of them for any one byte")
print(f"{len(files)} files, {len(text):,} bytes of text")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Predict
#
# An expert's *load* is its share of a layer's work, two assignments for each token. With even
# loads, each of the eight has 1/8 or 12.5 %. No expert can have more than 1/2: it is at most one of
# a token's two.
#
# **Write down a number:** after 160 steps of training, what is the load of the busiest expert of
# the *second* layer? And of the *first*?

# %% [markdown] slideshow={"slide_type": "slide"}
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


# %% slideshow={"slide_type": "-"} tags=["show_code"]
def one_step(model, optimiser, windows, extra):
    """One step: the loss, and what `extra` makes of every layer's routing, go down a little."""
    loss, routings = look(model, windows)
    optimiser.zero_grad()
    (loss + sum(map(extra, routings))).backward()
    optimiser.step()
    return torch.stack([shares(routing) for routing in routings]).numpy(), loss.item()


# %% slideshow={"slide_type": "-"} tags=["show_code"]
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
# ## Left alone

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
drawn(alone[0][0], "Loads without balancing")

# %% [markdown] slideshow={"slide_type": "skip"}
# Each band is an expert, and its height the expert's load; all bands together are the layer's whole
# work. The colours mean nothing across the two layers.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The answer, for three seeds


# %% slideshow={"slide_type": "skip"}
def end(trainings):
    """Loads over the last 20 steps: (seeds, layers, experts)."""
    return np.array([loads[-20:].mean(axis=0) for loads, _ in trainings])


def percent(values):
    return "".join(f"{x:7.1%}" for x in values)


# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
loads, first = end(alone), np.array([loads[0] for loads, _ in alone])
print("loads, last 20 steps, busiest expert first")
for n, seed in np.ndindex(2, 3):
    print(f"layer {n}, seed {SEEDS[seed]}: {percent(np.sort(loads[seed, n])[::-1])}")
print(
    "\nbusiest expert of layer 1 in the first step, three seeds:", percent(first[:, 1].max(axis=1))
)
assert loads[:, 1].max(axis=1).mean() > 0.35
assert loads[:, 1].min(axis=1).mean() < 0.03
assert first[:, 1].max() < 0.3

# %% [markdown] slideshow={"slide_type": "-"}
# In layer 1 one expert is among the chosen two of most tokens: not far from 50 %, the most it can
# have. The idlest has next to nothing to do. This is the beginning of what is called *collapse*. In
# layer 0 the work stays more evenly spread, here.

# %% [markdown] slideshow={"slide_type": "skip"}
# So a router left alone need not collapse, nor stay collapsed: this is one very small model over
# 160 steps. These numbers do not show why its layers differ.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert loads[:, 0].max(axis=1).mean() < loads[:, 1].max(axis=1).mean()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · What is bad about it?
#
# - An idle expert **occupies memory** and does nothing.
# - Where experts are on **different machines**, all wait for the busiest. With a load of 1/2
#   instead of 1/8 that is four times an even share.
#
# And the quality? We look at that in section 6.

# %% [markdown] slideshow={"slide_type": "slide"}
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
# ## In code


# %% slideshow={"slide_type": "-"} tags=["show_code"]
def balance(routing):
    """1 when even; more, the more the busy experts are also the probable ones."""
    f, P = shares(routing), routing.logits.softmax(-1).mean(0)
    return len(f) * (f * P).sum()


even, collapsed = torch.full((8,), 1 / 8), torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0, 0])
print("even:", 8 * (even * even).sum().item(), " all to two:", 8 * (collapsed**2).sum().item())
assert 8 * (collapsed**2).sum() == 4

# %% [markdown] slideshow={"slide_type": "-"}
# $f$ is counted, and counting has no gradient. The gradient comes through $P$: it pushes
# each probability down, the harder the busier the expert; since they sum to 1, idle ones go up.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same three trainings, balanced
#
# Weight 0.01, the same seeds, the same texts in the same order.

# %% slideshow={"slide_type": "skip"}
balanced = [train(seed, extra=lambda routing: 0.01 * balance(routing)) for seed in SEEDS]

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
drawn(balanced[0][0], "Loads with balancing, weight 0.01")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · What it changed, and what it did not

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
print(f"{'last 20 steps, three seeds':30}{'left alone':21}{'balanced':21}even")
after = [end(alone), end(balanced)]
for n in (0, 1):
    for name, pick in (("busiest", np.max), ("idlest", np.min)):
        both = "".join(percent(pick(loads[:, n], axis=1)) for loads in after)
        print(f"{f'layer {n}, {name} expert':28}{both}{1 / 8:9.1%}")
nats = [np.mean([losses[-20:] for _, losses in runs], axis=1) for runs in (alone, balanced)]
print(f"{'loss, nats a byte':28}" + "".join(f"{x:7.2f}" for x in np.ravel(nats)))
assert (after[1][:, 1].max(axis=1) + 0.05 < after[0][:, 1].max(axis=1)).all()
assert (after[1][:, 1].min(axis=1) > after[0][:, 1].min(axis=1)).all()

# %% [markdown] slideshow={"slide_type": "-"}
# - **Layer 1** is much nearer to even: in all three runs its busiest expert has less to do, and its
#   idlest more. Layer 0 had less to gain.
# - **The loss** (on the texts being trained on) is about the same. In so short a training of so
#   small a model, experts that do nothing are hardly missed.
#
# So this shows that balancing *balances*, if not every expert at once. To show that more working
# experts make a better model would take a larger model, and more text.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
learnt = np.mean([losses[0] for _, losses in alone]) - nats[0].mean()
print(f"learnt in {STEPS} steps: {learnt:.2f} nats a byte; largest difference", end=" ")
print(f"that balancing makes: {abs(nats[0] - nats[1]).max():.2f}")
assert abs(nats[0] - nats[1]).max() < 0.05 * learnt
assert after[0][:, 1].min(axis=1).mean() < 0.03 < after[1][:, 1].min(axis=1).mean()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7 · Even over what?
#
# `8x7m`, this course's model, was trained with the same loss and weight (and a z-loss of 0.001), on
# a mix of five languages and four kinds of code. It has Mixtral's architecture, and is not Mixtral.
#
# **Write down two numbers:** the load of the busiest expert of its last layer, over the whole mix?
# And over the English passages alone?

# %% slideshow={"slide_type": "skip"}
how = json.loads((embedded_folder() / "training.json").read_text(encoding="utf-8"))
assert (how["settings"]["balance"], how["steps"]) == (0.01, 5108)
model = mv.load("8x7m", device="cpu")
prompts = mv.prompts.curated()[::4]
trace = mv.record(model, prompts)
twin = mv.record(mv.untrained_twin(model), prompts)


# %% slideshow={"slide_type": "skip"}
def busiest(trace, labels):
    """Load of every layer's busiest expert, over labels that count alike."""
    loads = np.mean([load_shares(trace.select(label=label))[0] for label in labels], axis=0)
    return loads.max(axis=1)


# %% slideshow={"slide_type": "fragment"} tags=["hide_code"] jupyter={"source_hidden": true}
layers = "".join(f" layer {n}" for n in trace.layers)
print(f"{'busiest expert of':18}{layers}   untrained, layer 5")
kinds = {"the whole mix": trace.labels, "English": ["en"], "French": ["fr"], "Python": ["python"]}
found = {name: (busiest(trace, labels), busiest(twin, labels)) for name, labels in kinds.items()}
for name, (loads, control) in found.items():
    print(f"{name:18}" + "".join(f"{x:8.0%}" for x in loads) + f"{control[-1]:14.0%}")
print(f"{'even':18}" + "".join(f"{1 / 8:8.1%}" for _ in trace.layers))
assert found["the whole mix"][0].max() < 0.25 < 0.4 < found["English"][0][-1]
assert max(control[-1] for _, control in found.values()) < 0.25

# %% [markdown] slideshow={"slide_type": "fragment"}
# The loss looks at one batch at a time: 16 windows of random domains, two in the last 12 % of the
# run. Over the mix (all nine labels counting alike) the busiest has 21 % at most; *one kind of
# text* may use few experts, and in 8x7m's last layer it does. Its untrained twin spreads each kind
# about as evenly as the mix. Balancing does not forbid specialising, but the batch matters: evened
# over each small batch it holds specialisation down, over a global batch it allows it (arXiv
# 2501.11873).

# %% [markdown] slideshow={"slide_type": "skip"}
# The paper on Mixtral measured no languages, so it cannot be compared here: notebook 05.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8 · When does a router make up its mind? · further
#
# 8x7m's training lasted 5,108 steps. At eight moments the routing of the same 23 texts was saved.
# Compare each moment with the last: how many of a token's two experts are the two that it will have
# at the end? Unrelated choices would share one in four; step 0, before any training, is the
# control.
#
# **Write down a number:** after 256 steps, a twentieth of the training, what share do they have in
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

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
print("step       " + "".join(f"  layer {n}" for n in range(6)) + "   chance")
for step, row, by_chance in zip(steps, kept, chance.mean(1), strict=True):
    print(f"{step:7,}    " + "".join(f"{x:9.0%}" for x in row) + f"{by_chance:9.0%}")
assert 1.7 < kept[4].mean() / chance[4].mean() < 2.5
assert (round(kept[0].mean(), 2), round(kept[4].mean(), 2)) == (0.38, 0.55)
assert abs(kept[0, -1] - chance[0, -1]) < 0.05

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What the curves say
#
# - **Half early, the rest never quite.** After a twentieth of the training 55 % of all assignments
#   are as at the end. That is twice what unrelated choices give, but 38 % were so at step 0, before
#   any training.
# - They keep changing to the end: 4 to 15 % of them, by layer, between steps 4,096 and 5,108.
# - **Layer 0** begins far above chance, with 62 % at step 0, before anything was learnt. Much of
#   its final routing is its random beginning. The last layer begins at chance.
#
# A warning: a router that has settled has not necessarily found anything out.

# %% slideshow={"slide_type": "skip"}
most = each.max(0) / 2  # load of the busiest expert: (moments, layers)
print("busiest expert of 8x7m's last layer")
for step, x in zip(steps, most[:, -1], strict=True):
    print(f"step {step:5,}: {x:.0%}")
assert round(kept[0, 0], 2) == 0.62
assert 0.04 < 1 - kept[6].max() < 1 - kept[6].min() < 0.155
assert most[0, -1] < 0.15 < 0.3 < most[2, -1]
assert most[-1, -1] < 0.22

# %% [markdown] slideshow={"slide_type": "skip"}
# For a while, 8x7m's last layer went the way of section 3: at step 16 one expert had almost a third
# of these texts' work, at the end a fifth. It was balanced from the first step on.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to take home
#
# - Nobody tells a router what is right: it hears of it through the gates of the experts that ran.
# - Left alone it may collapse. A small loss prevents that, and asks for nothing but balance.
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
