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
# # Turn an expert off
#
# A quarter of an hour of reading, and five minutes for the sections marked *further*; about half
# a minute of a laptop's CPU, 2 GB of memory, no network.
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
# ## 1 · Watching is not enough
#
# In notebook 04 one expert of 8x7m was the first choice of nearly all tokens of a French passage,
# in the last layer. Does French need it? Watching cannot tell. So we take it away, and see how much
# worse the model predicts.
#
# The measure is the *loss*, in nats per token: minus the logarithm of the probability that the
# model gave to the token that came. Smaller is better. Guessing among the 8,192 pieces of the
# vocabulary without any idea costs log 8192, about 9.

# %% slideshow={"slide_type": "-"} tags=["show_code"]
import numpy as np
import plotly.graph_objects as go

import moe_viz as mv
from moe_viz.view.charts import Chart

model = mv.load("8x7m")
untrained = mv.untrained_twin(model)  # random weights: the control
print(f"{np.log(model.config.vocab_size):.2f} nats for guessing")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · Off, and on again
#
# Within the `with` block, expert 5 of layer 2 is never used; its tokens go to the next best.
# Outside the block nothing is changed, not even after an error.

# %% slideshow={"slide_type": "-"} tags=["show_code"]
cat = mv.prompts.passages().parallel("cat").select(["en", "fr"])
before = mv.record(model, cat)
with mv.intervene(model, ablate=[(2, 5)]):
    without = mv.record(model, cat)
after = mv.record(model, cat)
for trace in (before, without, after):
    print(trace.provenance.title)

# %% slideshow={"slide_type": "skip"}
assert (before.experts[2] == 5).any()
assert not (without.experts[2] == 5).any()
assert np.array_equal(before.experts, after.experts)
try:
    with mv.intervene(model, ablate=[(2, 5)]):
        raise KeyboardInterrupt
except KeyboardInterrupt:
    assert model.provenance.interventions == ()

# %% [markdown] slideshow={"slide_type": "fragment"}
# The title of every recording and picture made inside the block says what was changed.
#
# **Write down:** in which of the layers 0 to 5 will decisions come out differently?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Without expert 5 of layer 2: darker is where decisions differ

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore([without, before], mode="agreement", layer=2)

# %% slideshow={"slide_type": "skip"}
changed = 1 - mv.compare(before, without).where(what="identical")["share"]
users = (before.experts[2][~before.special] == 5).any(axis=1).mean()
print(f"went to expert 5 of layer 2: {users:.0%} of the tokens")
print("other experts, by layer:    ", "  ".join(f"{x:.0%}" for x in changed))
assert changed[:2].max() == 0
assert np.isclose(changed[2], users)
assert changed[3:].min() > 0

# %% [markdown] slideshow={"slide_type": "skip"}
# Before layer 2, none; in layer 2, those of all tokens that used the expert, and no others; after
# it some more, since the layers' input has changed.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3 · One expert, two, all eight
#
# 8x7m was trained with k = 2 experts for each token. `top_k=` runs it with another number, in all
# layers, without training it again.
#
# **Write down:** which k predicts best? Is more computing better?
#
# `mv.effects` measures interventions on texts: here four English and four French passages, and
# four Python programs.

# %% slideshow={"slide_type": "fragment"} tags=["show_code"]
passages = mv.prompts.passages()
texts = passages.select(["en", "fr"], passages.topics[:4])
texts += mv.prompts.code().select("python", ["gcd", "primes", "stack", "word_count"])
by_k = mv.effects(model, texts, {f"k = {k}": {"top_k": k} for k in range(1, 9)})
for k in (1, 2, 8):
    rows = by_k.where(intervention=f"k = {k}").rows()
    losses = ", ".join(f"{row['label']} {row['loss'] + row['change']:.2f}" for row in rows)
    print(f"k = {k}: {losses} nats")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Loss against k

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = go.Figure()
for label in ("en", "fr", "python"):
    part = by_k.where(label=label)
    high, low = part["high"] - part["change"], part["change"] - part["low"]
    error = {"array": high.tolist(), "arrayminus": low.tolist(), "thickness": 1.2}
    figure.add_scatter(x=list(range(1, 9)), y=part["change"].tolist(), name=label, error_y=error)
