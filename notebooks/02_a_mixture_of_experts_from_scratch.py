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
# # A mixture of experts, from scratch
#
# For people who write software: twenty-one lines of Python, and what an expert is in them.
# -->
# # A mixture of experts, from scratch
#
# For people who write software. A quarter of an hour of reading, more if you type along, and five
# minutes for the sections marked *further*; about 6 seconds on two cores, 2 GB of memory, no
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
# <!-- slide
# ## Eight workers, each with an address: a request goes to the two that it suits best
# -->
# ## 1 · A load balancer that reads the request
#
# Eight workers. Each has an address: a list of numbers. A request is a list of numbers, too. A
# worker's score is the dot product of the two: multiply number by number, and add up.
#
# The k workers with the best scores get the request, and their answers are added, weighted by
# *gates* that sum to 1.
#
# Here, lists of two numbers. Worker 0 stands in the east, worker 1 in the north-east, and so on
# around the compass. Worker e answers e, whatever is asked.

# %% slideshow={"slide_type": "skip"}
import math

import numpy as np

compass = [(math.cos(math.pi * e / 4), math.sin(math.pi * e / 4)) for e in range(8)]
workers = [lambda request, e=e: float(e) for e in range(8)]

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
import plotly.graph_objects as go

import moe_viz as mv
from moe_viz.view.charts import Chart
from moe_viz.view.palette import LIGHT, WHITE_DIGITS, expert_colour

grey, faint = "#8a94a0", "rgba(127, 138, 150, 0.18)"
ink = ["#ffffff" if e in WHITE_DIGITS else LIGHT.ink for e in range(8)]  # on an expert's colour


def found(name, columns):
    """What a chart shows, as its table."""
    return mv.analysis.Finding(name, "this notebook", name, columns)


def squares(experts, texts, across, down):
    """Squares in the colours of experts (−1: none), with a text in each that has an expert."""
    steps = enumerate([faint, *map(expert_colour, range(8))])
    scale = [[(n + more) / 9, colour] for n, colour in steps for more in (0, 1)]
    look = {"colorscale": scale, "zmin": -1.5, "zmax": 7.5, "showscale": False, "hoverinfo": "skip"}
    figure = go.Figure(go.Heatmap(z=experts, xgap=3, ygap=3, **look))
    rows, columns = np.nonzero(experts >= 0)
    font = {"color": [ink[e] for e in experts[rows, columns]]}
    marks = {"mode": "text", "text": texts[rows, columns], "textfont": font, "hoverinfo": "skip"}
    figure.add_scatter(x=columns, y=rows, **marks)
    figure.update_xaxes(title=across, showgrid=False, zeroline=False, dtick=1)
    figure.update_yaxes(title=down, showgrid=False, zeroline=False, autorange="reversed", dtick=1)
    figure.update_layout(height=130 + 30 * len(experts), showlegend=False)
    return figure.update_layout(margin={"t": 8, "r": 16, "b": 16, "l": 64})


def of_gates(gates, across, down):
    """Gates as squares: a row for each request or token, a column for each worker or expert."""
    sent = np.where(gates > 0, np.arange(8), -1)
    return squares(sent, np.array([[f"{gate:.2f}" for gate in row] for row in gates]), across, down)


# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, (across, up) = go.Figure(), np.array(compass).T
for e in range(8):
    line = {"color": expert_colour(e), "width": 3}
    figure.add_scatter(x=[0, across[e]], y=[0, up[e]], mode="lines", line=line)
look = {"size": 34, "color": [expert_colour(e) for e in range(8)]}
labels = {"text": [*range(8)], "textfont": {"color": ink}, "mode": "markers+text", "marker": look}
figure.add_scatter(x=across, y=up, **labels)
tail = {"axref": "x", "ayref": "y", "ax": 0, "ay": 0, "text": "", "arrowwidth": 3, "arrowhead": 2}
figure.add_annotation(x=2, y=1, arrowcolor=grey, **tail)
figure.add_annotation(x=2, y=1, text="the request (2, 1)", showarrow=False, yshift=18)
figure.update_xaxes(title="first number: to the east", range=[-2.4, 2.8], zeroline=True)
figure.update_yaxes(title="second number: to the north", range=[-1.3, 1.3], scaleanchor="x")
figure.update_layout(height=420, showlegend=False, margin={"t": 8, "r": 16, "b": 16, "l": 64})
columns = {"worker": np.arange(8), "first number": across, "second number": up}
said = "Eight addresses around the compass, and a request between those of workers 0 and 1."
Chart(figure, "Addresses and a request", "made up", said, found("addresses", columns))

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The dispatcher: score all, keep k, weigh, and let only those k answer
# -->
# ## The dispatcher


# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:5-6|7|8-9|10|11"]
def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def dispatch(request, addresses, workers, k=2):
    scores = [dot(address, request) for address in addresses]
    chosen = sorted(range(len(workers)), key=lambda e: -scores[e])[:k]
    powers = [math.exp(scores[e]) for e in chosen]
    gates = [power / sum(powers) for power in powers]  # softmax of the chosen
    answers = [workers[e](request) for e in chosen]  # the others do nothing
    return dot(gates, answers), chosen, gates


# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Who gets the request (2, 1), and whose answer counts more?
#
# Worker 0 stands in the east, 1 in the north-east, 2 in the north.
#
# - 0 and 1; 0 counts more
# - 0 and 1; 1 counts more
# - 1 and 2
# - 0 alone
# -->
# ## Try it
#
# **Write down:** who gets the request (2, 1)? Will the answer be nearer to 0 or to 1?

# %% slideshow={"slide_type": "skip"}
requests = [(2, 1), (1, 2), (-3, 0.1), (0.1, 0.2)]
gates, answers = np.zeros((4, 8)), []
for row, request in zip(gates, requests, strict=True):
    answer, chosen, row[chosen] = dispatch(request, compass, workers)
    answers.append(f"{answer:.2f}")
print("answers:", *answers)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Two of eight answer. Worker 1 is nearer to (2, 1), and counts a little more.
# -->
# ## Who got it

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
names = [str(request).replace("-", "−") for request in requests]
figure = of_gates(gates, "worker", "request")
figure.update_yaxes(tickvals=[*range(4)], ticktext=names)
columns = {"request": np.array(names), "answer": np.array(answers)}
columns |= {f"worker {e}": gates[:, e] for e in range(8)}
said = "Each request goes to two workers, with gates that sum to 1."
Chart(figure, "Gates of four requests", "the dispatcher above", said, found("gates", columns))

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert dispatch((2, 1), compass, workers)[1] == [1, 0]
assert dispatch((-3, 0.1), compass, workers)[1][0] == 4
assert gates[0, 1] < 0.55
assert gates[3].max() < 0.55

# %% [markdown] slideshow={"slide_type": "skip"}
# (2, 1) gets 0.53, a little nearer to 1: at 27 degrees it points nearer to the north-east (45) than
# to the east (0). A weak request, the last one, gets nearly equal gates: its scores hardly differ.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## A request turns slowly around the compass. How do the gates change?
#
# - smoothly
# - in jumps
# - now smoothly, now in a jump
# -->
# ## Turn the request around
#
# A request turns slowly from the east (0 degrees) to the north (90) and on around the compass.
#
# **Write down:** do the gates change smoothly, or in jumps?

# %% slideshow={"slide_type": "skip"}
degrees = np.arange(0.5, 360)  # not the whole ones: at 0, 45, 90 … two workers are second


def all_gates(length):
    """The gate of each worker at each angle, 0 where it is not chosen: (8, 360)."""
    gates = np.zeros((8, len(degrees)))
    for n, angle in enumerate(np.radians(degrees)):
        request = (length * np.cos(angle), length * np.sin(angle))
        _, chosen, gates[chosen, n] = dispatch(request, compass, workers)
    return gates


# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Smoothly where first and second swap, in a jump where the second is replaced
# -->
# ## Who gets it

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
gates, figure = all_gates(2), go.Figure()
for e, row in enumerate(gates):
    look = {"stackgroup": "all", "line": {"width": 0}, "fillcolor": expert_colour(e)}
    figure.add_scatter(x=degrees, y=row, name=f"worker {e}", **look)
