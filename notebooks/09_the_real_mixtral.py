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
# # The real Mixtral
#
# What it takes to run it, what fewer bits do to routing, and how it routes.
# Its weights are not here: what is measured here is 8x7m.
# -->
# # The real Mixtral
#
# A quarter of an hour of reading, and a few minutes for the sections marked *further*; about 15
# seconds on two cores, 2 GB of memory, no network.
#
# Afterwards you can
#
# - say what your machine can do with Mixtral 8x7B, and with which command;
# - record texts of your own, and write a conversation in Instruct's template;
# - say what fewer bits do to routing;
# - read the announcement's benchmark claims, and say which of them hold;
# - say what is known of how the real one routes, and from where;
# - further: read the small print of its tables.

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

# %% [markdown] slideshow={"slide_type": "skip"}
# ## What is run here, and what is not
#
# The weights of Mixtral are **not** here, and could not be reached where this course was written.
# What needs them is shown as a command, marked **not run here**. Everything in a code cell does
# run, with `8x7m`, the small model of the same architecture that is not Mixtral.

# %% [markdown] slideshow={"slide_type": "notes"}
# <details><summary>For teachers</summary>
#
# If you have the weights, you can present this notebook with real output: replace "8x7m" by the
# folder in section 3, and in section 5 as far as memory allows; every figure will then say so by
# itself. (Section 6 generates text, which a streamed model cannot.)
#
# </details>

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## How many GiB for Mixtral's 46.7 billion parameters in bfloat16, and in GGUF's four-bit type?
#
# *GGUF* files hold quantised numbers: fewer bits for each, and a scale for every block of them.
#
# - 24 and 7
# - 87 and 22
# - 87 and 24.5
# - 104 and 29
# -->
# ## 1 · How large is it?
#
# 46,702,792,704 parameters. How many bytes that is depends on the bits of each. Files in the *GGUF*
# format hold quantised numbers: fewer bits for each, and a scale for every block of them.
#
# **Write down two numbers:** how many GiB in bfloat16, and how many in GGUF's four-bit type `Q4_K`?

# %% slideshow={"slide_type": "skip"}
from dataclasses import replace

import numpy as np

import moe_viz as mv
from moe_viz.analysis import published
from moe_viz.analysis import published_routing as routing
from moe_viz.model.gguf_blocks import BLOCK_TYPES

mixtral = mv.ledger("mixtral-8x7b")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
import tempfile
from pathlib import Path

import plotly.graph_objects as go
import torch

from moe_viz.analysis import Finding
from moe_viz.placement.estimate import estimate
from moe_viz.view.charts import Chart

torch.set_num_threads(1)  # 8x7m is small; a second thread would be no help

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## All eight experts must be stored, and four bits come to 4.5: the scales count too
# -->
# Experts that a token does not use take room like the others:

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
bits = {"float32": 32, "bfloat16, float16": 16}
for name in ("Q8_0", "Q6_K", "Q4_K", "Q2_K"):
    bits[name] = 8 * BLOCK_TYPES[name].size / BLOCK_TYPES[name].width
rows = {name: [each, mixtral.total * each / 8 / 2**30] for name, each in bits.items()}
title = "Mixtral 8x7B, 46,702,792,704 parameters"
mv.table(rows, ["bits a number", "GiB"], title, form=[".3g", ".1f"], shade="columns", mark="Q4_K")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert round(mixtral.bytes("bfloat16") / 2**30, 2) == 86.99
assert round(rows["bfloat16, float16"][1]) == 87
assert round(rows["Q4_K"][1], 1) == 24.5

# %% [markdown] slideshow={"slide_type": "skip"}
# 4.5 bits, not 4: the scales count too. Real files mix types, and so differ somewhat from this;
# `moe-viz inspect FILE` says what is inside.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## 2 · Where can the weights be?
#
# | placement | weights are | it can |
# | :-- | :-- | :-- |
# | *resident* | all in the memory that computes: GPU, or CPU | record, generate |
# | *offload* | in the host's memory; experts move to the GPU when named | record, generate |
# | *stream* | on disk, or on the Hub; each layer passes through once for all texts | record |
#
# `placement="auto"` takes the first that fits. The recording is the same in each: 8x7m's router
# logits, resident and streamed, are equal bit for bit.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
passed = [
    mv.record(mv.load("8x7m", device="cpu", placement=placement), "Once for all texts.")
    for placement in ("resident", "stream")
]
assert np.array_equal(*(t.router_logits for t in passed))

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## `moe-viz doctor` says which placements a machine allows
# -->
# ## Ask the doctor
#
# `moe-viz doctor SOURCE` looks at the headers of a checkpoint, times an expert of its size on this
# machine, and says which *placements* are possible and about how long they take. What it finds for
# 8x7m here:

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
where = {
    "resident": "all in the memory that computes",
    "offload": "in the host's; experts move to the GPU",
    "stream": "on disk; layers pass through, once",
}
rates, placements = estimate("8x7m", tokens=1000)
rows = {}
for e in placements:
    verdict = "fits" if e.fits else e.why_not or "too little memory"
    rows[e.placement] = [where[e.placement], e.needed / 2**20, e.free / 2**20, verdict]