figure.update_layout(height=290, margin={"t": 16, "r": 16, "b": 48, "l": 64})
figure.update_xaxes(title="k, experts for each token").update_yaxes(title="nats per token")
said = "Change of loss against k = 2; bars are 95 % intervals over four documents."
Chart(figure, "Loss against k", by_k.title, said, by_k)

# %% slideshow={"slide_type": "skip"}
for label in ("en", "fr", "python"):
    part = by_k.where(label=label)
    assert part["change"].argmin() == 1
    assert (np.diff(part["change"][2:]) > 0).all()
    assert part["change"][2] < 0.05
    assert part["low"][7] > 0
twin = mv.effects(untrained, texts, {f"k = {k}": {"top_k": k} for k in (1, 8)})
print(f"untrained twin, k = 1 and 8: {twin['change'].min():+.3f} … {twin['change'].max():+.3f}")
assert abs(twin["change"]).max() < 0.05

# %% [markdown] slideshow={"slide_type": "fragment"}
# Two, as trained; four texts of a kind cannot tell k = 3 from it (on 32 passages it costs 0.024
# nats). One costs a little (about 0.1); beyond 3, each adds to the loss. That is not a law: with
# Mixtral-8x7B-Instruct, quantised, k = 3 gave the lowest perplexity (llama.cpp, pull request 4406).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · Does it matter *which*? · further
#
# Four changes, from mild to wild:
#
# - other gates, same experts: both count alike (`uniform_gates`), or the gates are made sharper
#   (the router's `temperature` below 1) or flatter (above 1);
# - other experts: two drawn at random take the places, and the gates, of the chosen (`random`).
#
# **Write down** a guess in nats for `random`. Guessing without any idea would cost 9.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Other gates, other experts: change of loss

# %% slideshow={"slide_type": "-"}
changes = {
    "uniform gates": {"uniform_gates": True},
    "temperature 0.5": {"temperature": 0.5},
    "temperature 2": {"temperature": 2.0},
    "random experts": {"random": 0},
}
found, control = mv.effects(model, texts, changes), mv.effects(untrained, texts, changes)
print("nats                    unchanged  change  95 % interval      twin")
for row, twin in zip(found.rows(), control.rows(), strict=True):
    print(f"{row['intervention']:16}{row['label']:8}{row['loss']:9.2f} {row['change']:+7.3f}  "
          f"({row['low']:+.3f} … {row['high']:+.3f})  {twin['change']:+.3f}")  # fmt: skip

# %% [markdown] slideshow={"slide_type": "fragment"}
# Gates matter little. *Which* experts matters more than anything else in this notebook: with two at
# random the model loses most of what it knows beyond guessing. It is all the same to the untrained
# twin: one random network is as good as another.

# %% slideshow={"slide_type": "skip"}
wild = found.where(intervention="random experts")
gates = found.where(intervention=["uniform gates", "temperature 0.5", "temperature 2"])
assert (wild["change"] > 0.5 * (np.log(8192) - wild["loss"])).all()
assert gates["change"].max() < 0.3
assert abs(control["change"]).max() < 0.1

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# Let the class vote on "random experts" before the numbers. Many expect little ("the
# experts are all much alike"), or that balanced routing means interchangeable experts.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5 · One at a time: the damage matrix
#
# Now each expert of layer 0 and of layer 5 is turned off by itself: 16 experiments.
#
# **Write down:** in which of the two layers will one missing expert of eight hurt more? Will the
# pattern be the same for English, French and Python?

# %% slideshow={"slide_type": "skip"}
each = {f"{n}/{e}": {"ablate": [(n, e)]} for n in (0, 5) for e in range(8)}
damage, damage_control = mv.effects(model, texts, each), mv.effects(untrained, texts, each)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Damage: layer/expert, and whom it hurts

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.chart(damage, control=damage_control)

# %% slideshow={"slide_type": "skip"}
first, last = damage.where(layer=0), damage.where(layer=5)
assert (first["change"] > 0).all()
assert (first["change"] > 0.05).mean() > 0.8
assert (last["change"] < 0.05).mean() > 0.7
assert last["change"].max() > 2 * first.where(label="fr")["change"].max()
assert abs(damage_control["change"]).max() < 0.05
guessing = np.log(model.config.vocab_size)
print(f"the twin's loss: {damage_control['loss'].min():.2f} … {damage_control['loss'].max():.2f} "
      f"nats; guessing: {guessing:.2f}")  # fmt: skip
