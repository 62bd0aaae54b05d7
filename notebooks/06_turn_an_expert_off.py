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
# # Turn an expert off
#
# Watching shows whom a router asks. Taking an expert away shows whether it is missed. All
# measurements are of 8x7m, a model of Mixtral's shape with 24 million parameters.
# -->
# # Turn an expert off
#
# A quarter of an hour of reading, and five minutes for the sections marked *further*; about 35
# seconds on two cores, 2 GB of memory, no network.
#
# Afterwards you can
#
# - change a router's decisions for as long as you like, and know that the change is undone;
# - measure what an expert is worth to which texts, with a control beside it;
# - say what a damage matrix does not show;
# - further: keep apart how busy an expert is and how much it is missed.

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
# ## One expert takes most of this text. Does French need it?
# -->
# ## 1 · Watching is not enough
#
# In notebook 04 one expert of 8x7m was the first choice of two tokens in three of a French passage,
# in the last layer. Does French need it? Watching cannot tell. So we take it away, and see how much
# worse the model predicts.

# %% slideshow={"slide_type": "skip"}
import numpy as np

import moe_viz as mv

model = mv.load("8x7m")
untrained = mv.untrained_twin(model)  # random weights: the control
passages = mv.prompts.passages()
seen = mv.record(model, passages.parallel("software_install").select("fr"))

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(seen, layer=5)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert 0.6 < np.bincount(seen.experts[5, ~seen.special, 0]).max() / (~seen.special).sum() < 0.7

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## *Loss*: how little the model expected each token. Which surprised it most?
# -->
# The measure is the *loss*, in nats per token: minus the logarithm of the probability that the
# model gave to the token that came. Smaller is better. Guessing among the 8,192 pieces of the
# vocabulary without any idea costs log 8192, about 9. Here it is for one sentence, token by token.

# %% slideshow={"slide_type": "skip"}
guessing = np.log(model.config.vocab_size)
sentence = mv.record(model, "La petite maison se trouve au bord de la mer.", loss=True)

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
import plotly.graph_objects as go

from moe_viz.view.charts import Chart

COLOURS = {"en": "#3b6fd4", "fr": "#d1495b", "python": "#2a9d5c", "baseline": "#7f8a96"}


def lined(figure, text, **at):
    """A dashed line for a baseline, and what it is."""
    line = {"dash": "dash", "width": 1.5, "color": COLOURS["baseline"]}
    figure.add_shape(type="line", line=line, **at)
    figure.add_annotation(text=text, x=at["x1"], y=at["y1"], xref=at.get("xref", "x"),
                          yref=at.get("yref", "y"), xanchor="right", yanchor="bottom",
                          showarrow=False)  # fmt: skip


tokens, losses = sentence.tokens[1:], sentence.loss[1:]
figure = go.Figure(go.Bar(y=losses, marker={"color": COLOURS["fr"]}))
lined(figure, "guessing", xref="paper", x0=0, x1=1, y0=guessing, y1=guessing)
figure.update_layout(height=320, margin={"t": 24, "r": 16, "b": 48, "l": 64})
figure.update_xaxes(
    title="token", tickvals=list(range(len(tokens))), ticktext=tokens, tickangle=-45
)
figure.update_yaxes(title="loss, in nats")
columns = {"token": np.array(tokens), "loss": np.array(losses)}
data = mv.analysis.Finding("loss", sentence.provenance.title, "tokens after the first", columns)
said = "Minus the logarithm of the probability that the model gave to each token that came."
Chart(figure, "Loss of each token of a sentence", sentence.provenance.title, said, data)

# %% slideshow={"slide_type": "skip"}
print(f"mean loss of this sentence: {losses.mean():.2f} nats; guessing: {guessing:.2f}")

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Off inside the block, on again after it
# -->
# ## 2 · Off, and on again
#
# Within the `with` block, expert 5 of layer 2 is never used; its tokens go to the next best.
# Outside the block nothing is changed, not even after an error.

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:2|3-4|5"]
cat = passages.parallel("cat").select(["en", "fr"])
before = mv.record(model, cat)
with mv.intervene(model, ablate=[(2, 5)]):
    without = mv.record(model, cat)