columns = ["the weights are", "MiB needed", "MiB free", "here"]
mv.table(rows, columns, "8x7m, on the machine that ran this", form=["", ".0f", ",.0f", ""])

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert placements[0].fits

# %% [markdown] slideshow={"slide_type": "-"}
# For Mixtral (**not run here**):
#
# ```sh
# moe-viz doctor mistralai/Mixtral-8x7B-v0.1 --tokens 5000
# moe-viz doctor mixtral-8x7b-v0.1.Q4_K_M.gguf
# ```

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## How much memory have you? There is a command for each (not run here)
# -->
# ## From a machine to a command (not run here)
#
# `folder` is `"Mixtral-8x7B-v0.1"`, `gguf` is `"mixtral-8x7b-v0.1.Q4_K_M.gguf"`, and `hub` is
# `"mistralai/Mixtral-8x7B-v0.1"`, which needs no folder:

# %% [markdown] slideshow={"slide_type": "-"}
# | memory | what you get | command |
# | :-- | :-- | :-- |
# | **174 GiB** | exact, in float32 | `mv.load(folder)` |
# | **87 GiB** | bfloat16; float16 on a T4 | `mv.load(folder, dtype="bfloat16")` |
# | on two GPUs | layers on both | `mv.load(folder, device="cuda:0,cuda:1")` |
# | **some 25 GiB** | a Q4_K file, packed | `mv.load(gguf)` |
# | less: 87 GiB of disk | exact, streamed | `mv.load(folder)` |
# | neither (Colab) | 90 GB from the Hub | `mv.load(hub)` |

# %% [markdown] slideshow={"slide_type": "skip"}
# The Q4_K file wants room for the context beside it: 4 GiB for 32,768 tokens. Streamed from disk,
# one reading serves all texts; from the Hub, each recording reads 90 GB over the network.
#
# Long recordings can be interrupted and resumed:
# `mv.record(model, texts, resume="half", out="trace.safetensors")`, or
# `moe-viz record … --resume half`. `--cache-gb 100` keeps what the Hub sent. For how
# long it took with random weights of the real shape, see [benchmarks](../benchmarks/README.md); for
# what has and has not been tried on GPUs, the [README](../README.md).
#
# Why not fewer than 90 GB, if only routers matter? The router of layer 31 scores what thirty-one
# layers of experts have made of a token. Only the last layer's experts, the final norm, the output
# head and unused rows of the embedding can be left out. (A T4 has no tensor cores for bfloat16,
# hence float16 there.)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
table = mixtral.config.vocab_size * mixtral.config.hidden_size
unneeded = 8 * mixtral.expert + 2 * table + mixtral.config.hidden_size
needed = 2 * (mixtral.total - unneeded)  # bytes of bfloat16, without any row of the embedding
print(f"what the routers depend on: {needed / 1e9:.2f} GB, and the embedding rows in use")
assert round(needed / 1e9, 2) == 90.06

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Your own texts, recorded once: opened later without a model
# -->
# ## 3 · Texts of your own
#
# Put your texts here. For Mixtral, only the first line of the cell changes.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
folder = tempfile.TemporaryDirectory()
mine = Path(folder.name) / "mine.safetensors"

# %% slideshow={"slide_type": "-"} tags=["show_code", "lit:1|2-5|6|7|8"]
model = mv.load("8x7m", device="cpu")  # Mixtral: its folder, or its GGUF file
texts = [
    "The router decides for each token.",
    "Der Router entscheidet für jedes Token.",
]
trace = mv.record(model, texts, labels=["en", "de"])
trace.save(mine)
again = mv.Trace.load(mine)  # needs neither model nor torch
again

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert np.array_equal(again.router_logits, trace.router_logits)
del again
folder.cleanup()

