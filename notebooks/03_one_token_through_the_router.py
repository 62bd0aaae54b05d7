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
# # One token through the router
#
# *key*, in "Press any key to continue": every layer, every number.
# -->
# # One token through the router
#
# One token, every layer, every number. A quarter of an hour of reading, and five minutes for the
# sections marked *further*; about 8 seconds on two cores, 2 GB of memory, no network.
#
# Afterwards you can
#
# - compute a routing decision by hand, from the scores to the gates;
# - say where the scores come from, and how close a decision was;
# - say what a token's routing depends on, and what it cannot depend on;
# - further: say which layers look at the token alone, and what the decision is for.

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
# Let the class do section 3 on paper. Two scores, one difference, one gate: after that nobody
# thinks a router reads texts.
#
# </details>

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 1 · One sentence, one token
#
# `8x7m` has Mixtral's architecture on a small scale: 6 layers of 8 experts, 2 of them for each
# token. It is not Mixtral. We follow one token of one sentence.

# %% slideshow={"slide_type": "skip"}
from textwrap import fill, wrap

import numpy as np

import moe_viz as mv

# %% slideshow={"slide_type": "skip"}
model = mv.load("8x7m")
sentence = "Press any key to continue, or wait for ten seconds."
trace = mv.record(model, sentence, loss=True)
t = trace.tokens.index("␣key")
print(fill("  ".join(f"{n}:{piece}" for n, piece in enumerate(trace.tokens)), 80))
print(f"\nour token: number {t}, {trace.tokens[t]}")

# %% [markdown] slideshow={"slide_type": "skip"}
# `␣` is the space before a word, which belongs to its token; `<s>` opens every text.

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
# What draws this notebook's own pictures, each with its data.
import plotly.graph_objects as go

from moe_viz.view.charts import Chart
from moe_viz.view.palette import WHITE_DIGITS, expert_colour

GREY, OURS = "#7f8a96", "#c2478e"  # tokens, and our token: no colours of experts


def drawn(figure, title, said, columns, source=trace.provenance.title, height=400):
    figure.update_layout(height=height, margin={"t": 24, "r": 16, "b": 16, "l": 16})
    columns = {name: np.asarray(values) for name, values in columns.items()}
    return Chart(figure, title, source, said, mv.analysis.Finding(title, source, "", columns))


assert trace.router_logits.shape == (6, len(trace), 8)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## The best two of eight experts run. How large is the gate of the first?
#
# Two *gates*, which sum to 1, weight what the two put out.
# -->
# ## 2 · Eight scores
#
# In each layer a *router* gives each of the layer's eight experts a score for this token (a
# *logit*). The two best run. Here is what layer 0 says:

# %% slideshow={"slide_type": "-"}
scores = trace.router_logits[0, t]
experts = [f"expert {e}" for e in range(8)]
mv.table({"score": scores}, experts, "Layer 0, for the token key", form=".2f")

# %% [markdown] slideshow={"slide_type": "-"}
# <!-- slide
# - one half: both count alike
# - its share of the two alone
# - its probability among all eight
# -->
# **Write down:** which two experts run? Their outputs are added with two weights, the *gates*, that
# sum to 1. What would you guess for the larger one?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The two share all of the output, whatever the others scored
# -->
# ## The answer

# %% slideshow={"slide_type": "-"}
probability = np.exp(scores) / np.exp(scores).sum()
gates = np.full(8, np.nan)
gates[trace.experts[0, t]] = trace.gates[0, t]
ranked = np.argsort(-scores)  # strongest first
rows = {experts[e]: [scores[e], probability[e], gates[e]] for e in ranked}
two = [experts[e] for e in ranked[:2]]
heads = ["score", "probability", "gate"]
mv.table(rows, heads, form=[".2f", ".1%", ".2f"], mark=two)

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert trace.experts[0, t].tolist() == ranked[:2].tolist()

# %% [markdown] slideshow={"slide_type": "skip"}
# The *probability* is what a softmax makes of all eight scores. It is not the gate. The two that
# run share the whole of the output between them, whatever the other six scored.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## One number makes the gate: by how much the first beats the second
# -->
# ## 3 · The gates, by hand
#
# For scores $a > b$ of the chosen two, the softmax over these two is
#
# $$\frac{e^{a}}{e^{a} + e^{b}} = \frac{1}{1 + e^{-(a - b)}}$$
#
# Only the difference matters. We compute it for every token in every layer, and compare with what
# the model did.