after = mv.record(model, cat)
for trace in (before, without, after):
    print(trace.provenance.title)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (before.experts[2] == 5).any()
assert not (without.experts[2] == 5).any()
assert np.array_equal(before.experts, after.experts)
try:
    with mv.intervene(model, ablate=[(2, 5)]):
        raise KeyboardInterrupt
except KeyboardInterrupt:
    assert model.provenance.interventions == ()

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Expert 5 of layer 2 is off. In which layers will decisions come out differently?
#
# - in layer 2 alone
# - in layer 2 and after it
# - in all six
# -->
# The title of every recording and picture made inside the block says what was changed.
#
# **Write down:** in which of the layers 0 to 5 will decisions come out differently?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Dark is another choice: which rows have none, and why?
# -->
# ## Without expert 5 of layer 2: darker is where decisions differ

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore([without, before], mode="agreement", layer=2)

# %% slideshow={"slide_type": "skip"}
layers = [f"layer {n}" for n in range(6)]
changed = 1 - mv.compare(before, without).where(what="identical")["share"]
users = (before.experts[2][~before.special] == 5).any(axis=1).mean()
note = f"Before, {users:.0%} of the tokens went to expert 5 of layer 2."
mv.table(
    {"other experts": changed}, layers, "Decisions changed", form=".0%", shade="all", note=note
)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert changed[:2].max() == 0
assert np.isclose(changed[2], users)
assert changed[3:].min() > 0

# %% [markdown] slideshow={"slide_type": "skip"}
# Before layer 2, none; in layer 2, those of all tokens that used the expert, and no others; after
# it some more, since the layers' input has changed.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Trained with two experts for each token. Run with k of them: which k will predict best?
#
# - 1
# - 2
# - 4
# - all 8
# -->
# ## 3 · One expert, two, all eight
#
# 8x7m was trained with k = 2 experts for each token. `top_k=` runs it with another number, in all
# layers, without training it again.
#
# **Write down:** which k predicts best? Is more computing better?
#
# `mv.effects` measures interventions on texts: here four English and four French passages, and
# four Python programs.

# %% slideshow={"slide_type": "skip"}
labels = ["en", "fr", "python"]
texts = passages.select(["en", "fr"], passages.topics[:4])
texts += mv.prompts.code().select("python", ["gcd", "primes", "stack", "word_count"])
by_k = mv.effects(model, texts, {f"k = {k}": {"top_k": k} for k in range(1, 9)})
rows = {label: by_k.where(label=label) for label in labels}
rows = {label: part["loss"] + part["change"] for label, part in rows.items()}
mv.table(rows, [f"k = {k}" for k in range(1, 9)], "Loss, in nats per token", form=".2f")

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## All eight predict worse than the two it was trained with
# -->
# ## Loss against k

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = go.Figure()
for label, symbol in zip(labels, ("circle", "square", "diamond"), strict=True):
    part = by_k.where(label=label)
    high, low = part["high"] - part["change"], part["change"] - part["low"]
    error = {"array": high.tolist(), "arrayminus": low.tolist(), "thickness": 1.2}
    figure.add_scatter(x=list(range(1, 9)), y=part["change"].tolist(), name=label, error_y=error,
                       line={"color": COLOURS[label], "width": 3},
                       marker={"symbol": symbol, "size": 10})  # fmt: skip
figure.update_layout(height=320, margin={"t": 16, "r": 16, "b": 48, "l": 64})
figure.update_xaxes(title="k, experts for each token", dtick=1)
figure.update_yaxes(title="change of loss, nats per token")
said = "Change of loss against k = 2; bars are 95 % intervals over four documents."
Chart(figure, "Change of loss against k = 2", by_k.title, said, by_k)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
for label in labels:
    part = by_k.where(label=label)
    assert part["change"].argmin() == 1
    assert (np.diff(part["change"][2:]) > 0).all()
    assert 0.1 < part["change"][0] < 0.16
    assert part["change"][2] < 0.08
    assert (part["low"][2] > 0) == (label == "python")
    assert part["low"][7] > 0