# %% [markdown] slideshow={"slide_type": "skip"}
# Router logits of Mixtral take 1 KiB for each token: 32 layers of 8 scores in float32. A recording
# opens on any laptop, so one machine with the weights serves a whole class. On the command line
# (**not run here**):
#
# ```sh
# moe-viz record @my_text.txt -l mine -m mixtral-8x7b-v0.1.Q4_K_M.gguf -o mine.safetensors
# moe-viz explore mine.safetensors
# moe-viz report mine.safetensors
# ```
#
# The report goes through the paper's analysis (arXiv 2401.04088) of routing, its section 5: the
# first thing to do with real weights, since its numbers can then be compared with the published
# ones.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert 32 * 8 * 4 == 1024

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Instruct expects its turns in a template. Only `<s>` and `</s>` are tokens of their own.
# -->
# ## 4 · Base and Instruct · further
#
# There are two: the **base** model continues a text; **Instruct** was trained further to answer.
# Same architecture, same ledger, different weights. Instruct expects its turns in a template:

# %% slideshow={"slide_type": "-"} tags=["show_code"]
turns = ["What is an expert?", "A feed-forward block.", "And a router?"]
ids = model.tokenizer.chat(*turns)
shown, encoding = model.tokenizer.describe(ids)
print(shown)
print(*encoding.pieces[:8], "…")

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
marks = zip(encoding.pieces, encoding.special, strict=True)
assert [piece for piece, special in marks if special] == ["<s>", "</s>"]
assert ids[0] == model.tokenizer.bos

# %% [markdown] slideshow={"slide_type": "skip"}
# `[INST]` is ordinary text. `<s>` opens the conversation, `</s>` closes each answer: only these are
# tokens of their own. Record it like any other ids: `mv.record(model, [ids])`.

# %% [markdown] slideshow={"slide_type": "skip"}
# (**Not run here.**) The same question to both shows what further training did to routing:
#
# ```python
# base = mv.record(mv.load("mistralai/Mixtral-8x7B-v0.1"), [ids])
# instruct = mv.record(mv.load("mistralai/Mixtral-8x7B-Instruct-v0.1"), [ids])
# mv.chart(mv.compare(base, instruct))
# mv.explore([base, instruct], mode="agreement")
# ```

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## 8x7m rounded to 4 bits: how many decisions go to another pair of experts?
#
# Routers and norms stay as they are.
#
# - hardly any
# - about one in ten
# - about one in three
# - nearly all
# -->
# ## 5 · What do fewer bits do to routing?
#
# *Exact* means float32 arithmetic on the stored weights. We record the same texts three more times:
# in float16, in bfloat16, and with 8x7m's matrices rounded to 4 bits, in blocks of 32 numbers that
# share a scale. That is GGUF's idea in its simplest form. Routers and norms stay as they are.
#
# **Write down three numbers:** in what share of decisions does the pair of experts stay the same?


# %% slideshow={"slide_type": "skip"}
def rounded(weights):
    """The nearest of 15 levels, −7 … 7, in blocks of 32 numbers that share a scale."""
    blocks = weights.reshape(-1, 32)
    scale = blocks.abs().amax(dim=1, keepdim=True) / 7
    return ((blocks / scale).round() * scale).reshape(weights.shape)


crude = mv.load("8x7m", device="cpu")
for name, weights in crude.named_parameters():
    if weights.ndim == 2 and ".router." not in name:
        weights.data = rounded(weights.data)
crude.origin = replace(crude.origin, quantisation="rounded to 4 bits")

# %% slideshow={"slide_type": "skip"}
prompts = mv.prompts.curated()[::16]
exact = mv.record(model, prompts)
others = {name: mv.load("8x7m", device="cpu", dtype=name) for name in ("float16", "bfloat16")}
runs = {name: mv.record(other, prompts) for name, other in others.items()}
runs["4 bits"] = mv.record(crude, prompts)
agreements = {name: mv.compare(exact, run) for name, run in runs.items()}

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
same = {name: a.where(what="identical") for name, a in agreements.items()}
counted = next(iter(same.values()))
columns = {"label": np.repeat(list(same), len(counted))}
columns |= {c: np.concatenate([each[c] for each in same.values()]) for c in counted.columns}
about = "8x7m · float32, and three times with fewer bits"
together = replace(counted, title=about, columns=columns)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## 16 bits change hardly a choice. 4 bits, crudely rounded, change about one in ten.
# -->
# ## The same pair of experts

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
picture = mv.chart(together)
picture.figure.update_yaxes(title="same pair as in float32", tickformat=".0%", range=[0, 1.05])
picture.figure.layout.annotations = ()
picture