assert abs(damage_control["loss"] - guessing).max() < 0.5
assert first["change"].max() < last["change"].max()
assert last.where(expert=4, label="en")["change"][0] > 0.2
assert last.where(label="python")["change"].max() < 0.15
assert last.where(label="python", expert=0)["low"][0] > 0
assert 0.2 < (first["low"] <= 0).mean() < 0.45

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Two layers, two patterns
#
# Layer 0: without any one of its experts every kind of text is predicted a little worse. (On four
# texts of each kind, the interval of a third of these cells includes zero.) Layer 5: most are
# hardly missed; French misses 5/6 a great deal, English misses 5/4, and Python 5/0 a little.
#
# Which layer hurts more? The worst single loss is in layer 5; but in layer 0 more of the eight are
# missed.
#
# The twin, whose loss is about that of guessing, has nothing to lose: it shows only that the
# measure does not invent damage.
#
# (Expert 6 of layer 0 and expert 6 of layer 5 have nothing to do with each other.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · Busy, and missed · further
#
# **Write down yes or no:** is the busiest expert of a layer the one that is missed most?

# %% slideshow={"slide_type": "-"}
load = mv.analysis.load(mv.record(model, texts))
for n in (0, 5):
    for label in ("en", "fr", "python"):
        busy = load.where(layer=n, label=label)["share"]
        missed = damage.where(layer=n, label=label)["change"]
        print(f"layer {n}, {label:7} busiest {busy.argmax()} ({busy.max():.0%} of the load), "
              f"most missed {missed.argmax()} ({missed.max():+.2f} nats), "
              f"correlation {np.corrcoef(busy, missed)[0, 1]:+.2f}")  # fmt: skip

# %% [markdown] slideshow={"slide_type": "-"}
# In layer 5 yes, in layer 0 no: there the busiest is not the one missed most; for English and
# French it is the one missed *least*. (Eight points: a correlation of 0.6 may be luck.) Load is how
# often an expert is asked. Damage is how often it is asked times how badly the *next best* does in
# its place. So the two may agree, as in layer 5, and still be different questions.

# %% slideshow={"slide_type": "skip"}
for label in ("en", "fr", "python"):
    busy = [load.where(layer=n, label=label)["share"] for n in (0, 5)]
    missed = [damage.where(layer=n, label=label)["change"] for n in (0, 5)]
    assert busy[1].argmax() == missed[1].argmax()
    assert busy[0].argmax() != missed[0].argmax()
    assert label == "python" or busy[0].argmax() == missed[0].argmin()
    assert busy[0].max() < 0.2
    assert np.corrcoef(busy[1], missed[1])[0, 1] > 0.6 > 0.3 > np.corrcoef(busy[0], missed[0])[0, 1]

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7 · Chosen on four texts, tested on twenty
#
# We looked at 48 numbers and took the largest, which is likely too large, by luck; and it stands on
# four documents. So: the same expert on twenty passages that had no part in choosing it. Its tokens
# go to the next best, or to none: then the token's other expert keeps its gate.
#
# (`p`: how often the mean would be as large if each document's change had a random sign. Four
# documents allow only 16 patterns of signs, too few for a small p.)
#
# **Write down:** will French miss it on the twenty as much as on the four? And English?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Missed by French, not by English

# %% slideshow={"slide_type": "-"} tags=["show_code"]
unseen = passages.select(["en", "fr"], passages.topics[4:24])
tests = {"next best": {"ablate": [(5, 6)]}, "nothing": {"ablate": [(5, 6)], "instead": "nothing"}}
tested = mv.effects(model, unseen, tests)
tested

# %% slideshow={"slide_type": "skip"}
chosen = damage.where(intervention="5/6", label="fr")
french, english = tested.where(label="fr"), tested.where(label="en")
print(
    f"French: {chosen['change'][0]:+.2f} where it was chosen, {french['change'][0]:+.2f} elsewhere"
)
assert damage["change"].max() == chosen["change"][0]
assert chosen["change"][0] > french["change"][0]
assert (french["low"] > 0.3).all()
assert (french["p"] < 0.05).all()
assert (abs(english["change"]) < 0.02).all()

