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
# # A mixture of experts, from scratch
#
# For people who write software. A quarter of an hour of reading, more if you type along, and five
# minutes for the sections marked *further*; a few seconds of a laptop's CPU, 2 GB of memory, no
# network.
#
# Afterwards you can
#
# - write a mixture-of-experts layer in plain Python, and in torch;
# - recognise the same steps in the layer that this library runs Mixtral with;
# - say what an expert is, in code, and what it is not.

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
# This is live coding. Type sections 1 and 2 yourself, and let the class say what comes next; the
# rest can be run. Anyone who does not know torch can stop after section 1 and rejoin at section 7.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1 · A load balancer that reads the request
#
# Eight workers. Each has an address: a list of numbers. A request is a list of numbers, too. A
# worker's score is the dot product of the two: multiply number by number, and add up.
#
# The k workers with the best scores get the request, and their answers are added, weighted by
# *gates* that sum to 1.

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## The dispatcher

# %% slideshow={"slide_type": "-"} tags=["show_code"]
import math


def dispatch(request, addresses, workers, k=2):
    scores = [sum(a * x for a, x in zip(row, request, strict=True)) for row in addresses]
    chosen = sorted(range(len(workers)), key=lambda e: -scores[e])[:k]
    powers = [math.exp(scores[e]) for e in chosen]
    gates = [power / sum(powers) for power in powers]  # softmax over the chosen
    answers = [workers[e](request) for e in chosen]  # the others do nothing
    return sum(g * answer for g, answer in zip(gates, answers, strict=True)), chosen, gates


# %% [markdown] slideshow={"slide_type": "slide"}
# ## Try it
#
# Worker 0 stands in the east, worker 1 in the north-east, and so on around the compass. Worker e
# answers e, whatever is asked.
#
# **Write down:** who gets the request (2, 1)? Will the answer be nearer to 0 or to 1?

# %% slideshow={"slide_type": "fragment"}
compass = [(math.cos(math.pi * e / 4), math.sin(math.pi * e / 4)) for e in range(8)]
workers = [lambda request, e=e: float(e) for e in range(8)]
for request in [(2, 1), (1, 2), (-3, 0.1), (0.1, 0.2)]:
    answer, chosen, gates = dispatch(request, compass, workers)
    shares = " + ".join(f"{g:.2f} × worker {e}" for e, g in zip(chosen, gates, strict=True))
    print(f"{request!s:11}  {shares} = {answer:.2f}")
assert dispatch((2, 1), compass, workers)[1] == [1, 0]
assert dispatch((-3, 0.1), compass, workers)[1][0] == 4

# %% [markdown] slideshow={"slide_type": "-"}
# (2, 1) gets 0.53, a little nearer to 1: at 27 degrees it points nearer to the north-east (45) than
# to the east (0). A weak request, the last one, gets nearly equal gates: its scores hardly differ.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Turn the request around
#
# A request turns slowly from the east (0 degrees) to the north (90) and on around the compass.
#
# **Write down:** do the gates change smoothly, or in jumps?

# %% slideshow={"slide_type": "skip"}
import numpy as np

degrees = np.arange(0.5, 360)  # not the whole ones: at 0, 45, 90 … two workers are second


def all_gates(length):
    """The gate of each worker at each angle, 0 where it is not chosen: (8, 360)."""
    gates = np.zeros((8, len(degrees)))
    for n, angle in enumerate(np.radians(degrees)):
        request = (length * np.cos(angle), length * np.sin(angle))
        _, chosen, gates[chosen, n] = dispatch(request, compass, workers)
    return gates


# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
import plotly.graph_objects as go

import moe_viz as mv
from moe_viz.view.charts import Chart
from moe_viz.view.palette import expert_colour

gates, figure = all_gates(2), go.Figure()
for e, row in enumerate(gates):
    look = {"stackgroup": "all", "line": {"width": 0}, "fillcolor": expert_colour(e)}
    figure.add_scatter(x=degrees, y=row, name=f"worker {e}", **look)
