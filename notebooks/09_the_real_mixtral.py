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
# # The real Mixtral
#
# A quarter of an hour of reading, and a few minutes for the sections marked *further*; about
# fifteen seconds of a laptop's CPU, 2 GB of memory, no network.
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

# %% [markdown] slideshow={"slide_type": "slide"}
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

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 1 · How large is it?
#
# 46,702,792,704 parameters. How many bytes that is depends on the bits of each. Files in the *GGUF*
# format hold quantised numbers: fewer bits for each, and a scale for every block of them.
#
# **Write down two numbers:** how many GiB in bfloat16, and how many in GGUF's four-bit type `Q4_K`?

# %% slideshow={"slide_type": "skip"}
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch

import moe_viz as mv

# %% slideshow={"slide_type": "skip"}
from moe_viz.analysis import Finding, published
from moe_viz.model.gguf_blocks import BLOCK_TYPES
from moe_viz.placement.estimate import estimate
from moe_viz.view.charts import Chart

torch.set_num_threads(1)  # 8x7m is small; a second thread would be no help

# %% slideshow={"slide_type": "fragment"} tags=["hide_code"] jupyter={"source_hidden": true}
mixtral = mv.ledger("mixtral-8x7b")
bits = {"float32": 32, "bfloat16, float16": 16}
for name in ("Q8_0", "Q6_K", "Q4_K", "Q2_K"):
    bits[name] = 8 * BLOCK_TYPES[name].size / BLOCK_TYPES[name].width
for name, each in bits.items():
    print(f"{name:18}{each:7.3g} bits a number{mixtral.total * each / 8 / 2**30:8.1f} GiB")
assert round(mixtral.bytes("bfloat16") / 2**30, 2) == 86.99

# %% [markdown] slideshow={"slide_type": "fragment"}
# 4.5 bits, not 4: the scales count too. Real files mix types, and so differ somewhat from this;
# `moe-viz inspect FILE` says what is inside.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 2 · Where can the weights be?
#
# | placement | weights are | it can |
# | :-- | :-- | :-- |
# | *resident* | all in the memory that computes: GPU, or CPU | record, generate |
# | *offload* | in the host's memory; experts move to the GPU when named | record, generate |
# | *stream* | on disk, or on the Hub; each layer passes through once for all texts | record |
#
# `placement="auto"` takes the first that fits. The recording is the same in each; here is 8x7m,
# resident and streamed:

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
passed = [
    mv.record(mv.load("8x7m", device="cpu", placement=placement), "Once for all texts.")
    for placement in ("resident", "stream")
]
print("router logits bit for bit the same:", np.array_equal(*(t.router_logits for t in passed)))
assert np.array_equal(*(t.router_logits for t in passed))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Ask the doctor
#
# `moe-viz doctor SOURCE` looks at the headers of a checkpoint, times an expert of its size on this
# machine, and says which *placements* are possible and about how long they take. What it finds for
# 8x7m here:

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
rates, placements = estimate("8x7m", tokens=1000)
for e in placements:
    verdict = "fits" if e.fits else e.why_not or "too little memory"
    print(f"{e.placement:9} needs {e.needed / 2**20:5.1f} MiB of {e.free / 2**20:8,.0f}: {verdict}")
assert placements[0].fits

# %% [markdown] slideshow={"slide_type": "-"}
# For Mixtral (**not run here**):
#
# ```sh
# moe-viz doctor mistralai/Mixtral-8x7B-v0.1 --tokens 5000
# moe-viz doctor mixtral-8x7b-v0.1.Q4_K_M.gguf
# ```