# %% slideshow={"slide_type": "skip"} tags=["show_code"]
best = -np.sort(-trace.router_logits, axis=2)  # (layers, tokens, experts), strongest first
difference = best[:, :, 0] - best[:, :, 1]
by_hand = 1 / (1 + np.exp(-difference))
assert np.allclose(by_hand, trace.gates[:, :, 0], atol=1e-6)
a, b = best[0, t, :2]
print(f"layer 0: a = {a:.2f}, b = {b:.2f}, a − b = {a - b:.2f}, gate {by_hand[0, t]:.2f}")
print(f"the same as the model's, for {by_hand.size} decisions")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "-"} tags=["hide_code"]
assert np.allclose(1 - by_hand, trace.gates[:, :, 1], atol=1e-6)
figure, along = go.Figure(), np.linspace(0, difference.max() * 1.05, 100)
line = {"color": GREY, "width": 2}
figure.add_scatter(x=along, y=1 / (1 + np.exp(-along)), name="1 / (1 + e^−(a − b))", line=line)
each = {"mode": "markers", "marker": {"color": GREY, "size": 11, "symbol": "circle-open"}}
figure.add_scatter(
    x=difference.ravel(), y=trace.gates[:, :, 0].ravel(), name="the model's decisions", **each
)
ours = {"color": OURS, "size": 16, "symbol": "diamond"}
figure.add_scatter(
    x=[a - b], y=trace.gates[:1, t, 0], mode="markers", marker=ours, name="key, layer 0"
)
figure.update_xaxes(title="a − b: the first score minus the second")
figure.update_yaxes(title="gate of the first", range=[0.48, 1])
figure.update_layout(legend={"x": 0.98, "y": 0.05, "xanchor": "right", "yanchor": "bottom"})
said = "Every decision of the sentence lies on the curve of the formula."
columns = {"difference": difference.ravel(), "gate": trace.gates[:, :, 0].ravel()}
drawn(figure, "Gate by difference of scores", said, columns)

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# A difference of 0 gives a gate of one half, of 1 about 0.73, of 2 about 0.88. The
# larger gate is never below one half.
#
# </details>

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Softmax over all eight, cut to the two: the same gates
# -->
# ## Softmax before or after the choice?
#
# How are the outputs combined? The output of each of the two is multiplied by its gate, and the two
# products are added. You may read that the softmax is taken over all eight scores, cut to the best
# two, and divided by their sum. That gives the same gates:

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:1|2|3"]
over_all = np.exp(best) / np.exp(best).sum(axis=2, keepdims=True)
cut = over_all[:, :, :2]  # the best two
divided = cut / cut.sum(axis=2, keepdims=True)
assert np.allclose(divided, trace.gates, atol=1e-6)

# %% [markdown] slideshow={"slide_type": "-"}
# <!-- slide
# Either softmax divides $e^{a}$ and $e^{b}$ by one number. Dividing by their sum cancels it.
# -->
# Either softmax divides $e^{a}$ and $e^{b}$ by one number: the sum over two, or the sum over eight.
# Where the two are divided by their sum, that number cancels.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## The token arrives as 256 numbers. How many parameters score eight experts?
#
# - eight: one for each expert
# - 8 × 256: a row for each expert
# - as many as an expert has
# -->
# ## 4 · Where do the scores come from?
#
# **Write down:** how many parameters does it take to score eight experts? The token arrives as 256
# numbers, its *hidden state*, scaled by a norm (RMSNorm).
#
# We catch what goes into layer 0's router (a *hook* of torch is called whenever a module runs), and
# multiply it ourselves:

# %% slideshow={"slide_type": "skip"} tags=["show_code"]
seen = []
router = model.layers[0].moe.router
hook = router.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
mv.record(model, sentence)
hook.remove()

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## 256 products, added up: a score. The two that end highest run.
# -->
# Each expert has 256 numbers of its own, and its score is the sum of 256 products:

# %% slideshow={"slide_type": "skip"} tags=["show_code"]
hidden = seen[0][t].numpy()  # (256,), after the norm
rows = router.weight.float().numpy()  # (8, 256): one row for each expert
assert np.allclose(rows @ hidden, scores, atol=1e-4)
print(f"{rows.shape[0]} rows × {rows.shape[1]} numbers = {rows.size:,} parameters")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "-"} tags=["hide_code"]
sums, figure = np.cumsum(rows * hidden, axis=1), go.Figure()  # (8, 256)
for e in np.argsort(-scores):
    width = 4 if e in trace.experts[0, t] else 1.5
    line = {"color": expert_colour(e), "width": width}
    figure.add_scatter(y=sums[e], x0=1, name=f"expert {e}: {scores[e]:.2f}", line=line)