# %% [markdown] slideshow={"slide_type": "skip"}
# The mean over layers; how many of the two experts are *shared* on average, and the same *by
# chance* (independent choices with the same loads); and the median *margin* (the second expert's
# score minus the third's) of all decisions and of those that changed:

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {}
for name, a in agreements.items():
    pair, shared = (a.where(what=what) for what in ("identical", "overlap"))
    rows[name] = [pair["share"].mean(), shared["share"].mean(), shared["chance"].mean()]
    rows[name] += [pair["margin"].mean(), np.nanmean(pair["margin_changed"])]
columns = ["same pair", "of the two in common", "in common by chance", "margin: all", "of changed"]
mv.table(rows, columns, "8x7m, beside float32", form=[".1%"] * 3 + [".2f", ".3f"])

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
kept = [row[0] for row in rows.values()]
assert kept[0] > kept[1] > 0.97
assert 0.91 < kept[2] < 0.93
assert all(changed < margin / 3 for *_, margin, changed in rows.values())

# %% [markdown] slideshow={"slide_type": "skip"}
# Sixteen bits hardly change who is chosen in 8x7m. Four bits, rounded like this, change one
# decision in twelve. What changes are close calls.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
here, there = (np.sort(t.experts[1, : exact.prompts[0].stop]) for t in (exact, runs["4 bits"]))
first_changed = int((here != there).any(axis=1).nonzero()[0][2])

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Click a grey stripe: how close was the call?
# -->
# ## Where float32 and 4 bits agree

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore([exact, runs["4 bits"]], prompt=0, layer=1, token=first_changed, mode="agreement")

# %% [markdown] slideshow={"slide_type": "skip"}
# This is a model of 24 million parameters, rounded crudely: it says nothing about Mixtral in Q4_K.
# With the real weights the same comparison is (**not run here**):
#
# ```sh
# moe-viz record --curated -m Mixtral-8x7B-v0.1 -o exact.safetensors
# moe-viz record --curated -m mixtral-8x7b-v0.1.Q4_K_M.gguf -o q4.safetensors
# moe-viz compare exact.safetensors q4.safetensors
# ```

# %% [markdown] slideshow={"slide_type": "subslide"} tags=["statement"]
# <!-- slide
# ## To *use* it, take a server. To look into it, record what the server wrote.
#
# - vLLM serves a model to many people at a time.
# - On request it returns expert ids, but no logits, gates or margins.
# - Recording a text gives the routing that generating it had.
# -->
# ## 6 · And if I want to *use* it?
#
# Then this library is the wrong tool: it is made for looking. The announcement ([reading
# list](READING.md)) named **vLLM**, which *serves* a model to many people at a time. Many people's
# tokens go through in one step: notebook 07 shows why that matters for a mixture.
#
# A server hands out text. On request ([reading list](READING.md)) vLLM
# (`--enable-return-routed-experts`) and SGLang also return each token's expert ids in every layer,
# but no logits, gates or margins. For those, come back with the text, and record it: recording
# tokens gives the routing that generating them had.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
written = mv.generate(model, "The first file", max_new_tokens=12).trace
later = mv.record(model, [written.token_ids.tolist()])
assert np.array_equal(later.experts, written.experts)

# %% [markdown] slideshow={"slide_type": "skip"}
# With the same arithmetic, that is. A server that computes in fewer bits decides some close calls
# differently, as section 5 shows for 8x7m.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## On how many of 12 benchmarks is Mixtral ahead of Llama 2 70B? And of 7, ahead of GPT-3.5?
#
# - on all of them
# - on 9, and on 5
# - on 7, and on 2
#
# <small>PUBLISHED: arXiv 2401.04088, Tables 2 and 3</small>
# -->
# ## 7 · What was claimed
#
# The announcement ([reading list](READING.md)) said that Mixtral beats Llama 2 70B on most
# benchmarks, and matches or beats GPT-3.5 on most. The paper's tables have 12 benchmarks beside
# Llama 2 70B, and 7 beside GPT-3.5.
#
# **Write down two numbers:** on how many of the 12 is Mixtral ahead? And of the 7?

# %% slideshow={"slide_type": "skip"}
behind = [name for name, (ours, llama) in published.BENCHMARKS.items() if ours < llama]
said = f"PUBLISHED, {published.PAPER}, Table 2: per cent"
mv.table(published.BENCHMARKS, ["Mixtral 8x7B", "Llama 2 70B"], said, form=".1f", mark=behind)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, x = go.Figure(), [mixtral.active / 1e9, published.LLAMA_2_70B / 1e9]
below = 0  # names must not cover each other
for name, pair in sorted(published.BENCHMARKS.items(), key=lambda row: row[1]):
    ahead = pair[0] > pair[1]
    line = {"color": "#3b6fd4"} if ahead else {"color": "#d1495b", "dash": "dash"}
    figure.add_scatter(x=x, y=pair, name=name, line=line, mode="lines+markers")
    below = max(pair[0], below + 5) if ahead else below
    side = {"xanchor": "right", "y": below} if ahead else {"xanchor": "left", "y": pair[1]}
    figure.add_annotation(text=f" {name} ", x=x[0] if ahead else x[1], showarrow=False, **side)