figure.update_xaxes(title="direction of the request, in degrees", dtick=45, range=[0, 360])
figure.update_yaxes(title="gates", range=[0, 1])
figure.update_layout(height=380, margin={"t": 24, "r": 16, "b": 16, "l": 56})
columns = {"degrees": degrees} | {f"worker {e}": row for e, row in enumerate(gates)}
said = "At every angle two workers share the answer."
table = found("gates of requests of length 2", columns)
Chart(figure, "Gates by the request's direction", "the dispatcher above", said, table)

# %% [markdown] slideshow={"slide_type": "skip"}
# Both: where two workers change places as first and second, both gates pass through one half. Where
# the *second* changes, the newcomer has its whole gate at once.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
jumps = abs(np.diff(gates)).max(0) > 0.1  # from one degree to the next
assert (np.flatnonzero(jumps) + 1).tolist() == [45, 90, 135, 180, 225, 270, 315]  # and at 0
assert abs(gates[:, 0] - gates[:, -1]).max() > 0.1

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Not the load balancer you know
#
# - It looks at what is in the request, not at who is busy.
# - Several answer, and their answers are *added*: it is not a race.
# - Nobody writes the addresses: they are learnt, together with the workers.
# -->
# ## Not the load balancer you know
#
# - It looks at what is in the request, not at how busy a worker is. (True of Mixtral in use.
#   Capacity limits (GShard, Switch: arXiv 2006.16668, 2101.03961) and, in training, DeepSeek-V3's
#   bias (2408.15664) do look at load.)
# - k workers answer, and their answers are *added*: it is not a race.
# - It remembers nothing: the same request always goes the same way.
# - Nobody writes the addresses. They are learnt, together with the workers.
#
# Since nothing here looks at load, something in training must keep all workers busy: [notebook
# 08](08_training_a_router.ipynb).

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A worker is an *expert*: D numbers in, F inside, D numbers out
# -->
# ## 2 · The same in torch
#
# Now the words of the field. A request is a *token*, as D numbers; T of them come at once. The
# addresses are the rows of the *router*. A worker is an *expert*: D numbers in, through a wider
# layer of F numbers, D numbers out.

# %% slideshow={"slide_type": "skip"}
import torch
from torch import nn
from torch.nn.functional import silu


# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:4-6|9"]
class Expert(nn.Module):
    def __init__(self, D, F):
        super().__init__()
        self.w1 = nn.Linear(D, F, bias=False)
        self.w3 = nn.Linear(D, F, bias=False)
        self.w2 = nn.Linear(F, D, bias=False)

    def forward(self, x):
        return self.w2(silu(self.w1(x)) * self.w3(x))  # (T, D)


# %% [markdown] slideshow={"slide_type": "skip"}
# This form is called SwiGLU: one half of the wide layer opens and closes the other (`silu(z)` is z
# times a number between 0 and 1 that grows with z: almost 0 for very negative z, almost z for large
# z). Mixtral uses it (arXiv 2401.04088); for the mixture it does not matter what is
# inside an expert.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The whole mixture: a router, experts, and the dispatcher's four steps
# -->
# ## The mixture


# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:4-5|8|9|10-14"]
class Mixture(nn.Module):
    def __init__(self, D, F, E, k):
        super().__init__()
        self.k, self.router = k, nn.Linear(D, E, bias=False)
        self.experts = nn.ModuleList(Expert(D, F) for _ in range(E))

    def forward(self, x, *_):  # (T, D)
        best, chosen = self.router(x).topk(self.k)  # (T, k) each
        gates = best.softmax(-1)  # over the chosen only
        out = torch.zeros_like(x)
        for e, expert in enumerate(self.experts):
            token, slot = (chosen == e).nonzero(as_tuple=True)  # its tokens
            out[token] += gates[token, slot, None] * expert(x[token])
        return out


# %% [markdown] slideshow={"slide_type": "skip"}
# Twenty-one lines, `Expert` included. `topk` and `softmax` are the dispatcher's `sorted` and `exp`,
# for all tokens at once. The loop goes over *experts*, not over tokens: each runs once, on all
# tokens that go to it. (The `*_` lets callers hand over more than we need; section 4, marked
# *further*, uses it.)
#
# Twelve made-up tokens, and the gates that a router without training gives them:

