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
# # Do experts specialise?
#
# How to ask so that the answer can be no. All measurements are of 8x7m, a model of Mixtral's shape
# with 24 million parameters.
# -->
# # Do experts specialise?
#
# A quarter of an hour of reading, and ten minutes for the sections marked *further*; about 18
# seconds on two cores, 2 GB of memory, no network.
#
# Afterwards you can
#
# - ask the question so that the answer can be no: with a baseline, an interval, and a control;
# - repeat Figures 7 and 9 of the Mixtral paper (arXiv 2401.04088), and read them;
# - tell a difference in tokens from a difference in routing;
# - say what is known of languages in the real Mixtral, and what a small model says of it: nothing;
# - further: ask by topic and by syntax, and read Table 5 and Figure 10.

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
# ## In Mixtral, its authors saw syntax and hardly any topic. Languages they did not compare.
#
# - Eight kinds of text, layers 0, 15 and 31: no obvious experts for mathematics, medicine or code.
# - "Syntax rather than domain, especially at the initial and final layers": indentation goes to the
#   same experts.
#
# <small>arXiv 2401.04088, section 5</small>
# -->
# ## 1 · What was found in Mixtral
#
# The authors of Mixtral asked whether experts specialise by *domain*: mathematics, medical
# abstracts, code (arXiv 2401.04088, section 5). They recorded eight kinds of text in layers 0, 15
# and 31, and found no obvious specialisation by topic. (DM Mathematics stood out a little, most in
# the first and last layers; it is synthetic.) What they saw looked like syntax rather than domain,
# "especially at the initial and final layers": indentation, for instance, goes to the same experts.
#
# That is published. We ask the same of `8x7m`, which is not Mixtral, and one thing more:
# *language*, which the paper did not ask about. What we find will look strong. Most of this
# notebook is about whether to believe it.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Record it twice: trained, and never trained
# -->
# ## 2 · Record it twice
#
# 32 passages, each in five languages, and 24 programs and pages in four programming languages, all
# under one label, `code`. Once with 8x7m, and once with its *untrained twin*: the same
# architecture, random weights. What the twin does as well did not come from training.

# %% slideshow={"slide_type": "skip"}
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go

import moe_viz as mv
from moe_viz.analysis import published, published_routing
from moe_viz.view.charts import Chart

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:2-3|4|5"]
model, analysis = mv.load("8x7m"), mv.analysis
code = mv.prompts.Prompts(replace(p, label="code") for p in mv.prompts.code())
texts = mv.prompts.passages() + code
trace = mv.record(model, texts)
control = mv.record(mv.untrained_twin(model), texts)
trace, control

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# The two recordings are most of the computing, about ten seconds. The three rules of the whole
# notebook: a baseline (what would chance give?), an interval over documents (how much hangs on
# these texts?), a control (what would it be without training?).
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## English, German, code: in which layers do they keep the most different experts busy?
#
# - the first
# - the middle
# - the last
# - none of them
# -->
# ## 3 · Load: Figures 7 and 9 of the paper
#
# The *load* of an expert is its share of a layer's assignments, two for each token. Even routing
# gives every expert 1/8, the dashed line. No expert can have more than 1/2, since a token's two
# differ.
#
# **Write down:** in which layers will English, German and code differ most: the first, the middle,
# the last?
#
# Then move the slider from layer 0 to layer 5.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In which layer do the three look least alike? Move the slider.
# -->
# ## Load of 8x7m

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.chart(analysis.load(trace.select(label=["en", "de", "code"])))


# %% slideshow={"slide_type": "skip"}
layers = [f"layer {n}" for n in trace.layers]


def moved(recorded, a, b):
    """How much of the load would have to move to make two labels equal, layer by layer."""
    loads = [analysis.load_shares(recorded.select(label=label))[0] for label in (a, b)]
    return abs(loads[0] - loads[1]).sum(axis=1) / 2


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The last two, by far for German: so much work would have to go elsewhere to make two alike
# -->
# ## Counted
#
# How much of the load would have to move to make two labels equal? (With 60 and 40 % for one, 50
# and 50 % for the other: 10 %.)

