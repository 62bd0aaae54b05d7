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
# # Why 8x7B is not 56B
#
# How many parameters Mixtral 8x7B stores, how many a token uses, and why neither is 8 × 7.
# -->
# # Why 8x7B is not 56B
#
# A quarter of an hour of reading; about 2 seconds on two cores, 2 GB of memory, no network.
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

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## How many billion parameters does Mixtral 8x7B store, and how many does one token use?
#
# Eight experts in each layer; two of them work on any one token.
#
# - 56 and 7
# - 56 and 14
# - 58 and 14
# - 47 and 13
# - 47 and 7
# -->
# ## 1 · Guess
#
# A model's size is the number of its *parameters*: the numbers it learnt. Each must be stored.
#
# Mixtral 8x7B is a *mixture of experts*: in each of its layers there are eight *experts*, and only
# two of them work on any one token.
#
# **Write down two numbers,** in billions: the parameters that Mixtral 8x7B stores, and the
# parameters that one token uses.

# %% slideshow={"slide_type": "skip"}
import json
import math
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

import moe_viz as mv

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
from moe_viz.view.charts import Chart
from moe_viz.view.palette import LIGHT, expert_colour

# The same in every chart: blue is experts, orange is what is shared, grey is both together.
colours = {"experts": expert_colour(6), "everything shared": expert_colour(1), "": "#8a94a0"}


def bars(rows, title, said, unit="billion parameters", size=1e9, whose="from the models' shapes"):
    """Bars to one scale, each made of pieces: a part's name and its parameters."""
    figure, named, inside = go.Figure(), {""}, {"color": LIGHT.ink}
    for bar, pieces in rows.items():
        edge = {"color": "#ffffff", "width": 1.5 if len(pieces) > 1 else 0}
        for part, n in pieces:
            figure.add_bar(
                x=[n / size], y=[bar], name=part, orientation="h", legendgroup=part,
                showlegend=part not in named, textposition="inside", insidetextfont=inside,
                insidetextanchor="middle", textangle=0,
                marker={"color": colours[part], "line": edge},
                hovertemplate=f"{part} %{{x:.2f}}<extra>{bar}</extra>",
            )  # fmt: skip
            named.add(part)
        total = sum(n for _, n in pieces) / size
        text = f" <b>{total:.1f}</b>"
        figure.add_annotation(x=total, y=bar, text=text, xanchor="left", showarrow=False)
    longest = max(sum(n for _, n in pieces) for pieces in rows.values()) / size
    figure.update_xaxes(title=unit, range=[0, 1.1 * longest])
    figure.update_yaxes(autorange="reversed", type="category", ticksuffix=" ")
    figure.update_layout(barmode="stack", bargap=0.35, height=140 + 56 * len(rows))
    figure.update_layout(margin={"t": 8, "r": 16, "b": 16, "l": 16})
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
    flat = [(bar, part or "all", n / size) for bar, pieces in rows.items() for part, n in pieces]
    columns = dict(zip(("bar", "part", unit), map(np.array, zip(*flat, strict=True)), strict=True))
    return Chart(figure, title, whose, said, mv.analysis.Finding(title, whose, unit, columns))


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## 46.7 billion stored, 12.9 billion used by a token: not 56, not 14, not 7
# -->
# ## The answer

# %% slideshow={"slide_type": "skip"}
big = mv.ledger("mixtral-8x7b")
rows = {"stored": [big.total], "used by a token": [big.active]}
mv.table(rows, ["parameters"], "Mixtral 8x7B", form=",")

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {name: [("", n)] for name, n in (("stored", big.total), ("used by a token", big.active))}
said = "Mixtral stores 46.7 billion parameters, and a token uses 12.9 billion. The guesses: dashed."
picture = bars(rows, "Parameters of Mixtral 8x7B", said)
picture.figure.update_annotations(xanchor="right", xshift=-8, font={"color": LIGHT.ink})
for guess, name in ((7, "7"), (14, "2 × 7"), (56, "8 × 7")):
    picture.figure.add_vline(guess, line={"dash": "dash", "color": colours[""]}, layer="below")
    picture.figure.add_annotation(x=guess, y=1, yref="paper", text=name, yanchor="bottom")