figure.update_layout(xaxis_dtick=45, yaxis_title="gates", yaxis_range=[0, 1], height=380)
figure.update_layout(margin={"t": 24, "r": 16, "b": 16, "l": 56})
columns = {"degrees": degrees} | {f"worker {e}": row for e, row in enumerate(gates)}
table = mv.analysis.Finding("gates", "the dispatcher above", "requests of length 2", columns)
said = "At every angle two workers share the answer."

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Who gets it

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
Chart(figure, "Gates by the request's direction", "the dispatcher above", said, table)

# %% [markdown] slideshow={"slide_type": "-"}
# Both: where two workers change places as first and second, both gates pass through one half. Where
# the *second* changes, the newcomer has its whole gate at once.

# %% jupyter={"source_hidden": true} slideshow={"slide_type": "skip"} tags=["hide_code"]
jumps = abs(np.diff(gates)).max(0) > 0.1  # from one degree to the next
assert (np.flatnonzero(jumps) + 1).tolist() == [45, 90, 135, 180, 225, 270, 315]  # and at 0
assert abs(gates[:, 0] - gates[:, -1]).max() > 0.1

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Not the load balancer you know
#
# - It looks at what is in the request, not at how busy a worker is. (True of Mixtral in use.
#   Capacity limits, as in GShard and Switch, and DeepSeek-V3's bias correction do look at load.)
# - k workers answer, and their answers are *added*: it is not a race.
# - It remembers nothing: the same request always goes the same way.
# - Nobody writes the addresses. They are learnt, together with the workers.
#
# Since nothing here looks at load, something in training must keep all workers busy: [notebook
# 08](08_training_a_router.ipynb).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · The same in torch
#
# Now the words of the field. A request is a *token*, as D numbers; T of them come at once. The
# addresses are the rows of the *router*. A worker is an *expert*: D numbers in, through a wider
# layer of F numbers, D numbers out.

# %% slideshow={"slide_type": "-"} tags=["show_code"]
import torch
from torch import nn
from torch.nn.functional import silu


class Expert(nn.Module):
    def __init__(self, D, F):
        super().__init__()
        self.w1, self.w3 = nn.Linear(D, F, bias=False), nn.Linear(D, F, bias=False)
        self.w2 = nn.Linear(F, D, bias=False)

    def forward(self, x):
        return self.w2(silu(self.w1(x)) * self.w3(x))  # (T, D)


# %% [markdown] slideshow={"slide_type": "skip"}
# This form is called SwiGLU: one half of the wide layer opens and closes the other (`silu(z)` is z
# times a number between 0 and 1 that grows with z: almost 0 for very negative z, almost z for large
# z). Mixtral uses it, like most models of its time; for the mixture it does not matter what is
# inside an expert.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The mixture


# %% slideshow={"slide_type": "-"} tags=["show_code"]
class Mixture(nn.Module):
    def __init__(self, D, F, E, k):
        super().__init__()
        self.k = k
        self.router = nn.Linear(D, E, bias=False)
        self.experts = nn.ModuleList(Expert(D, F) for _ in range(E))

    def forward(self, x, *_):  # (T, D)
        best, chosen = self.router(x).topk(self.k)  # (T, k) each
        gates = best.softmax(-1)  # over the chosen only
        out = torch.zeros_like(x)
        for e, expert in enumerate(self.experts):
            token, slot = (chosen == e).nonzero(as_tuple=True)  # those that go to this expert
            out[token] += gates[token, slot, None] * expert(x[token])
        return out


# %% [markdown] slideshow={"slide_type": "skip"}
# Twenty-one lines, `Expert` included. `topk` and `softmax` are the dispatcher's `sorted` and `exp`,
# for all tokens at once. The loop goes over *experts*, not over tokens: each runs once, on all
# tokens that go to it. (The `*_` lets callers hand over more than we need; section 4, marked
# *further*, uses it.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The same layer in Mixtral 8x7B