# %% slideshow={"slide_type": "skip"}
torch.manual_seed(2)
layer, x = Mixture(D=16, F=32, E=8, k=2), torch.randn(12, 16)
best, chosen = layer.router(x).detach().topk(2)
gates = torch.zeros(12, 8).scatter(1, chosen, best.softmax(-1))

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A row is a token, a column a batch: each expert runs once, on the tokens in its column
# -->
# ## Who runs on what

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = of_gates(gates.numpy(), "expert", "token")
columns = {"token": np.arange(12)} | {f"expert {e}": gates[:, e].numpy() for e in range(8)}
said = "In each row two gates, which sum to 1; in each column as many tokens as chose that expert."
whose = "a new Mixture, made-up tokens"
Chart(figure, "Gates of twelve tokens", whose, said, found("gates", columns))

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Raise expert 3's score: when is it among the two?
# -->
# ## The same layer in Mixtral 8x7B

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.diagram("mixtral-8x7b")

# %% [markdown] slideshow={"slide_type": "skip"}
# The lines above are its middle steps, from the scores to the weighted sum. Its scores are made up:
# change one, and see when the second place changes hands.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Our mixture and the library's layer, with the same weights: will they give the same?
#
# - yes, to the last bit
# - yes, but for rounding
# - no, only about the same
# -->
# ## 3 · Is it right? · further
#
# Compare it with the layer this library uses, on the same weights. `8x7m` is a small model of
# exactly Mixtral's architecture. We copy the weights of its layer 0 into our mixture: if shapes or
# names differed, this would fail.
#
# **Write down:** will the results be equal to the last bit?

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Equal but for rounding: the two add up in a different order
# -->
# ## The comparison

# %% slideshow={"slide_type": "skip"}
from moe_viz.routing import TokenIndex  # says which tokens these are, for hooks: section 5

# %% slideshow={"slide_type": "-"} tags=["show_code"]
model = mv.load("8x7m")
theirs, c = model.layers[0].moe, model.config
shape = c.hidden_size, c.expert_size, c.experts, c.experts_per_token
mine = Mixture(*shape)
mine.load_state_dict(theirs.state_dict())

# %% slideshow={"slide_type": "-"} tags=["show_code"]
x = torch.randn(500, c.hidden_size)
with torch.inference_mode():
    ours, reference = mine(x), theirs(x, TokenIndex.of_prompts([len(x)]))
print(f"the largest number is {reference.abs().max():.2f}, ", end="")
print(f"the largest difference {(ours - reference).abs().max():.0e}")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-4)
assert (ours != reference).any()

# %% [markdown] slideshow={"slide_type": "skip"}
# Equal but for rounding: the two add up in a different order, and a computer's sums depend on the
# order.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## In a whole model, in place of its own mixtures: the same scores
# -->
# ## 4 · Your twenty-one lines run a whole model · further
#
# We take out all of a model's mixtures, put ours in their place, and let it read a sentence.

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:2-5|7-8"]
changed = mv.load("8x7m")
for layer in changed.layers:
    new = Mixture(*shape)
    new.load_state_dict(layer.moe.state_dict())
    layer.moe = new.requires_grad_(False)

ids = torch.tensor(model.tokenizer.encode("Press any key to continue.").ids)
before, after = model(ids), changed(ids)  # what comes next: 8,192 scores
difference = (after - before).abs().max()
print(f"{tuple(before.shape)} scores, largest difference {difference:.0e}")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)

# %% [markdown] slideshow={"slide_type": "skip"}
# For each token a score for each of the 8,192 in the vocabulary: is it the next? Attention, norms
# and tables are as in any dense model; the mixture is the only new part. As in a dense model, it
# reads the hidden state *after a norm*, and what it returns is *added* to that state.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The library's layer at work: press ↓ to follow a word from layer to layer
# -->
# ## 5 · Reading `moe.py` aloud
#
# The layer that this library runs Mixtral with: `moe_viz/model/moe.py`. First at work, in the six
# layers of `8x7m`; then its code, in pieces.

