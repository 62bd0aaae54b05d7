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
# # What it costs
#
# Compute like 12.9B, occupy memory like 46.7B: when that pays, and when it does not.
# -->
# # What it costs
#
# A quarter of an hour of reading, and ten minutes for the sections marked *further*; about 19
# seconds on two cores, 2 GB of memory, no network.
#
# Afterwards you can
#
# - say why Mixtral computes like a model of 12.9B and occupies memory like one of 46.7B;
# - say when that makes it faster, and when it hardly does;
# - say, with honest numbers, what use a mixture is;
# - take the announcement's "6x faster inference" apart ([reading list](READING.md));
# - further: work out what a long context costs, and what happens with too little memory.

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

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A model is paid for twice: once in memory, and with every token in computing
# -->
# ## 1 · Two bills
#
# A model costs twice. **Memory**: every parameter must be kept at hand, used or not, since the next
# token may need any expert.
# **Computing**: each token is multiplied by the parameters that it uses, two operations for each.
# (Looking back at a long context comes on top: section 8.)
#
# In a dense model both are the same parameters. In a mixture they are not.

# %% slideshow={"slide_type": "skip"}
import moe_viz as mv

mixtral = mv.ledger("mixtral-8x7b")
memory, work = mixtral.bytes("bfloat16") / 2**30, mixtral.flops_per_token() / 1e9
rows = {
    "stored: the memory": [mixtral.total, f"{memory:.1f} GiB of bfloat16"],
    "used by a token: the computing": [mixtral.active, f"{work:.1f} GFLOP"],
}
mv.table(rows, ["parameters", "is"], "Mixtral 8x7B", form=[",", ""])

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.chart(mixtral)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (mixtral.total, mixtral.active) == (46_702_792_704, 12_879_925_248)

# %% [markdown] slideshow={"slide_type": "skip"}
# **Compute like 12.9B, occupy memory like 46.7B.** (GiB of bfloat16, two bytes a number; a GFLOP is
# a billion operations.) The memory is paid for once, however many people use the model at a time;
# the computing is paid for with every token.

# %% [markdown] slideshow={"slide_type": "skip"}
# Twice 12.88 is 25.76, not 25.5: a token's row of the embedding is looked up, not multiplied, and
# norms are not counted. The cell checks that this is all the difference.

# %% slideshow={"slide_type": "skip"}
parts = {part.name: part.active for part in mixtral.parts}
left_out = 2 * (parts["embedding"] + parts["norms"])
assert 2 * mixtral.active - mixtral.flops_per_token() == left_out

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Three models for this machine: the mixture, and a dense one for each of its two sizes
# -->
# ## 2 · Three models for this machine
#
# That was arithmetic. Does a machine follow it? `8x7m` has Mixtral's architecture on a small scale;
# it is not Mixtral. It stores 24 million parameters and uses 10 million for a token. Beside it, two
# dense models, with one expert to a layer: wide enough for **10 million** parameters, as many as
# 8x7m *uses*, or for **24 million**, as many as it *stores*. Their weights are random, since
# training does not change a dense model's speed.

# %% slideshow={"slide_type": "skip"}
import json
import time
from dataclasses import replace
from statistics import median

import numpy as np
import plotly.graph_objects as go
import torch

# %% slideshow={"slide_type": "skip"}
from moe_viz.analysis import Finding
from moe_viz.analysis.published import LLAMA_2_70B, REPETITION
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral, initialise
from moe_viz.view.charts import Chart

# %% slideshow={"slide_type": "skip"}
moe = mv.load("8x7m", device="cpu")


def one_expert(name, width):
    config = replace(moe.config, name=name, experts=1, experts_per_token=1, expert_size=width)
    return initialise(Mixtral(config), seed=0)


F, k, E = moe.config.expert_size, moe.config.experts_per_token, moe.config.experts
models = {"8x7m": moe, "dense 10M": one_expert("10M", k * F), "dense 24M": one_expert("24M", E * F)}

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
books = {name: mv.ledger(model.config) for name, model in models.items()}
flops = {name: book.flops_per_token(head=False) for name, book in books.items()}
rows = {n: [b.total / 1e6, b.active / 1e6, flops[n] / 1e6] for n, b in books.items()}
columns = ["million stored", "million used by a token", "MFLOP a token"]
mv.table(rows, columns, "Three models", form=".1f", mark="8x7m")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
small, narrow, wide = books.values()
assert abs(narrow.active / small.active - 1) < 0.002
assert abs(wide.total / small.total - 1) < 0.002
assert round(flops["dense 24M"] / flops["8x7m"], 1) == 3.4

