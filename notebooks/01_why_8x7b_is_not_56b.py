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
# # Why 8x7B is not 56B
#
# A quarter of an hour of reading; a few seconds of a laptop's CPU, 2 GB of memory, no network.
#
# Afterwards you can
#
# - say how many parameters Mixtral 8x7B stores and how many a token uses, and why neither is 8 × 7;
# - say which of the two grows with more experts, more experts for each token, more layers;
# - check such a count against the bytes of a file;
# - say why it is not eight models.

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
# Collect the guesses of section 1 on the board, and leave them there. 56, 14 and 7 are the usual
# ones; each answers a different question, and by section 5 the class can say which.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1 · Guess
#
# A model's size is the number of its *parameters*: the numbers it learnt. Each must be stored.
#
# Mixtral 8x7B is a *mixture of experts*: in each of its layers there are eight *experts*, and only
# two of them work on any one token.
#
# **Write down two numbers,** in billions: the parameters that Mixtral 8x7B stores, and the
# parameters that one token uses.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The answer

# %% slideshow={"slide_type": "-"}
import json
import math
from dataclasses import replace

import numpy as np

import moe_viz as mv

big = mv.ledger("mixtral-8x7b")
print(f"stored {big.total:>15,}   {big.total / 1e9:5.1f} billion")
print(f"used   {big.active:>15,}   {big.active / 1e9:5.1f} billion, {big.active / big.total:.0%}")

# %% [markdown] slideshow={"slide_type": "-"}
# A *ledger* is only arithmetic on the model's published shape: 32 layers, so many rows, so many
# columns. You could do it by hand. Section 7 checks it against a file.
#
# Not 56, and not 7. Where does the name come from?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · Where the name points
#
# A layer has two parts: attention, by which a token looks at those before it, and a *feed-forward
# block*, which works on each token by itself. Mistral 7B is the older model of the same shape with
# *one* such block in each layer. Mixtral has eight: the experts.
#
# A model in which every token uses everything is called *dense*. A mixture's *dense twin* has the
# same shape with one expert in each layer and no router; Mixtral's is Mistral 7B.

# %% slideshow={"slide_type": "-"}
dense = big.dense_twin  # one expert in each layer, and no router
print(f"Mistral 7B       {dense:>15,}   {dense / 1e9:5.1f} billion")
print(f"eight times that {8 * dense:>15,}   {8 * dense / 1e9:5.1f} billion")
print(f"Mixtral 8x7B     {big.total:>15,}   {big.total / 1e9:5.1f} billion")
assert 8 * dense - big.total > 11e9

# %% [markdown] slideshow={"slide_type": "-"}
# The 7 is rounded down, so eight times Mistral 7B is 57.9 rather than 56. And Mixtral is 11 billion
# smaller than that.
#
# **Write down:** what might exist once, and not eight times?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3 · What exists eight times, and what once

