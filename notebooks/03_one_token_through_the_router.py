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
# # One token through the router
#
# One token, every layer, every number. A quarter of an hour of reading, and five minutes for the
# sections marked *further*; under a minute of a laptop's CPU, 2 GB of memory, no network.
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

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1 · One sentence, one token
#
# `8x7m` has Mixtral's architecture on a small scale: 6 layers of 8 experts, 2 of them for each
# token. It is not Mixtral. We follow one token of one sentence.

# %% slideshow={"slide_type": "-"}
from textwrap import fill

import numpy as np

import moe_viz as mv

model = mv.load("8x7m")
sentence = "Press any key to continue, or wait for ten seconds."
trace = mv.record(model, sentence, loss=True)
t = trace.tokens.index("␣key")
print(fill("  ".join(f"{n}:{piece}" for n, piece in enumerate(trace.tokens)), 80))
print(f"\nour token: number {t}, {trace.tokens[t]}")
assert trace.router_logits.shape == (6, len(trace), 8)

# %% [markdown] slideshow={"slide_type": "-"}
# `␣` is the space before a word, which belongs to its token; `<s>` opens every text.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · Eight scores
#
# In each layer a *router* gives each of the layer's eight experts a score for this token (a
# *logit*). The two best run. Here is what layer 0 says:

# %% slideshow={"slide_type": "-"}
scores = trace.router_logits[0, t]
for expert, score in enumerate(scores):
    print(f"expert {expert}   {score:6.2f}")

# %% [markdown] slideshow={"slide_type": "-"}
# **Write down:** which two experts run? Their outputs are added with two weights, the *gates*, that
# sum to 1. What would you guess for the larger one?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The answer

# %% slideshow={"slide_type": "-"}
probability = np.exp(scores) / np.exp(scores).sum()
gates = dict(zip(trace.experts[0, t].tolist(), trace.gates[0, t].tolist(), strict=True))
print("expert   score   probability    gate")
for expert in np.argsort(-scores):
    gate = f"{gates[expert]:8.2f}" if expert in gates else "       –"
    print(f"{expert:6}{scores[expert]:8.2f}{probability[expert]:14.1%}{gate}")
assert list(gates) == np.argsort(-scores)[:2].tolist()

# %% [markdown] slideshow={"slide_type": "-"}
# The *probability* is what a softmax makes of all eight scores. It is not the gate. The two that
# run share the whole of the output between them, whatever the other six scored.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3 · The gates, by hand
#
# For scores $a > b$ of the chosen two, the softmax over these two is
#
# $$\frac{e^{a}}{e^{a} + e^{b}} = \frac{1}{1 + e^{-(a - b)}}$$
#
# Only the difference matters. We compute it for every token in every layer, and compare with what
# the model did.

# %% slideshow={"slide_type": "-"} tags=["show_code"]
best = -np.sort(-trace.router_logits, axis=2)  # (layers, tokens, experts), strongest first
difference = best[:, :, 0] - best[:, :, 1]
by_hand = 1 / (1 + np.exp(-difference))
assert np.allclose(by_hand, trace.gates[:, :, 0], atol=1e-6)
assert np.allclose(1 - by_hand, trace.gates[:, :, 1], atol=1e-6)
a, b = best[0, t, :2]
print(f"layer 0: a = {a:.2f}, b = {b:.2f}, a − b = {a - b:.2f}, gate {by_hand[0, t]:.2f}")
print(f"the same as the model's, for {by_hand.size} decisions")

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# A difference of 0 gives a gate of one half, of 1 about 0.73, of 2 about 0.88. The
# larger gate is never below one half.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · Where do the scores come from?
#
# **Write down:** how many parameters does it take to score eight experts? The token arrives as 256
# numbers, its *hidden state*, scaled by a norm (RMSNorm).
#
# We catch what goes into layer 0's router (a *hook* of torch is called whenever a module runs), and
# multiply it ourselves:

# %% slideshow={"slide_type": "-"} tags=["show_code"]
seen = []
router = model.layers[0].moe.router
hook = router.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
mv.record(model, sentence)
hook.remove()

hidden = seen[0][t].numpy()  # (256,), after the norm
rows = router.weight.float().numpy()  # (8, 256): one row for each expert
assert np.allclose(rows @ hidden, scores, atol=1e-4)
print(f"{rows.shape[0]} rows × {rows.shape[1]} numbers = {rows.size:,} parameters")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## A router is eight rows
#
# Each expert has one row of numbers; its product with the token's normed hidden state is the score.
# That is all: no loop, no memory, no look at other tokens or, in Mixtral's design, at how busy an
# expert is. What the chosen experts return is *added* to the hidden state, which goes on to the
# next layer.
#
# But the hidden state has come through attention, and attention looks back. What the router gets is
# not the word `key`, but `key` after `Press any`.

# %% slideshow={"slide_type": "-"}
big = mv.ledger("mixtral-8x7b")
assert big.router == 8 * big.config.hidden_size
print(f"a router of Mixtral 8x7B: 8 × {big.config.hidden_size:,} = {big.router:,} parameters,")
print(f"{big.router / big.layer:.4%} of its layer")

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Layer 0, and what it did with our token

# %% slideshow={"slide_type": "-"}
mv.diagram(model, trace, layer=0, token=t)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5 · How close was it?
#
# The *margin* is the second-best score minus the third: by how much the third, the *runner-up*,
# missed. It tells how easily a different word before it, or coarser rounding, could have changed
# the pair.
#
# **Write down:** in how many of the six layers did the runner-up miss by less than 0.1?

# %% slideshow={"slide_type": "fragment"}
order = np.argsort(-trace.router_logits[:, t], axis=1)  # (layers, experts), strongest first
print("layer   first (gate)   second (gate)   runner-up   margin")
for layer, (first, second, third) in enumerate(order[:, :3]):
    g, margin = trace.gates[layer, t], trace.margins[layer, t]
    print(f"{layer:5}{first:8} ({g[0]:.2f}){second:9} ({g[1]:.2f}){third:12}{margin:9.2f}")
close = int((trace.margins[:, t] < 0.1).sum())
print(f"\nmissed by less than 0.1: {close} of {len(order)}")
assert (order[:, :2] == trace.experts[:, t]).all()
assert np.allclose(trace.margins[:, t], best[:, t, 1] - best[:, t, 2])

# %% [markdown] slideshow={"slide_type": "-"}
# Read downwards, this is the token's path through the model. Expert 4 of layer 0 and expert 4 of
# layer 2 are unrelated networks: a number that recurs means nothing.
#
# A margin says nothing about the first two: in layer 5 they are nearly equal, the third far behind.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · See it

# %% [markdown] slideshow={"slide_type": "skip"}
# The numbers of section 2 are shown beside the text. Click a token, then press ↓ and watch the
# table of section 5 go by, layer by layer; then ← and → for the other tokens. Set the map to
# *margin* and look for the darkest cell: exercise 1 asks for it. A colour says who works on what
# comes *after* the token; section 9 shows it.

# %% slideshow={"slide_type": "-"}
assert best[5, t, 0] - best[5, t, 1] < 0.1 < trace.margins[5, t]
mv.explore(trace, token=t)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7 · The same token, elsewhere
#
# **Write down two numbers.** The first two sentences begin alike. In how many of the six layers do
# the two tokens `key` go to different experts? And in how many layers do all six sentences below
# have the same first choice for `key`?

# %% slideshow={"slide_type": "-"} tags=["show_code"]
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


# %% [markdown] slideshow={"slide_type": "subslide"}
# ## The answer
#
# First and second choice, in layers 0 to 5:

# %% slideshow={"slide_type": "-"}
trained = ways(model)
for text, way in zip(sentences, trained, strict=True):
    pairs = "  ".join(f"{first}+{second}" for first, second in way)
    print(f"{pairs}   {text.replace(chr(10), '⏎')[:44]}")
