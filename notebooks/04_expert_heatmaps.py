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
# # Expert heatmaps: five languages and code
#
# A quarter of an hour of reading, and five minutes for the sections marked *further*; about ten
# seconds of a laptop's CPU, 2 GB of memory, no network.
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
# ## 1 · One passage in five languages, and a program
#
# `8x7m` has Mixtral's architecture and is not Mixtral: 6 layers, 8 experts in each, and for every
# token a router picks 2 of them. We record what the routers say about one passage, written in each
# of five languages, and about a Python program.

# %% slideshow={"slide_type": "-"} tags=["show_code"]
from itertools import combinations

import numpy as np

import moe_viz as mv

model = mv.load("8x7m")
prompts = mv.prompts.passages().parallel("software_install")
prompts += mv.prompts.code().select("python", "gcd")
trace = mv.record(model, prompts, loss=True)
trace

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · Predict
#
# In the picture a token's colour is its *first choice*: of the eight experts of that layer, the
# one with the highest score.
#
# **Write down a number:** in how many of the six layers will more than half of the French passage
# have the same colour?
#
# Then look: French is open, in layer 0. Click into the picture, and go down through the layers with
# ↓.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## First choices

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace, prompt=1)

# %% [markdown] slideshow={"slide_type": "slide"}
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
shares = {label: commonest(trace, label)[1] for label in trace.labels}
untrained = np.max([commonest(control, label)[1] for label in trace.labels], axis=0)
print(" " * 24 + "".join(f"layer {n}  " for n in trace.layers))
for label, share in {**shares, "twin, largest of the six": untrained}.items():
    print(f"{label:24}" + "".join(f"{x:6.0%}   " for x in share))
last = {label: int(commonest(trace, label)[0][5]) for label in trace.labels}
print("\nwhich expert it is in layer 5:", last)

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## In one layer
#
# French: in one layer, the last, like German and Italian. (English in the last two; Spanish and
# Python in none.) In layers 0 to 2 every passage is a mixture of colours, hardly more uneven than
# with random weights; in layer 4 some are less uneven than with random weights; in the last all are
# more so.
#
# So is there an expert for each language? In this passage German, Spanish and Italian have the
# *same* commonest expert in the last layer.
#
# And all this is 8x7m. The paper on Mixtral (arXiv 2401.04088) measured no languages; across eight
# kinds of text it found no obvious pattern by topic, and some by syntax. Notebook 05 asks how much
# of what we see here is language at all.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert all((shares[label] > 0.5).tolist() == [False] * 5 + [True] for label in ("fr", "de", "it"))
assert min(share[4] for share in shares.values()) < untrained[4]
assert (shares["en"] > 0.5).tolist() == [False] * 4 + [True] * 2
assert max(shares["es"].max(), shares["python"].max()) < 0.5
assert all((share[:3] < untrained[:3] + 0.1).all() for share in shares.values())
assert all(share[5] > untrained[5] for share in shares.values())
assert len({last[label] for label in ("de", "es", "it")}) == 1

# %% [markdown] slideshow={"slide_type": "slide"}
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
# token.

# %% [markdown] slideshow={"slide_type": "skip"}
# To see two passages at once, set *Compare with* to `de`: its text and map appear below, the loads
# of both on the right, and a click there switches sides. With `all of python` only the loads are
# compared. A picture opens that way with `mv.explore(trace, prompt=1, beside=2)`, or
# `beside="python"`.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## One token, `version`, in the last layer

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
at = trace.select(prompt=1).tokens.index("version")
mv.explore(trace, prompt=1, layer=5, token=at)

# %% slideshow={"slide_type": "skip"}
pieces = ["␣Python", "3", "␣py", "thon", "␣--", "version", "␣pip"]
languages = trace.labels[:5]


def alike(recorded):
    """How often a piece has the same first choice in two languages, over all ten pairs of them."""
    parts = [recorded.select(label=label) for label in languages]
    rows = [[part.tokens.index(piece) for piece in pieces] for part in parts]
    first = [part.experts[:, row, 0] for part, row in zip(parts, rows, strict=True)]
    return np.mean([(a == b).mean(axis=1) for a, b in combinations(first, 2)], axis=0)


# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same way in another language?
#
# For the seven pieces and all ten pairs of languages: how often the first choice is the same in
# both.

# %% slideshow={"slide_type": "-"}
print(" " * 16 + "".join(f"layer {n}  " for n in trace.layers))
for title, recorded in (("8x7m", trace), ("untrained twin", control)):
    print(f"{title:16}" + "".join(f"{x:7.0%}  " for x in alike(recorded)))
assert alike(trace)[:4].min() > 0.65
assert alike(control).min() > 0.6
assert alike(trace)[5] < 0.4

# %% [markdown] slideshow={"slide_type": "-"}
# In the first four layers the token decides: mostly the same expert, whatever the language, and
# with random weights about as much (in layer 2 more). In the last layer of 8x7m the same token
# mostly goes to another expert in another language. Random weights do not do that: it came with
# training, in this model, on these seven pieces of one passage.

# %% [markdown] slideshow={"slide_type": "slide"}
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
# ## The margin: dark is close

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace, mode="margin")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Counted