# %% [markdown] slideshow={"slide_type": "slide"}
# ## From a machine to a command (not run here)
#
# ```python
# folder, gguf = "Mixtral-8x7B-v0.1", "mixtral-8x7b-v0.1.Q4_K_M.gguf"
# mv.load(folder)                             # float32 arithmetic on the stored weights: exact
# mv.load(folder, dtype="bfloat16")           # half the memory; "float16" on Colab's T4
# mv.load(folder, device="cuda:0,cuda:1")     # layers spread over two GPUs
# mv.load(gguf)                               # stays packed in memory
# mv.load("mistralai/Mixtral-8x7B-v0.1")      # from the Hub, without a folder
# ```
#
# - **174 GiB** of memory: exact, resident. **87 GiB**: in bfloat16. **Some 25 GiB**, and
#   room for the context (4 GiB for 32,768 tokens): a Q4_K file.
# - **Less, but disk for 87 GiB**: exact all the same, streamed. One reading serves all texts.
# - **Neither** (Colab): streamed from the Hub; each recording reads 90 GB over the network.

# %% [markdown] slideshow={"slide_type": "skip"}
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

# %% slideshow={"slide_type": "skip"}
table = mixtral.config.vocab_size * mixtral.config.hidden_size
unneeded = 8 * mixtral.expert + 2 * table + mixtral.config.hidden_size
needed = 2 * (mixtral.total - unneeded)  # bytes of bfloat16, without any row of the embedding
print(f"what the routers depend on: {needed / 1e9:.2f} GB, and the embedding rows in use")
assert round(needed / 1e9, 2) == 90.06

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 3 · Texts of your own
#
# Put your texts here. For Mixtral, only the first line of the cell changes.

# %% slideshow={"slide_type": "-"} tags=["show_code"]
model = mv.load("8x7m", device="cpu")
texts = ["The router decides for each token.", "Der Router entscheidet für jedes Token."]
trace = mv.record(model, texts, labels=["en", "de"])
with tempfile.TemporaryDirectory() as folder:
    saved = trace.save(Path(folder) / "mine.safetensors")
    again = mv.Trace.load(saved)  # needs neither model nor torch
assert np.array_equal(again.router_logits, trace.router_logits)
trace

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
# The report goes through the paper's analysis of routing, its section 5: the first thing to do with
# real weights, since its numbers can then be compared with the published ones.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert 32 * 8 * 4 == 1024

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 4 · Base and Instruct · further
#
# There are two: the **base** model continues a text; **Instruct** was trained further to answer.
# Same architecture, same ledger, different weights. Instruct expects its turns in a template:

# %% slideshow={"slide_type": "-"} tags=["show_code"]
ids = model.tokenizer.chat("What is an expert?", "A feed-forward block.", "And a router?")
shown, encoding = model.tokenizer.describe(ids)
print(shown)
print(*encoding.pieces[:8], "…")
special = [piece for piece, flag in zip(encoding.pieces, encoding.special, strict=True) if flag]
print("special tokens:", *special)
assert special == ["<s>", "</s>"]
assert ids[0] == model.tokenizer.bos

# %% [markdown] slideshow={"slide_type": "-"}
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

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 5 · What do fewer bits do to routing?
#
# *Exact* means float32 arithmetic on the stored weights. We record the same texts three more times:
# in float16, in bfloat16, and with 8x7m's matrices rounded to 4 bits, in blocks of 32 numbers that
# share a scale. That is GGUF's idea in its simplest form. Routers and norms stay as they are.
#
# The table also shows how many of the two *experts* are *shared* on average, the same *by chance*
# (independent choices with the same loads), and the median *margin* (the second expert's score
# minus the third's) of all decisions and of those that changed.
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

# %% slideshow={"slide_type": "fragment"} tags=["hide_code"] jupyter={"source_hidden": true}
same = []
print("beside float32     same pair   shared experts   by chance   margin: all   changed")
for name, a in agreements.items():
    pair, shared = (a.where(what=what) for what in ("identical", "overlap"))
    same.append(pair["share"].mean())
    shares = f"{same[-1]:9.1%}{shared['share'].mean():17.1%}{shared['chance'].mean():12.1%}"
    margin, changed = pair["margin"].mean(), np.nanmean(pair["margin_changed"])
    print(f"{name:19}{shares}{margin:14.2f}{changed:10.3f}")
    assert changed < margin / 3
assert same[0] > same[1] > 0.97 > 0.96 > same[2] > 0.8

