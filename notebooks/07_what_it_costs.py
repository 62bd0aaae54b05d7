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
# # What it costs
#
# A quarter of an hour of reading, and ten minutes for the sections marked *further*; about twenty
# seconds of a laptop's CPU, 2 GB of memory, no network.
#
# Afterwards you can
#
# - say why Mixtral computes like a model of 12.9B and occupies memory like one of 46.7B;
# - say when that makes it faster, and when it hardly does;
# - say, with honest numbers, what use a mixture is;
# - further: take the claim "six times faster than Llama 2 70B" apart, and work out what a long
#   context costs, and what happens with too little memory.

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
# ## 1 · Two bills
#
# A model costs twice. **Memory**: every parameter must be kept somewhere, used or not.
# **Computing**: each token is multiplied by the parameters that it uses, two operations for each.
#
# In a dense model both are the same parameters. In a mixture they are not.

# %% slideshow={"slide_type": "-"} tags=["show_code"]
import moe_viz as mv

mixtral = mv.ledger("mixtral-8x7b")
print(f"stored    {mixtral.total:15,} parameters, {mixtral.bytes('bfloat16') / 2**30:.1f} GiB")
print(f"one token {mixtral.active:15,} parameters, {mixtral.flops_per_token() / 1e9:.1f} GFLOP")
print(f"share     {mixtral.active / mixtral.total:15.1%}")
assert (mixtral.total, mixtral.active) == (46_702_792_704, 12_879_925_248)

# %% [markdown] slideshow={"slide_type": "-"}
# **Compute like 12.9B, occupy memory like 46.7B.** (GiB of bfloat16, two bytes a number; a GFLOP is
# a billion operations.) The memory is paid for once, however many people use the model at a time;
# the computing is paid for with every token.

# %% [markdown] slideshow={"slide_type": "skip"}
# Twice 12.88 is 25.76, not 25.5: a token's row of the embedding is looked up, not multiplied, and
# norms are not counted. The cell checks that this is all the difference.

# %% slideshow={"slide_type": "skip"}
parts = {part.name: part.active for part in mixtral.parts}
left_out = 2 * (parts["embedding"] + parts["norms"])
assert 2 * mixtral.active - mixtral.flops_per_token() == left_out

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · Three models for this machine
#
# That was arithmetic. Does a machine follow it? `8x7m` has Mixtral's architecture on a small scale;
# it is not Mixtral. It stores 24 million parameters and uses 10 million for a token. Beside it, two
# dense models, with one expert to a layer: wide enough for **10 million** parameters, as many as
# 8x7m *uses*, or for **24 million**, as many as it *stores*. Their weights are random, since
# training does not change a dense model's speed.

# %% slideshow={"slide_type": "skip"}
import json
import time
from dataclasses import replace
from statistics import median

import numpy as np
import plotly.graph_objects as go
import torch

# %% slideshow={"slide_type": "skip"}
from moe_viz.analysis import Finding
from moe_viz.analysis.published import LLAMA_2_70B, REPETITION
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral, initialise
from moe_viz.view.charts import Chart

# %% slideshow={"slide_type": "-"}
moe = mv.load("8x7m", device="cpu")


def one_expert(name, width):
    config = replace(moe.config, name=name, experts=1, experts_per_token=1, expert_size=width)
    return initialise(Mixtral(config), seed=0)


F, k, E = moe.config.expert_size, moe.config.experts_per_token, moe.config.experts
models = {"8x7m": moe, "dense 10M": one_expert("10M", k * F), "dense 24M": one_expert("24M", E * F)}

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
books = {name: mv.ledger(model.config) for name, model in models.items()}
flops = {name: book.flops_per_token(head=False) for name, book in books.items()}
print(" " * 12 + "      stored   used by a token   MFLOP a token")
for name, book in books.items():
    print(f"{name:12}{book.total:12,}{book.active:18,}{flops[name] / 1e6:16.1f}")
small, narrow, wide = books.values()
assert abs(narrow.active / small.active - 1) < 0.002
assert abs(wide.total / small.total - 1) < 0.002
assert round(flops["dense 24M"] / flops["8x7m"], 1) == 3.4