# %% slideshow={"slide_type": "-"}
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
for title, recorded in (("8x7m", trace), ("untrained twin", control)):
    print(f"{title:16}" + "".join(f"layer {n}  " for n in trace.layers))
    for name, values in zip(names, certainty(recorded), strict=True):
        print(f"  {name:14}" + "".join(f"{x:7.2f}  " for x in values))
gate, close, entropy = certainty(trace)
assert 1 / 9 < close[5] < 1 / 5

assert gate[4:].min() > gate[:4].max()
assert close[4:].max() < close[:4].min()
assert entropy[4:].max() < entropy[:4].min()
assert np.ptp(certainty(control)[0]) < 0.05

# %% [markdown] slideshow={"slide_type": "-"}
# Surer in the last two layers: larger first gates, fewer close decisions, less entropy. With
# random weights all layers are much alike. But sure is not certain: even in the last layer about
# one decision in seven is close.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · Close decisions, and rounding · further
#
# The file of 8x7m holds its weights in bfloat16: two to three decimal digits. So far we computed
# with them in float32. Now the same weights and the same tokens, computed in bfloat16.
#
# **Write down:** of 100 decisions (one token in one layer, two experts), how many will come out
# differently? And which?

# %% slideshow={"slide_type": "-"} tags=["show_code"]
rough = mv.record(mv.load("8x7m", dtype="bfloat16"), prompts)
found = mv.compare(trace, rough)
overlap, identical = (found.where(what=what) for what in ("overlap", "identical"))
print(f"sets: {identical['share'].mean():.1%} are the same")
print(f"overlap: {overlap['share'].mean():.1%} (chance {overlap['chance'].mean():.1%})")

# %% [markdown] slideshow={"slide_type": "skip"}
# *Sets*: both experts the same. *Overlap*: how many of the two are shared, on average; *chance*:
# the same for unrelated choices.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## float32 and bfloat16: darker is where they differ

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore([trace, rough], mode="agreement")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Which decisions come out differently?

# %% slideshow={"slide_type": "-"}
print(" " * 22 + "".join(f"layer {n}  " for n in trace.layers))
for name, values in (
    ("changed, per cent", 100 * (1 - identical["share"])),
    ("median margin: all", identical["margin"]),
    ("  of the changed", identical["margin_changed"]),
):
    print(f"{name:22}" + "".join(f"{x:7.3f}  " for x in values))
assert identical["share"].min() > 0.97
assert np.nanmax(identical["margin_changed"] / identical["margin"]) < 0.5

# %% [markdown] slideshow={"slide_type": "-"}
# About one in a hundred, and those that were close. So a difference between two recordings means
# little by itself: look at the margin first, and say in which arithmetic it was recorded. The title
# of every picture does.

# %% [markdown] slideshow={"slide_type": "slide"}
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


# %% [markdown] slideshow={"slide_type": "slide"}
# ## Measured
#
# How often do they have a number in common? For two pairs that have nothing to do with each other:
# 13 times in 28, 46 % (of the 28 pairs 15 avoid both numbers, 13 do not). Beside it: the same after
# permuting the numbers of the next layer's experts at random, 500 times.

# %% slideshow={"slide_type": "-"}
as_is = in_common(trace)
renumbered = [in_common(trace, rng.permutation(8)) for _ in range(500)]
low, high = np.quantile(renumbered, [0.005, 0.995], axis=0)
for n in range(5):
    print(
        f"layers {n} and {n + 1}: {as_is[n]:4.0%}; 99 of 100 random numberings: "
        f"{low[n]:.0%} … {high[n]:.0%}"
    )
assert ((low <= as_is) & (as_is <= high)).all()

# %% [markdown] slideshow={"slide_type": "fragment"}
# The real numbering is like any other. (Experts of neighbouring layers may well be related, but not
# because they share a number.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Shown: different numbers, the same model
#
# We reverse the order of layer 3's experts, both the router's rows and the networks: number 0
# becomes 7, 1 becomes 6. **Predict:** what happens to the predictions of the model, and to the
# colours?

# %% slideshow={"slide_type": "-"} tags=["show_code"]
layer = model.layers[3].moe


def turn_round():
    layer.router.weight.data = layer.router.weight.data.flip(0)
    layer.experts = type(layer.experts)(reversed(layer.experts))


turn_round()
other = mv.record(model, prompts, loss=True)
turn_round()  # and back

# %% slideshow={"slide_type": "fragment"}
difference = np.nanmax(abs(other.loss - trace.loss))
same = (other.experts[..., 0] == trace.experts[..., 0]).mean(axis=1)
print(f"largest change of a token's loss, −ln of its probability: {difference:.6f}")
print("same colour, by layer:", "  ".join(f"{x:.0%}" for x in same))
assert difference < 1e-3
assert np.delete(same, 3).min() > 0.99
assert (other.experts[3] == 7 - trace.experts[3]).mean() > 0.99

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to take home
#
# - A colour is a number within one layer. Between layers it means nothing: in layer 3 all colours
#   changed, and the model did not.
# - In 8x7m, seven pieces that no language translates mostly have the same first choice in layers 0
#   to 3; less so in layer 4; mostly another in layer 5.
# - Further: many decisions are close, and rounding alone flips about one in a hundred.
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
assert {label: over.sum() for label, over in half.items() if over.any()} == {"c": 1}
assert half["c"][5]
print("Only the C program, in the last layer, and only just. Python and JavaScript come close")
print("there; HTML does not in any layer.")
mv.explore(programs, layer=5)

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