# %% [markdown] slideshow={"slide_type": "fragment"}
# French is clearly worse without it, by somewhat less than on the four texts that chose it. English
# does not notice. Leaving its place empty is hardly worse than filling it with the next best.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Is it "the French expert"?
#
# Let the model write, with it and without it, and once with random experts: in every layer, two
# drawn at random take the places of the chosen. (It writes nonsense; the question is in which
# language.)


# %% slideshow={"slide_type": "-"}
def written():
    out = mv.generate(model, "Pour ouvrir un fichier", max_new_tokens=32, temperature=0.7, seed=0)
    return " ".join(out.text.split())  # on one line


print("as trained:     ", written())
for name, change in (("without 5/6:    ", tests["next best"]), ("random experts: ", {"random": 0})):
    with mv.intervene(model, **change):
        print(name, written())

# %% [markdown] slideshow={"slide_type": "fragment"}
# Without 5/6, in this one sample of 32 tokens, it still writes French; with random experts in all
# layers it writes dots. "The French expert" says too much: turning it off does not turn French off.
# The losses agree.

# %% [markdown] slideshow={"slide_type": "skip"}
# Random choices in layer 5 alone cost French about as much as the loss of 5/6 (exercise 3), and
# random choices in all layers (section 4) six times as much: layer 5 is a small part of what the
# layers together know about French.

# %% slideshow={"slide_type": "skip"}
random = found.where(intervention="random experts", label="fr")
with_random = (random["loss"] + random["change"])[0]
without_it = (french["loss"] + french["change"])[0]
print(f"French: {french['loss'][0]:.2f} nats; without 5/6 {without_it:.2f}; "
      f"with random experts, on the four passages of section 3, {with_random:.2f}")  # fmt: skip
assert without_it < 6 < 7 < with_random

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8 · What a damage matrix does not show
#
# - *What an expert knows.* Only how badly the next best replaces it, by itself, in this model.
# - *What pairs do.* Two that stand in for each other are each missed less than the two together,
#   which can be more than their sum (exercise 1).
# - *Other texts.* Four passages of each kind: intervals are wide, and say so.
# - *Where it happens.* A loss rises at the end; what broke in layer 0 broke everything after it.
# - *Anything about Mixtral.* It has 256 experts in 32 layers. The method is the same: `mv.effects`
#   takes any model that fits into memory.

# %% [markdown] slideshow={"slide_type": "slide"}
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
# Two that stand in for each other. In layer 5, which expert is the second choice
# of most English tokens? Turn it off alone, the first choice (5/4) alone, and both, on English
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
english = passages.select("en", passages.topics[4:14])
recorded = mv.record(model, english)
second = int(np.bincount(recorded.experts[5, ~recorded.special, 1]).argmax())
pairs = {"first": [(5, 4)], "second": [(5, second)], "both": [(5, 4), (5, second)]}
result = mv.effects(model, english, {name: {"ablate": off} for name, off in pairs.items()})
for row in result.rows():
    print(f"{row['intervention']:8}{row['change']:+.3f}, {row['low']:+.3f} … {row['high']:+.3f}")
first_off, second_off, both_off = result["change"]
assert both_off > first_off + second_off

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
asked = {f"swap {n}/1 and {n}/6": {"swap": [(n, 1, 6)]} for n in (0, 5)}
asked |= {f"off {n}/1 and {n}/6": {"ablate": [(n, 1), (n, 6)]} for n in (0, 5)}
for row in mv.effects(model, texts.select(["fr", "python"]), asked).rows():
    print(f"{row['intervention']:20}{row['label']:8}{row['change']:+.3f} "
          f"({row['low']:+.3f} … {row['high']:+.3f})")  # fmt: skip
# Layer 5: worse for French (0.85, off 0.70); Python hardly uses the two, and notices neither.
# Layer 0: perhaps worse for Python (1.12, off 0.77), not for French (0.63, off 0.69); with four
# texts the intervals overlap.

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
asked = {f"random in layer {n}": {"random": 0, "layers": [n]} for n in range(6)}
for row in mv.effects(model, texts.select(["fr", "python"]), asked).rows():
    print(f"{row['intervention']:20}{row['label']:8}{row['change']:+.3f} "
          f"({row['low']:+.3f} … {row['high']:+.3f})")  # fmt: skip
print("Layer 0 for both, by far; then layer 5, which costs French about as much as 5/6 alone.")