figure.update_xaxes(title="products added so far")
figure.update_yaxes(title="sum; at the end, the score")
said = "Sums of products of an expert's row and the token's state, number by number."
columns = {"products": np.arange(1, 257)} | dict(zip(experts, sums, strict=True))
drawn(figure, "From 256 numbers to a score, in layer 0", said, columns)

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## That is all: a router is eight rows of numbers
#
# - No loop, no memory, no look at other tokens.
# - In Mixtral's design, no look at how busy an expert is.
# - But the state came through attention: *key* after *Press any*.
# -->
# ## A router is eight rows
#
# Each expert has one row of numbers; its product with the token's normed hidden state is the score.
# That is all: no loop, no memory, no look at other tokens or, in Mixtral's design, at how busy an
# expert is. What the chosen experts return is *added* to the hidden state, which goes on to the
# next layer.
#
# But the hidden state has come through attention, and attention looks back. What the router gets is
# not the word `key`, but `key` after `Press any`.

# %% slideshow={"slide_type": "skip"}
big = mv.ledger("mixtral-8x7b")
print(f"a router of Mixtral 8x7B: 8 × {big.config.hidden_size:,} = {big.router:,} parameters,")
print(f"{big.router / big.layer:.4%} of its layer")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert big.router == 8 * big.config.hidden_size

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Layer 0 at work on *key*. Click the six steps.
# -->
# ## Layer 0, and what it did with our token

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.diagram(model, trace, layer=0, token=t)

# %% [markdown] slideshow={"slide_type": "subslide"} tags=["prediction"]
# <!-- slide
# ## In how many of six layers did the third expert miss by less than 0.1?
#
# The *margin*: the second-best score minus the third.
#
# - in none
# - in one or two
# - in half of them or more
# -->
# ## 5 · How close was it?
#
# The *margin* is the second-best score minus the third: by how much the third, the *runner-up*,
# missed. It tells how easily a different word before it, or coarser rounding, could have changed
# the pair.
#
# **Write down:** in how many of the six layers did the runner-up miss by less than 0.1?

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## The smaller the margin, the closer the decision
# -->
# ## Layer by layer

# %% slideshow={"slide_type": "-"}
order = np.argsort(-trace.router_logits[:, t], axis=1)  # (layers, experts), strongest first
margins = trace.margins[:, t]
rows = {}
for layer, (first, second, third) in enumerate(order[:, :3]):
    one, other = trace.gates[layer, t]
    rows[f"layer {layer}"] = [first, one, second, other, third, margins[layer]]
heads = ["first", "gate", "second", "gate", "runner-up", "margin"]
close = [f"layer {n}" for n in np.flatnonzero(margins < 0.1)]
said = f"missed by less than 0.1: {len(close)} of {len(order)}"
mv.table(rows, heads, said, form=["d", ".2f", "d", ".2f", "d", ".2f"], mark=close)

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert (order[:, :2] == trace.experts[:, t]).all()
assert np.allclose(margins, best[:, t, 1] - best[:, t, 2])
assert best[3, t, 0] - best[3, t, 1] < 0.1 < 0.3 < margins[3]
assert close == ["layer 0"]

# %% [markdown] slideshow={"slide_type": "skip"}
# Read downwards, this is the token's path through the model. Expert 4 of layer 0 and expert 4 of
# layer 5 are unrelated networks: a number that recurs means nothing.
#
# A margin says nothing about the first two: in layer 3 they are nearly equal, the third well
# behind.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Click *key*, press ↓ five times: where was it closest?
# -->
# ## 6 · See it

# %% [markdown] slideshow={"slide_type": "skip"}
# The numbers of section 2 are shown beside the text. Click a token, then press ↓ and watch the
# table of section 5 go by, layer by layer; then ← and → for the other tokens. Set the map to
# *margin* and look for the darkest cell: exercise 1 asks for it. A colour says who works on what
# comes *after* the token: section 9, further, shows it.

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore(trace, token=t)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## In how many of six layers do these two *key* go to different experts?
#
# *The key of this table is the name of the file.*
#
# *The key to the house lies under the third flower pot.*
#
# - in none
# - in the later ones
# - in all
# -->
# ## 7 · The same token, elsewhere
#
# **Write down two numbers.** The first two sentences begin alike. In how many of the six layers do
# the two tokens `key` go to different experts? And in how many layers do all six sentences below
# have the same first choice for `key`?