# %% [markdown] slideshow={"slide_type": "skip"}
# The last column leaves out the output head, the product with 8,192 vocabulary rows at the very
# end, which is the same in all three. Without it the layers' own costs are easier to see.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3 · Predict
#
# We time three kinds of step:
#
# - **1 token**: one person's conversation goes on by one token;
# - **16 tokens**: sixteen conversations go on by one token each, in one step;
# - **512 tokens**: one text is read, all at once.
#
# **Write down three numbers:** in each of them, how many times as long as 8x7m does *dense 24M*
# take? It needs 3.4 times the operations for each token.

# %% slideshow={"slide_type": "skip"}
torch.set_num_threads(1)  # so that the processor's time is a fair clock on a busy machine
ids = torch.randint(8192, (512,), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def milliseconds(model, lengths):
    passes = 1 if sum(lengths) > 16 else 8
    began = time.process_time()
    for _ in range(passes):
        model(ids[: sum(lengths)], lengths, logits="none")
    return 1000 * (time.process_time() - began) / passes


# %% [markdown] slideshow={"slide_type": "skip"}
# The three models take turns, five times over, and the median counts: then a machine that slows
# down for a while slows all three down.

# %% slideshow={"slide_type": "skip"}
steps = {1: [1], 16: [1] * 16, 512: [512]}  # lengths of the texts in a step
taken = {(name, n): [] for name in models for n in steps}
for _ in range(6):
    for n, lengths in steps.items():
        for name, model in models.items():
            taken[name, n].append(milliseconds(model, lengths))
ms = {key: median(times[1:]) for key, times in taken.items()}  # the first one warms up

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · The answer, on this machine

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
gain = {n: ms["dense 24M", n] / ms["8x7m", n] for n in steps}
price = {n: ms["8x7m", n] / ms["dense 10M", n] for n in steps}
print(f"{'milliseconds; tokens':21}" + "".join(f"{n:12}" for n in steps))
for name in models:
    print(f"{name:21}" + "".join(f"{ms[name, n]:12.1f}" for n in steps))
print(f"\n{'dense 24M / 8x7m':21}" + "".join(f"{x:12.1f}" for x in gain.values()))
print(f"{'8x7m / dense 10M':21}" + "".join(f"{x:12.1f}" for x in price.values()))
assert min(gain[1], gain[512], price[16]) > 1
assert gain[16] / gain[512] < 1 < price[16] / price[512]

# %% [markdown] slideshow={"slide_type": "-"}
# - Against *dense 24M*, which needs the same memory, the mixture is faster: it computes less.
# - Against *dense 10M*, which computes as much, it has no advantage.
# - In the middle, with 16 tokens, its advantage over the first is smallest and its price against
#   the second greatest, though each token needs as little computing as ever.

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# The middle column, 16 tokens, surprises everybody. Let the class find the reason before section 5
# gives it.
#
# </details>

# %% [markdown] slideshow={"slide_type": "skip"}
# Your numbers will differ from other people's (processor time, one thread). Which model is faster
# should not: the cell checks that. Time does not follow operations alone: many small products take
# longer than a few large ones with as many operations.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5 · One reason why the middle is worst
#
# With few tokens, a machine spends its time fetching weights from memory rather than multiplying:
# each weight is fetched, and used for a few tokens. Then what counts is how many experts have to be
# fetched.
#
# One token needs 2 of a layer's 8 experts.
#
# **Write down a number:** how many of the 8 do 16 tokens touch, together?

# %% slideshow={"slide_type": "skip"}
prompts = mv.prompts.curated()[::3]
trace = mv.record(moe, prompts)
twin = mv.record(mv.untrained_twin(moe), prompts)
texts = [np.arange(p.start + 1, p.stop) for p in trace.prompts]  # tokens of each, without <s>
rng = np.random.default_rng(0)


def touched(trace, draw, n):
    """Experts of each layer that n tokens go to: the mean over 200 draws."""
    drawn = [trace.experts[:, draw(n)] for _ in range(200)]  # each (layers, n, 2)
    return np.mean([[len(np.unique(layer)) for layer in experts] for experts in drawn], axis=0)


# %% slideshow={"slide_type": "skip"}
def neighbours(n):
    """n tokens that follow each other in one text."""
    text = texts[rng.choice([i for i, text in enumerate(texts) if len(text) >= n])]
    return text[rng.integers(len(text) - n + 1) :][:n]


def unrelated(n):
    """n tokens from n texts: what a server's step holds."""
    return [rng.choice(texts[i]) for i in rng.choice(len(texts), n, replace=False)]


# %% [markdown] slideshow={"slide_type": "slide"}
# ## Formula and 8x7m
#
# If tokens chose evenly and independently, the chance that $n$ tokens all leave an expert out would
# be $0.75^n$, and they would touch $8\,(1 - 0.75^n)$ experts of a layer.

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
print(f"{'':44}neighbours in one text")
print("tokens   formula   each from another text   layer 0   layer 5   untrained")
for n in (1, 2, 4, 8, 16):
    formula, apart = 8 * (1 - 0.75**n), touched(trace, unrelated, n)
    near, control = touched(trace, neighbours, n), touched(twin, neighbours, n).mean()
    print(f"{n:6}{formula:10.1f}{apart.mean():25.1f}{near[0]:10.1f}{near[-1]:10.1f}{control:12.1f}")
    assert abs(apart - formula).max() < 0.5  # in every layer
    assert abs(control - formula) < 0.5
assert near[0] > 7.3
assert near[-1] < 6.3

# %% [markdown] slideshow={"slide_type": "-"}
# Sixteen tokens from different texts need nearly all of a layer's 8 experts. All must be fetched,
# and each serves some four tokens, where a dense model's weights serve sixteen. (Many small
# products instead of a few large ones are another reason; these timings do not tell them apart.)
#
# *Neighbours in one text* need fewer in 8x7m's last layer, not in its first. In its untrained twin
# (same architecture, random weights) they do not. (*Each from another text* and *untrained*: means
# over layers.)

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# 8x7m's routing tells kinds of text apart (notebook 05). How few experts its last layer touches
# says nothing about Mixtral's, which is not measured here.
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · The same arithmetic for Mixtral · further
#
# The weights that a step of n tokens would have to fetch if routing were even and independent.
# (Here in GB, a billion bytes, as links are sold: 93 GB are section 1's 87 GiB.)


# %% slideshow={"slide_type": "skip"}
def fetched(n):
    """Parameters that a step of n tokens of different texts needs."""
    one_expert = mixtral.config.layers * mixtral.expert  # in every layer
    return mixtral.shared + one_expert * 8 * (1 - 0.75**n)


assert fetched(1) == mixtral.active

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
batches = [1, 2, 4, 8, 16, 32, 64]
gigabytes = {  # of bfloat16: two bytes a number
    "Llama 2 70B": [2 * LLAMA_2_70B / 1e9 for _ in batches],
    "Mixtral 8x7B": [2 * fetched(n) / 1e9 for n in batches],
    "a dense 12.9B": [2 * mixtral.active / 1e9 for _ in batches],
}
columns = {"tokens": np.array(batches)} | {name: np.array(y) for name, y in gigabytes.items()}
data = Finding("weights fetched", "Mixtral 8x7B", "GB in bfloat16", columns)

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = go.Figure()
for (name, y), dash in zip(gigabytes.items(), ("dash", "solid", "dot"), strict=True):
    figure.add_scatter(x=batches, y=y, name=name, mode="lines+markers", line={"dash": dash})
figure.update_xaxes(title="tokens in a step", type="log", tickvals=batches)
figure.update_yaxes(title="GB of weights fetched", rangemode="tozero")
figure.update_layout(height=360, margin={"t": 16, "r": 16, "b": 16, "l": 64})
said = "Mixtral begins like a dense model of 12.9B and ends like one of 46.7B: "
said += ", ".join(f"{2 * fetched(n) / 1e9:.0f} GB at {n}" for n in (1, 4, 16, 64)) + "."
Chart(figure, "Weights fetched in one step", "arithmetic, nothing measured", said, data)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7 · Six times faster than Llama 2 70B? · further
#
# The announcement says so. The paper gives no tokens per second, so nobody can check it from the
# publications. What can be checked is what the parameters give.

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
print("Llama 2 70B / Mixtral 8x7B\n")
print(f"  parameters used by a token        {LLAMA_2_70B / mixtral.active:6.2f}")
for n in (1, 4, 16, 64):
    print(f"  weights fetched, {n:2} in a step     {LLAMA_2_70B / fetched(n):6.2f}")
print(f"  weights stored                    {LLAMA_2_70B / mixtral.total:6.2f}")
assert round(LLAMA_2_70B / mixtral.active, 2) == 5.36
assert LLAMA_2_70B / fetched(16) < 1.5
each = 2 * 80 * 8 * 128 * 2  # Llama 2 70B: keys and values, layers, heads, head size, bytes
for name, unit in (("GiB", 2**30), ("GB", 1e9)):
    llama_room = (160 * unit - 2 * LLAMA_2_70B) / each  # in tokens
    ours = (160 * unit - mixtral.bytes("bfloat16")) / mixtral.cache_per_token()
    print(f"  tokens cached in 2 × 80 {name:4}      {llama_room / ours:6.2f}", end="")
    print(f"  ({llama_room:,.0f} and {ours:,.0f}): {ours / llama_room:.1f} times as many")

# %% [markdown] slideshow={"slide_type": "-"}
# Parameters alone give **5.36** at best: for one conversation, or where multiplying takes longer
# than fetching. In between, fetching decides, and the ratio falls to about **1.5**.
#
# But size can give six in another way: by what a *given memory* has left. On two GPUs of 80 GiB,
# beside bfloat16 weights, the keys and values (section 8) of 5.8 times as many tokens fit; with
# 80 GB (80 × 10⁹ bytes), of 7.6 times. Without memory and batch, six says little.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 8 · A long context · further
#
# Every token leaves keys and values behind for those that follow, in every layer. They belong to
# the attention, which has no experts.
#
# **Write down a number:** Mixtral's weights are 87 GiB. How much does a full context of 32,768
# tokens add?

# %% slideshow={"slide_type": "fragment"} tags=["hide_code"] jupyter={"source_hidden": true}
context, each = mixtral.config.context, mixtral.cache_per_token()
scores = mixtral.flops_per_token(attended=context) - mixtral.flops_per_token()
print(f"one token of context: {each:,} bytes; {context:,} tokens: {context * each / 2**30:.0f} GiB")
print(f"looking back at all of them: {scores / 1e9:.1f} GFLOP on top of", end=" ")
print(f"{mixtral.flops_per_token() / 1e9:.1f} for each new token")
assert context * each == 4 * 2**30
assert 0.6 < scores / mixtral.flops_per_token() < 0.7

# %% [markdown] slideshow={"slide_type": "fragment"}
# 4 GiB: little beside the weights, but *every conversation* needs its own. Twenty-two full ones
# take more than the weights. All users share the weights; nobody shares this *cache*.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert 21 * 4 * 2**30 < mixtral.bytes("bfloat16") < 22 * 4 * 2**30

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9 · Too little memory · further
#
# Experts can wait in slow memory, and be fetched when a router names them (*offload*). The last
# ones fetched stay, as many as fit. The question is how often the right one is there already.
#
# Suppose that four of a layer's eight fit. Four fixed ones would serve half of all calls if routing
# were even.
#
# **Write down a number:** and in 8x7m, with the rule "evict the one unused for longest" (LRU)? Then
# move the slider, or use the arrow keys, through its layers.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## An expert cache

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
cache = mv.analysis.expert_cache(trace)
mv.chart(cache)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What the cache is good for

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
lru, random = (cache.where(policy=policy, size=4) for policy in ("LRU", "random"))
rates = {"LRU": lru["hit"], "LRU, shuffled tokens": lru["shuffled"], "evict any": random["hit"]}
control = mv.analysis.expert_cache(twin).where(policy="LRU", size=4)
rates["LFU"] = cache.where(policy="LFU", size=4)["hit"]
rates["untrained twin, LRU"], rates["four fixed, if even"] = control["hit"], lru["uniform"]
print(f"{'room for 4 of 8':24}" + "".join(f"  layer {layer}" for layer in trace.layers))
for name, hits in rates.items():
    print(f"{name:24}" + "".join(f"{hit:9.0%}" for hit in hits))
assert (rates["LFU"] + 0.002 >= rates["LRU"]).all()
assert rates["LRU"][0] < 0.5 < 0.52 < 0.75 < rates["LRU"][-1]
assert control["hit"].max() < 0.55

# %% [markdown] slideshow={"slide_type": "-"}
# - **First layers:** LRU is a little worse than four fixed experts would be with even routing.
# - **Last layers:** far better. Little of it comes from the *order* of tokens, since shuffled ones
#   do nearly as well: one text uses few of these experts.
# - **The rule** matters less: evicting any expert at all is not far behind evicting the least
#   recently used (LRU); evicting the one used least often (LFU) does best.

# %% [markdown] slideshow={"slide_type": "skip"}
# Why LRU is even a little *below* one half in the first layers: a token's two experts differ. When
# the second is asked for, the first has just taken one of the four places, so three are left for
# the other seven: 3/7 instead of 4/8, or 46 % for both together. With room for one, the second
# always evicts the first. And every text begins with an empty cache: hence less than 100 % with
# room for all eight.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert abs((4 / 8 + 3 / 7) / 2 - 0.464) < 0.001
assert (rates["LRU"] - rates["LRU, shuffled tokens"]).max() < 0.1
assert (rates["LRU"] - rates["evict any"]).max() < 0.1

# %% [markdown] slideshow={"slide_type": "skip"}
# All of this is 8x7m. For Mixtral, the paper's Table 5 says how often consecutive tokens share an
# expert:

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
mean = [np.mean([either[n] for _, either in REPETITION.values()]) for n in range(3)]
print("Mixtral, published, mean over eight domains:", end=" ")
print(", ".join(f"layer {layer}: {x:.0f} %" for layer, x in zip((0, 15, 31), mean, strict=True)))
print(f"even and independent choices: {100 * (1 - 6 / 8 * 5 / 7):.0f} %")
assert abs(mean[0] - 46.4) < 3
assert min(mean[1:]) > 50

# %% [markdown] slideshow={"slide_type": "skip"}
# About as often as even choices would in layer 0, more often in the table's two later layers. So a
# cache should gain something there too; how much, the table does not say.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 10 · What use is it?
#
# So a mixture needs the memory of a large model and computes as much as a small one. Is it *better*
# than that small one?
#
# 8x7m's recipe was run twice more, shorter: once as it is, once for a dense model with as many
# parameters as the mixture uses. Same texts, same order, same seed, 6.3 million tokens.
#
# **Write down a number:** the dense model ends at 1.83 bits per byte of text it has not seen
# (less is better). Where does the mixture end?

# %% slideshow={"slide_type": "skip"}
evaluation = json.loads((embedded_folder() / "evaluation.json").read_text(encoding="utf-8"))
curves = evaluation["twins"]
mixture, dense = curves["mixture"], curves["dense twin"]  # as many active parameters
bits = {"mixture": np.array(mixture["bits_per_byte"]), "dense": np.array(dense["bits_per_byte"])}
seen = [tokens / 1e6 for tokens in mixture["tokens"]]
columns = {"million tokens": np.array(seen), **bits}
data = Finding("two trainings", "8x7m's recipe", "bits per byte, mean over nine domains", columns)
assert mixture["active"] / dense["active"] < 1.002

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Two trainings

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure = go.Figure()
for (name, y), dash in zip(bits.items(), ("solid", "dash"), strict=True):
    figure.add_scatter(x=seen, y=y, name=name, mode="lines+markers", line={"dash": dash})
figure.update_xaxes(title="million tokens seen")
figure.update_yaxes(title="bits per byte, held out", range=[1.7, 3])
figure.update_layout(height=400, margin={"t": 16, "r": 16, "b": 16, "l": 64})
ends = ", ".join(f"{name} {y[-1]:.2f}" for name, y in bits.items())
Chart(figure, "Two trainings", "8x7m's recipe, one run each", f"At the end: {ends}.", data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
less = bits["dense"] - bits["mixture"]
kinds, dense_kinds = mixture["domains"], dense["domains"]
ahead = [kind for kind, x in kinds.items() if x < dense_kinds[kind]]
behind = [kind for kind, x in kinds.items() if x > dense_kinds[kind]]
print(f"the mixture, in bits per byte: {less[-1]:.3f} better at the end, at most {less.max():.3f}")
print(f"ahead at {(less > 0).sum()} of {len(less)} looks at the held-out texts")
print(f"at the end ahead in {len(ahead)} of {len(kinds)} kinds of text, behind in {len(behind)}")
assert ((less > 0).sum(), len(less), len(behind)) == (16, 17, 0)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Honestly
#
# - The mixture ends ahead, 1.81 against 1.83: by about 1 %, for 2.4 times the memory. It is ahead
#   at 16 of 17 looks (of the same two runs), and at the end behind in none of nine kinds of text.
# - **That is a small gain**, and one run each: another seed might well move both ends by as much.
#   After so few tokens there may be little yet to fill the additional parameters with.
# - Larger ones were reported to gain more: pre-training up to 7 times as fast at equal computing
#   (Switch, arXiv 2101.03961), a third of GPT-3's training energy (GLaM, 2112.06905), about twice
#   as fast as a dense model of equal active size (OLMoE, 2409.02060). For Mixtral's benchmarks see
#   notebook 09.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert round(bits["mixture"][-1], 2) == 1.81
assert round(bits["dense"][-1], 2) == 1.83
assert 0.005 < less[-1] / bits["dense"][-1] < 0.015
assert round(seen[-1], 1) == 6.3
assert round(mixture["parameters"] / dense["parameters"], 1) == 2.4

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What use is it to *me*?
#
# - You serve **so many** that multiplying takes longer than fetching, and have the memory: each
#   token costs the computing of a small model. With some sixteen in a step most of that is gone.
# - You serve **yourself**, one token at a time, and the model fits: you fetch and compute as little
#   as with a dense model of 12.9B.
# - It does **not fit**: experts have to be fetched for nearly every token, and each is a wait. A
#   dense model that fits may serve you better.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# Your machine has a certain number of GiB of memory. In which dtype of `mv.ledger(…).bytes` does
# Mixtral 8x7B fit, and with how many full contexts (section 8) beside it? Try 24, 80 and 141 GiB. A
# dtype's name is "float32", "bfloat16" or "int8".

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# What would Mixtral be with one expert for a token, or with four? Change
# `experts_per_token` with `replace(mixtral.config, …)`, and print what is stored, what a token
# uses, and how many experts 4 tokens touch: $8\,(1 - (1 - k/8)^4)$.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# Offload. A token of Mixtral needs 2 experts in each of 32 layers. Suppose that
# half of them are there already, and that the others come over a link of 16 GB/s. How many seconds
# does a token wait, in bfloat16? And in four and a half bits a number?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 4
#
# Measure a step of 4 tokens and one of 64 in the way of section 4. Where is 8x7m's
# advantage over dense 24M smallest?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# [Previous: turn an expert off](06_turn_an_expert_off.ipynb) ·
# [Next: training a router](08_training_a_router.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for memory in (24, 80, 141):
    for dtype in ("float32", "bfloat16", "int8"):
        left = memory - mixtral.bytes(dtype) / 2**30
        print(
            f"{memory:4} GiB, {dtype:9}",
            "does not fit" if left < 0 else f"{left // 4:.0f} contexts",
        )
print("24 GiB is too little for all three, 80 is enough for one byte a number, 141 for bfloat16.")
print("Activations and the software itself need room as well: the true numbers are smaller.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for k in (1, 2, 4, 8):
    book = mv.ledger(replace(mixtral.config, experts_per_token=k))
    print(
        f"k = {k}: {book.total / 1e9:.1f}B stored, {book.active / 1e9:5.1f}B used, 4 tokens touch "
        f"{8 * (1 - (1 - k / 8) ** 4):.1f} experts of a layer"
    )
print("What is stored stays the same. More experts for a token cost computing and, with few tokens")
print("in a step, fetching. With k = 8 nothing is left of the mixture's advantage.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for name, bits_each in (("bfloat16", 16), ("4.5 bits", 4.5)):
    needed = 32 * 2 * mixtral.expert * bits_each / 8
    print(f"{name}: {needed / 1e9:.1f} GB of experts a token, {needed / 2 / 16e9:.2f} s of waiting")
print("So the waiting alone allows about one and a half tokens a second, and about five.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 4

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for n in (4, 64):
    times = {name: [] for name in models}
    for _ in range(4):
        for name, model in models.items():
            times[name].append(milliseconds(model, [1] * n))
    middle = {name: median(t[1:]) for name, t in times.items()}
    print(f"{n:3} tokens: dense 24M / 8x7m {middle['dense 24M'] / middle['8x7m']:.1f}")
print("section 4:", ", ".join(f"{x:.1f} with {n}" for n, x in gain.items()))
print("Smallest somewhere in the middle: where each expert is needed, and by few tokens.")
