# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here: see it happen
#
# In ten minutes you will load a mixture of experts, record its routers, and look at every decision.
# Needs a CPU and 2 GB of memory; no network.
#
# **Predict first:** will a sentence be sent to one expert as a whole, or each token on its own?

# %%
import moe_viz as mv

model = mv.load("8x7m")
model.provenance.title

# %% [markdown]
# `8x7m` has Mixtral's architecture at about a thousandth of its size. It is not Mixtral.
# In each layer a *router* scores eight *experts* for each token, and the two best run.

# %%
texts = ["Two of eight experts work on every token.", "Zwei von acht Experten arbeiten."]
trace = mv.record(model, texts, labels=["en", "de"])
assert trace.experts.shape == (6, len(trace), 2)
trace

# %% [markdown]
# The answer to the prediction: each token, in each layer, on its own.
# One prompt meets many experts.

# %%
used = set(trace.select(prompt=0).experts[0].flatten().tolist())
assert len(used) > 2
sorted(used)

# %% [markdown]
# Look: hover a token, click it, move through the layers with ↑ and ↓.

# %%
mv.explore(trace)

# %% [markdown]
# Expert 3 of layer 0 and expert 3 of layer 1 are unrelated networks: the number is only a place in
# its layer.
#
# **Exercise.** Record a sentence of your own in two languages, and find the layer where they differ
# most.