three = mv.effects(model, passages.select(["en", "fr"]), {"k = 3": {"top_k": 3}})
assert three["documents"].tolist() == [32, 32]
assert ((three["low"] > 0) & (abs(three["change"] - 0.045) < 0.01)).all()
twin = mv.effects(untrained, texts, {f"k = {k}": {"top_k": k} for k in (1, 8)})
assert abs(twin["change"]).max() < 0.05

# %% [markdown] slideshow={"slide_type": "skip"}
# Two, as trained. k = 3 costs Python 0.07 nats; four English or French texts cannot tell it from 2
# (on 32 it costs 0.04 to 0.05). One costs 0.12 to 0.15; beyond 3, each adds to the loss. (For the
# untrained twin k = 1 and k = 8 change less than 0.05.) That is not a law: with
# Mixtral-8x7B-Instruct, quantised, k = 3 gave the lowest perplexity (llama.cpp, pull request 4406:
# [reading list](READING.md)).

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Two experts drawn at random take the places of the chosen. What will it cost?
#
# In nats per token. Guessing without any idea would cost 9.
#
# - nothing
# - about 0.1
# - about 1
# - more than 3
# -->
# ## 4 · Does it matter *which*? · further
#
# Four changes, from mild to wild:
#
# - other gates, same experts: both count alike (`uniform_gates`), or the gates are made sharper
#   (the router's `temperature` below 1) or flatter (above 1);
# - other experts: two drawn at random take the places, and the gates, of the chosen (`random`).
#
# **Write down** a guess in nats for `random`. Guessing without any idea would cost 9.

# %% slideshow={"slide_type": "skip"}
changes = {
    "uniform gates": {"uniform_gates": True},
    "temperature 0.5": {"temperature": 0.5},
    "temperature 2": {"temperature": 2.0},
    "random experts": {"random": 0},
}
found, control = mv.effects(model, texts, changes), mv.effects(untrained, texts, changes)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Gates matter little; *which* experts are asked, most of all
# -->
# ## Other gates, other experts: change of loss

# %% slideshow={"slide_type": "-"}
parts = {
    name: (found.where(intervention=name), control.where(intervention=name)) for name in changes
}
rows = {name: [*own["change"], abs(twin["change"]).max()] for name, (own, twin) in parts.items()}
title = "Change of loss, in nats per token"
mv.table(rows, [*labels, "twin, at most"], title, form="+.3f", shade="all", mark="random experts")


# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
def listed(found, title):
    """A row for each intervention, a column for each label: the change and its 95 % interval."""
    rows = {name: [] for name in found["intervention"].tolist()}
    for row in found.rows():
        said = f"{row['change']:+.3f} ({row['low']:+.3f} … {row['high']:+.3f})"
        rows[row["intervention"]].append(said)
    return mv.table(rows, list(dict.fromkeys(found["label"].tolist())), title)


listed(found, "The same with 95 % intervals over four documents")

# %% [markdown] slideshow={"slide_type": "skip"}
# Gates matter little. *Which* experts matters more than anything else in this notebook: with two at
# random the model predicts worse than guessing. It is all the same to the untrained twin: one
# random network is as good as another.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
wild = found.where(intervention="random experts")
gates = found.where(intervention=["uniform gates", "temperature 0.5", "temperature 2"])
assert (wild["loss"] + wild["change"] > guessing).all()
assert gates["change"].max() < 0.3
assert wild["change"].min() > 3
assert abs(control["change"]).max() < 0.1

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# Let the class vote on "random experts" before the numbers. Many expect little ("the
# experts are all much alike"), or that balanced routing means interchangeable experts.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## *Change*: which expert of layer 5 does French miss most?
# -->
# ## 5 · One at a time: the damage matrix
#
# First by hand. In the exported page and deck the model itself runs behind this picture: press
# *Change*, click on an expert of layer 5, then *Switch off*. (In JupyterLab: `mv.explore(model)`.)
# *How much worse* tells the change of loss in five languages, and in this sentence. Which expert
# does French miss most?

# %% slideshow={"slide_type": "-"} tags=["live", "hide_code"]
mv.explore(mv.record(model, "La petite maison se trouve au bord de la mer."), layer=5)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## One expert of eight is off. In which layer will more of the eight be missed?
#
# - in layer 0, the first
# - in layer 5, the last
# - in both alike
# -->
# Now on all the texts: each expert of layer 0 and of layer 5 is turned off by itself, 16
# experiments.
#
# **Write down:** in which of the two layers will one missing expert of eight hurt more? Will the
# pattern be the same for English, French and Python?