# %% slideshow={"slide_type": "-"}
mv.diagram("mixtral-8x7b")

# %% [markdown] slideshow={"slide_type": "skip"}
# The lines above are four of its six steps: score, choose, run, add. Its scores are made up: change
# one, and see when the second place changes hands.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3 · Is it right? · further
#
# Compare it with the layer this library uses, on the same weights. `8x7m` is a small model of
# exactly Mixtral's architecture. We copy the weights of its layer 0 into our mixture: if shapes or
# names differed, this would fail.
#
# **Write down:** will the results be equal to the last bit?

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## The comparison

# %% slideshow={"slide_type": "-"} tags=["show_code"]
from moe_viz.routing import TokenIndex  # says which tokens these are, for hooks: section 5

model = mv.load("8x7m")
theirs, c = model.layers[0].moe, model.config
mine = Mixture(c.hidden_size, c.expert_size, c.experts, c.experts_per_token)
mine.load_state_dict(theirs.state_dict())

# %% slideshow={"slide_type": "-"} tags=["show_code"]
x = torch.randn(500, c.hidden_size, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    ours, reference = mine(x), theirs(x, TokenIndex.of_prompts([len(x)]))
torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-4)
largest, difference = reference.abs().max(), (ours - reference).abs().max()
print(f"largest number {largest:.2f}, largest difference {difference:.0e}")

# %% [markdown] slideshow={"slide_type": "-"}
# Equal but for rounding: the two add up in a different order, and a computer's sums depend on the
# order.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · Your twenty-one lines run a whole model · further
#
# We take out all of a model's mixtures, put ours in their place, and let it read a sentence.

# %% slideshow={"slide_type": "-"} tags=["show_code"]
changed = mv.load("8x7m")
for layer in changed.layers:
    new = Mixture(c.hidden_size, c.expert_size, c.experts, c.experts_per_token)
    new.load_state_dict(layer.moe.state_dict())
    layer.moe = new.requires_grad_(False)

ids = torch.tensor(model.tokenizer.encode("Press any key to continue.").ids)
before, after = model(ids), changed(ids)  # a score for each of the 8,192 tokens: is it the next?
torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)
print(f"{tuple(before.shape)} scores, largest difference {(after - before).abs().max():.0e}")

# %% [markdown] slideshow={"slide_type": "-"}
# Attention, norms and tables are as in any dense model; the mixture is the only new part. As in a
# dense model, it reads the hidden state *after a norm*, and what it returns is *added* to that
# state.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5 · Reading `moe.py` aloud
#
# The layer that this library runs Mixtral with: `moe_viz/model/moe.py`, in pieces. First the
# router.

# %% slideshow={"slide_type": "-"}
from inspect import getsource

from moe_viz.model import dispatch as sending
from moe_viz.model import moe

print(getsource(moe.Router))

# %% [markdown] slideshow={"slide_type": "-"}
# One matrix, E rows of D numbers. `functional.linear` is the dispatcher's product with each
# address. It is computed in float32 even if the model is not, since the last bits can tip a close
# decision. (The comment's figures: with this one product in bfloat16, on random scores and on
# 8x7m.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The expert

# %% slideshow={"slide_type": "-"}
print(getsource(moe.Expert))

# %% [markdown] slideshow={"slide_type": "-"}
# Ours, written a little differently. Nothing in it says which expert it is, or what it should be
# good at.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The decision

# %% slideshow={"slide_type": "-"}
print(getsource(moe.MoELayer.route))

# %% [markdown] slideshow={"slide_type": "-"}
# Scores, the k best, a softmax over those. What follows is new: the decision becomes an object of
# its own, a `Routing`, and passes through *hooks*. A hook may write it down (that is how `record`
# works) or return a different one (that is how experts are turned off in [notebook
# 06](06_turn_an_expert_off.ipynb)).

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The layer