# %% slideshow={"slide_type": "skip"} tags=["show_code"]
sentences = [
    "The key of this table is the name of the file.",
    "The key to the house lies under the third flower pot.",
    sentence,
    "Music in a minor key often sounds sad to us.",
    "for key in table:\n    print(key)",
    "La touche key du clavier ne marche pas.",
]


# %% slideshow={"slide_type": "skip"}
def ways(model):
    """The pairs chosen for the first `key` of each sentence: (sentences, layers, 2)."""
    recorded = mv.record(model, sentences)
    rows = [p.start + recorded.tokens[p.start :].index("␣key") for p in recorded.prompts]
    return recorded.experts[:, rows].transpose(1, 0, 2)


# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
def map_of(pairs, source):
    """A row for each sentence, a column for each layer; the colour is the first choice."""
    figure = go.Figure()
    lines = [wrap(text.replace("\n", "⏎"), 30) for text in sentences]
    texts = ["<br>".join(each).replace("key", "<b>key</b>", 1) for each in lines]
    scale = [[x, expert_colour(e)] for e in range(8) for x in (e / 8, (e + 1) / 8)]
    figure.add_heatmap(
        z=pairs[::-1, :, 0], x=[f"layer {n}" for n in range(6)], y=texts[::-1], zmin=-0.5,
        zmax=7.5, colorscale=scale, showscale=False, xgap=3, ygap=3, hoverinfo="skip",
    )  # fmt: skip
    for (row, layer), first in np.ndenumerate(pairs[:, :, 0]):
        ink = "#fff" if first in WHITE_DIGITS else "#000"
        words = f"{first} + {pairs[row, layer, 1]}"
        look = {"showarrow": False, "font": {"color": ink, "size": 19}}
        figure.add_annotation(x=layer, y=len(texts) - 1 - row, text=words, **look)
    figure.update_xaxes(side="top", showgrid=False).update_yaxes(ticksuffix="  ", showgrid=False)
    columns = {"sentence": np.repeat(sentences, 6), "layer": np.tile(np.arange(6), 6)}
    columns |= {"first": pairs[:, :, 0].ravel(), "second": pairs[:, :, 1].ravel()}
    said = "First and second choice for the token key; the colour is the first."
    return drawn(figure, "First + second choice for key", said, columns, source)


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In which layers do all six send *key* to one first choice?
# -->
# ## The answer

# %% slideshow={"slide_type": "-"}
trained = ways(model)
map_of(trained, trace.provenance.title)

# %% slideshow={"slide_type": "skip"}
agree = [layer for layer in range(6) if len(set(trained[:, layer, 0])) == 1]
print("layers in which all six have the same first choice:", *agree)

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert (trained[0] == trained[1]).all()

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# The first two agree in every layer: what follows a token cannot change its routing.
# -->
# The first two are the same in every layer. A token's routing depends on the token and on those
# *before* it. What follows cannot change it: attention only looks back.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## The untrained twin obeys the same rule: it is the architecture's
# -->
# ## Is that because it was trained?
#
# The same sentences through the *untrained twin*: the same architecture, random weights. Its expert
# numbers have nothing to do with those above; only whether they differ can be compared.

# %% slideshow={"slide_type": "-"}
twin = mv.untrained_twin(model)
untrained = ways(twin)
map_of(untrained, "8x7m, random weights")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert (untrained[0] == untrained[1]).all()
assert len({frozenset(way[0]) for way in untrained}) == 1  # layer 0: one pair
assert len({frozenset(way[0]) for way in trained}) == len(set(trained[:, 1, 0])) == 2
assert len(set(untrained[:, 1, 0])) == 1  # layer 1: one first choice

# %% [markdown] slideshow={"slide_type": "skip"}
# The rule about what comes before holds here too: it is the architecture's. And a model that never
# learnt anything sends `key` in all six sentences to one pair in its first layer, and to one first
# choice in the second: the trained one does neither. But one token in six sentences is an anecdote:
# section 8 takes more tokens, and a number.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Change a word before *key*, then one after it. What moves?
# -->
# ## Change a word
#
# Replace `any` by `the`, and watch the path of `key` through the layers; then change a word after
# it. In the exported page and deck the model itself runs behind this picture: type there. In
# JupyterLab: `mv.explore(model)`.