# %% slideshow={"slide_type": "-"}
mv.explore(mv.record(mv.load("8x7m"), "Press any key to continue."), token=2)

# %% [markdown] slideshow={"slide_type": "skip"}
# ## The router

# %% slideshow={"slide_type": "skip"}
from inspect import getsource
from textwrap import dedent

from moe_viz.model import dispatch as sending
from moe_viz.model import moe


def read(thing):
    print(dedent(getsource(thing)).strip())


read(moe.Router)

# %% [markdown] slideshow={"slide_type": "skip"}
# One matrix, E rows of D numbers. `functional.linear` is the dispatcher's product with each
# address. It is computed in float32 even if the model is not, since the last bits can tip a close
# decision. (The comment's figures: with this one product in bfloat16, on random scores and on
# 8x7m.)

# %% [markdown] slideshow={"slide_type": "skip"}
# ## The expert

# %% slideshow={"slide_type": "skip"}
read(moe.Expert)

# %% [markdown] slideshow={"slide_type": "skip"}
# Ours, written a little differently. Nothing in it says which expert it is, or what it should be
# good at.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Ours again, in three lines; then hooks may note the decision, or change it
# -->
# ## The decision

# %% slideshow={"slide_type": "-"} tags=["show_code"]
read(moe.MoELayer.route)

# %% [markdown] slideshow={"slide_type": "skip"}
# Scores, the k best, a softmax over those. What follows is new: the decision becomes an object of
# its own, a `Routing`, and passes through *hooks*. A hook may write it down (that is how `record`
# made the picture above) or return a different one (that is how experts are turned off in [notebook
# 06](06_turn_an_expert_off.ipynb)).

# %% [markdown] slideshow={"slide_type": "skip"}
# ## The layer

# %% slideshow={"slide_type": "skip"}
read(moe.MoELayer.forward)

# %% [markdown] slideshow={"slide_type": "skip"}
# First decide, for all tokens; then run the experts. Hooks are called between the two, before any
# expert has run. `index` says which tokens these are, for the hooks; the layer itself does not look
# at it, nor at any other token.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Sorted by expert once, all tokens of an expert lie side by side: it runs on one block
# -->
# ## Sorted by expert
#
# And `run_experts`, in `moe_viz/model/dispatch.py`, does what our loop does. It sorts the choices
# by expert once, instead of looking for each expert's tokens eight times. The twelve tokens of
# section 2, first choices and then second ones; below, sorted:

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
experts_of, order = chosen.T.flatten().sort(stable=True)
choices = np.stack([chosen.T.flatten(), experts_of])
tokens = np.stack([np.arange(24) % 12, order % 12])
figure = squares(choices, tokens.astype(str), "twenty-four choices, with their token's number", "")
runs, starts = np.unique(experts_of, return_index=True)
ends = [*starts[1:], 24]
middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
figure.add_scatter(x=middles, y=[1.7] * len(runs), mode="text", text=[f"<b>{e}</b>" for e in runs])
rows = ["as chosen ", "sorted ", "expert "]
figure.update_yaxes(tickvals=[0, 1, 1.7], ticktext=rows, range=[2, -0.6], autorange=False)
figure.update_xaxes(showticklabels=False, ticks="")
figure.update_layout(height=300)
columns = {"place": np.arange(24), "token": (order % 12).numpy(), "expert": experts_of.numpy()}
said = "Above, the choices in the order of the tokens; below, the same sorted by expert."
Chart(figure, "Twenty-four choices", whose, said, found("sorted choices", columns))

# %% [markdown] slideshow={"slide_type": "skip"}
# You need not follow every line: the result is that of our loop, only faster. Experts that a hook
# turned off have number −1.

# %% slideshow={"slide_type": "skip"}
read(sending.run_experts)

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Softmax of the best two; or softmax of all eight, the best two, divided by their sum?
#
# Are the gates the same?
#
# - yes, to the last bit
# - yes, but for rounding
# - no: the other six have a say
# -->
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
# <!-- slide
# ## The same gates but for rounding; without the division, another model
# -->
# ## Both, on random scores of ten thousand tokens

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:3-4|6-7|8|9-10"]
scores = torch.randn(10_000, 8, generator=torch.Generator().manual_seed(1))