agree = [layer for layer in range(6) if len(set(trained[:, layer, 0])) == 1]
print("layers in which all six have the same first choice:", *agree)
assert (trained[0] == trained[1]).all()

# %% [markdown] slideshow={"slide_type": "-"}
# The first two are the same in every layer. A token's routing depends on the token and on those
# *before* it. What follows cannot change it: attention only looks back.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Is that because it was trained?
#
# The same sentences through the *untrained twin*: the same architecture, random weights. Its expert
# numbers have nothing to do with those above; only whether they differ can be compared.

# %% slideshow={"slide_type": "-"}
twin = mv.untrained_twin(model)
untrained = ways(twin)
for text, way in zip(sentences, untrained, strict=True):
    pairs = "  ".join(f"{first}+{second}" for first, second in way)
    print(f"{pairs}   {text.replace(chr(10), '⏎')[:44]}")
assert (untrained[0] == untrained[1]).all()
assert len({frozenset(way[0]) for way in untrained}) == 1  # layer 0: one pair
assert len(set(untrained[:, 1, 0])) == 1  # layer 1: one first choice

# %% [markdown] slideshow={"slide_type": "-"}
# The rule about what comes before holds here too: it is the architecture's. And a model that never
# learnt anything also sends `key` in all six sentences to one pair in its first layer, and to one
# first choice in the second. But one token in six sentences is an anecdote: section 8 takes more
# tokens, and a number.

# %% [markdown] slideshow={"slide_type": "slide"}
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
# ## The trained model and its twin

# %% slideshow={"slide_type": "-"}
mv.chart(found, control)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What the chart says
#
# - In layers 0 and 1 a token goes to one expert nearly always: far more than shuffled. **The
#   untrained twin does the same.** It is not a sign of learning: the same token arrives as nearly
#   the same numbers.
# - In layers 2 and 3 the trained model is *less* firm than its twin: there the choice depends more
#   on what came before. (For `key` in section 7 layer 2 looked the other way round: that
#   is what an anecdote is worth.)
# - In layer 4 both are alike again. In the last layer the share is high, and no higher than
#   shuffled: most tokens of these passages have one first choice there, whatever they are.

# %% slideshow={"slide_type": "-"}
assert (control["share"] - control["shuffled"] > 0.5).all()
assert found["share"][:2].min() > 0.85
assert abs(found["share"] - control["share"])[:2].max() < 0.05
assert (found["high"][2:4] < control["low"][2:4]).all()
assert found["p"][5] > 0.05
counts = np.bincount(passages.experts[5, ~passages.special, 0])
share = counts.max() / counts.sum()
print(f"layer 5: expert {counts.argmax()} is the first choice of {share:.0%} of all tokens")
assert share > 0.75

# %% [markdown] slideshow={"slide_type": "skip"}
# This is 8x7m on these passages, and says nothing about Mixtral's routers. The paper (arXiv
# 2401.04088, section 5) reports that those follow syntax rather than subject, especially in the
# first and last layers, and that indentation in code goes to the same experts. Notebook 05 goes
# through that section, with an untrained model beside every number.

# %% [markdown] slideshow={"slide_type": "slide"}
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

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## By how much each token's loss changes

# %% slideshow={"slide_type": "-"}
first = int(trace.experts[0, t, 0])
with mv.intervene(model, ablate=[(0, first)], tokens=[t]):
    without = mv.record(model, sentence, loss=True)
change = without.loss - trace.loss
for n in range(1, len(trace)):  # nothing predicts <s>, which is token 0
    ours = "   ← our token" if n == t else ""
    print(f"{n:3} {trace.tokens[n]:12}{round(float(change[n]), 3) + 0.0:+7.3f}{ours}")
assert np.allclose(change[1 : t + 1], 0, atol=1e-4)
assert change[t + 1 :].max() > 0.01
assert change[t + 1 :].min() < -0.01

# %% [markdown] slideshow={"slide_type": "subslide"}
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