# %% slideshow={"slide_type": "skip"}
rows = {
    (name, f"en and {other}"): moved(recorded, "en", other)
    for name, recorded in (("8x7m", trace), ("untrained twin", control))
    for other in ("de", "code")
}
columns = {"layer": np.tile(trace.layers, 4), "share": np.concatenate(list(rows.values()))}
columns |= {"of": np.repeat([", ".join(name) for name in rows], len(layers))}
data = analysis.Finding("load that would have to move", "8x7m and its twin", "assignments", columns)

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, looks = go.Figure(), (("#3b6fd4", "solid"), ("#c98a00", "solid"), ("#3b6fd4", "dot"))
for (name, y), (colour, dash) in zip(rows.items(), [*looks, ("#c98a00", "dot")], strict=True):
    look = {"color": colour, "dash": dash}
    figure.add_scatter(x=trace.layers, y=y, name=", ".join(name), mode="lines+markers", line=look)
figure.update_xaxes(title="layer", dtick=1)
figure.update_yaxes(title="load that would have to move", tickformat=".0%", rangemode="tozero")
figure.update_layout(height=360, margin={"t": 16, "r": 16, "b": 16, "l": 64})
largest = rows["8x7m", "en and de"]
said = f"English and German are furthest apart in layer {largest.argmax()}: {largest.max():.0%}."
Chart(figure, "Load that would have to move", "8x7m, and its untrained twin", said, data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert moved(trace, "en", "de").argmax() == 5
assert moved(trace, "en", "de")[5] > 0.6
assert max(moved(control, "en", other).max() for other in ("de", "code")) < 0.15

# %% [markdown] slideshow={"slide_type": "skip"}
# The last two layers: by far for German, less so for code. The paper's Figure 9 (2401.04088) splits
# the load into first and second choices. For English in the last layer, the busiest expert by each:

# %% slideshow={"slide_type": "skip"}
english, rows = trace.select(label="en", layers=5), {}
for choice in ("first choice", "second choice", "either choice"):
    busiest = max(analysis.load(english, choice).rows(), key=lambda row: row["share"])
    rows[choice] = [busiest[name] for name in ("expert", "share", "low", "high")]
columns = ["busiest", "share", "95 % interval, from", "to"]
mv.table(rows, columns, "English, layer 5 of 8x7m", form=["d", ".1%", ".1%", ".1%"])

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert rows["first choice"][2] > 0.6

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Will random weights separate five languages by more than chance, with a p below 0.05?
#
# Chance: the labels permuted among the texts, 999 times.
#
# - yes, in every layer
# - in some layers
# - no
# -->
# ## 4 · How far apart, and by chance?
#
# How far apart are the five languages? The *Jensen-Shannon divergence* of two loads (of first
# choices) is 0 bits where they are alike and 1 where they share no expert. Two samples of the same
# thing already differ a little. So we permute the labels among the documents, 999 times: the
# *null*. The *p-value* is the share of permutations, the true labels included, in which they are at
# least as far apart as observed.
#
# **Write down yes or no:** will random weights separate five languages by more than chance, with a
# p below 0.05?

# %% [markdown] slideshow={"slide_type": "skip"}
# With more than two labels, the divergence is the mean over all pairs of labels (in bits; at most
# 1). p is corrected for looking at six layers: it cannot be smaller than 0.006. `null` is the mean
# of the 999.

# %% slideshow={"slide_type": "skip"}
languages = ["en", "fr", "de", "es", "it"]
spoken, untrained = trace.select(label=languages), control.select(label=languages)
found = analysis.label_divergence(spoken)
beside = analysis.label_divergence(untrained)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Trained or not, p is below 0.05 in every layer: it says nothing about training
# -->
# ## Divergence of five languages

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
picture = mv.chart(found, control=beside)
picture.figure.update_yaxes(type="log", range=[-3.2, 0.1])
picture.figure.update_layout(yaxis={"title": "bits, logarithmic"}, yaxis2={"title": None})
picture

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Yes, in every layer: a small p is not enough

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {
    (name, column): each[column]
    for name, each in (("8x7m", found), ("untrained twin", beside))
    for column in ("divergence", "null", "p")
}
mv.table(rows, layers, "Divergence of five languages, in bits", form=".3f")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert max(found["p"].max(), beside["p"].max()) < 0.05
assert (found["divergence"][:2] < 3 * beside["divergence"][:2]).all()
assert (found["divergence"][4:] > 20 * beside["divergence"][4:]).all()

# %% [markdown] slideshow={"slide_type": "skip"}
# Random weights separate the languages too, beyond chance: different languages use different
# tokens, and different tokens score differently under any weights. So the null alone proves nothing
# about training. The control does: in layers 0 and 1 training adds little, in the last two much.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## A comma is a comma in five languages. On commas alone, where will the languages be apart?
#
# - in every layer
# - in the last layers
# - nowhere
# -->
# ## 5 · The same tokens
#
# Much, but of what? Perhaps an expert is not for German but for `␣der` and `␣und`. Then the tokens
# that all languages share would be routed alike.
#
# `only` keeps just these tokens in the statistics: all symbols (punctuation, operators) and digits;
# then the comma alone, and the full stop alone. A comma is a comma in five languages; only what
# came before it differs.
#
# **Write down:** on commas alone, in which layers will the languages be apart?


# %% slideshow={"slide_type": "skip"}
def only(recorded, wanted):
    """The same recording, with the statistics restricted to the wanted tokens."""
    kept = np.array([wanted(piece) for piece in recorded.tokens])
    return replace(recorded, special=recorded.special | ~kept)


chosen = {
    "all tokens": lambda piece: True,
    "symbols, digits": lambda piece: not any(c.isalpha() for c in piece),
    "commas": lambda piece: piece == ",",
    "full stops": lambda piece: piece == ".",
}


# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
def divergences(recorded):
    """Divergence of the labels on each choice of tokens: a row for each choice and layer."""
    parts = {name: only(recorded, wanted) for name, wanted in chosen.items()}
    each = {name: analysis.label_divergence(part) for name, part in parts.items()}
    counts = [f"{name} ({(~part.special).sum():,})" for name, part in parts.items()]
    columns = {"label": np.repeat(counts, len(recorded.layers))}
    columns |= {c: np.concatenate([found[c] for found in each.values()]) for c in found.columns}
    return replace(found, title=recorded.provenance.title, columns=columns)


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In the last layer the languages part on commas as on everything else
# -->
# ## Divergence of five languages on the tokens they share

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
shared, shared_control = divergences(spoken), divergences(untrained)
drawn = [label for label in dict.fromkeys(shared["label"]) if "full" not in label]
picture = mv.chart(shared.where(label=drawn), control=shared_control.where(label=drawn))
for line in picture.figure.data:  # what is nothing lies on the edge; intervals are in the data
    line.update(y=[max(y, 0.001) for y in line.y], error_y=None)
ticks = {"tickvals": [0.001, 0.01, 0.1, 1], "ticktext": ["≤ 0.001", "0.01", "0.1", "1"]}
picture.figure.update_yaxes(type="log", range=[-3.1, 0.1], **ticks)
picture.figure.update_layout(yaxis={"title": "bits, logarithmic"}, yaxis2={"title": None})
picture

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {}
for name, recorded in (("8x7m", spoken), ("untrained twin", untrained)):
    for what in ("commas", "full stops"):
        part = only(recorded, chosen[what])
        firsts = part.experts[:, ~part.special, 0]
        rows[name, what] = [np.bincount(first).max() / len(first) for first in firsts]
mv.table(rows, layers, "Share of the commonest first choice, all languages together",
         form=".0%", shade="all")  # fmt: skip

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## So 8x7m's last two layers look at what came before. The token alone does not decide.
#
# - In the first four layers most commas go one way, in any language.
# - The untrained twin hardly tells languages apart on the symbols that all of them use.
# - The language as such, or the words just before? This does not show which.
# -->
# ## In the last two layers, yes
#
# In the first four layers most commas have the same first choice, in any language: the token
# decides. In layer 4 the languages part on commas a little (0.17 bits), in the last layer no less
# than on all tokens. On full stops (not drawn) they part from layer 4 on, too.
#
# Is that training? The twin sends nearly all commas to one expert, and could hardly tell languages
# apart by them; where it spreads them (commas in layer 5, full stops in layers 0 and 4), it tells
# languages apart by a little at most. So look at *symbols, digits*, which it does spread: 0.018 in
# each of the last two layers, where 8x7m has 0.440 and 0.431.
#
# So in its last two layers 8x7m routes by what came before, and that tells the languages apart; the
# token alone does not decide. Whether it is the language as such or the words just before, this
# does not show. It is the strongest finding about 8x7m in this notebook.

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
names = dict(zip(chosen, dict.fromkeys(shared["label"].tolist()), strict=True))
commas, stops, symbols = (
    shared.where(label=names[n]) for n in ("commas", "full stops", "symbols, digits")
)
twin_symbols = shared_control.where(label=names["symbols, digits"])
assert (commas["p"][4:] < 0.05).all()
assert round(commas["divergence"][4], 2) == 0.17
assert commas["divergence"][5] > found["divergence"][5]
assert (stops["p"] < 0.05).tolist() == [False] * 4 + [True] * 2
assert stops["divergence"][4] > 10 * stops["divergence"][3]
assert symbols["divergence"][4:].round(3).tolist() == [0.440, 0.431]
assert twin_symbols["divergence"][4:].round(3).tolist() == [0.018, 0.018]
assert min(rows["8x7m", "commas"][:4]) > 0.6
assert (symbols["divergence"][:4] < 3 * twin_symbols["divergence"][:4]).all()

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## What does a token's first choice tell: its kind, the topic of its text, or the language?
#
# - *kind*: symbol, digit, beginning of a word, rest of one. At most 2 bits.
# - *topic*: one of 32 passages. At most 3 bits.
# - *language*: one of five. At most 2.3 bits.
#
# The same 32 passages in each of five languages.
# -->
# ## 6 · Syntax, topic or language? · further
#
# The paper's question was not about languages: its eight domains are kinds of text. Our passages
# cross topics with languages, 32 × 5, so we can ask three questions of the same tokens. How many
# bits does each tell about a token's first choice?
#
# - its *kind*: symbol, digit, beginning of a word, or the rest of one (syntax, roughly): at most 2;
# - the *topic* of its text, one of 32: at most 3, since there are eight experts;
# - the *language* of its text, one of five: at most 2.3.
#
# **Write down** an order, for the first layer and for the last.


# %% slideshow={"slide_type": "skip"}
def kind(piece):
    word = piece.lstrip("␣")
    if not any(c.isalnum() for c in word):
        return 0
    return 1 if word[0].isdigit() else 2 if piece.startswith("␣") else 3


# %% slideshow={"slide_type": "skip"}
def information(recorded, what):
    """Bits that `what`, one number per counted token, tells about its first choice, by layer."""
    bits = []
    for first in recorded.experts[:, ~recorded.special, 0]:
        joint = np.zeros((8, what.max() + 1))
        np.add.at(joint, (first, what), 1 / len(first))
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
        seen = joint > 0
        bits.append((joint[seen] * np.log2(joint[seen] / independent[seen])).sum())
    return np.array(bits)


# %% slideshow={"slide_type": "skip"}
lengths = [prompt.stop - prompt.start for prompt in spoken.prompts]
document = np.repeat(np.arange(len(lengths)), lengths)[~spoken.special]
names = np.array([prompt.topic for prompt in mv.prompts.passages()])
tongues = np.array([prompt.label for prompt in spoken.prompts])
topic, language = (np.unique(x, return_inverse=True)[1] for x in (names, tongues))
kinds = np.array([kind(p) for p in np.array(spoken.tokens)[~spoken.special]])
rng = np.random.default_rng(0)
questions = {"kind": kinds, "topic": topic[document], "language": language[document]}


# %% slideshow={"slide_type": "skip"}
def by_permuting(recorded, labels, within=None, times=99):
    """Bits that chance alone tells, by layer (mean, most): labels permuted among passages."""
    bits = []
    for _ in range(times):
        permuted = labels.copy()
        for group in (within == g for g in range(5)) if within is not None else [...]:
            permuted[group] = rng.permutation(labels[group])
        bits.append(information(recorded, permuted[document]))
    return np.mean(bits, axis=0), np.max(bits, axis=0)


by_chance, at_most = by_permuting(spoken, topic, within=language)  # within each language
language_chance, _ = by_permuting(spoken, language)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Topic tells next to nothing; in the last layers language tells most, once trained
# -->
# ## Bits about the first choice

# %% slideshow={"slide_type": "-"}
told = {name: information(spoken, what) for name, what in questions.items()}
twin = {name: information(untrained, what) for name, what in questions.items()}
rows = {("8x7m", name): bits for name, bits in told.items()}
rows |= {("untrained twin", name): bits for name, bits in twin.items()}
mv.table(rows, layers, "Bits about the first choice", form=".3f", shade="all")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (told["topic"] < 0.06).all()
assert (told["kind"][:4] > told["language"][:4]).all()
assert (told["language"][4:] > 8 * told["kind"][4:]).all()
assert max(bits.max() for bits in twin.values()) < 0.15

# %% slideshow={"slide_type": "skip"}
rows = {("8x7m, permuted", "topic"): by_chance, ("8x7m, permuted", "language"): language_chance}
mv.table(rows, layers, "Bits by chance, the mean of 99 permutations", form=".3f")

# %% [markdown] slideshow={"slide_type": "skip"}
# - **Topic**: next to nothing, at most 0.05 of 3 bits. It is more than any of 99 permutations
#   gives, but random weights tell about half as much, or more, in every layer: different topics use
#   different words.
# - **Kind** comes first in layers 0 to 3, though random weights show more than half of that in the
#   first two.
# - **Language** comes first in the last two layers, and under random weights never.

# %% [markdown] slideshow={"slide_type": "skip"}
# So on topic, over all languages at once, 8x7m agrees with what was published about Mixtral: no
# obvious specialisation. (Topics within English: exercise 1.) The paper did not ask about languages
# (arXiv 2401.04088). `code` differs from prose in its tokens and its syntax as well as in its
# subject: with it alone, "syntax or domain?" cannot be answered.

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert (told["kind"][:2] < 2 * twin["kind"][:2]).all()
assert (by_chance > 0.25 * told["topic"]).all()
assert (twin["kind"] > twin["language"]).all()
assert (told["language"][4:] > told["kind"][4:]).all()
assert (told["topic"] - by_chance < 0.03).all()
assert (told["topic"] > at_most).all()
assert (twin["topic"] > 0.45 * told["topic"]).all()

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Mixtral's later layers repeat their first choice about twice as often as chance would
# -->
# ## 7 · Repetition: Table 5 and Figure 10 · further
#
# How often does the next token go to the same first choice? With even, independent routing: 12.5 %.
# Published for Mixtral (arXiv 2401.04088, Table 5), in per cent, layers 0, 15 and 31:

# %% slideshow={"slide_type": "-"}
rows = {name: published.REPETITION[name][0] for name in ("Github", "Wikipedia (en)")}
rows["even and independent"] = [100 / 8] * 3
heads = [f"layer {n}" for n in published.REPETITION_LAYERS]
mv.table(rows, heads, f"PUBLISHED for Mixtral 8x7B, {published.PAPER}: per cent", form=".1f")

# %% [markdown] slideshow={"slide_type": "skip"}
# **Write down** the number for English in the last layer of 8x7m, where one expert is the first
# choice of most tokens. You will also see what the shares alone give (*same load, no order*), and
# the same tokens of each text in random order (*tokens shuffled*).

# %% slideshow={"slide_type": "skip"}
repeated = analysis.repetition(trace.select(label=["en", "code"]))
untrained_repeated = analysis.repetition(control.select(label=["en", "code"]))

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In 8x7m's last layer one busy expert explains most repeats; in code the order adds more
# -->
# ## Measured, of 8x7m: next token, same first choice

# %% slideshow={"slide_type": "-"}
rows = {}
for label in ("en", "code"):
    part = repeated.where(label=label, what="first choice")
    rows |= {
        (label, "repeats"): part["share"],
        (label, "same load, no order"): part["matched"],
        (label, "tokens shuffled"): part["shuffled"],
    }
mv.table(rows, layers, "Next token, same first choice", form=".0%", shade="all")

# %% [markdown] slideshow={"slide_type": "skip"}
# In the last layer English repeats its first choice four times as often as even routing would. But
# one expert takes most tokens anyway: the same load in random order explains most of it. In code
# the order itself adds more, above all in layer 4. Compared with 12.5 % alone, the two would look
# like one discovery.

# %% slideshow={"slide_type": "skip"}
final = repeated.where(layer=5, what="first choice")
last = {row["label"]: row for row in final.rows()}
added = {label: row["share"] - row["shuffled"] for label, row in last.items()}
assert round(last["en"]["share"], 2) == 0.5
assert last["en"]["share"] - last["en"]["matched"] < 0.1
assert added["code"] > 1.5 * added["en"]
before = repeated.where(layer=4, label="code", what="first choice")
assert before["share"][0] - before["shuffled"][0] > 3 * added["code"]
assert untrained_repeated.where(what="first choice")["share"].max() < 0.2

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## *and, und, et, y* in layer 15 of the real Mixtral: an expert for each language?
#
# - one for each language
# - one for all of them
# - spread over all eight
# -->
# ## 8 · And the real Mixtral?
#
# The paper measured no routing by language, but counts of real Mixtral's routing are public (made
# by the authors of OLMoE, arXiv 2409.02060): how often each piece went to each expert in layers 0,
# 7 and 15, in texts that include many languages. Counts of pieces, without documents: so no
# intervals.
#
# **Write down:** *and*, *und*, *et*, *y*: an expert for each language, or one for all?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In layer 15 one expert takes all ten words for *and*
# -->
# ## *And* has an expert; French has none

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.chart(published_routing.function_words().where(meaning="and"))

# %% [markdown] slideshow={"slide_type": "skip"}
# Other little words do the same, here the mean over all languages of each:

# %% slideshow={"slide_type": "skip"} tags=["hide_code"]
mv.chart(published_routing.word_meanings())

# %% [markdown] slideshow={"slide_type": "skip"}
# In layers 7 and 15 words of one *meaning* go together, whatever their language. Only three layers
# were counted, and the list of words was made after a first look. Words one by one, code, and
# OLMoE: [09](09_the_real_mixtral.ipynb), section 8. The same words in 8x7m's last layer, as far as
# our passages have them twenty times:

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In 8x7m's last layer the same words go by language
# -->
# ## The same words in 8x7m

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
words, twin_words = (
    published_routing.function_words(x).where(layer=5) for x in (spoken, untrained)
)
some = ["and", "the"]
words, twin_words = words.by("language"), twin_words.by("language")
mv.chart(words.where(meaning=some), control=twin_words.where(meaning=some))

# %% [markdown] slideshow={"slide_type": "skip"}
# German words go one way, whatever they mean, and English ones another. In the untrained twin every
# word goes its own. All words that were counted, none left out:

# %% slideshow={"slide_type": "skip"} tags=["hide_code"]
mv.chart(words, control=twin_words)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
apart = published_routing.meaning_and_language(spoken).where(layer=5)
assert apart["meaning"][0] > 10 * apart["language"][0]
takers = {piece: set(words.where(piece=piece)["share"].argsort()[-2:].tolist())
          for piece in ("und", "der", "die", "den", "and", "the", "of")}  # fmt: skip
assert takers["und"] == takers["der"] == takers["die"] == takers["den"] != takers["and"]
assert takers["and"] == takers["the"] == takers["of"]

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## And kinds of text? Each dot is an expert: Mixtral's hardly part by them, OLMoE's do.
# -->
# ## Kinds of text: Mixtral and OLMoE

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.chart(published_routing.published_loads("mixtral"), published_routing.published_loads("olmoe"))

# %% [markdown] slideshow={"slide_type": "skip"}
# So is there an expert for code? In Mixtral none was found (arXiv 2401.04088, Figure 7), in OLMoE
# several (arXiv 2409.02060). 8x7m's last layer has one, expert 2: a fifth of code's load goes there
# (an eighth would be even), and in our passages under 2 % of any language's. But the one that works
# most on code, 4, works still more on English.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
last = mv.analysis.load(trace).where(layer=5)
load = {label: last.where(label=label)["share"] for label in trace.labels}
assert 0.19 < load["code"][2] < 0.22
assert max(load[label][2] for label in languages) < 0.02
assert load["code"].argmax() == 4
assert load["code"][4] < load["en"][4]

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## What may be said
#
# | | 8x7m, measured | Mixtral, published |
# | :-- | :-- | :-- |
# | by topic | next to nothing | nothing obvious |
# | by syntax | yes, in part before training | what its authors saw |
# | by language | strongly, in the last two layers | no: by function (layers 7, 15) |
#
# Nothing in one column is evidence for the other.
# -->
# ## 9 · What may be said
#
# | | 8x7m (measured here) | Mixtral (published) |
# | :-- | :-- | :-- |
# | by topic (section 6) | next to nothing | nothing obvious (mathematics a little) |
# | by syntax (section 6) | yes, part of it under random weights too | what its authors saw |
# | by language | in the last two layers, strongly | layers 7, 15: by function, across languages |
# | repeated (section 7) | beyond load: little; in code more | layers 15, 31: beyond even |
#
# *Repeated*: the next token has the same first choice. Nothing in the left column is evidence for
# the right one. Late layers that part languages are published for other large mixtures, OLMoE among
# them (arXiv 2510.04694; also 2604.03592, 2605.29714); ST-MoE (2202.08906) saw none. So small size
# need not be why 8x7m's do, and 8x7m proves nothing about Mixtral.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Why does the small model look so specialised? Nobody measured the cause.
#
# - Its texts differ in their very tokens, and come from few sources.
# - It is small: six layers, few training tokens.
# - And one expert is so busy that half of English tokens repeat the choice before.
# -->
# ## Why does the small model look so specialised?
#
# In Mixtral's last layer, the next token has the same first choice 20 to 26 times in 100
# (published: arXiv 2401.04088, Table 5); English in 8x7m, 50 times, mostly because one expert is so
# busy there (section 7). The cause was not measured. The model's card guesses: its nine domains
# differ in language and syntax, and so in their very tokens; its texts come from few sources, each
# with a style of its own; and with six layers and 61 million training tokens its routers see little
# beyond a token and its neighbours.
#
# The first guess can be checked, in part.

# %% slideshow={"slide_type": "skip"}
vocabularies = [set(spoken.select(label=label).token_ids.tolist()) for label in languages]
everywhere, anywhere = set.intersection(*vocabularies), set.union(*vocabularies)
share = np.isin(spoken.token_ids[~spoken.special], list(everywhere)).mean()
print(f"pieces that all five languages use: {len(everywhere)} of {len(anywhere):,}")
print(f"tokens that are such pieces: {share:.0%}")
assert 0.3 < share < 0.6

# %% [markdown] slideshow={"slide_type": "skip"}
# Few pieces, but many tokens. And on commas the languages still part in the last layer (section 5):
# that the routed tokens differ cannot be the whole reason.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## "Experts specialise" needs three numbers beside it
#
# - **A baseline**: what would chance give?
# - **An interval**: how much hangs on these texts?
# - **A control**: what do random weights do?
#
# Then ask again on the tokens that all languages share. What is left is about context.
# -->
# ## What to take home
#
# - "Experts specialise" needs three numbers beside it: a baseline, an interval, a control. A small
#   p against chance says nothing about training: random weights have it too.
# - Ask again on the tokens that all languages share. What is left is about context.
# - 8x7m's last two layers part the languages (and hardly topics: section 6); whether by the
#   language or by the words just before is open. Mixtral, in the layers published, routes by
#   a word's function, across languages. Neither says anything about the other.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# English alone: are technical passages (`bug_report`, `software_install`, `physics`, `manual`,
# `astronomy`, `mixture_of_experts`) routed differently from six others? Record them with labels of
# your own, and use `label_divergence`. What do its p-values and the control say?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# Figure 8 of the paper (arXiv 2401.04088) shows indentation going to the same experts. Does it in
# 8x7m? For the line ends (`⏎`) of all code, find the share of the commonest first choice in each
# layer, beside the same of all tokens of code, and of the untrained twin.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# Repeat section 5 for English and code instead of five languages. Symbols and digits occur in both,
# but is it the same mixture of symbols? Which row of your table is free of that objection?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 4
#
# For the *same* passage in two languages, how far apart are the routers' mean
# probabilities, as a share of what would be possible? Published for Qwen3, Phi-3.5, GPT-OSS and
# OLMoE, not for Mixtral (arXiv 2510.04694): apart in early and in late layers, together in the
# middle. Draw `analysis.language_divergence` of 8x7m and of its twin. Does it have that shape, with
# its six layers?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# All of this and more for recordings of your own, on one page: `mv.report(trace, control)`, or
# `moe-viz report` on the command line.
#
# [Previous: expert heatmaps](04_expert_heatmaps.ipynb) · [Next: turn an expert
# off](06_turn_an_expert_off.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
technical = [
    "bug_report",
    "software_install",
    "physics",
    "manual",
    "astronomy",
    "mixture_of_experts",
]
everyday = ["poem", "fairy_tale", "letter", "dialogue", "recipe", "restaurant_review"]
english = mv.prompts.passages().select("en", technical + everyday)
labels = ["technical" if p.topic in technical else "everyday" for p in english]
for name, network in (("8x7m", model), ("untrained", mv.untrained_twin(model))):
    part = analysis.label_divergence(mv.record(network, english, labels=labels))
    rows = {column: part[column] for column in ("divergence", "null", "p")}
    print(mv.table(rows, layers, name, form=".3f"))
    assert part["p"].min() > 0.05
print("No p below 0.05, trained or not. With six texts against six that shows little: a difference")
print("would have to be large to be found.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for name, recorded in (("8x7m", trace), ("untrained", control)):
    part = recorded.select(label="code")
    for what, each in (("all tokens", part), ("line ends", only(part, lambda piece: piece == "⏎"))):
        first = each.experts[:, ~each.special, 0]
        share = [np.bincount(row, minlength=8).max() / len(row) for row in first]
        print(f"{name:10} {what:11}" + "".join(f"{x:7.0%}" for x in share))
print("Line ends share an expert in all layers but 3 and 4, and in most layers of the untrained")
print("twin even more so: it is the token, not training.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
two = divergences(trace.select(label=["en", "code"]))
for what in dict.fromkeys(two["label"].tolist()):
    part = two.where(label=what)
    stars = np.where(part["p"] < 0.05, "*", " ")
    values = zip(part["divergence"], stars, strict=True)
    print(f"{what:24}" + "".join(f"{x:7.3f}{star} " for x, star in values))
print("Commas and full stops alone: there it is the same single symbol in both. (In code a full")
print("stop mostly does something other than end a sentence.)")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 4

# %% slideshow={"slide_type": "skip"} tags=["solution"]
apart, twins = analysis.language_divergence(spoken), analysis.language_divergence(untrained)
early, late = apart.where(layer=[0, 1]), apart.where(layer=[4, 5])
assert (early["divergence"] < early["within"] + 0.15).all()
assert (late["divergence"] > 5 * late["within"]).all()
same, other = (twins[column].reshape(-1, 6).mean(axis=0) for column in ("divergence", "within"))
assert abs(same - other).max() < 0.06
print("Only the late half of it. In the first layers the same passage in another language is")
print("not much further away than another passage in the same language (`within`); in the last")
print("two, much further. Under random weights both are about equally far in every layer.")
mv.chart(apart, control=twins)