# %% slideshow={"slide_type": "skip"}
each = {f"{n}/{e}": {"ablate": [(n, e)]} for n in (0, 5) for e in range(8)}
damage, damage_control = mv.effects(model, texts, each), mv.effects(untrained, texts, each)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Which expert is missed most, and by whom?
# -->
# ## Damage: layer/expert, and whom it hurts

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.chart(damage, control=damage_control)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
first, last = damage.where(layer=0), damage.where(layer=5)
assert (first["change"] > 0.05).mean() > 0.8
assert 0.6 < (last["change"] < 0.05).mean() < 0.7
worst = [first.where(label=label)["change"] for label in labels]
assert [change.argmax() for change in worst] == [3, 3, 3]
assert all(0.45 < change.max() < 0.75 for change in worst)
assert abs(damage_control["change"]).max() < 0.05
assert abs(damage_control["loss"] - guessing).max() < 0.5
assert 0 < last["change"].max() - worst[1].max() < 0.1
assert worst[1].max() == first["change"].max() > last["low"][last["change"].argmax()]
assert [last.where(label=label)["change"].argmax() for label in labels] == [4, 6, 4]
assert last.where(expert=4, label="en")["low"][0] > 0.2
half = last.where(expert=4, label="python")["change"] / last.where(expert=4, label="en")["change"]
assert 0.4 < half[0] < 0.6
assert 0.15 < (first["low"] <= 0).mean() < 0.25
felt = []
for e in range(8):  # on the sentence of the live picture
    with mv.intervene(model, ablate=[(5, e)]):
        felt.append(mv.record(model, sentence.prompts[0].text, loss=True).loss[1:].mean())
assert np.argmax(felt) == last.where(label="fr")["change"].argmax()

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# Layer 0: nearly all, and 0/3 by all three. Layer 5: a third, and 5/6 by French a great deal.
# -->
# ○: the 95 % interval crosses zero.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Two layers, two patterns
#
# Layer 0: nearly all are missed by every kind of text, 0/3 most (0.5 to 0.7 nats), though with four
# texts of each kind a fifth of these cells may be chance: their interval includes zero. Layer 5:
# two thirds are hardly missed; French misses 5/6 a great deal, English misses 5/4, and Python 5/4
# too, half as much.
#
# Which layer hurts more? In layer 0 more of the eight are missed. The worst single loss is in layer
# 5, but French without 5/6 (0.76) is hardly worse off than without 0/3 (0.71).
#
# The twin, whose loss is that of guessing to within half a nat, has nothing to lose: it shows only
# that the measure does not invent damage.
#
# (Expert 6 of layer 0 and expert 6 of layer 5 have nothing to do with each other.)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Is the busiest expert of a layer the one that is missed most?
#
# - yes, in both layers
# - in layer 5, not in layer 0
# - in neither
# -->
# ## 6 · Busy, and missed · further
#
# **Write down yes or no:** is the busiest expert of a layer the one that is missed most?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Yes in layer 5, no in layer 0: busy and missed are two things
# -->
# ## Load and damage

# %% slideshow={"slide_type": "-"}
load, rows = mv.analysis.load(mv.record(model, texts)), {}
for at in ({"layer": n, "label": label} for n in (0, 5) for label in labels):
    busy, missed = load.where(**at)["share"], damage.where(**at)["change"]
    largest = [busy.argmax(), busy.max(), missed.argmax(), missed.max()]
    rows[f"layer {at['layer']}", at["label"]] = [*largest, np.corrcoef(busy, missed)[0, 1]]
columns = ["busiest", "load", "most missed", "nats", "correlation"]
mv.table(rows, columns, form=["d", ".0%", "d", "+.2f", "+.2f"])