# %% [markdown] slideshow={"slide_type": "fragment"}
# Sixteen bits hardly change who is chosen in 8x7m. Four bits, rounded like this, change about one
# decision in ten. What changes are close calls.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Where float32 and 4 bits agree

# %% slideshow={"slide_type": "-"} tags=["hide_code"]
mv.explore([exact, runs["4 bits"]], prompt=0, layer=1, mode="agreement")

# %% [markdown] slideshow={"slide_type": "skip"}
# This is a model of 24 million parameters, rounded crudely: it says nothing about Mixtral in Q4_K.
# With the real weights the same comparison is (**not run here**):
#
# ```sh
# moe-viz record --curated -m Mixtral-8x7B-v0.1 -o exact.safetensors
# moe-viz record --curated -m mixtral-8x7b-v0.1.Q4_K_M.gguf -o q4.safetensors
# moe-viz compare exact.safetensors q4.safetensors
# ```

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 6 · And if I want to *use* it?
#
# Then this library is the wrong tool: it is made for looking. The announcement named **vLLM**,
# which *serves* a model to many people at a time. Many people's tokens go through in one step:
# notebook 07 shows why that matters for a mixture.
#
# A server hands out text. On request vLLM (`--enable-return-routed-experts`) and SGLang also return
# each token's expert ids in every layer, but no logits, gates or margins. For those, come back with
# the text, and record it: recording tokens gives the routing that generating them had.

# %% slideshow={"slide_type": "skip"}
written = mv.generate(model, "The first file", max_new_tokens=12).trace
later = mv.record(model, [written.token_ids.tolist()])
assert np.array_equal(later.experts, written.experts)

# %% [markdown] slideshow={"slide_type": "skip"}
# With the same arithmetic, that is. A server that computes in fewer bits decides some close calls
# differently, as section 5 shows for 8x7m.

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 7 · What was claimed
#
# The announcement said that Mixtral beats Llama 2 70B on most benchmarks, and matches or beats
# GPT-3.5 on most. The paper's tables have 12 benchmarks beside Llama 2 70B, and 7 beside GPT-3.5.
#
# **Write down two numbers:** on how many of the 12 is Mixtral ahead? And of the 7?

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
rows = [("Llama 2 70B", name, *pair) for name, pair in published.BENCHMARKS.items()]
for name, (_, gpt, ours) in published.WITH_GPT.items():
    rows.append(("GPT-3.5", name, ours, gpt))
for code, language in {"fr": "French", "de": "German", "es": "Spanish", "it": "Italian"}.items():
    both = [published.LANGUAGES[who][code] for who in ("Mixtral 8x7B", "Llama 2 70B")]
    for name, ours, theirs in zip(("Arc-c", "HellaSwag", "MMLU"), *both, strict=True):
        rows.append((language, name, ours, theirs))

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
beside, names, ours, theirs = (np.array(column) for column in zip(*rows, strict=True))
claims = {"beside": beside, "benchmark": names, "Mixtral 8x7B": ours, "other": theirs}
claims["ahead"] = ours > theirs
counted = "percent; MT-Bench out of 10; languages beside Llama 2 70B"
data = Finding("benchmarks", "Mixtral 8x7B", counted, claims)
parts = {name: data.where(beside=name) for name in dict.fromkeys(beside.tolist())}
count = {name: f"{part['ahead'].sum()} of {len(part)}" for name, part in parts.items()}

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
figure, steps = go.Figure(), []
look = {"fill": {"color": "rgba(0,0,0,0)"}, "font": {"size": 18}, "height": 24}
for n, (name, part) in enumerate(parts.items()):
    verdict = ["ahead" if ahead else "behind" for ahead in part["ahead"]]
    scores = [[f"{x:.{1 + (x < 10)}f}" for x in part[who]] for who in ("Mixtral 8x7B", "other")]
    other = name if "GPT" in name else "Llama 2 70B"
    head, cells = ["benchmark", "Mixtral 8x7B", other, "Mixtral is"], [part["benchmark"], *scores]
    figure.add_table(header={"values": head} | look, cells={"values": [*cells, verdict]} | look)
    only = [{"visible": [n == m for m in range(len(parts))]}, list(range(len(parts)))]
    steps.append({"method": "restyle", "label": name, "args": only})

