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
# # Start here: see it happen
#
# Ten minutes of reading; under a minute of a laptop's CPU, 2 GB of memory, no network.
#
# Afterwards you can
#
# - say what a router decides, how often, and about what;
# - read the explorer: text, map, decision, load;
# - read a table of loads, and say what it does not show.

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
# ## 1 · Load a model

# %% slideshow={"slide_type": "-"}
from textwrap import fill

import numpy as np

import moe_viz as mv
from moe_viz.analysis.load import load_shares

model = mv.load("8x7m")
size = mv.ledger(model.config)
print(f"{model.provenance.title}: {size.total:,} parameters")
print(f"{size.active:,} of them, {size.active / size.total:.0%}, work on any one token")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is in it
#
# `8x7m` is a small model that comes with this library: Mixtral's architecture, not Mixtral. It
# writes nonsense. We use it to look at how such a model decides.
#
# A model reads text in *tokens*: words, pieces of words, punctuation (and `<s>`, which opens every
# text).
#
# Each layer of `8x7m` holds eight *experts*: feed-forward networks of equal shape, side by side.
# For each token a *router* scores all eight, the two with the highest scores run, and their outputs
# are added, weighted by two *gates* that sum to 1. The other six do nothing for this token. So a
# token uses only part of the parameters: the share printed above. (42 % and not two eighths,
# because not all of the model is experts; notebook 01 counts.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One layer, in six steps

# %% slideshow={"slide_type": "-"}
mv.diagram(model)

# %% [markdown] slideshow={"slide_type": "skip"}
# Step through it with the buttons. Its scores are made up; section 4 has real ones.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · Record
#
# The same short passage in three languages, and a small Python program. `record` runs them through
# the model once and keeps what every router said about every token.

# %% slideshow={"slide_type": "-"}
prompts = mv.prompts.passages().parallel("cat").select(["en", "fr", "de"])
prompts += mv.prompts.code().select("python", "gcd")
trace = mv.record(model, prompts)
trace

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3 · Predict, before you look
#
# The first prompt is this English passage. Two of eight experts run for each token.
#
# **Write down a number:** over the whole passage, how many of layer 0's eight experts will have run
# at least once? Two, because a text goes to the experts for its subject? About half? All?

# %% slideshow={"slide_type": "-"}
passage = trace.select(prompt=0)
words = ~passage.special  # all but <s>, which opens every prompt
print(fill(passage.prompts[0].text, 80), f"\n\n{words.sum()} tokens, and <s>")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · See
#
# `mv.explore(trace)` draws the picture below. Click a token, then walk with the arrow keys: ← → to
# other tokens, ↑ ↓ through the layers.
#
# - **Text**: the colour of a token is its first choice (the expert with the highest score) in the
#   chosen layer; the line below it, the gates of both.
# - **Map**: every token (left to right) in every layer (top to bottom).
# - **Right**: the router's scores for all eight experts as shares of 100 % (a *softmax*), the
#   token's path through the layers, and how the layer's work is shared out. The percentages in the
#   sentence above are the two gates: shares among the chosen alone.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Find three things
#
# A word whose pieces go to different experts; a token whose third expert missed by less than 0.1;
# and, in the Python program, a layer in which all line ends have the same first choice, and one in
# which they do not. (Type / and then ⏎ to mark them, and look along the map.)
#
# (A router's scores are called *logits*; the distance from the second to the third is the *margin*.
# Set the map to *margin*: dark is close.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Four texts, six layers

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5 · The answer

# %% slideshow={"slide_type": "-"}
experts = passage.experts[:, words]  # (layers, tokens, 2)
ran = [len(np.unique(layer)) for layer in experts]
pairs = len(np.unique(np.sort(experts[0], axis=1), axis=0))
paths = experts.transpose(1, 0, 2).reshape(words.sum(), -1)  # one row for each token
alone = int((np.unique(paths, axis=0, return_counts=True)[1] == 1).sum())
print("experts that ran at least once, layer by layer:", *ran)
print(f"different pairs in layer 0: {pairs} of 28 possible")
print(f"tokens with a path through all layers of their own: {alone} of {words.sum()}")
assert min(ran) >= 7
assert alone > words.sum() / 2