# %% [markdown] slideshow={"slide_type": "skip"}
# In layer 5 yes, in layer 0 no: there the busiest is not the one missed most; for English it is the
# one missed *least*, for French and Python the second least. (Eight points: a correlation of 0.6,
# or −0.6, may be luck.) Load is how often an expert is asked. Damage is how often it is asked times
# how badly the *next best* does in its place. So the two may agree, as in layer 5, and still be
# different questions.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
for label in labels:
    busy = [load.where(layer=n, label=label)["share"] for n in (0, 5)]
    missed = [damage.where(layer=n, label=label)["change"] for n in (0, 5)]
    assert busy[1].argmax() == missed[1].argmax()
    assert busy[0].argmax() != missed[0].argmax()
    assert missed[0].argsort()[0 if label == "en" else 1] == busy[0].argmax()
    assert busy[0].max() < 0.2
    assert np.corrcoef(busy[1], missed[1])[0, 1] > 0.8 > 0.1 > np.corrcoef(busy[0], missed[0])[0, 1]

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## The worst of 16 × 3 numbers, on four French texts. Will French miss it on twenty others?
#
# - as much
# - less
# - not at all
# -->
# ## 7 · Chosen on four texts, tested on twenty
#
# We looked at 16 × 3 numbers and took the largest, which is likely too large, by luck; and it
# stands on four documents. So: the same expert on twenty passages that had no part in choosing it.
# Its tokens go to the next best, or to none: then the token's other expert keeps its gate.
#
# (`p`: how often the mean would be as large if each document's change had a random sign. Four
# documents allow only 16 patterns of signs, too few for a small p.)
#
# **Write down:** will French miss it on the twenty as much as on the four? And English?

# %% slideshow={"slide_type": "skip"}
unseen = passages.select(["en", "fr"], passages.topics[4:24])
tests = {"next best": {"ablate": [(5, 6)]}, "nothing": {"ablate": [(5, 6)], "instead": "nothing"}}
tested = mv.effects(model, unseen, tests)
tested

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## French misses it there as much; English does not notice
# -->
# ## Missed by French, not by English

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
chosen = damage.where(intervention="5/6", label="fr")
french, english = tested.where(label="fr"), tested.where(label="en")
named = {
    "French, the four": (chosen, 0),
    "French, twenty others": (french, 0),
    "  … and no next best": (french, 1),
    "English, twenty others": (english, 0),
    "  … and no next best ": (english, 1),
}
kept = ("label", "change", "low", "high", "documents")
columns = {c: np.array([part[c][n] for part, n in named.values()]) for c in kept}
data = mv.analysis.Finding("without 5/6", tested.title, tested.counted, columns)
high, low = data["high"] - data["change"], data["change"] - data["low"]
colours = [COLOURS[label] for label in data["label"].tolist()]
figure = go.Figure()
for n, name in enumerate(named):
    error = {"array": [high[n]], "arrayminus": [low[n]], "color": colours[n], "thickness": 3}
    figure.add_scatter(x=[data["change"][n]], y=[name], error_x=error, mode="markers",
                       marker={"size": 16, "color": colours[n]}, showlegend=False)  # fmt: skip