ours, theirs = (np.array(column) for column in zip(*published.BENCHMARKS.values(), strict=True))
columns = {"benchmark": np.array(list(published.BENCHMARKS)), "Mixtral 8x7B": ours}
columns |= {"Llama 2 70B": theirs, "ahead": ours > theirs}
data = Finding("benchmarks", "Mixtral 8x7B", "per cent", columns)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Ahead of Llama 2 70B on 9 of 12, computing with a fifth of the parameters
# -->
# ## Quality against active parameters

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure.update_layout(height=460, margin={"t": 8, "r": 8, "b": 8, "l": 64}, showlegend=False)
figure.update_xaxes(title="billion parameters that a token uses", range=[-8, 92])
figure.update_xaxes(tickvals=[0, *x], tickformat=".1f", zeroline=False)
figure.update_yaxes(title="per cent", range=[8, 95], zeroline=False)
said = "Left Mixtral 8x7B, right Llama 2 70B. Solid lines: Mixtral is ahead. Dashed: behind."
source = f"PUBLISHED, {published.PAPER}, Table 2"
Chart(figure, "Left Mixtral 8x7B, right Llama 2 70B", source, said, data)

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert behind == ["HellaSwag", "WinoGrande", "TriviaQA"]
assert len(published.BENCHMARKS) == 12

# %% [markdown] slideshow={"slide_type": "skip"}
# This axis is the one that flatters Mixtral: computing for a token, where it needs 5.4 times less.
# In memory it has 46.7 billion parameters against 69.0, which is 1.5 times fewer.

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Ahead of GPT-3.5 on 5 of 7, behind on WinoGrande and MT-Bench; six of them narrowly
# -->
# ## Beside GPT-3.5

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = {name: [ours, gpt] for name, (_, gpt, ours) in published.WITH_GPT.items()}
bench = rows.pop("MT-Bench (Instruct)")
note = "MT-Bench, out of 10: Mixtral Instruct {:.2f}, GPT-3.5 {:.2f}.".format(*bench)
said = f"PUBLISHED, {published.PAPER}, Table 3: per cent"
columns = ["Mixtral 8x7B", "GPT-3.5"]
mv.table(rows, columns, said, form=".1f", note=note, mark="WinoGrande")

# %% [markdown] slideshow={"slide_type": "skip"}
# And Mixtral beside Llama 2 70B in four languages (arXiv 2401.04088, Table 4):

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
tongues = {"fr": "French", "de": "German", "es": "Spanish", "it": "Italian"}
tables = [published.LANGUAGES[who] for who in ("Mixtral 8x7B", "Llama 2 70B")]
rows = {
    (tongue, who): one[code]
    for code, tongue in tongues.items()
    for who, one in zip(("Mixtral 8x7B", "Llama 2 70B"), tables, strict=True)
}
said = f"PUBLISHED, {published.PAPER}, Table 4: per cent"
mv.table(rows, ["Arc-c", "HellaSwag", "MMLU"], said, form=".1f")

# %% [markdown] slideshow={"slide_type": "skip"}
# - **Beats Llama 2 70B on most**: holds (2401.04088, Table 2), on 9 of 12; not on HellaSwag,
#   WinoGrande and TriviaQA.
# - The two tables were measured differently: never compare *across* them (section 9).
# - **Matches or beats GPT-3.5 on most**: ahead (2401.04088) on 5 of 7, behind on
#   WinoGrande (81.2 to 81.6) and on MT-Bench (8.30 to 8.32); all but MBPP by 1.3 or less.
# - **French, German, Spanish, Italian**: ahead of Llama 2 70B (2401.04088) on all three
#   benchmarks in all four.
#
# Without intervals, one point may be nothing.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
narrowly = {name: (ours, gpt) for name, (_, gpt, ours) in published.WITH_GPT.items() if ours < gpt}
assert narrowly == {"WinoGrande": (81.2, 81.6), "MT-Bench (Instruct)": (8.30, 8.32)}
assert len(published.WITH_GPT) == 7
apart = sorted(abs(ours - gpt) for _, gpt, ours in published.WITH_GPT.values())
assert apart[-2] < 1.31 < 8 < apart[-1]
for language in tongues:
    assert all(a > b for a, b in zip(*(one[language] for one in tables), strict=True))

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert round(published.LLAMA_2_70B / mixtral.active, 1) == 5.4
assert round(published.LLAMA_2_70B / mixtral.total, 1) == 1.5

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## Layer 7 of the real Mixtral: expert 6 takes some pieces of code nearly always. Which?
#
# - digits
# - brackets
# - comparisons
# - names
#
# <small>PUBLISHED counts: arXiv 2409.02060; five kinds of text, layers 0, 7 and 15</small>
# -->
# ## 8 · How the real one routes, as published
#
# The authors of OLMoE, another mixture, ran Mixtral 8x7B over five kinds of text, 208,896 tokens of
# each, and published how often each piece went to each expert in layers 0, 7 and 15 (arXiv
# 2409.02060). The figures below are worked out from those counts, and none is left out.
#
# Counts only: no documents, so no intervals. Layers 16 to 31 were not counted.
#
# **Write down:** expert 6 of layer 7 takes some pieces of code nearly always. Digits, brackets,
# comparisons, or names?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## What do these pieces have in common?
# -->
# ## The job card of layer 7, expert 6