# %% [markdown] slideshow={"slide_type": "-"}
# All eight, or one fewer, in every layer. The router decides about *tokens*, not texts: one at a
# time, and afresh in each layer. (What came before a token can matter too: notebook 03.) Most
# tokens take a path through the layers that no other token of the passage takes.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What there was to find
#
# One trap: expert 3 of layer 0 and expert 3 of layer 1 are unrelated networks. The number, and so
# the colour, is only a place within its layer.

# %% slideshow={"slide_type": "-"}
program = trace.select(label="python")
line_ends = [t for t, piece in enumerate(program.tokens) if piece == "⏎"]
close = passage.margins[:, words] < 0.1
print(f"missed by less than 0.1 logits: {close.sum()} of the passage's {close.size} decisions")
print("first choices of the program's line ends, layer by layer:")
for layer, first in zip(program.layers, program.experts[:, line_ends, 0], strict=True):
    shares = {int(e): int(n) for e, n in zip(*np.unique(first, return_counts=True), strict=True)}
    print(f"  layer {layer}:", ", ".join(f"expert {e}: {n}" for e, n in shares.items()))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · Who does how much?
#
# The *load* of an expert is its share of a layer's assignments (two for each token, `<s>` left
# out). With even loads, each would have one eighth. We record more text, and print the layer in
# which English and German differ most, measured by how much of the load would have to move to make
# them equal. The columns are experts 0 to 7.

# %% slideshow={"slide_type": "-"}
topics = mv.prompts.passages().topics
more = mv.record(
    model,
    mv.prompts.passages().select(["en", "fr", "de"], topics[:6])
    + mv.prompts.code().select("python", ["gcd", "stack"]),
)
loads = {label: load_shares(more.select(label=label)) for label in more.labels}


def distance(a, b):
    """Half the summed differences of two loads, in each layer: 0 is equal, 1 is disjoint."""
    return abs(a - b).sum(axis=-1) / 2


apart = distance(loads["en"][0], loads["de"][0])
layer = int(apart.argmax())
print(f"layer {layer}: {apart[layer]:.0%} would have to move between English and German\n")
print("text      tokens" + "".join(f"{e:7}" for e in range(8)))
for label, (shares, tokens) in loads.items():
    print(f"{label:8}{tokens:8,}" + "".join(f"{x:7.1%}" for x in shares[layer]))
print("even" + " " * 12 + f"{1 / 8:7.1%}" * 8)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What the table does not show
#
# The loads differ. It does **not** show:
#
# - *That experts are specialists for languages.* Different languages use different tokens, and a
#   router that was never trained sends different tokens to different experts too. To claim more,
#   compare with an untrained model: notebooks 04 and 05 do.
# - *That other texts behave like these.* These are a few passages. Exercise 2 tries others.
# - *Anything about Mixtral.* This is 8x7m.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to take home
#
# - A router decides about each token, afresh in each layer: two of its eight experts run.
# - All experts of a layer work on one passage, some more than others.
# - An expert's number is a place within its layer, and means nothing in the next.
# - Loads that differ do not yet make specialists: they need something to be compared with.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# In which layer are the loads of English and German most alike? And English and
# Python? Use `distance`.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# Take the busiest expert of each language in the table of section 6. Is it the
# busiest on texts that the table has not seen? Record the passages of six other topics.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# Type texts of your own: `mv.explore(model)` is a box and a picture. Or record them,
# `mv.record(model, ["…", "…"], labels=["a", "b"])`, and take the picture along as one file that
# needs no network: `mv.save_page(trace, "routing.html")`.
#
# [Next: why 8x7B is not 56B](01_why_8x7b_is_not_56b.ipynb) · [all notebooks](README.md)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for other in ("de", "python"):
    apart = distance(loads["en"][0], loads[other][0])
    shown = "  ".join(f"{x:.0%}" for x in apart)
    print(
        f"en and {other}: layers 0 … {len(apart) - 1}: {shown}; smallest in layer {apart.argmin()}"
    )

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
unseen = mv.record(model, mv.prompts.passages().select(["en", "fr", "de"], topics[6:12]))
for label in unseen.labels:
    before, now = loads[label][0][layer], load_shares(unseen.select(label=label))[0][layer]
    first = before.argmax()
    print(
        f"{label}, layer {layer}: expert {first} had {before[first]:.1%}, now {now[first]:.1%}; "
        f"now the busiest is expert {now.argmax()}"
    )