# %% slideshow={"slide_type": "-"} tags=["live", "hide_code"]
mv.explore(mv.record(model, sentence), token=t)

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
before, after = (sentence.replace(*pair) for pair in (("any", "the"), ("continue", "go on")))
moved = [(mv.record(model, text).experts[:, t] != trace.experts[:, t]) for text in (before, after)]
assert moved[0].any()
assert not moved[1].any()

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Who holds a token more firmly to one expert: the trained model, or its untrained twin?
#
# Over every token that occurs ten times or more in 32 English passages.
#
# - the trained model
# - the twin
# - it depends on the layer
# -->
# ## 8 · A number, and what it must be compared with · further
#
# Take every token that occurs at least ten times in 32 English passages: mostly short words and
# punctuation. In each layer, what share of its occurrences has the token's most common first choice
# (its *favourite*)? The chart shows the mean over tokens; the bar is a 95 % confidence interval,
# since there are only 32 passages. It also shows
#
# - *uniform*: one in eight, if routing were even;
# - *shuffled*: each passage's choices, shuffled among its tokens: what a token would show if it did
#   not matter which token it is;
# - the untrained twin.
#
# **Write down:** which holds a token more firmly to one expert, the trained model or the twin?

# %% slideshow={"slide_type": "skip"}
english = mv.prompts.passages().select("en")
passages = mv.record(model, english)
found = mv.analysis.vocabulary(passages)
control = mv.analysis.vocabulary(mv.record(twin, english))
print(f"{found['types'][0]} different tokens, {found['occurrences'][0]:,} occurrences")

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In layers 0 and 1 a token nearly always goes one way, trained or not
# -->
# ## The trained model and its twin

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.chart(found, control)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A token that keeps to one expert is no sign of learning
#
# - The untrained twin does the same: the same token, nearly the same numbers.
# - In layers 3 and 4 the trained model is *less* firm: context counts.
# - In the last two layers most tokens have one first choice anyway.
# -->
# ## What the chart says
#
# - In layers 0 and 1 a token goes to one expert nearly always: far more than shuffled. **The
#   untrained twin does nearly the same.** It is not a sign of learning: the same token arrives as
#   nearly the same numbers.
# - In layers 3 and 4 the trained model is *less* firm than its twin: there the choice depends more
#   on what came before. (For `key` in section 7 layer 3 looked the other way round: that
#   is what an anecdote is worth.)
# - In the last two layers most of the share is there when shuffled: most tokens of these passages
#   have one first choice there, whatever they are.

# %% slideshow={"slide_type": "skip"}
counts = np.bincount(passages.experts[5, ~passages.special, 0])
share = counts.max() / counts.sum()
print(f"layer 5: expert {counts.argmax()} is the first choice of {share:.0%} of all tokens")

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert (control["share"] - control["shuffled"] > 0.5).all()
assert found["share"][:2].min() > 0.85
assert abs(found["share"] - control["share"])[:2].max() < 0.08
assert (found["high"][3:5] < control["low"][3:5]).all()
assert (found["shuffled"][4:] > 0.7 * found["share"][4:]).all()
assert len(set(trained[:, 3, 0])) == 1 < len(set(untrained[:, 3, 0]))
assert share > 0.6

# %% [markdown] slideshow={"slide_type": "skip"}
# This is 8x7m on these passages, and says nothing about Mixtral's routers. The paper (arXiv
# 2401.04088, section 5) reports that those follow syntax rather than subject, especially in the
# first and last layers, and that indentation in code goes to the same experts. Notebook 05 goes
# through that section, with an untrained model beside every number.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## We take away layer 0's first choice, at *key* only. Which tokens will be predicted differently?
#
# - those before *key*
# - *key* itself
# - those after *key*
# - all of them
# -->
# ## 9 · What is the decision for? · further
#
# A language model predicts each token from those before it. A token's *loss* says how badly it was
# predicted (in nats: minus the natural logarithm of the probability it had been given; more is
# worse).
#
# We take layer 0's first choice away, at `key` only. The runner-up comes in, and the gates follow;
# all other decisions are left to the routers.
#
# **Write down:** whose loss changes? That of the tokens before `key`? Of `key`? Of those after?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Up to *key*, and for *key* itself, nothing changes. Then it begins.
# -->
# ## By how much each token's loss changes