# %% slideshow={"slide_type": "-"}
mv.chart(routing.leading_pieces(layer=7, expert=6))

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# In code: comparisons, and with them *is*, *are*, *be*.
# -->
# In code, comparisons: `==`, `!=`, `===`. And with them `is`, `are`, `be`. (Not the `||` of code:
# that is on the card of expert 3.)

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## One piece goes to one expert: that is nothing. `==` goes with *is*: that is something.
#
# - A router that was never trained sends a piece to one expert, too.
# - Nothing in their spelling says that `==` and *is* belong together.
#
# <small>PUBLISHED counts: arXiv 2409.02060</small>
# -->
# ## `==` goes with *is*
#
# That one piece goes to one expert is nothing; a router that was never trained does that too. That
# `==` and `is` go *together* is something: nothing in their spelling says that they belong to each
# other.

# %% [markdown] slideshow={"slide_type": "slide"} tags=["prediction"]
# <!-- slide
# ## *and, und, et, y, och* in layer 15: an expert for each language, or one for all?
#
# - one for each language
# - one for all of them
# - spread over all eight
# -->
# **Write down:** *and*, *und*, *et*, *y*, *och*: in layer 15, an expert for each language, or one
# for all?

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Ten words for *and*: who takes them in layer 15?
# -->
# ## *And* has an expert; French has none

# %% slideshow={"slide_type": "-"}
words = routing.function_words()
mv.chart(words.where(meaning="and"))

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# Expert 6 takes all ten. *And* has an expert; French has none here.
# -->
# Expert 6 takes each of them.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Which little words share an expert in layer 15?
# -->
# ## Who shares an expert
#
# A row for each meaning, the mean over its words in all languages:

# %% slideshow={"slide_type": "-"}
mv.chart(routing.word_meanings())

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# *And*, *of*, *for*, *with*: expert 6. Forms of *be*, and *not*: expert 2.
# -->
# In layer 15 *and*, *of*, *for*, *with* share expert 6; forms of *be*, and *not*, expert 2.

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## The expert of `==`, layer 7, expert 6: does it take *is* in other languages, too?
# -->
# ## The expert of `==`, and *is* in other languages

# %% slideshow={"slide_type": "-"}
mv.chart(words.where(meaning=["is", "are", "be", "was", "were"]))

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# Most of them. In layer 15, expert 2 takes nearly all.
# -->
# Of these 18 words, 15 go to expert 6 of layer 7 more than to any other, and 17 to expert 2 of
# layer 15.

# %% [markdown] slideshow={"slide_type": "skip"}
# All 94 little words that occur at least twenty times in the texts called wikipedia, which are in
# many languages:

# %% slideshow={"slide_type": "skip"}
mv.chart(words)

# %% [markdown] slideshow={"slide_type": "subslide"}
# <!-- slide
# ## Words of one meaning lie nearer each other than words of one language
# -->
# ## Meaning, not language
#
# Words of one *meaning* go together, in whatever language. How much of the load would have to move
# between two words of one meaning in two languages, and of one language with two meanings?

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
apart, kept = routing.meaning_and_language(), ("meaning", "language", "p")
rows = {f"layer {row['layer']}": [row[name] for name in kept] for row in apart.rows()}
columns = ["of one meaning", "of one language", "p"]
note = "p: meanings permuted within each language, 1,999 times. No documents, so no intervals."
said = f"Load that would have to move between two words · {apart.title}"
mv.table(rows, columns, said, note=note, form=[".0%", ".0%", ".4f"])