# %% [markdown] slideshow={"slide_type": "skip"}
# The last column leaves out the output head, the product with 8,192 vocabulary rows at the very
# end, which is the same in all three. Without it the layers' own costs are easier to see.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## The dense 24M needs 3.4 times the operations. When is the mixture's advantage smallest?
#
# Conversations that go on by one token each, in one step:
#
# - one
# - sixteen
# - 256
# - it is always 3.4
# -->
# ## 3 · Predict
#
# A server's *step* lets several conversations go on by one token each. We time steps of 1, 4, 16,
# 64 and 256 conversations.
#
# **Write down three numbers:** with 1, with 16, with 256 of them, how many times as long as 8x7m
# does *dense 24M* take? It needs 3.4 times the operations for each token.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
torch.set_num_threads(1)  # so that the processor's time is a fair clock on a busy machine
ids = torch.randint(8192, (512,), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def milliseconds(model, lengths):
    passes = 1 if sum(lengths) > 16 else 8
    began = time.process_time()
    for _ in range(passes):
        model(ids[: sum(lengths)], lengths, logits="none")
    return 1000 * (time.process_time() - began) / passes


# %% [markdown] slideshow={"slide_type": "skip"}
# The three models take turns, five times over, and the median counts: then a machine that slows
# down for a while slows all three down.

# %% slideshow={"slide_type": "skip"}
steps = [1, 4, 16, 64, 256]
taken = {(name, n): [] for name in models for n in steps}
for _ in range(6):
    for n in steps:
        for name, model in models.items():
            taken[name, n].append(milliseconds(model, [1] * n))
ms = {key: median(times[1:]) for key, times in taken.items()}  # the first one warms up

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
gain = [ms["dense 24M", n] / ms["8x7m", n] for n in steps]
price = [ms["8x7m", n] / ms["dense 10M", n] for n in steps]
times = {f"ms, {name}": np.array([ms[name, n] for n in steps]) for name in models}
columns = {"tokens": np.array(steps), "gain": np.array(gain), "price": np.array(price), **times}
data = Finding("steps", "8x7m and two dense models", "milliseconds of one core", columns)
assert min(gain) > 1
assert 0 < np.argmin(gain) < len(steps) - 1
assert np.argmin(gain) in (1, 2)
assert np.argmax(price) in (1, 2)
assert gain[-1] > 1.5 * min(gain)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In the middle: least faster than the large model, most slower than the small one
# -->
# ## 4 · The answer, on this machine

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = go.Figure()
lines = {"dense 24M ÷ 8x7m: how much faster the mixture is": (gain, "solid", "circle"),
         "8x7m ÷ dense 10M: how much slower": (price, "dash", "square")}  # fmt: skip
for (name, (y, dash, mark)), colour in zip(lines.items(), ("#8a63d2", "#2a9d5c"), strict=True):
    look = {"line": {"dash": dash, "color": colour}, "marker": {"symbol": mark, "size": 10}}
    figure.add_scatter(x=steps, y=y, name=name, mode="lines+markers", **look)
figure.update_xaxes(title="conversations in a step", type="log", tickvals=steps)
figure.update_yaxes(title="times as long", rangemode="tozero")
figure.update_layout(height=380, margin={"t": 16, "r": 16, "b": 16, "l": 64})
figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
said = f"The mixture is {gain[0]:.1f} times as fast as dense 24M with 1 conversation, "
said += f"{min(gain):.1f} times at the least, {gain[-1]:.1f} times with {steps[-1]}."
Chart(figure, "How long a step takes", "8x7m and two dense models, this machine", said, data)

# %% [markdown] slideshow={"slide_type": "skip"}
# - Against *dense 24M*, which needs the same memory, the mixture is faster: it computes less.
# - Against *dense 10M*, which computes as much, it has no advantage.
# - With some sixteen conversations it does worst against both: least ahead of the one, furthest
#   behind the other, though each token needs as little computing as ever. With many it recovers.

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# The dip in the middle surprises everybody. Let the class find the reason before section 5
# gives it.
#
# </details>

# %% [markdown] slideshow={"slide_type": "skip"}
# Your numbers will differ from other people's (processor time, one thread). Which model is faster
# on a CPU should not: the cell checks that. Time does not follow operations alone: many small
# products take longer than a few large ones with as many operations.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## One token needs 2 of a layer's 8 experts. How many do 16 unrelated tokens need together?
#
# - two
# - about four
# - nearly all eight
# -->
# ## 5 · One reason why the middle is worst
#
# With few tokens, a machine spends its time fetching weights from memory rather than multiplying:
# each weight is fetched, and used for a few tokens. Then what counts is how many experts have to be
# fetched.
#
# One token needs 2 of a layer's 8 experts.
#
# **Write down a number:** how many of the 8 do 16 tokens touch, together?

# %% slideshow={"slide_type": "skip"}
prompts = mv.prompts.curated()[::3]
trace = mv.record(moe, prompts)
twin = mv.record(mv.untrained_twin(moe), prompts)
texts = [np.arange(p.start + 1, p.stop) for p in trace.prompts]  # tokens of each, without <s>
rng = np.random.default_rng(0)


def touched(trace, draw, n):
    """Experts of each layer that n tokens go to: the mean over 200 draws."""
    drawn = [trace.experts[:, draw(n)] for _ in range(200)]  # each (layers, n, 2)
    return np.mean([[len(np.unique(layer)) for layer in experts] for experts in drawn], axis=0)


# %% slideshow={"slide_type": "skip"}
def neighbours(n):
    """n tokens that follow each other in one text."""
    text = texts[rng.choice([i for i, text in enumerate(texts) if len(text) >= n])]
    return text[rng.integers(len(text) - n + 1) :][:n]


def unrelated(n):
    """n tokens from n texts: what a server's step holds."""
    return [rng.choice(texts[i]) for i in rng.choice(len(texts), n, replace=False)]


# %% [markdown] slideshow={"slide_type": "skip"}
# ## Formula and 8x7m
#
# If tokens chose evenly and independently, the chance that $n$ tokens all leave an expert out would
# be $0.75^n$, and they would touch $8\,(1 - 0.75^n)$ experts of a layer.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
sizes = [1, 2, 4, 8, 16]
formula = [8 * (1 - 0.75**n) for n in sizes]
apart, near = ([touched(trace, draw, n) for n in sizes] for draw in (unrelated, neighbours))
control = [touched(twin, neighbours, n).mean() for n in sizes]
lines = {
    "formula": formula,
    "each from another text": [layers.mean() for layers in apart],
    "neighbours, layer 0": [layers[0] for layers in near],
    "neighbours, layer 5": [layers[-1] for layers in near],
    "neighbours, untrained twin": control,
}
columns = {"tokens": np.array(sizes)} | {name: np.array(y) for name, y in lines.items()}
data = Finding("experts touched", trace.provenance.title, "mean over 200 draws", columns)
assert all(abs(a - f).max() < 0.6 for a, f in zip(apart, formula, strict=True))  # in every layer
assert max(abs(c - f) for c, f in zip(control, formula, strict=True)) < 0.5
assert near[-1][0] > 7.3
assert near[-1][-1] < 6.3

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Nearly all of them: each weight is fetched, and used for few tokens
# -->
# ## Nearly all, unless the tokens are of one text

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, dashes = go.Figure(), ("dash", "solid", "solid", "solid", "dot")
marks = ("circle", "square", "diamond", "star", "x")
for (name, y), dash, mark in zip(lines.items(), dashes, marks, strict=True):
    look = {"line": {"dash": dash}, "marker": {"symbol": mark, "size": 10}}
    figure.add_scatter(x=sizes, y=y, name=name, mode="lines+markers", **look)
figure.update_xaxes(title="tokens in a step", type="log", tickvals=sizes)
figure.update_yaxes(title="experts of a layer that are needed", range=[0, 8.3])
figure.update_layout(height=380, margin={"t": 16, "r": 16, "b": 16, "l": 64})
said = f"16 tokens of different texts need {lines['each from another text'][-1]:.1f} of 8 experts."
Chart(figure, "Experts touched by a step", trace.provenance.title, said, data)

# %% [markdown] slideshow={"slide_type": "skip"}
# Sixteen tokens from different texts need nearly all of a layer's 8 experts. All must be fetched,
# and each serves some four tokens, where a dense model's weights serve sixteen. (Many small
# products instead of a few large ones are another reason; these timings do not tell them apart.)
#
# *Neighbours in one text* need fewer in 8x7m's last layers, not in its first. In its untrained twin
# (same architecture, random weights) they do not. (*Each from another text* and *untrained*: means
# over layers.)

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# 8x7m's routing tells kinds of text apart (notebook 05). How few experts its last layers touch
# says nothing about Mixtral's, which is not measured here.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A step of Mixtral fetches what a dense 12.9B does, then what a 46.7B does
# -->
# ## 6 · The same arithmetic for Mixtral
#
# The weights that a step of n tokens would have to fetch if routing were even and independent.
# (Here in GB, a billion bytes, as links are sold: 93 GB are section 1's 87 GiB.)


# %% slideshow={"slide_type": "skip"}
def fetched(n):
    """Parameters that a step of n tokens of different texts needs."""
    one_expert = mixtral.config.layers * mixtral.expert  # in every layer
    return mixtral.shared + one_expert * 8 * (1 - 0.75**n)


assert fetched(1) == mixtral.active

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
batches = [1, 2, 4, 8, 16, 32, 64]
gigabytes = {  # of bfloat16: two bytes a number
    "Llama 2 70B": [2 * LLAMA_2_70B / 1e9 for _ in batches],
    "Mixtral 8x7B": [2 * fetched(n) / 1e9 for n in batches],
    "a dense 12.9B": [2 * mixtral.active / 1e9 for _ in batches],
}
columns = {"tokens": np.array(batches)} | {name: np.array(y) for name, y in gigabytes.items()}
data = Finding("weights fetched", "Mixtral 8x7B", "GB in bfloat16", columns)

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = go.Figure()
for (name, y), dash in zip(gigabytes.items(), ("dash", "solid", "dot"), strict=True):
    figure.add_scatter(x=batches, y=y, name=name, mode="lines+markers", line={"dash": dash})
figure.update_xaxes(title="tokens in a step", type="log", tickvals=batches)
figure.update_yaxes(title="GB of weights fetched", rangemode="tozero")
figure.update_layout(height=360, margin={"t": 16, "r": 16, "b": 16, "l": 64})
said = "Mixtral begins like a dense model of 12.9B and ends like one of 46.7B: "
said += ", ".join(f"{2 * fetched(n) / 1e9:.0f} GB at {n}" for n in (1, 4, 16, 64)) + "."
Chart(figure, "Weights fetched in one step", "arithmetic, nothing measured", said, data)

# %% [markdown] slideshow={"slide_type": "skip"}
# And where do large batches stop being bad? Where multiplying takes longer than fetching. An A100
# with 80 GB does 312 × 10¹² operations a second in bfloat16 and fetches 2.039 × 10¹² bytes
# (NVIDIA's data sheet, in the [reading list](READING.md); peaks that no program reaches):

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
multiplied, moved = 312e12, 2.039e12  # operations and bytes a second
enough = {
    "Mixtral 8x7B": 2 * mixtral.total / moved / (mixtral.flops_per_token() / multiplied),
    "a dense 12.9B": 2 * mixtral.active / moved / (mixtral.flops_per_token() / multiplied),
}
mv.table({name: [n] for name, n in enough.items()}, ["tokens in a step"],
         "Enough to keep an A100 multiplying, by arithmetic", form=".0f")  # fmt: skip

# %% [markdown] slideshow={"slide_type": "skip"}
# A mixture needs steps 3.6 times as large as a dense model that computes as much: 46.7 over 12.9.
# At the least: Mixtral in bfloat16 takes two such GPUs, and every conversation's cache has to be
# fetched as well.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert [round(n, -1) for n in enough.values()] == [560, 150]
assert round(mixtral.total / mixtral.active, 1) == 3.6

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## "6x faster than Llama 2 70B", said the announcement. How much of it is in the parameters?
#
# Llama 2 70B's over Mixtral's:
#
# - six times, always
# - 5.4 at best, 1.5 at worst
# - hardly anything
#
# <small>mistral.ai/news/mixtral-of-experts, 11 December 2023. No tokens per second: arXiv
# 2401.04088</small>
# -->
# ## 7 · Six times faster than Llama 2 70B?
#
# The announcement says so ([reading list](READING.md)), and not on which machine, or for how many
# people at once. The paper gives no tokens per second, so nobody can check it from the
# publications. What can be checked, beside Llama 2 70B, a dense model, is what the parameters give,
# and what a given memory has left.
#
# Every token of a conversation leaves *keys and values* behind for those that follow, in every
# layer: the *cache*. All users share the weights; nobody shares this cache. What is left beside the
# weights decides how many conversations can go on at once.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Parameters give 5.4 at best; a given memory has room for some six times as many tokens
# -->
# ## Llama 2 70B over Mixtral 8x7B

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
each = 2 * 80 * 8 * 128 * 2  # Llama 2 70B: keys and values, layers, heads, head size, bytes
room = {}
for name, unit in (("2 × 80 GiB", 2**30), ("2 × 80 GB", 1e9)):
    theirs = (160 * unit - 2 * LLAMA_2_70B) / each  # in tokens
    ours = (160 * unit - mixtral.bytes("bfloat16")) / mixtral.cache_per_token()
    room[name] = [ours / 1e3, theirs / 1e3, ours / theirs]
rows = {
    ("parameters, billion", "used by a token"): [mixtral.active / 1e9, LLAMA_2_70B / 1e9],
    **{("", f"fetched, {n} in a step"): [fetched(n) / 1e9, LLAMA_2_70B / 1e9] for n in (4, 16)},
    ("", "stored"): [mixtral.total / 1e9, LLAMA_2_70B / 1e9],
}
rows = {name: [ours, theirs, theirs / ours] for name, (ours, theirs) in rows.items()}
rows |= {("thousand tokens cached", name): values for name, values in room.items()}
heads = ["Mixtral 8x7B", "Llama 2 70B", "times"]
note = "arithmetic in bfloat16, nothing measured"
mv.table(rows, heads, note=note, form=[",.1f", ",.1f", ".2f"])

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
kinds = 4 * ["parameters "] + 2 * ["tokens cached in "]
names = [kind + what for kind, (_, what) in zip(kinds, rows, strict=True)]
times = [values[-1] for values in rows.values()]
colours = 4 * ["#3b6fd4"] + 2 * ["#c98a00"]
figure = go.Figure(go.Bar(x=times, y=names, orientation="h", marker_color=colours,
                          texttemplate="%{x:.1f}", textposition="outside"))  # fmt: skip
figure.add_vline(x=6, line={"dash": "dash", "color": "#7f8a96"}, annotation_text="6")
figure.update_yaxes(autorange="reversed", automargin=True, ticksuffix=" ")
figure.update_xaxes(title="Llama 2 70B over Mixtral 8x7B; of tokens cached, the other way round")
figure.update_layout(height=360, margin={"t": 24, "r": 32, "b": 16, "l": 16}, xaxis_range=[0, 8.4])
columns = {"what": np.array(names), "times": np.array(times)}
data = Finding("ratios", "Llama 2 70B and Mixtral 8x7B", note, columns)
said = f"Parameters give {times[0]:.2f} at best and {times[3]:.2f} at worst; two GPUs of 80 GiB "
said += f"have room for {times[4]:.1f} times as many tokens beside the weights."
Chart(figure, "Where a six could come from", note, said, data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert round(LLAMA_2_70B / mixtral.active, 2) == 5.36
assert LLAMA_2_70B / fetched(16) < 1.5
assert [round(times, 1) for *_, times in room.values()] == [5.8, 7.6]

# %% [markdown] slideshow={"slide_type": "skip"}
# Parameters alone give **5.36** at best: for one conversation, or where multiplying takes longer
# than fetching. In between, fetching decides, and the ratio falls to about **1.5**.
#
# But size can give six in another way: by what a *given memory* has left. On two GPUs of 80 GiB,
# beside bfloat16 weights, the caches of 5.8 times as many tokens fit; with 80 GB (80 × 10⁹ bytes),
# of 7.6 times. Without memory and batch, six says little.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Mixtral's weights are 87 GiB. How much does the cache of one full context add?
#
# 32,768 tokens, each with keys and values in 32 layers:
#
# - 4 MiB
# - 4 GiB
# - as much as the weights
# -->
# ## 8 · A long context · further
#
# The keys and values of section 7 belong to the attention, which has no experts.
#
# **Write down a number:** Mixtral's weights are 87 GiB. How much does a full context of 32,768
# tokens add?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## 4 GiB each, and every conversation has its own: 22 full ones outweigh the weights
# -->
# ## Four gibibytes each

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
context, each = mixtral.config.context, mixtral.cache_per_token()
scores = mixtral.flops_per_token(attended=context) - mixtral.flops_per_token()
rows = {
    "a token's keys and values": [f"{each:,} bytes"],
    f"of {context:,} tokens": [f"{context * each / 2**30:.0f} GiB"],
    "computing for a new token": [f"{mixtral.flops_per_token() / 1e9:.1f} GFLOP"],
    "and looking back at a full context": [f"{scores / 1e9:.1f} GFLOP"],
}
mv.table(rows, ["Mixtral 8x7B"])

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert context * each == 4 * 2**30
assert 0.6 < scores / mixtral.flops_per_token() < 0.7

# %% [markdown] slideshow={"slide_type": "skip"}
# 4 GiB: little beside the weights, but *every conversation* needs its own. Twenty-two full ones
# take more than the weights. All users share the weights; nobody shares this *cache*.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert 21 * 4 * 2**30 < mixtral.bytes("bfloat16") < 22 * 4 * 2**30

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Half of 8x7m's experts fit into fast memory. How often is the right one already there?
#
# The one unused for longest makes room. First layer, last layer:
#
# - half of the time in both
# - less than half, and far more
# - nearly always in both
# -->
# ## 9 · Too little memory · further
#
# Experts can wait in slow memory, and be fetched when a router names them (*offload*). The last
# ones fetched stay, as many as fit. The question is how often the right one is there already.
#
# Suppose that four of a layer's eight fit. Four fixed ones would serve half of all calls if routing
# were even.
#
# **Write down a number:** and in 8x7m, with the rule "evict the one unused for longest" (LRU)? Then
# move the slider, or use the arrow keys, through its layers.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Which layers does a cache serve well? Move the slider.
# -->
# ## An expert cache

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
cache = mv.analysis.expert_cache(trace)
mv.chart(cache)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The last layers: one text uses few of their experts. The rule hardly matters.
# -->
# ## What the cache is good for

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
lru, random = (cache.where(policy=policy, size=4) for policy in ("LRU", "random"))
rates = {"LRU": lru["hit"], "LRU, shuffled tokens": lru["shuffled"], "evict any": random["hit"]}
control = mv.analysis.expert_cache(twin).where(policy="LRU", size=4)
rates["LFU"] = cache.where(policy="LFU", size=4)["hit"]
rates["untrained twin, LRU"], rates["four fixed, if even"] = control["hit"], lru["uniform"]
heads = [f"layer {layer}" for layer in trace.layers]
mv.table(rates, heads, "Hit rate with room for 4 of 8", form=".0%", shade="all", mark="LRU")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (rates["LFU"] + 0.002 >= rates["LRU"]).all()
assert rates["LRU"][0] < 0.5 < 0.52 < 0.75 < rates["LRU"][-1]
assert control["hit"].max() < 0.55

# %% [markdown] slideshow={"slide_type": "skip"}
# - **First layers:** LRU is a little worse than four fixed experts would be with even routing.
# - **Last layers:** far better. Little of it comes from the *order* of tokens, since shuffled ones
#   do nearly as well: one text uses few of these experts.
# - **The rule** matters less: evicting any expert at all is not far behind evicting the least
#   recently used (LRU); evicting the one used least often (LFU) does best.

# %% [markdown] slideshow={"slide_type": "skip"}
# Why LRU is even a little *below* one half in the first layers: a token's two experts differ. When
# the second is asked for, the first has just taken one of the four places, so three are left for
# the other seven: 3/7 instead of 4/8, or 46 % for both together. With room for one, the second
# always evicts the first. And every text begins with an empty cache: hence less than 100 % with
# room for all eight.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert abs((4 / 8 + 3 / 7) / 2 - 0.464) < 0.001
assert (rates["LRU"] - rates["LRU, shuffled tokens"]).max() < 0.1
assert (rates["LRU"] - rates["evict any"]).max() < 0.1

# %% [markdown] slideshow={"slide_type": "skip"}
# All of this is 8x7m. For Mixtral, the paper's Table 5 (arXiv 2401.04088) says how often
# consecutive tokens share an expert:

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
mean = [np.mean([either[n] for _, either in REPETITION.values()]) for n in range(3)]
print("Mixtral, published, mean over eight domains:", end=" ")
print(", ".join(f"layer {layer}: {x:.0f} %" for layer, x in zip((0, 15, 31), mean, strict=True)))
print(f"even and independent choices: {100 * (1 - 6 / 8 * 5 / 7):.0f} %")
assert abs(mean[0] - 46.4) < 3
assert min(mean[1:]) > 50

# %% [markdown] slideshow={"slide_type": "skip"}
# About as often as even choices would in layer 0, more often in the table's two later layers. So a
# cache should gain something there too; how much, the table does not say.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## A mixture and a dense model compute as much, and train on the same text. Which predicts better?
#
# The mixture needs 2.4 times the memory.
#
# - the mixture, by far
# - the mixture, by a little
# - they are equal
# - the dense model
# -->
# ## 10 · What use is it?
#
# So a mixture needs the memory of a large model and computes as much as a small one. Is it *better*
# than that small one?
#
# The recipe of 8x7m's second version was run twice more, shorter: once as it is, once for a dense
# model with as many parameters as the mixture uses. Same texts, same order, same seed, 6.3 million
# tokens.
#
# **Write down a number:** the dense model ends at 1.83 bits per byte of text it has not seen
# (less is better). Where does the mixture end?

# %% slideshow={"slide_type": "skip"}
evaluation = json.loads((embedded_folder() / "evaluation.json").read_text(encoding="utf-8"))
sizes, trainings = evaluation["twins"]["parameters"], evaluation["twins"]["trainings"]
curves = {training["model"]: training for training in trainings}
mixture, dense = curves["mixture"], curves["dense twin"]  # of equal active parameters
bits = {"mixture": np.array(mixture["bits_per_byte"]), "dense": np.array(dense["bits_per_byte"])}
seen = [tokens / 1e6 for tokens in mixture["tokens"]]
columns = {"million tokens": np.array(seen), **bits}
data = Finding("two trainings", "8x7m's recipe", "bits per byte, mean over nine domains", columns)
assert sizes["mixture"]["active"] / sizes["dense twin"]["active"] < 1.002

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In our small pair, the mixture: by a little
# -->
# ## Two trainings

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = go.Figure()
for (name, y), dash in zip(bits.items(), ("solid", "dash"), strict=True):
    figure.add_scatter(x=seen, y=y, name=name, mode="lines+markers", line={"dash": dash})
figure.update_xaxes(title="million tokens seen")
figure.update_yaxes(title="bits per byte, held out", range=[1.7, 3])
figure.update_layout(height=400, margin={"t": 16, "r": 16, "b": 16, "l": 64})
ends = ", ".join(f"{name} {y[-1]:.2f}" for name, y in bits.items())
Chart(figure, "Two trainings", "8x7m's recipe, one run each", f"At the end: {ends}.", data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
less = bits["dense"] - bits["mixture"]
kinds, dense_kinds = mixture["domains"], dense["domains"]
ahead = [kind for kind, x in kinds.items() if x < dense_kinds[kind]]
behind = [kind for kind, x in kinds.items() if x > dense_kinds[kind]]
print(f"the mixture, in bits per byte: {less[-1]:.3f} better at the end, at most {less.max():.3f}")
print(f"ahead at {(less > 0).sum()} of {len(less)} looks at the held-out texts")
print(f"at the end ahead in {len(ahead)} of {len(kinds)} kinds of text, behind in {len(behind)}")
assert ((less > 0).sum(), len(less), len(behind)) == (16, 17, 0)

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Larger mixtures were reported to gain more
#
# | reported | gain |
# | :-- | :-- |
# | Switch Transformer (2021) | pre-training up to 7 times as fast, at equal computing |
# | GLaM (2021) | a third of GPT-3's training energy |
# | OLMoE (2024) | about twice as fast to train as a dense model of equal active size |
# | ours (8x7m's recipe) | about 1 %, for 2.4 times the memory |
#
# <small>arXiv 2101.03961, 2112.06905, 2409.02060; each by the authors of the model</small>
# -->
# ## Honestly
#
# - The mixture ends 0.014 bits ahead (1.81 against 1.83, rounded): about 1 %, for 2.4 times the
#   memory. It is ahead at 16 of 17 looks (of the same two runs), and at the end behind in none of
#   nine kinds of text.
# - **That is a small gain**, and one run each: another seed might well move both ends by as much.
#   After so few tokens there may be little yet to fill the additional parameters with.
# - Larger ones were reported to gain more: pre-training up to seven times as fast, at equal
#   computation for each token (Switch, arXiv 2101.03961); a third of GPT-3's training energy
#   (GLaM, 2112.06905); trained about twice as fast as a dense model of equal active size (OLMoE,
#   2409.02060). For Mixtral's benchmarks see
#   notebook 09.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert round(bits["mixture"][-1], 2) == 1.81
assert round(bits["dense"][-1], 2) == 1.83
assert 0.005 < less[-1] / bits["dense"][-1] < 0.015
assert round(seen[-1], 1) == 6.3
assert round(sizes["mixture"]["total"] / sizes["dense twin"]["total"], 1) == 2.4

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## What use is it to *you*?
#
# - You serve **many** at once and have the memory: each token costs a small model's computing.
# - You serve **yourself**, and it fits: you fetch and compute as with 12.9B.
# - It does **not fit**: a dense model that does may serve you better.
# -->
# ## What use is it to *me*?
#
# - You serve **so many** that multiplying takes longer than fetching, and have the memory: each
#   token costs the computing of a small model. (With some sixteen in a step, most of that advantage
#   is gone.)
# - You serve **yourself**, one token at a time, and the model fits: you fetch and compute as little
#   as with a dense model of 12.9B. (A prompt is read many tokens at once: there the batch counts.)
# - It does **not fit**: experts have to be fetched for nearly every token, and each is a wait, or
#   be computed where they lie, on the CPU. A dense model that fits may serve you better.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# Your machine has a certain number of GiB of memory. In which dtype of `mv.ledger(…).bytes` does
# Mixtral 8x7B fit, and with how many full contexts (section 8) beside it? Try 24, 80 and 141 GiB. A
# dtype's name is "float32", "bfloat16" or "int8".

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# What would Mixtral be with one expert for a token, or with four? Change
# `experts_per_token` with `replace(mixtral.config, …)`, and print what is stored, what a token
# uses, and how many experts 4 tokens touch: $8\,(1 - (1 - k/8)^4)$.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# Offload. A token of Mixtral needs 2 experts in each of 32 layers. Suppose that
# half of them are there already, and that the others come over a link of 16 GB/s. How many seconds
# does a token wait, in bfloat16? And in four and a half bits a number?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 4
#
# Measure a step of 8 tokens and one of 32 in the way of section 4. Where is 8x7m's
# advantage over dense 24M smallest?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# [Previous: turn an expert off](06_turn_an_expert_off.ipynb) ·
# [Next: training a router](08_training_a_router.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for memory in (24, 80, 141):
    for dtype in ("float32", "bfloat16", "int8"):
        left = memory - mixtral.bytes(dtype) / 2**30
        print(
            f"{memory:4} GiB, {dtype:9}",
            "does not fit" if left < 0 else f"{left // 4:.0f} contexts",
        )
print("24 GiB is too little for all three, 80 is enough for one byte a number, 141 for bfloat16.")
print("Activations and the software itself need room as well: the true numbers are smaller.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for k in (1, 2, 4, 8):
    book = mv.ledger(replace(mixtral.config, experts_per_token=k))
    print(
        f"k = {k}: {book.total / 1e9:.1f}B stored, {book.active / 1e9:5.1f}B used, 4 tokens touch "
        f"{8 * (1 - (1 - k / 8) ** 4):.1f} experts of a layer"
    )
print("What is stored stays the same. More experts for a token cost computing and, with few tokens")
print("in a step, fetching. With k = 8 nothing is left of the mixture's advantage.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for name, bits_each in (("bfloat16", 16), ("4.5 bits", 4.5)):
    needed = 32 * 2 * mixtral.expert * bits_each / 8
    print(f"{name}: {needed / 1e9:.1f} GB of experts a token, {needed / 2 / 16e9:.2f} s of waiting")
print("So the waiting alone allows about one and a half tokens a second, and about five.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 4

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for n in (8, 32):
    times = {name: [] for name in models}
    for _ in range(4):
        for name, model in models.items():
            times[name].append(milliseconds(model, [1] * n))
    middle = {name: median(t[1:]) for name, t in times.items()}
    print(f"{n:3} tokens: dense 24M / 8x7m {middle['dense 24M'] / middle['8x7m']:.1f}")
print("section 4:", ", ".join(f"{x:.1f} with {n}" for n, x in zip(steps, gain, strict=True)))
print("Smallest somewhere in the middle: where each expert is needed, and by few tokens.")