# %% [markdown] slideshow={"slide_type": "slide"}
# ## The tables (slider: beside whom)

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
for n, table in enumerate(figure.data):
    table.visible = n == 0
slider = {"steps": steps, "currentvalue": {"visible": False}, "pad": {"t": 0, "l": 40, "r": 40}}
figure.update_layout(height=440, margin={"t": 4, "r": 4, "b": 4, "l": 4}, sliders=[slider])
said = f"Ahead of Llama 2 70B on {count['Llama 2 70B']}, of GPT-3.5 on {count['GPT-3.5']}; "
said += "in each of four languages on 3 of 3."
Chart(figure, "Benchmarks", f"as published in {published.PAPER}", said, data)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Counted

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
for name, part in parts.items():
    behind = ", ".join(part["benchmark"][~part["ahead"]])
    print(f"{name:22} ahead on {count[name]:10}{behind and 'behind on ' + behind}")
assert list(count.values()) == ["9 of 12", "5 of 7", *["3 of 3"] * 4]

# %% [markdown] slideshow={"slide_type": "-"}
# - **Beats Llama 2 70B on most**: holds, on 9 of 12; not on HellaSwag, WinoGrande and TriviaQA.
# - **Matches or beats GPT-3.5 on most**: ahead on 5 of 7, behind on WinoGrande (81.2 to 81.6) and
#   on MT-Bench (8.30 to 8.32), both narrowly.
# - **French, German, Spanish, Italian**: ahead of Llama 2 70B on all three benchmarks in all four.
#
# These tables have no intervals: a difference of one point may be nothing.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"]
llama = parts["Llama 2 70B"]
assert set(llama["benchmark"][~llama["ahead"]]) == {"HellaSwag", "WinoGrande", "TriviaQA"}
assert published.WITH_GPT["MT-Bench (Instruct)"][1:] == (8.32, 8.30)
assert published.WITH_GPT["WinoGrande"][1:] == (81.6, 81.2)

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

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Quality against active parameters

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
figure.update_layout(height=460, margin={"t": 8, "r": 8, "b": 8, "l": 64}, showlegend=False)
figure.update_xaxes(title="billion parameters that a token uses", range=[-8, 92])
figure.update_xaxes(tickvals=[0, *x], tickformat=".1f", zeroline=False)
figure.update_yaxes(title="percent", range=[8, 95], zeroline=False)
said = "Left Mixtral 8x7B, right Llama 2 70B. Solid lines: Mixtral is ahead. Dashed: behind."
Chart(figure, "Quality and active parameters", f"{published.PAPER}, Table 2", said, llama)

# %% [markdown] slideshow={"slide_type": "skip"}
# This axis is the one that flatters Mixtral: computing for a token, where it needs 5.4 times less.
# In memory it has 46.7 billion parameters against 69.0, which is 1.5 times fewer.

# %% slideshow={"slide_type": "skip"} jupyter={"source_hidden": true} tags=["hide_code"]
assert round(published.LLAMA_2_70B / mixtral.active, 1) == 5.4
assert round(published.LLAMA_2_70B / mixtral.total, 1) == 1.5

# %% [markdown] slideshow={"slide_type": "slide"}
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
# ## The job card of layer 7, expert 6

# %% slideshow={"slide_type": "-"}
from moe_viz.analysis import published_routing as routing

mv.chart(routing.leading_pieces(layer=7, expert=6))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## `==` goes with *is*
#
# Comparisons: `==`, `!=`, `===`. And with them `is`, `are`, `be`. (Not `||`: that goes to expert
# 3.)
#
# That one piece goes to one expert is nothing; a router that was never trained does that too. That
# `==` and `is` go *together* is something: nothing in their spelling says that they belong to each
# other.
#
# **Write down:** *and*, *und*, *et*, *y*, *och*: in layer 15, an expert for each language, or one
# for all?

# %% [markdown] slideshow={"slide_type": "slide"}
# ## *And* has an expert; French has none

