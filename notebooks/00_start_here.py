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
# # Start here: see it happen
#
# Eight experts in each layer, two of them for each token. Who decides, how often, and about what?
# -->
# # Start here: see it happen
#
# Ten minutes of reading; about 7 seconds on two cores, 2 GB of memory, no network.
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

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Load a model: for any one token, less than half of it works
# -->
# ## 1 · Load a model

# %% slideshow={"slide_type": "skip"}
from textwrap import fill

import numpy as np

import moe_viz as mv
from moe_viz.analysis.load import load_shares

# %% slideshow={"slide_type": "-"} tags=["show_code"]
model = mv.load("8x7m")
size = mv.ledger(model.config)
print(f"{size.total:,} parameters, of which a token uses {size.active:,}")
print(f"that is {size.active / size.total:.0%}")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert 0.25 < size.active / size.total < 0.5

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In each layer a router picks two of eight experts, for each token
#
# - A **token** is a word, a piece of a word, or a punctuation mark.
# - The **router** scores all eight experts; the best two run.
# - Two **gates**, which sum to 1, weight what the two put out.
# -->
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
# <!-- slide
# ## What happens to a token in one layer? Click the six steps.
# -->
# ## One layer, in six steps

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.diagram(model)

# %% [markdown] slideshow={"slide_type": "skip"}
# Step through it with the buttons: read the token's hidden state, score, keep two, run them, weigh
# their outputs, add. The scores are made up; section 4 has real ones.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Four texts, and what every router said about every token
# -->
# ## 2 · Record
#
# The same short passage in three languages, and a small Python program. `record` runs them through
# the model once and keeps what every router said about every token.

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:1|2|3"]
prompts = mv.prompts.passages().parallel("cat").select(["en", "fr", "de"])
prompts += mv.prompts.code().select("python", "gcd")
trace = mv.record(model, prompts)
trace

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Over a whole passage, how many of layer 0's eight experts will run at least once?
#
# "Our cat answers to no name, but she knows the sound of the fridge through two closed doors …"
#
# - two: those for its subject
# - about half of them
# - all, or all but one
# -->
# ## 3 · Predict, before you look
#
# The first prompt is this English passage. Two of eight experts run for each token.
#
# **Write down a number:** over the whole passage, how many of layer 0's eight experts will have run
# at least once? Two, because a text goes to the experts for its subject? About half? All?

# %% slideshow={"slide_type": "skip"}
passage = trace.select(prompt=0)
words = ~passage.special  # all but <s>, which opens every prompt
print(fill(passage.prompts[0].text, 80), f"\n\n{words.sum()} tokens, and <s>")

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Click a word, then press ↓ five times: does it keep its colour?
# -->
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

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Find three things
#
# A word whose pieces go to different experts; a token whose third expert missed by less than 0.1;
# and, in the Python program, a layer in which nearly all line ends have the same first choice, and
# one in which they do not. (Type / and then ⏎ to mark them, and look along the map.)
#
# (A router's scores are called *logits*; the distance from the second to the third is the *margin*.
# Set the map to *margin*: dark is close.)

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Four texts, six layers

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Press Play: after how many words have all eight worked?
# -->
# ## 5 · The answer
#
# Press *Play* and count: which experts have worked so far?

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(passage, token=1, view="touched")

# %% slideshow={"slide_type": "skip"}
experts = passage.experts[:, words]  # (layers, tokens, 2)
layers = [f"layer {n}" for n in passage.layers]
rows = {
    "experts that ran": [len(np.unique(layer)) for layer in experts],
    "different pairs, of 28": [len(np.unique(np.sort(layer), axis=0)) for layer in experts],
}
mv.table(rows, layers, "Over the whole passage")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
paths = experts.transpose(1, 0, 2).reshape(words.sum(), -1)  # one row for each token
alone = int((np.unique(paths, axis=0, return_counts=True)[1] == 1).sum())
print(f"tokens with a path through all layers of their own: {alone} of {words.sum()}")
assert min(rows["experts that ran"]) >= 7
assert alone > words.sum() / 2

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## All eight, or all but one. The router decides about tokens, not about texts.
#
# - One token at a time, and afresh in each layer.
# - Most tokens take a path that no other token here takes.
# - Expert 3 of layer 0 and expert 3 of layer 1 are unrelated.
# -->
# All eight, or one fewer, in every layer. The router decides about *tokens*, not texts: one at a
# time, and afresh in each layer. (What came before a token can matter too: notebook 03.) Most
# tokens take a path through the layers that no other token of the passage takes.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Press / and ⏎: where do most line ends share an expert?
# -->
# ## What there was to find

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace, prompt=3)

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## The ends of lines: nearly all to one expert in some layers, to several in others
# -->
# One trap: expert 3 of layer 0 and expert 3 of layer 1 are unrelated networks. The number, and so
# the colour, is only a place within its layer.