# %% slideshow={"slide_type": "-"}
print(getsource(moe.MoELayer.forward))

# %% [markdown] slideshow={"slide_type": "-"}
# First decide, for all tokens; then run the experts. Hooks are called between the two, before any
# expert has run. `index` says which tokens these are, for the hooks; the layer itself does not look
# at it, nor at any other token.

# %% [markdown] slideshow={"slide_type": "skip"}
# And `run_experts`, in `moe_viz/model/dispatch.py`, does what our loop does. It sorts the choices
# by expert once, instead of looking for each expert's tokens eight times.
#
# You need not follow every line: the result is that of our loop, only faster. Experts that a hook
# turned off have number −1.

# %% slideshow={"slide_type": "skip"}
print(getsource(sending.run_experts))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · Two orders, one result? · further
#
# Papers and programs describe the gates in two ways:
#
# - **A.** take the k best scores; softmax over these k;
# - **B.** softmax over all E scores; take the k largest; divide them by their sum.
#
# **Write down:** do A and B give the same gates? And what is the sum of the gates if one forgets
# the last step of B?

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Both, on random scores of ten thousand tokens

# %% slideshow={"slide_type": "-"} tags=["show_code"]
scores = torch.randn(10_000, 8, generator=torch.Generator().manual_seed(1))

best, chosen_a = scores.topk(2)
gates_a = best.softmax(-1)

largest, chosen_b = scores.softmax(-1).topk(2)
gates_b = largest / largest.sum(-1, keepdim=True)

torch.testing.assert_close(gates_a, gates_b, atol=1e-6, rtol=0)
assert (chosen_a == chosen_b).float().mean() > 0.999
assert (gates_a != gates_b).any()
print(f"largest difference {(gates_a - gates_b).abs().max():.0e};", end=" ")
print(f"not equal bit for bit: {(gates_a != gates_b).float().mean():.0%} of all gates")
print(f"without the division the gates sum to {largest.sum(-1).mean():.2f} on average")

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## Why
#
# With $Z$ the sum over all eight of $e^{\text{score}}$, and $a$, $b$ the best two scores, B says
#
# $$\frac{e^a / Z}{e^a / Z + e^b / Z} = \frac{e^a}{e^a + e^b}$$
#
# and that is A. $Z$ cancels: the six that were not chosen have no say. In floating point it does
# not cancel exactly, so the two are the same mathematically and not bit for bit.
#
# Without the division it is a different model: the layer's output would shrink when the router is
# unsure.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7 · So what is an expert?
#
# **Write down:** in Mixtral 8x7B, what share of a layer's parameters is one expert?

# %% [markdown] slideshow={"slide_type": "subslide"}
# ## One layer of Mixtral 8x7B

# %% slideshow={"slide_type": "-"}
big = mv.ledger("mixtral-8x7b")
parts = {"attention": big.attention, "router": big.router, "two norms": big.norms}
parts |= {"one expert": big.expert, "eight experts": 8 * big.expert, "the layer": big.layer}
columns = {
    "part": np.array(list(parts)),
    "parameters": np.array([f"{n:,}" for n in parts.values()]),
    "share": np.array([f"{n / big.layer:.4%}" for n in parts.values()]),
}
mv.analysis.Finding("One layer", "Mixtral 8x7B", "from the model's shape", columns)

# %% slideshow={"slide_type": "-"}
experts = big.config.layers * big.config.experts
print(
    f"{experts} experts; one is {big.expert / 1e6:.0f} M of its layer's {big.layer / 1e6:,.0f} M",
    end="",
)
print(f" parameters, {big.expert / big.layer:.0%}")
assert experts == 256
assert round(100 * big.expert / big.layer) == 12
assert big.attention + big.router + big.norms + 8 * big.expert == big.layer

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What an expert is not
#
# - *A model.* It has no vocabulary, sees no other token, writes nothing: D numbers in, D numbers
#   out.
# - *One of eight in the model.* There are 256. Expert 3 of layer 0 and expert 3 of layer 1 share
#   nothing but the number.
# - *A specialist by design.* No line of the code above gives it a subject. Whether training does
#   has to be measured: [notebook 05](05_do_experts_specialise.ipynb).