# %% slideshow={"slide_type": "-"}
mv.chart(routing.word_meanings())

# %% [markdown] slideshow={"slide_type": "skip"}
# All 94 little words that occur at least twenty times in the texts called wikipedia, which are in
# many languages:

# %% slideshow={"slide_type": "skip"}
mv.chart(routing.function_words())

# %% [markdown] slideshow={"slide_type": "slide"}
# ## Meaning, not language
#
# Words of one *meaning* go together, in whatever language. How much of the load would have to move
# between two words of one meaning in two languages (`meaning`), and of one language with two
# meanings (`language`):

# %% slideshow={"slide_type": "-"}
routing.meaning_and_language()

# %% [markdown] slideshow={"slide_type": "-"}
# In layers 7 and 15 the first is about half of the second. (The list of words was made after a
# first look, and a piece carries no language tag.)

# %% [markdown] slideshow={"slide_type": "slide"}
# ## And a code expert? One dot is one expert

# %% slideshow={"slide_type": "-"}
mv.chart(routing.published_loads("mixtral"), routing.published_loads("olmoe"))

# %% [markdown] slideshow={"slide_type": "slide"}
# ## What is known
#
# In Mixtral no expert does twice as much on code as on books, or half. OLMoE has 64 experts in each
# layer, and some do 80 times as much. (Put together at random into eight groups, they still part
# more than ten times as far as Mixtral's.)
#
# *In the layers published*: Mixtral's experts part by grammar, across languages, and hardly by kind
# of text; OLMoE's part strongly by kind of text; 8x7m's last layer parts by language (notebook 05).
# Nobody has shown why.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
apart = routing.meaning_and_language()
assert (apart["meaning"][1:] < 0.6 * apart["language"][1:]).all()
last = routing.function_words().where(layer=15, meaning="and", expert=6)
assert last["share"].min() > 0.8
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
print("OLMoE merged into eight groups, times Mixtral:", *(f"{x:.0f}" for x in ratios))
assert min(ratios) > 10
share = {k: routing.published_loads().where(label=k)["share"] for k in kinds}
assert (abs(np.log2(share["github"] / share["book"])) < 1).all()

# %% [markdown] slideshow={"slide_type": "slide"}
# ## 9 · Small print · further

# %% slideshow={"slide_type": "-"} tags=["hide_code"] jupyter={"source_hidden": true}
print("Mixtral in two tables of one paper, percent")
for name in ("HellaSwag", "WinoGrande", "GSM8K"):
    print(f"  {name:12}{published.BENCHMARKS[name][0]:6} {published.WITH_GPT[name][2]:6}")
print("BBQ, accuracy: Mixtral {1}, Llama 2 70B {0}".format(*published.BBQ))
narrower = [group for group, (theirs, ours) in published.BOLD.items() if ours[1] < theirs[1]]
print(f"BOLD, smaller deviation: {len(narrower)} of {len(published.BOLD)} groups,", *narrower)
reported = "Mixtral {}, Llama 2 70B {}".format(*published.TRUTHFULQA_NOT_CONFIRMED)
print("TruthfulQA, reported, not confirmed:", reported)
assert narrower == ["gender", "religious"]
assert len(published.BOLD) == 5

# %% [markdown] slideshow={"slide_type": "-"}
# - **Never compare across tables**: on GSM8K two tables differ by 16 points for one and the same
#   model. They were not measured alike.
# - **BBQ** asks questions that a prejudice would answer wrongly. **BOLD** lets the model continue
#   openings about groups of people, and measures how much the tone of what it writes varies. The
#   figure's caption says "lower std" (less deviation): that holds for two of five groups.
# - **TruthfulQA**: reported, not confirmed. The numbers were reported at the time; the copies of
#   the announcement that could be read for this course do not have them.

# %% slideshow={"slide_type": "skip"} tags=["hide_code"] jupyter={"source_hidden": true}
assert round(published.BENCHMARKS["GSM8K"][0] - published.WITH_GPT["GSM8K"][2]) == 16

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
# the same answer as Table 2 gives for the benchmarks that both tables have?

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