figure.update_layout(height=320, margin={"t": 16, "r": 16, "b": 48, "l": 64})
figure.update_xaxes(title="change of loss without 5/6, nats per token")
figure.update_xaxes(range=[-0.04, 1.05 * data["high"].max()])  # room for a mark at nothing
figure.update_yaxes(autorange="reversed")
said = "With 95 % intervals over documents: the four that chose the expert, and twenty others."
Chart(figure, "Change of loss without 5/6", tested.title, said, data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert damage["change"].max() == chosen["change"][0]
assert french["low"][0] < chosen["change"][0] < french["high"][0]
assert 0 < chosen["change"][0] - french["change"][0] < 0.05
assert (french["low"] > 0.6).all()
assert 0 < french["change"][1] - french["change"][0] < 0.12
assert (french["p"] < 0.05).all()
assert (abs(english["change"]) < 0.02).all()

# %% [markdown] slideshow={"slide_type": "skip"}
# French misses it as much as on the four texts that chose it (0.74 nats, there 0.76): this time it
# was not luck. English does not notice. Leaving its place empty is a little worse than filling it
# with the next best (0.82).

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Without "the French expert" most of French remains, by the loss
# -->
# ## Is it "the French expert"?
#
# The loss of French, with it and without it, and with random experts: in every layer, two drawn at
# random take the places of the chosen.

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
random = found.where(intervention="random experts", label="fr")
with_random = (random["loss"] + random["change"])[0]
without_it = (french["loss"] + french["change"])[0]
names = ["as trained", "without 5/6", "random experts in all layers"]
losses = [french["loss"][0], without_it, with_random]
figure = go.Figure(go.Bar(y=names, x=losses, orientation="h", marker={"color": COLOURS["fr"]},
                          text=[f"{x:.2f}" for x in losses], textposition="inside"))  # fmt: skip
lined(figure, "guessing", yref="paper", x0=guessing, x1=guessing, y0=0, y1=1)
figure.update_layout(height=280, margin={"t": 32, "r": 16, "b": 48, "l": 64})
figure.update_xaxes(title="loss of French, nats per token", range=[0, 11.5])
figure.update_yaxes(autorange="reversed")
columns = {"what": np.array(names), "loss": np.array(losses), "documents": np.array([20, 20, 4])}
data = mv.analysis.Finding("loss of French", tested.title, tested.counted, columns)
said = "On twenty passages; with random experts on the four of section 3."
Chart(figure, "Loss of French", tested.title, said, data)

# %% [markdown] slideshow={"slide_type": "skip"}
# (On the twenty passages; with random experts on the four of section 3.) Then let the model write
# on. It writes nonsense; the question is in which language.


# %% slideshow={"slide_type": "skip"}
def written(n):
    out = mv.generate(model, "Pour ouvrir un fichier", max_new_tokens=24, temperature=0.7, seed=n)
    return " ".join(out.text.split())  # on one line


samples = {"as trained": [written(n) for n in range(5)]}
for name, change in (("without 5/6", tests["next best"]), ("random experts", {"random": 0})):
    with mv.intervene(model, **change):
        samples[name] = [written(n) for n in range(5)]

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Without it, most samples leave French; random experts write no language
# -->
# ## *Pour ouvrir un fichier* …

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
shown = {"as trained": 1, "without 5/6": 5, "random experts": 1}
rows = {(name, n): samples[name][n] for name, count in shown.items() for n in range(count)}
rows = {name: [text[:64] + " …"] for name, text in rows.items()}
mv.table(rows, [""], "Pour ouvrir un fichier …")

# %% [markdown] slideshow={"slide_type": "skip"}
# As trained, all five samples of 24 tokens are French (one is shown). Without 5/6 two are; one goes
# over to C, one to German, one mixes languages. Random experts in all layers put together pieces of
# words. So 5/6 is not all of French: where the text *is* French, the model predicts it far better
# than guessing. But going on from its own words it often leaves French.
#
# Random choices in layer 5 alone cost French more than doing without 5/6 (1.1 nats, not 0.76;
# exercise 3); in all six layers (section 4) they cost 7.1, about nine times as much as doing
# without 5/6.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
import re

assert without_it < 5 < guessing < with_random
assert without_it - french["loss"][0] < 0.2 * (guessing - french["loss"][0])
assert 8.5 < (with_random - random["loss"][0]) / chosen["change"][0] < 10


def words(texts):
    return set(re.findall(r"[^\W\d_]+", " ".join(texts).lower()))


held = {label: words(p.text for p in passages.select(label)) for label in passages.labels}
others = set().union(*(held[label] for label in held if label != "fr"))


def is_french(text):
    """It has words that only the French passages have, and none that only the others have."""
    return bool(words([text]) & held["fr"] - others) and not words([text]) & others - held["fr"]


stays = {name: [is_french(text) for text in texts] for name, texts in samples.items()}
assert all(stays["as trained"])
assert sum(stays["without 5/6"]) < 3
assert not any(stays["random experts"])

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A damage matrix does not show what an expert knows
#
# - It shows how badly the *next best* does in its place, one at a time.
# - Two that stand in for each other can be missed together more than their sum.
# - It says nothing about Mixtral, with its 256 experts in 32 layers. The method is the same.
# -->
# ## 8 · What a damage matrix does not show
#
# - *What an expert knows.* Only how badly the next best replaces it, by itself, in this model.
# - *What pairs do.* Two that stand in for each other are each missed less than the two together,
#   which can be more than their sum (exercise 1).
# - *Other texts.* Four passages of each kind: intervals over four are wide, and rather too
#   narrow than too wide.
# - *Where it happens.* A loss rises at the end; what broke in layer 0 broke everything after it.
# - *Anything about Mixtral.* It has 256 experts in 32 layers. The method is the same: `mv.effects`
#   takes any model that fits into memory.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## To find out what a part does, change it, and keep a control
#
# - 8x7m predicts best with the two experts that its routers chose.
# - Without "the French expert" most of French remains; writing on, the model often leaves it.
# - Choose on some texts, test on others.
# -->
# ## What to take home
#
# - To find out what a part does, change it, and keep a control.
# - 8x7m predicts best with the two experts that its routers chose: many more make it worse, random
#   ones in all layers ruin it.
# - Further: being busy and being missed are two things.
# - Choose on some texts, test on others.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# Two that stand in for each other. In layer 5, which expert is most often the second choice of
# French tokens? Turn it off alone, the most frequent first choice (5/6) alone, and both, on French
# passages. Is the damage of both the sum of the two?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# Make two experts change places: `swap=[(0, 1, 6)]` sends the tokens of expert 1 to expert 6 of the
# same layer, and the other way round. Compare swapping 1 and 6 in layer 0 with the same two in
# layer 5, on the French and Python texts of section 3. Worse than turning both off?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# In which layer does the router matter most? Let it choose at random in one layer
# at a time: `{"random": 0, "layers": [n]}`, on the French and the Python texts.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# All 48 experts at once: `mv.effects(model, texts)`, without naming interventions, and `mv.chart`
# of it.
#
# [Previous: do experts specialise?](05_do_experts_specialise.ipynb) · [Next: what it
# costs](07_what_it_costs.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
ten = passages.select("fr", passages.topics[4:14])
recorded = mv.record(model, ten)
choices = recorded.experts[5, ~recorded.special]
first, second = (int(np.bincount(choices[:, n]).argmax()) for n in (0, 1))
pairs = {"first": [(5, first)], "second": [(5, second)], "both": [(5, first), (5, second)]}
result = mv.effects(model, ten, {name: {"ablate": off} for name, off in pairs.items()})
print(f"first 5/{first}, second 5/{second}")
for row in result.rows():
    print(f"{row['intervention']:8}{row['change']:+.3f}, {row['low']:+.3f} … {row['high']:+.3f}")
first_off, second_off, both_off = result["change"]
assert first == 6
assert both_off > 1.2 * (first_off + second_off)
print("More than the sum: they stand in for each other.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
asked = {f"swap {n}/1 and {n}/6": {"swap": [(n, 1, 6)]} for n in (0, 5)}
asked |= {f"off {n}/1 and {n}/6": {"ablate": [(n, 1), (n, 6)]} for n in (0, 5)}
swapped = mv.effects(model, texts.select(["fr", "python"]), asked)
for n in (0, 5):
    swap, off = (swapped.where(intervention=f"{what} {n}/1 and {n}/6") for what in ("swap", "off"))
    worse = swap["change"] - off["change"]  # French, Python
    assert (abs(worse) < 0.1).all() if n == 0 else worse[0] > 0.1
assert max(swap["low"][1], off["low"][1]) < 0
listed(swapped, "Change of loss, in nats per token")
# Layer 5: perhaps worse for French (0.96, off 0.79; with four texts the intervals overlap); Python,
# which hardly uses 5/6, notices neither: the intervals include zero. Layer 0: not clearly worse,
# for French (0.37, off 0.31) or for Python (0.31, off 0.32).

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
asked = {f"random in layer {n}": {"random": 0, "layers": [n]} for n in range(6)}
by_layer = mv.effects(model, texts.select(["fr", "python"]), asked)
for label in ("fr", "python"):
    cost = by_layer.where(label=label)["change"]
    assert cost.argsort()[-2:].tolist() == [5, 0]
    assert cost[0] > 2 * cost[5]
assert 1 < by_layer.where(label="fr")["change"][5] < 1.2
print("Layer 0 for both, by far; then layer 5, which costs French 1.1, more than 5/6 alone.")
listed(by_layer, "Change of loss, in nats per token")