# %% slideshow={"slide_type": "skip"} tags=["show_code"]
first = int(trace.experts[0, t, 0])
with mv.intervene(model, ablate=[(0, first)], tokens=[t]):
    without = mv.record(model, sentence, loss=True)
change = without.loss - trace.loss

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "-"} tags=["hide_code"]
names = [f"{n} {piece}" for n, piece in enumerate(trace.tokens)][1:]  # nothing predicts <s>
figure = go.Figure()
colours = [OURS if n == t else GREY for n in range(1, len(trace))]
figure.add_bar(x=names, y=change[1:], marker_color=colours)
figure.add_annotation(x=t - 1, y=0, text="key", ax=0, ay=-48, font={"color": OURS, "size": 22})
figure.update_xaxes(title="token").update_yaxes(title="change of loss, in nats")
said = "Nothing changes up to our token; after it, some tokens are predicted worse, some better."
title, columns = f"Without expert {first} of layer 0 at key", {"token": names, "change": change[1:]}
drawn(figure, title, said, columns)

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
assert np.allclose(change[1 : t + 1], 0, atol=1e-4)
assert change[t + 1 :].max() > 0.01
assert change[t + 1 :].min() < -0.01

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A word's colour says who works on what comes after it
#
# - *key* had been predicted one step earlier; at *key* the model works on what follows.
# - Some later tokens get worse and some better: they look back at *key*.
# - How useful an expert is, one sentence does not say.
# -->
# ## The decision at one token affects what comes next
#
# Up to `key`, and for `key` itself, nothing has changed: that token had been predicted one step
# earlier. At `key` the model works on what comes after it, and there the changes begin. Some tokens
# get worse and some better; the later ones look back at `key`.
#
# So a picture that colours a word by its expert shows who works on what comes *after* that word.
# And one sentence says nothing about how useful an expert is: [06](06_turn_an_expert_off.ipynb)
# measures that.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Eight scores, the two best, a softmax over these two: in each layer, for each token
#
# - A score is a row of numbers times the token's state.
# - A gate compares the two that run; the margin, the second with the third.
# - The token and what stands before it decide. What follows cannot.
# -->
# ## What to take home
#
# - In each layer: eight scores, the two best, a softmax over these two.
# - A score is a row of numbers times the token's hidden state.
# - The token and what stands before it decide; what follows cannot.
# - Further: in layers 0 and 1 a token nearly always goes one way, and so it does in an untrained
#   model. The decision at a token affects the prediction of those after it, for better or worse.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# Which decision of the whole sentence was the closest? Name the token, the layer, the expert that
# just got in and the one that just did not. (`trace.margins` is layers × tokens; leave out `<s>`.)

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# By how much must the best score beat the second for a gate of 0.9? Solve it on
# paper, then count how many decisions of this sentence are that clear. (`difference`, of section
# 3.)

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# The Python line of section 7 has a second `key`, inside `print(key)`. Is it the
# same token? Does it go the same way? Record the line, and look before you explain.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# [Previous: a mixture of experts, from scratch](02_a_mixture_of_experts_from_scratch.ipynb) ·
# [Next: expert heatmaps](04_expert_heatmaps.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
margins = np.where(trace.special, np.inf, trace.margins)
layer, n = np.unravel_index(margins.argmin(), margins.shape)
second, third = np.argsort(-trace.router_logits[layer, n])[1:3]
print(f"token {n} ({trace.tokens[n]}), layer {layer}: expert {second} got in, expert {third} did")
print(f"not, and the margin was {margins[layer, n]:.4f}")
assert second == trace.experts[layer, n, 1]

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
needed = np.log(0.9 / 0.1)  # 1 / (1 + e^−d) = 0.9, so e^−d = 0.1 / 0.9
clear = (difference >= needed)[:, ~trace.special]
print(f"ln 9 = {needed:.2f}: {clear.sum()} of {clear.size} decisions")
assert (clear == (trace.gates[:, ~trace.special, 0] >= 0.9)).all()

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
code = mv.record(model, sentences[4])
for n, piece in enumerate(code.tokens):
    if "key" in piece:
        pairs = "  ".join(f"{first}+{second}" for first, second in code.experts[:, n])
        print(f"token {n}, {piece!r}, id {code.token_ids[n]}: {pairs}")
print("With the space and without it, these are two tokens, two entries in the vocabulary: at the")
print("model's input they are as different as two words.")