picture.figure.update_annotations(showarrow=False)
picture.figure.update_layout(xaxis_range=[0, 60], margin_t=32)
picture

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (round(big.total / 1e9, 1), round(big.active / 1e9, 1)) == (46.7, 12.9)
assert round(big.active / big.total, 2) == 0.28

# %% [markdown] slideshow={"slide_type": "skip"}
# 46.7 billion stored; 12.9 billion used, 28 % of them. A *ledger* is only arithmetic on the model's
# published shape (arXiv 2401.04088): 32 layers, so many rows, so many columns. You could do it by
# hand. Section 7 checks it against a file.
#
# Not 56, and not 7. Where does the name come from?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Eight times Mistral 7B would be 11 billion more than Mixtral
# -->
# ## 2 · Where the name points
#
# A layer has two parts: attention, by which a token looks at those before it, and a *feed-forward
# block*, which works on each token by itself. Mistral 7B (arXiv 2310.06825) is the older model of
# the same shape with *one* such block in each layer. Mixtral has eight: the experts.
#
# A model in which every token uses everything is called *dense*. A mixture's *dense twin* has the
# same shape with one expert in each layer and no router; Mixtral's is Mistral 7B (2310.06825).

# %% slideshow={"slide_type": "skip"}
dense = big.dense_twin  # one expert in each layer, and no router
print(f"8 × {dense:,} = {8 * dense:,}, too many by {8 * dense - big.total:,}")

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {"Mistral 7B": [("", dense)], "8 × Mistral 7B": 8 * [("", dense)]}
rows |= {"Mixtral 8x7B": [("", big.total)]}
said = "Mixtral is larger than Mistral 7B and smaller than eight of it."
bars(rows, "Parameters stored", said)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert round((8 * dense - big.total) / 1e9) == 11

# %% [markdown] slideshow={"slide_type": "skip"}
# The 7 is rounded down (Mistral 7B: arXiv 2310.06825), so eight times Mistral 7B is 57.9 rather
# than 56. And Mixtral is 11 billion smaller than that.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Eight times Mistral 7B is 11 billion too many. What has Mixtral only once?
#
# - only the vocabulary
# - only attention
# - all but the feed-forward blocks
# - nothing: it is eight models
# -->
# ## 3 · What exists eight times, and what once
#
# **Write down:** what might exist once, and not eight times?