# %% slideshow={"slide_type": "skip"}
with torch.inference_mode():  # theirs, x: a layer of 8x7m, and tokens for it, of section 3
    out = theirs.experts[3](x[:1])
print(f"8x7m's layer 0, expert 3, D = {c.hidden_size}: {(*x[:1].shape,)} in, {(*out.shape,)} out")
assert out.shape == x[:1].shape
ours, other = (model.layers[n].moe.experts[3].w1.weight for n in (0, 1))
assert not torch.allclose(ours, other)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What to take home
#
# - A mixture of experts is a dispatcher: scores by content, k of E, a weighted sum.
# - It is some twenty lines, and everything else in the model is as before.
# - Top-k then softmax, or softmax, top-k, divide by the sum: the same but for rounding
#   (section 6, *further*).
# - An expert is one feed-forward block of one layer: 176 M of 1,451 M parameters, 12 %.
# - Mixtral 8x7B has 256 of them, and is not eight models.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# What changes in the picture of section 1 if the request is longer, but in the same direction:
# different workers, or different gates? Predict, then use `all_gates(8)`.

# %% slideshow={"slide_type": "skip"}
# Your answer.


# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# Make two experts twins: copy the weights of expert 0 to expert 1 in a copy of `mine` (section 3).
# What does the layer give for a token that goes to just these two? Predict before you compute.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# Let k be 8 of 8. What are the gates then? Is any computing saved? Was any storage ever saved? (A
# new `Mixture` will do; its weights are random.)

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 4
#
# Count the parameters of `mine` (section 3), and check them with the ledger of `8x7m`. Which parts
# of the layer are missing?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# [Previous: why 8x7B is not 56B](01_why_8x7b_is_not_56b.ipynb) · [Next: one token through the
# router](03_one_token_through_the_router.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1


# %% slideshow={"slide_type": "skip"} tags=["solution"]
short, long = all_gates(2), all_gates(8)
print("the same two workers at every angle:", ((long > 0) == (short > 0)).all())
print(f"the first one's gate, on average: {short.max(0).mean():.2f}, {long.max(0).mean():.2f}")
assert ((long > 0) == (short > 0)).all()
assert (long.max(0) >= short.max(0) - 1e-9).all()
print("Length changes no score's rank, only the distances: the first takes more.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
from copy import deepcopy

twins = deepcopy(mine)
twins.experts[1].load_state_dict(twins.experts[0].state_dict())
with torch.inference_mode():
    chosen = twins.router(x).topk(2).indices
    both = (chosen.sort().values == torch.tensor([0, 1])).all(1)
    torch.testing.assert_close(twins(x)[both], twins.experts[0](x[both]), atol=1e-5, rtol=1e-4)
print(f"{both.sum()} of {len(x)} tokens: what expert 0 alone would give. The gates sum to 1.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
every = Mixture(c.hidden_size, c.expert_size, E=8, k=8)
with torch.inference_mode():
    gates = every.router(x).softmax(-1)  # over all: nothing is left out
    blend = sum(gates[:, e, None] * expert(x) for e, expert in enumerate(every.experts))
    torch.testing.assert_close(every(x), blend, atol=1e-5, rtol=1e-4)
print("The gates are the softmax over all scores. Every expert runs for every token: no computing")
print("is saved. Storage never was: all eight are always there.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 4

# %% slideshow={"slide_type": "skip"} tags=["solution"]
count, small = sum(p.numel() for p in mine.parameters()), mv.ledger("8x7m")
assert count == small.router + 8 * small.expert
assert small.layer - count == small.attention + small.norms
print(f"{count:,} of the layer's {small.layer:,}: attention and the two norms are missing")