# %% [markdown] slideshow={"slide_type": "skip"}
# In layers 7 and 15 the first is about half of the second. (The list of words was made after a
# first look, and a piece carries no language tag.)

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Is there an expert for code? One dot is one expert.
# -->
# ## And a code expert? One dot is one expert

# %% slideshow={"slide_type": "-"}
mv.chart(routing.published_loads("mixtral"), routing.published_loads("olmoe"))

# %% [markdown] slideshow={"slide_type": "fragment"}
# <!-- slide
# In Mixtral none does twice as much on code as on books; in OLMoE some, one 80 times (2409.02060).
# -->
# ## What is known
#
# In the three layers counted, no expert of Mixtral does twice as much on code as on books, or half
# (counts: arXiv 2409.02060). Some of OLMoE's 64 do up to 80 times as much. (Joined at random into
# eight groups, they still part more than ten times as far as Mixtral's.)
#
# *In the layers published* (2409.02060): Mixtral's experts part by a word's function, across
# languages, and hardly by kind of text; OLMoE's strongly by kind of text; 8x7m's last layer
# parts by language. Nobody has shown why.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert (apart["meaning"][1:] < 0.6 * apart["language"][1:]).all()
last = words.where(layer=15, meaning="and", expert=6)
assert last["share"].min() > 0.8


def takers(found, layer):
    """The expert that takes most of each row of a map of words."""
    return found.where(layer=layer)["share"].reshape(-1, 8).argmax(axis=1).tolist()


be, little = ["is", "are", "be", "was", "were"], routing.word_meanings()
joined, verbs = little.where(meaning=["and", "of", "for", "with"]), little.where(meaning=be)
assert takers(joined, 15) == [6] * 4
assert takers(verbs, 15) == [2] * 5
assert takers(little.where(meaning="not"), 15) == [2]
of_be = words.where(meaning=be)
assert takers(of_be, 7).count(6) == 15
assert takers(of_be, 15).count(2) == 17
kinds = ("github", "arxiv", "wikipedia", "book", "c4")
rng = np.random.default_rng(0)


def divergence(loads):
    """Mean Jensen-Shannon divergence between kinds of text, in bits; loads (kinds, experts)."""
    pairs = [(a, b) for n, a in enumerate(loads) for b in loads[n + 1 :]]
    bits = [[p @ np.log2(p / ((a + b) / 2)) for p in (a, b)] for a, b in pairs]
    return np.mean(bits)


ratios = []
for layer in (0, 7, 15):
    of = {}
    for model_name in ("mixtral", "olmoe"):
        found = routing.published_loads(model_name, "first")
        of[model_name] = [found.where(label=k, layer=layer)["share"] for k in kinds]
    merged = [
        divergence([load[mix].sum(1) for load in of["olmoe"]])
        for mix in (rng.permutation(64).reshape(8, 8) for _ in range(50))
    ]
    ratios.append(np.mean(merged) / divergence(of["mixtral"]))
said = ", ".join(f"layer {n}: {x:.0f} times" for n, x in zip((0, 7, 15), ratios, strict=True))
print(f"OLMoE's experts in eight groups at random, beside Mixtral's eight: {said} as far apart")
assert min(ratios) > 10
share = {k: routing.published_loads().where(label=k)["share"] for k in kinds}
assert (abs(np.log2(share["github"] / share["book"])) < 1).all()
olmoe = routing.published_loads("olmoe")
most = (olmoe.where(label="github")["share"] / olmoe.where(label="book")["share"]).max()
assert round(most, -1) == 80

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Never compare across tables: on GSM8K one and the same model differs by 16 points
# -->
# ## 9 · Small print · further

# %% slideshow={"slide_type": "-"}
wanted = ("HellaSwag", "WinoGrande", "GSM8K")
rows = {name: [published.BENCHMARKS[name][0], published.WITH_GPT[name][2]] for name in wanted}
said = f"PUBLISHED for Mixtral 8x7B, {published.PAPER}: per cent"
mv.table(rows, ["Table 2", "Table 3"], said, form=".1f", mark="GSM8K")

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Less biased? BOLD's tone varies less for two of five groups
# -->
# **Never compare across tables**: on GSM8K two tables differ by 16 points for one and the same
# model. They were not measured alike.

# %% slideshow={"slide_type": "-"}
rows = {group: [ours[1], llama[1]] for group, (llama, ours) in published.BOLD.items()}
narrower = [group for group, (ours, llama) in rows.items() if ours < llama]
said = f"BOLD, deviation of the tone · PUBLISHED, {published.PAPER}"
note = "BBQ, accuracy: Mixtral {1}, Llama 2 70B {0} per cent".format(*published.BBQ)
columns = ["Mixtral 8x7B", "Llama 2 70B"]
mv.table(rows, columns, said, note=note, form=".3f", mark=narrower)