# %% slideshow={"slide_type": "skip"}
rows = {}
for part in big.parts:
    before = {"experts": part.total // 8, "routers": 0}.get(part.name, part.total)
    rows[part.name] = [before, part.total, part.total / before if before else math.nan]
rows["all"] = [dense, big.total, big.total / dense]
heads = ["Mistral 7B", "Mixtral 8x7B", "times"]
mv.table(rows, heads, "Parameters", form=[",", ",", ".3g"], mark="experts")

# %% [markdown] slideshow={"slide_type": "skip"}
# Only the experts exist eight times. Attention, the tables that turn tokens into numbers and back
# (embedding and output head), and the norms are shared. The routers, which choose, are new, and
# tiny; every token passes them, so below they count as shared too. So the name counts the shared
# part seven times too often. From here on, experts (and Mistral 7B's blocks, which are of their
# size) are blue, and what is shared is orange.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Only the experts exist eight times: the name counts the rest seven times too often
# -->
# ## Seven times too often

# %% slideshow={"slide_type": "skip"}
routers = next(part.total for part in big.parts if part.name == "routers")
shared = big.shared - routers

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {"8 × Mistral 7B": 8 * [("experts", dense - shared)] + 8 * [("everything shared", shared)]}
rows |= {"Mixtral 8x7B": [*8 * [("experts", dense - shared)], ("everything shared", big.shared)]}
said = "The experts are the same in both; what is shared is there eight times in the upper bar."
bars(rows, "Parameters stored", said)

# %% slideshow={"slide_type": "fragment"}
print(f"8 × {dense:,} − 7 × {shared:,} + {routers:,} = {8 * dense - 7 * shared + routers:,}")
assert 8 * dense - 7 * shared + routers == big.total

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Experts are nearly all of what is stored, and still most of what a token uses
# -->
# ## 4 · The picture

# %% slideshow={"slide_type": "-"}
mv.chart(big)

# %% [markdown] slideshow={"slide_type": "skip"}
# Above: what must be stored. Below, to the same scale: the part of it that one token uses. The
# experts (blue) are nearly everything above, and still most of what is used. The block beside them
# (orange) is attention. It and the slivers at its edge, embedding, output head, routers and norms,
# are everything that is shared: as large in both bars.

# %% slideshow={"slide_type": "skip"}
experts = next(part for part in big.parts if part.name == "experts")
print(f"experts: {experts.total / big.total:.0%} of what is stored,", end=" ")
print(f"{experts.active / big.active:.0%} of what a token uses")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert experts.total / big.total > 0.9
assert experts.active / big.active > 0.8

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Two experts of eight run, and 2 × 7.24 is 14.5. Why does a token use only 12.9 billion?
#
# - some layers are skipped
# - 14.5 counts the shared part twice
# - the vocabulary is not counted
# - the two experts share parameters
# -->
# ## 5 · Two experts of 7B: why not 14?
#
# **Write down:** two of eight run, and 2 × 7.24 is 14.5. Why does a token use only 12.9 billion?

# %% slideshow={"slide_type": "skip"}
one = experts.total // 8  # one expert in each of the 32 layers
assert big.active == big.shared + 2 * one
assert big.total == big.shared + 8 * one

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## What is shared is used once: a token computes like 12.9B, and the model occupies 46.7B
# -->
# ## Shared once, and two of eight

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
part, rest = ("experts", one), ("everything shared", big.shared)
rows = {"2 × Mistral 7B": [part, part, *2 * [("everything shared", shared)]]}
rows |= {"used by a token": [part, part, rest], "stored": [*8 * [part], rest]}
said = "A token uses two of eight experts, and what is shared once: 1.6 + 2 × 5.64 = 12.9 billion."
picture = bars(rows, "Parameters", said)
picture.figure.update_traces(texttemplate="%{x:.1f}")
picture

# %% [markdown] slideshow={"slide_type": "skip"}
# The shared part again: it is counted once. 1.6 + 2 × 5.64 = 12.9 billion are used, and
# 1.6 + 8 × 5.64 = 46.7 stored. **Compute like 12.9B, occupy memory like 46.7B.**

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (round(big.shared / 1e9, 1), round(one / 1e9, 2)) == (1.6, 5.64)

# %% [markdown] slideshow={"slide_type": "skip"}
# "Used" is a convention. It counts both tables of the vocabulary whole, although a token reads a
# single row of the first. In Mixtral that is 1 % of what a token uses, and nobody minds; in the
# small 8x7m it is 21 %:

# %% slideshow={"slide_type": "skip"}
small = mv.ledger("8x7m")
for books in (big, small):
    table = books.config.vocab_size * books.config.hidden_size
    print(f"{books.config.name}: one table is {table / books.active:.0%} of what a token uses")

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## A model is to store more, and a token to use hardly more. What does one add?
#
# In Mixtral: 8 experts in each layer, 2 of them for each token, 32 layers.
#
# - experts in each layer
# - experts for each token
# - layers
# - nothing can do that
# -->
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
def changed(**change):
    """The ledger of Mixtral 8x7B with these settings changed."""
    return mv.ledger(replace(big.config, **change))


# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
from plotly.subplots import make_subplots

changes = {
    "experts": [2, 4, 8, 16, 32],
    "experts_per_token": [1, 2, 3, 4, 5, 6, 7, 8],
    "layers": [8, 16, 32, 64],
}


def heights(**change):
    """What three traces show: experts, everything shared, and the sums; stored and used."""
    books = changed(**change)
    sums, rest = [books.total / 1e9, books.active / 1e9], books.shared / 1e9
    return [n - rest for n in sums], [rest, rest], sums


heads = ["E experts in each layer", "k experts for each token", "layers"]
figure, sliders = make_subplots(1, 3, subplot_titles=heads, shared_yaxes=True), []
for n, (what, values) in enumerate(changes.items()):
    for name, y in zip(("experts", "everything shared"), heights(), strict=False):
        look = {"name": name, "marker_color": colours[name], "showlegend": not n}
        figure.add_bar(x=["stored", "used"], y=y, row=1, col=n + 1, **look)
    look = {"mode": "text", "texttemplate": "%{y:.1f}", "textposition": "top center"}
    sums = {"y": heights()[2], "showlegend": False, "cliponaxis": False} | look
    figure.add_scatter(x=["stored", "used"], row=1, col=n + 1, **sums)
    steps = [
        {"label": str(value), "method": "restyle",
         "args": [{"y": heights(**{what: value})}, [3 * n, 3 * n + 1, 3 * n + 2]]}
        for value in values
    ]  # fmt: skip
    now = values.index(getattr(big.config, what))
    sliders.append({"steps": steps, "active": now, "x": 0.36 * n, "len": 0.28, "pad": {"t": 32}})

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
for slider, letter in zip(sliders, ("E = ", "k = ", "layers: "), strict=True):
    slider["currentvalue"] = {"prefix": letter}
figure.update_annotations(font=None)
figure.update_layout(sliders=sliders, height=420, barmode="stack", yaxis_range=[0, 225])
figure.update_layout(legend={"x": 0.38, "y": 0.97}, yaxis_title="billion parameters")
figure.update_layout(margin={"t": 48, "r": 16, "b": 16, "l": 64})
rows = [(what, n, *heights(**{what: n})[2]) for what, values in changes.items() for n in values]
names = ("changed", "to", "stored", "used")
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
# <!-- slide
# ## Move each slider: which changes only what is stored?
# -->
# ## Move the sliders

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
said = "More E: more is stored, hardly more is used. More k: the same is stored, more is used."
said += " More layers: more of both."
Chart(figure, "Billions of parameters", "arithmetic on Mixtral 8x7B's shape", said, accounts)

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Twice as many experts store nearly twice as much, and cost a token next to nothing
# -->
# ## Twice of each

# %% slideshow={"slide_type": "-"}
twice = {"16 experts in each layer": changed(experts=16),
         "4 experts for each token": changed(experts_per_token=4),
         "64 layers": changed(layers=64)}  # fmt: skip
rows = {name: [b.total / big.total, b.active / big.active] for name, b in twice.items()}
mv.table(rows, ["stored", "used"], "Times as many parameters as Mixtral 8x7B", form=".2f",
         shade="all")  # fmt: skip

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert changed(experts=16).total > 1.9 * big.total
assert changed(experts=16).active - big.active == routers
assert changed(experts_per_token=4).total == big.total
assert changed(experts_per_token=4).active > 1.8 * big.active
assert changed(experts_per_token=8).active == big.total
assert changed(layers=64).total > 1.9 * big.total
assert changed(layers=64).active > 1.9 * big.active

# %% [markdown] slideshow={"slide_type": "skip"}
# (With 16 experts a token uses a little more: eight more rows of each router.) Experts are how a
# model stores more without computing more. More layers cannot do that. Whether the model gets
# *better* is not a question for arithmetic: [notebook 07](07_what_it_costs.ipynb).

# %% [markdown] slideshow={"slide_type": "subslide"} tags=["prediction"]
# <!-- slide
# ## Our small 8x7m has 24,263,936 parameters, of two bytes each. How large is its file?
#
# - 24 million bytes
# - 48,527,872 bytes, exactly
# - a little more than that
# - 97 million bytes
# -->
# ## 7 · Do not believe it: measure
#
# A file of weights begins with eight bytes, the length of a list, and then the list: each *tensor*
# (a table of numbers), its shape, and where its bytes lie. We have such a file here: `8x7m`, a
# small model of Mixtral's architecture.
#
# **Write down:** if its ledger says 24,263,936 parameters, and each takes two bytes in the file
# (notebook 00 computed with four: float32), how large is the file?

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## A file of weights begins with a list of what is in it
# -->
# ## The list at the head of the file

# %% slideshow={"slide_type": "skip"}
from moe_viz.files import embedded_folder

path = embedded_folder() / "model.safetensors"

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:1-3|4|5-6"]
with path.open("rb") as file:
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
about = header.pop("__metadata__")
name = "model.layers.0.block_sparse_moe.experts.0.w1.weight"
print(f"{len(header)} tensors; one of them:\n{name}\n{header[name]}")

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## The file has as many bytes as the ledger says, part by part
# -->
# ## Measured, and counted

# %% slideshow={"slide_type": "-"}
marks = {"embedding": "embed_tokens", "attention": ".self_attn.", "routers": ".gate.",
         "experts": ".experts.", "norms": "norm", "output head": "lm_head"}  # fmt: skip
measured = dict.fromkeys(marks, 0)
for tensor, entry in header.items():
    (part,) = [part for part, mark in marks.items() if mark in tensor]  # exactly one
    start, stop = entry["data_offsets"]
    measured[part] += stop - start
rows = {part.name: [measured[part.name], 2 * part.total] for part in small.parts}
mv.table(rows, ["bytes in the file", "2 × parameters"], f"8x7m, {path.name}", form=",")

# %% slideshow={"slide_type": "fragment"}
size = path.stat().st_size
print(f"file {size:,} = 8 + list {length:,} + 2 × {small.total:,}")
assert size == 8 + length + small.bytes("bfloat16")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert all(in_file == counted for in_file, counted in rows.values())

# %% [markdown] slideshow={"slide_type": "skip"}
# To the byte, part by part. (bfloat16, `BF16` in the list, is the number format: two bytes each.)
# For Mixtral itself we can only compute, two bytes for each parameter:

# %% slideshow={"slide_type": "skip"}
print(f"Mixtral 8x7B in bfloat16: {big.bytes():,} bytes, {big.bytes() / 2**30:.2f} GiB")

# %% [markdown] slideshow={"slide_type": "skip"}
# Its files are not on this machine. [Notebook 09](09_the_real_mixtral.ipynb) says what to do with
# them.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## 8x7m stores 24 million parameters, not 56. Why is its name further off than Mixtral's?
#
# - it has fewer layers
# - a larger part of it is shared
# - its 7 is rounded down more
# - its file leaves some experts out
# -->
# ## 8 · The same puzzle, smaller
#
# `8x7m` was named by the same rule: eight experts in each layer, and a dense twin of 7.7 *million*
# parameters, rounded down.
#
# **Write down:** it stores 24 million parameters, not 56. Why is its name so much further from the
# truth than Mixtral's?

# %% slideshow={"slide_type": "skip"}
rows = {}
for books in (big, small):
    eight, tables = 8 * books.dense_twin, 2 * books.config.vocab_size * books.config.hidden_size
    rows[books.config.name] = [eight, books.total, books.total / eight, tables / books.dense_twin]
heads = ["8 × dense twin", "stored", "share", "vocabulary in the dense twin"]
mv.table(rows, heads, form=[",", ",", ".0%", ".0%"])

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The larger the shared part, the less "eight times" is true
# -->
# ## Stored, of eight times the dense twin

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {}
for name, books in (("Mixtral 8x7B", big), ("8x7m", small)):
    expert = 100 * books.config.layers * books.expert / (8 * books.dense_twin)
    rest = 100 / 8 - expert
    rows[f"8 × dense twin of {name}"] = [
        *8 * [("experts", expert)], *8 * [("everything shared", rest)]
    ]  # fmt: skip
    rows[name] = [*8 * [("experts", expert)], ("everything shared", rest)]
said = "Of 8x7m most is shared, and so eight times its dense twin is far from what it stores."
unit = "per cent of eight times the dense twin"
picture = bars(rows, "Stored", said, unit, 1)
for note in picture.figure.layout.annotations:
    note.text = f" <b>{note.x:.0f} %</b>"
picture

# %% [markdown] slideshow={"slide_type": "skip"}
# The larger the shared part, the less "eight times" is true. In the small model the two tables of
# the vocabulary alone, which no mixture multiplies, are more than half of the dense twin.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert 2 * small.config.vocab_size * small.config.hidden_size > small.dense_twin / 2
assert small.total / (8 * small.dense_twin) < 0.5 < 0.8 < big.total / (8 * big.dense_twin)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## If two of eight models answered a token, it could go 28 ways. How many has it in Mixtral?
#
# - 28
# - 28 × 32
# - 28³²
# - 8³²
# -->
# ## 9 · And not eight models
#
# An *expert* is one feed-forward block of one layer. Layer 0 has eight, layer 1 has eight others.
# They have the labels 0 to 7 in common, and nothing else.
#
# **Write down:** if it were eight models, and two of them answered each token, there would be 28
# ways for a token to go. How many are there?

# %% slideshow={"slide_type": "skip"}
c = big.config
pairs = math.comb(c.experts, c.experts_per_token)
print(f"{c.layers} × {c.experts} = {c.layers * c.experts} experts, of {big.expert:,} each")
print(f"{pairs} pairs in each of {c.layers} layers: {float(pairs**c.layers):.0e} ways through")

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## 256 experts, eight in each layer, and 28³² ways through: not eight models
# -->
# ## One way through, of many

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
rng = np.random.default_rng(0)
chosen = np.argsort(rng.random((c.layers, c.experts)))[:, : c.experts_per_token]
taken = np.zeros((c.experts, c.layers))
for layer, two in enumerate(chosen):
    taken[two, layer] = 1
scale = [[0, "rgba(127, 138, 150, 0.25)"], [1, colours["experts"]]]
figure = go.Figure(go.Heatmap(z=taken, xgap=3, ygap=3, colorscale=scale, showscale=False))
figure.update_xaxes(title="layer", showgrid=False, dtick=4, zeroline=False)
figure.update_yaxes(title="expert", showgrid=False, dtick=1, zeroline=False, autorange="reversed")
figure.update_layout(height=320, margin={"t": 8, "r": 16, "b": 16, "l": 64})
columns = {"layer": np.arange(c.layers), "first": chosen[:, 0], "second": chosen[:, 1]}
way = mv.analysis.Finding("a way through", "made-up choices", "one token", columns)
said = "In each of 32 layers a token goes to two of eight experts: 28 pairs, and anew each time."
Chart(figure, "Experts that one token uses", "Mixtral 8x7B's shape, made-up choices", said, way)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (c.layers * c.experts, pairs, c.layers) == (256, 28, 32)

# %% [markdown] slideshow={"slide_type": "skip"}
# There are no eight models to take out, and none could be run by itself. [Notebook
# 02](02_a_mixture_of_experts_from_scratch.ipynb) builds such a layer.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## 46.7 billion stored, 12.9 billion used by a token. Neither is 8 × 7.
#
# - Only the feed-forward blocks exist eight times; the rest is shared.
# - E sets what is stored, k what is used, layers both.
# - 256 experts, 8 in each of 32 layers: not eight models.
# -->
# ## What to take home
#
# - 46.7 billion stored, 12.9 billion used by a token. Neither is 8 × 7.
# - Only the feed-forward blocks exist eight times; the rest is shared.
# - 57.9 billion is eight times Mistral 7B (arXiv 2310.06825); it is not Mixtral.
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