# %% slideshow={"slide_type": "-"}
print("                 Mistral 7B          Mixtral     times")
for part in big.parts:
    before = {"experts": part.total // 8, "routers": 0}.get(part.name, part.total)
    times = f"{part.total // before}" if before else "new"
    print(f"{part.name:12}{before:>15,}{part.total:>17,}{times:>10}")
print(f"{'all':12}{dense:>15,}{big.total:>17,}{big.total / dense:>10.2f}")

# %% [markdown] slideshow={"slide_type": "-"}
# Only the experts exist eight times. Attention, the tables that turn tokens into numbers and back
# (embedding and output head), and the norms are shared. The routers, which choose, are new, and
# tiny. So the name counts the shared part seven times too often:

# %% slideshow={"slide_type": "fragment"}
routers = next(part.total for part in big.parts if part.name == "routers")
shared = big.shared - routers
assert 8 * dense - big.total == 7 * shared - routers
print(f"8 × {dense:,} − 7 × {shared:,} + {routers:,} = {big.total:,}")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · The picture

# %% slideshow={"slide_type": "-"}
mv.chart(big)

# %% [markdown] slideshow={"slide_type": "skip"}
# Left: what must be stored. Right, to the same scale: the part of it that one token uses. The
# experts are nearly everything on the left, and still most of the right.

# %% slideshow={"slide_type": "skip"}
experts = next(part for part in big.parts if part.name == "experts")
print(f"experts: {experts.total / big.total:.0%} of what is stored,", end=" ")
print(f"{experts.active / big.active:.0%} of what a token uses")
assert experts.total / big.total > 0.9
assert experts.active / big.active > 0.5

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5 · Two experts of 7B: why not 14?
#
# **Write down:** two of eight run, and 2 × 7.24 is 14.5. Why does a token use only 12.9 billion?

# %% slideshow={"slide_type": "fragment"} tags=["show_code"]
one = experts.total // 8  # one expert in each of the 32 layers
assert big.active == big.shared + 2 * one
assert big.total == big.shared + 8 * one
print(f"shared {big.shared / 1e9:.1f} billion, one expert in each layer {one / 1e9:.2f} billion")
print(f"used   = {big.shared / 1e9:.1f} + 2 × {one / 1e9:.2f} = {big.active / 1e9:.1f}")
print(f"stored = {big.shared / 1e9:.1f} + 8 × {one / 1e9:.2f} = {big.total / 1e9:.1f}")

# %% [markdown] slideshow={"slide_type": "-"}
# The shared part again: it is counted once. **Compute like 12.9B, occupy memory like 46.7B.**

# %% [markdown] slideshow={"slide_type": "skip"}
# "Used" is a convention. It counts both tables of the vocabulary whole, although a token reads a
# single row of the first. In Mixtral that is 1 % of what a token uses, and nobody minds; in the
# small 8x7m it is 21 %:

# %% slideshow={"slide_type": "skip"}
small = mv.ledger("8x7m")
for books in (big, small):
    table = books.config.vocab_size * books.config.hidden_size
    print(f"{books.config.name}: one table is {table / books.active:.0%} of what a token uses")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · Three things one could change
#
# - E, the number of experts in each layer (Mixtral: 8)
# - k, how many of them work on a token (2)
# - the number of layers (32)
#
# **Write down,** for each: does more of it mean that more is stored? That more is used?
#
# Then move the sliders.

# %% slideshow={"slide_type": "skip"}
changes = {
    "experts": [2, 4, 8, 16, 32],
    "experts_per_token": [1, 2, 3, 4, 5, 6, 7, 8],
    "layers": [8, 16, 32, 64],
}


def changed(**change):
    """The ledger of Mixtral 8x7B with these settings changed."""
    return mv.ledger(replace(big.config, **change))


def billions(**change):
    """Parameters stored and used by a token, in billions."""
    return changed(**change).total / 1e9, changed(**change).active / 1e9


# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
from plotly.subplots import make_subplots

heads = ["E experts in each layer", "k experts for each token", "layers"]
figure, sliders = make_subplots(1, 3, subplot_titles=heads, shared_yaxes=True), []
for n, (what, values) in enumerate(changes.items()):
    figure.add_bar(x=["stored", "used"], y=billions(), texttemplate="%{y:.1f}", row=1, col=n + 1)
    args = [[{"y": [billions(**{what: value})]}, [n]] for value in values]
    steps = [{"label": str(v), "method": "restyle", "args": args[i]} for i, v in enumerate(values)]
    now = values.index(getattr(big.config, what))
    sliders.append({"steps": steps, "active": now, "x": 0.36 * n, "len": 0.28, "pad": {"t": 32}})

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
for slider, letter in zip(sliders, ("E = ", "k = ", "layers: "), strict=True):
    slider["currentvalue"] = {"prefix": letter}
figure.update_traces(marker_color=["#3b6fd4", "#c98a00"], textposition="outside", cliponaxis=False)
figure.update_annotations(font=None)
figure.update_layout(sliders=sliders, height=420, showlegend=False, yaxis_range=[0, 225])
figure = figure.update_layout(margin={"t": 48, "r": 16, "b": 16, "l": 56})

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
names = ("changed", "to", "stored", "used")
rows = [(what, n, *billions(**{what: n})) for what, values in changes.items() for n in values]
columns = {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}
accounts = mv.analysis.Finding("sizes", "shapes like Mixtral's", "billions of parameters", columns)

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# With k at 8 both bars are equal. That is a dense model again: all experts work on
# every token, and the router only weighs them.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Move the sliders

# %% slideshow={"slide_type": "-"}
from moe_viz.view.charts import Chart

said = "More E: more is stored, hardly more is used. More k: the same is stored, more is used."
said += " More layers: more of both."
Chart(figure, "Billions of parameters", "arithmetic on Mixtral 8x7B's shape", said, accounts)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same, as assertions

# %% slideshow={"slide_type": "-"} tags=["show_code"]
assert changed(experts=16).total > 1.9 * big.total
assert changed(experts=16).active - big.active == routers  # eight more rows for each router
assert changed(experts_per_token=4).total == big.total
assert changed(experts_per_token=4).active > 1.8 * big.active
assert changed(experts_per_token=8).active == big.total
assert changed(layers=64).total > 1.9 * big.total
assert changed(layers=64).active > 1.9 * big.active

# %% [markdown] slideshow={"slide_type": "-"}
# Experts are how a model stores more without computing more. More layers cannot do that. Whether
# the model gets *better* is not a question for arithmetic: [notebook 07](07_what_it_costs.ipynb).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7 · Do not believe it: measure
#
# A file of weights begins with eight bytes, the length of a list, and then the list: each *tensor*
# (a table of numbers), its shape, and where its bytes lie. We have such a file here: `8x7m`, a
# small model of Mixtral's architecture.
#
# **Write down:** if its ledger says 24,263,936 parameters, and each takes two bytes in the file
# (notebook 00 computed with four: float32), how large is the file?

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## The list at the head of the file

# %% slideshow={"slide_type": "-"} tags=["show_code"]
from moe_viz.files import embedded_folder

path = embedded_folder() / "model.safetensors"
with path.open("rb") as file:
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
about = header.pop("__metadata__")
name = "model.layers.0.block_sparse_moe.experts.0.w1.weight"
print(f"{len(header)} tensors; one of them:\n{name}\n{header[name]}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Measured, and counted

# %% slideshow={"slide_type": "-"}
marks = {"embedding": "embed_tokens", "attention": ".self_attn.", "routers": ".gate.",
         "experts": ".experts.", "norms": "norm", "output head": "lm_head"}  # fmt: skip
measured = dict.fromkeys(marks, 0)
for tensor, entry in header.items():
    (part,) = [part for part, mark in marks.items() if mark in tensor]  # exactly one
    start, stop = entry["data_offsets"]
    measured[part] += stop - start
columns = {"part": [p.name for p in small.parts], "bytes in the file": [*measured.values()],
           "2 × parameters": [2 * p.total for p in small.parts]}  # fmt: skip
columns = {name: np.array(column) for name, column in columns.items()}
mv.analysis.Finding("8x7m", path.name, "bytes of tensors, from the file's header", columns)

# %% slideshow={"slide_type": "-"}
assert columns["bytes in the file"].tolist() == columns["2 × parameters"].tolist()
size = path.stat().st_size
print(f"file {size:,} = 8 + list {length:,} + 2 × {small.total:,}")
assert size == 8 + length + small.bytes("bfloat16")

# %% [markdown] slideshow={"slide_type": "skip"}
# To the byte, part by part. (bfloat16, `BF16` in the list, is the number format: two bytes each.)
# For Mixtral itself we can only compute, two bytes for each parameter:

# %% slideshow={"slide_type": "skip"}
print(f"Mixtral 8x7B in bfloat16: {big.bytes():,} bytes, {big.bytes() / 2**30:.2f} GiB")

# %% [markdown] slideshow={"slide_type": "skip"}
# Its files are not on this machine. [Notebook 09](09_the_real_mixtral.ipynb) says what to do with
# them.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8 · The same puzzle, smaller
#
# `8x7m` was named by the same rule: eight experts in each layer, and a dense twin of 7.7 *million*
# parameters, rounded down.
#
# **Write down:** it stores 24 million parameters, not 56. Why is its name so much further from the
# truth than Mixtral's?

# %% slideshow={"slide_type": "fragment"}
print("                  8 × dense          stored   share   vocabulary in the dense twin")
for books in (big, small):
    eight, tables = 8 * books.dense_twin, 2 * books.config.vocab_size * books.config.hidden_size
    shares = f"{books.total / eight:8.0%}{tables / books.dense_twin:8.0%}"
    print(f"{books.config.name:12}{eight:15,}{books.total:16,}{shares}")

# %% [markdown] slideshow={"slide_type": "-"}
# The larger the shared part, the less "eight times" is true. In the small model the two tables of
# the vocabulary alone, which no mixture multiplies, are more than half of the dense twin.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert 2 * small.config.vocab_size * small.config.hidden_size > small.dense_twin / 2
assert small.total / (8 * small.dense_twin) < 0.5 < 0.8 < big.total / (8 * big.dense_twin)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9 · And not eight models
#
# An *expert* is one feed-forward block of one layer. Layer 0 has eight, layer 1 has eight others.
# They have the labels 0 to 7 in common, and nothing else.
#
# **Write down:** if it were eight models, and two of them answered each token, there would be 28
# ways for a token to go. How many are there?

# %% slideshow={"slide_type": "fragment"}
c = big.config
pairs = math.comb(c.experts, c.experts_per_token)
assert (c.layers * c.experts, pairs) == (256, 28)
print(f"{c.layers} layers × {c.experts} = {c.layers * c.experts} experts, of {big.expert:,} each")
print(
    f"{pairs} pairs in each layer: {pairs}^{c.layers} = {float(pairs**c.layers):.0e} ways through"
)

# %% [markdown] slideshow={"slide_type": "-"}
# There are no eight models to take out, and none could be run by itself. [Notebook
# 02](02_a_mixture_of_experts_from_scratch.ipynb) builds such a layer.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to take home
#
# - 46.7 billion stored, 12.9 billion used by a token. Neither is 8 × 7.
# - Only the feed-forward blocks exist eight times; the rest is shared.
# - 57.9 billion is eight times Mistral 7B; it is not Mixtral.
# - E sets what is stored, k what is used, layers both.
# - 256 experts, 8 in each of 32 layers: not eight models.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# There is a Mixtral 8x22B. Guess what it stores and what a token uses, then ask
# `mv.ledger("mixtral-8x22b")`. What does its 22 stand for?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# "Use one expert instead of two, then it is a 7B model." What would a token use
# with k = 1? What would be stored? Which half of the sentence is right?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# Cut every expert in half: 16 experts of half the width (`expert_size`), four of
# them for each token. What changes in the ledger? And in the number of ways through one layer?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# [Previous: start here](00_start_here.ipynb) · [Next: a mixture of experts, from
# scratch](02_a_mixture_of_experts_from_scratch.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
larger = mv.ledger("mixtral-8x22b")
print(f"stored {larger.total / 1e9:.1f}, used {larger.active / 1e9:.1f} billion")
print(f"its dense twin would have {larger.dense_twin / 1e9:.1f} billion: that is the 22")
print("8 × 22 = 176 again counts what is shared seven times too often,", end=" ")
print(f"{larger.shared / 1e9:.1f} billion")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
single = mv.ledger(replace(big.config, experts_per_token=1))
assert single.active == dense + routers
assert single.total == big.total
print(
    f"used {single.active:,}: Mistral 7B's number and the routers'. Stored: all {single.total:,}."
)
print(
    "It would compute like a 7B model, and take the memory of Mixtral. How well it would predict,"
)
print("after it was trained with two, is another matter: notebook 06 tries it on 8x7m.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
halves = mv.ledger(
    replace(big.config, experts=16, experts_per_token=4, expert_size=big.config.expert_size // 2)
)
print(f"stored {halves.total - big.total:+,}, used {halves.active - big.active:+,}")
print(
    f"eight more rows in each router. Choices in a layer: {math.comb(16, 4):,} instead of {pairs}"
)
assert halves.total - big.total == halves.active - big.active == routers