# %% [markdown] slideshow={"slide_type": "skip"}
# - **BBQ** asks questions that a prejudice would answer wrongly. **BOLD** lets the model continue
#   openings about groups of people, and measures how much the tone of what it writes varies. The
#   figure's caption says "lower std" (less deviation): that holds for two of five groups.
# - **TruthfulQA**, Mixtral 73.9, Llama 2 70B 50.2: reported, not confirmed ([reading
#   list](READING.md)). The numbers were
#   reported at the time; the copies of the announcement that could be read for this course do not
#   have them.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert narrower == ["gender", "religious"]
assert len(published.BOLD) == 5
assert published.TRUTHFULQA_NOT_CONFIRMED == (73.9, 50.2)
assert round(published.BENCHMARKS["GSM8K"][0] - published.WITH_GPT["GSM8K"][2]) == 16

# %% [markdown] slideshow={"slide_type": "slide"}
# <!-- slide
# ## Of how the real one routes, little is published. The rest you can record.
#
# - **To run it**: some 25 GiB, or patience: streamed, it is exact.
# - **Its claims**: most hold, by counts without intervals.
# - **Its routing**, where published: by a word's function in any language, hardly by kind of text.
# -->
# ## What to take home
#
# - Mixtral needs about 25 GiB in four bits, less in fewer; with less memory it runs streamed and
#   exact, if you wait.
# - Most claims of the announcement hold in the paper's tables, which have no intervals.
# - In the layers published its experts part by a word's function, across languages, and hardly by
#   kind of text. What is measured of 8x7m says nothing of it.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Exercises
#
# Solutions are folded at the end of the notebook: try first.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 1
#
# Which of the types of section 1 fits into 24 GiB of memory, with a full context of
# 32,768 tokens beside it in bfloat16? Go through all of `BLOCK_TYPES`.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 2
#
# Round 8x7m to 3 bits and to 6 bits instead of 4, and compare. In `rounded`, 4 bits
# are the levels −7 … 7.

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ### Exercise 3
#
# In `published.WITH_GPT`, how often is Mixtral ahead of *Llama 2 70B*, and is that
# the same answer as Table 2 gives for the benchmarks that both tables (2401.04088) have?

# %% slideshow={"slide_type": "skip"}
# Your answer.

# %% [markdown] slideshow={"slide_type": "skip"}
# ## Go on
#
# [Previous: training a router](08_training_a_router.ipynb) ·
# [Next: since Mixtral](10_since_mixtral.ipynb)

# %% [markdown] jp-MarkdownHeadingCollapsed=true slideshow={"slide_type": "skip"} tags=["solution"]
# ## Solutions

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 1

# %% slideshow={"slide_type": "skip"} tags=["solution"]
cache = mixtral.config.context * mixtral.cache_per_token("bfloat16") / 2**30
for name, kind in BLOCK_TYPES.items():
    size = mixtral.total * kind.size / kind.width / 2**30
    print(
        f"{name:8}{size:6.1f} + {cache:.0f} GiB:", "fits" if size + cache < 24 else "does not fit"
    )
print("Only types with fewer than four bits a number.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 2

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for width in (3, 6):
    most, other = 2 ** (width - 1) - 1, mv.load("8x7m", device="cpu")
    for name, weights in other.named_parameters():
        if weights.ndim == 2 and ".router." not in name:
            blocks = weights.data.reshape(-1, 32)
            scale = blocks.abs().amax(dim=1, keepdim=True) / most
            weights.data = ((blocks / scale).round() * scale).reshape(weights.shape)
    found = mv.compare(exact, mv.record(other, prompts)).where(what="identical")
    print(f"{width} bits: the same pair in {found['share'].mean():.1%}")
print("With every additional bit the levels lie twice as close, and fewer decisions change.")

# %% [markdown] slideshow={"slide_type": "skip"} tags=["solution"]
# ### Solution 3

# %% slideshow={"slide_type": "skip"} tags=["solution"]
for name, (llama, _, ours_) in published.WITH_GPT.items():
    there = published.BENCHMARKS.get(name.replace("ARC-C", "Arc-c"))
    table_2 = "not there" if there is None else ("ahead" if there[0] > there[1] else "behind")
    print(f"{name:22} Table 3: {'ahead' if ours_ > llama else 'behind':8} Table 2: {table_2}")
print("Of the seven it is ahead on all but HellaSwag and WinoGrande, and Table 2 says the same")
print("where it has the benchmark.")