# %% slideshow={"slide_type": "-"}
program = trace.select(label="python")
line_ends = [t for t, piece in enumerate(program.tokens) if piece == "⏎"]
firsts = [np.bincount(first, minlength=8) for first in program.experts[:, line_ends, 0]]
rows = dict(zip(layers, firsts, strict=True))
mv.table(rows, range(8), "First choices of the program's line ends, by expert", shade="all")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
close = passage.margins[:, words] < 0.1
print(f"missed by less than 0.1 logits: {close.sum()} of the passage's {close.size} decisions")
alike = [row.max() / row.sum() for row in firsts]
assert sum(share >= 0.95 for share in alike) > 1  # nearly all alike in some layers,
assert sum(share < 0.7 for share in alike) > 1  # not so in others

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Type one word twice: does it take the same path twice?
# -->
# ## A sentence of your own
#
# A `light` box has a `light` inside: do the two take the same path? In the exported page and deck
# the model itself runs behind this picture: type there. In JupyterLab: `mv.explore(model)`.
#
# (8x7m's tokenizer knows the letters of few scripts. Others, Korean or emoji, are spelled in bytes,
# three or four tokens a character, and such tokens look much alike to a router.)

# %% slideshow={"slide_type": "-"} tags=["live", "hide_code"]
mv.explore(mv.record(model, "This light box has a light inside."), token=2)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
spelled = {text: mv.record(model, text).tokens for text in ("한", "🙂")}
assert [sum(p == text for p in pieces) for text, pieces in spelled.items()] == [3, 4]

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In which layer do English and German look least alike? Move the slider.
# -->
# ## 6 · Who does how much?
#
# The *load* of an expert is its share of a layer's assignments (two for each token, `<s>` left
# out). With even loads, each would have one eighth. We record more text. Move the slider: in which
# layer do English and German differ most?

# %% slideshow={"slide_type": "skip"}
topics = mv.prompts.passages().topics
texts = mv.prompts.passages().select(["en", "fr", "de"], topics[:6])
more = mv.record(model, texts + mv.prompts.code().select("python", ["gcd", "stack"]))

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.chart(mv.analysis.load(more.select(label=["en", "fr", "de"])))

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## There, English, French and German keep different experts busy
# -->
# ## Counted
#
# How much of the load would have to move to make the two equal? The table shows the layer in which
# that is most. Its columns are experts 0 to 7.

# %% slideshow={"slide_type": "skip"}
loads = {label: load_shares(more.select(label=label)) for label in more.labels}


def distance(a, b):
    """Half the summed differences of two loads, in each layer: 0 is equal, 1 is disjoint."""
    return abs(a - b).sum(axis=-1) / 2


apart = distance(loads["en"][0], loads["de"][0])
layer = int(apart.argmax())

# %% slideshow={"slide_type": "-"}
rows = {(label, f"{n:,} tokens"): shares[layer] for label, (shares, n) in loads.items()}
rows |= {("even", ""): [1 / 8] * 8}
said = f"layer {layer}: {apart[layer]:.0%} would have to move between English and German"
mv.table(rows, range(8), said, form=".1%", shade="all")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
busiest = [shares[layer].argmax() for shares, _ in (loads[label] for label in ("en", "fr", "de"))]
assert len(set(busiest)) == 3

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The table does not show that experts are specialists
#
# - Other languages use other tokens. An untrained router sends those elsewhere too.
# - These are a few passages: other texts may behave differently.
# - This is 8x7m, and not Mixtral.
# -->
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
# <!-- slide
# ## A router decides about each token, afresh in each layer
#
# - Two of eight experts run; over a passage, nearly all of them do.
# - An expert's number means nothing in the next layer.
# - Loads that differ do not yet make specialists.
# -->
# ## What to take home
#
# - A router decides about each token, afresh in each layer: two of its eight experts run.
# - Nearly all experts of a layer work on one passage, some more than others.
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