best, chosen_a = scores.topk(2)
gates_a = best.softmax(-1)

largest, chosen_b = scores.softmax(-1).topk(2)
gates_b = largest / largest.sum(-1, keepdim=True)
print(f"largest difference {(gates_a - gates_b).abs().max():.0e}")
print(f"not equal, bit for bit {(gates_a != gates_b).float().mean():.0%}")
print(f"sum without the division {largest.sum(-1).mean():.2f}, on average")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
torch.testing.assert_close(gates_a, gates_b, atol=1e-6, rtol=0)
assert (chosen_a == chosen_b).float().mean() > 0.999
assert (gates_a != gates_b).any()

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## The sum over all eight cancels: the six that were not chosen have no say
#
# $$\frac{e^a / Z}{e^a / Z + e^b / Z} = \frac{e^a}{e^a + e^b}$$
#
# - $a$, $b$: the best two scores; $Z$: the sum over all eight of $e^{\text{score}}$.
# - In floating point it does not cancel exactly.
# -->
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

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## In Mixtral 8x7B, what share of a layer's parameters is one expert?
#
# - 0.4 %: one of 256
# - 6 %: half is attention
# - 12 %: nearly an eighth
# - 25 %: two are used
# -->
# ## 7 · So what is an expert?
#
# **Write down:** in Mixtral 8x7B, what share of a layer's parameters is one expert?

# %% slideshow={"slide_type": "skip"}
big = mv.ledger("mixtral-8x7b")
parts = {"attention": big.attention, "router": big.router, "two norms": big.norms}
parts |= {"one expert": big.expert, "eight experts": 8 * big.expert, "the layer": big.layer}
rows = {part: [n, n / big.layer] for part, n in parts.items()}
mv.table(rows, ["parameters", "share"], "One layer of Mixtral 8x7B", form=[",", ".4%"],
         mark="one expert")  # fmt: skip

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## One expert is 12 % of its layer; attention is 3 %, and router and norms hardly show
# -->
# ## One layer of Mixtral 8x7B

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
sizes = {"attention": big.attention, "router": big.router, "norms": big.norms}
sizes |= {f"expert {e}": big.expert for e in range(8)}
shown = [n / 1e6 for n in sizes.values()]
shades = [grey] * 3 + [expert_colour(e) for e in range(8)]
labels = [f"{n:.0f}" if n > 1 else f"{n:.2f}" for n in shown]
figure = go.Figure(go.Bar(x=[*sizes], y=shown, text=labels, textposition="outside"))
figure.update_traces(marker_color=shades, cliponaxis=False, textangle=0)
figure.update_yaxes(title="million parameters", range=[0, 195])
figure.update_layout(height=380, margin={"t": 16, "r": 16, "b": 16, "l": 64})
columns = {"part": np.array([*sizes]), "parameters": np.array([*sizes.values()])}
said = "Eight experts of 176 million parameters each; attention has 42 million."
whose = "Mixtral 8x7B, from its shape"
Chart(figure, "Parts of one layer", whose, said, found("one layer", columns))

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert big.config.layers * big.config.experts == 256
assert (round(100 * big.expert / big.layer), round(100 * big.attention / big.layer)) == (12, 3)
assert big.attention + big.router + big.norms + 8 * big.expert == big.layer

# %% [markdown] slideshow={"slide_type": "skip"}
# 256 experts in all; one is 176 M of its layer's 1,451 M parameters, 12 %.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## An expert is no model, no eighth of one, and no specialist by design
#
# - It has no vocabulary, sees no other token, writes nothing.
# - There are 256. Those with the same number in two layers are unrelated.
# - No line of the code gives it a subject. Whether training does: measure.
# -->
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

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert out.shape == x[:1].shape
ours, other = (model.layers[n].moe.experts[3].w1.weight for n in (0, 1))
assert not torch.allclose(ours, other)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## A mixture of experts is a dispatcher: scores by content, k of E, a weighted sum
#
# - It is some twenty lines; everything else in the model is as before.
# - An expert is one feed-forward block of one layer: 12 % of it.
# - Mixtral 8x7B has 256 of them, and is not eight models.
# -->
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
