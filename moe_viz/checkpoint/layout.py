"""The canonical names of a Mixtral's tensors, and how each file format spells them.

Canonical names are those of `model.Mixtral`'s parameters. A format's spelling is a function from
canonical names to its own; nothing else in the library knows another spelling.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..config import MixtralConfig

#: Canonical part of a name → Hugging Face's (transformers 4, and every published Mixtral file).
_HUGGING_FACE = {
    "embedding": "model.embed_tokens",
    "norm": "model.norm",
    "head": "lm_head",
    "attention_norm": "input_layernorm",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "moe_norm": "post_attention_layernorm",
    "moe.router": "block_sparse_moe.gate",
}


def shapes(config: MixtralConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of the model under its canonical name, with its shape, in reading order.

    >>> dict(shapes(MixtralConfig.preset("8x7m")))["layers.0.moe.experts.7.w2.weight"]
    (256, 512)
    """
    c = config
    D, F = c.hidden_size, c.expert_size
    queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim
    yield "embedding.weight", (c.vocab_size, D)
    for n in range(c.layers):
        layer = f"layers.{n}"
        yield f"{layer}.attention_norm.weight", (D,)
        yield f"{layer}.attention.wq.weight", (queries, D)
        yield f"{layer}.attention.wk.weight", (keys, D)
        yield f"{layer}.attention.wv.weight", (keys, D)
        yield f"{layer}.attention.wo.weight", (D, queries)
        yield f"{layer}.moe_norm.weight", (D,)
        yield f"{layer}.moe.router.weight", (c.experts, D)
        for e in range(c.experts):
            yield f"{layer}.moe.experts.{e}.w1.weight", (F, D)
            yield f"{layer}.moe.experts.{e}.w2.weight", (D, F)
            yield f"{layer}.moe.experts.{e}.w3.weight", (F, D)
    yield "norm.weight", (D,)
    yield "head.weight", (c.vocab_size, D)


def hugging_face(name: str) -> str:
    """Hugging Face's spelling of a canonical name.

    >>> hugging_face("layers.3.moe.experts.5.w1.weight")
    'model.layers.3.block_sparse_moe.experts.5.w1.weight'
    """
    part = name.removesuffix(".weight")
    if not part.startswith("layers."):
        return f"{_HUGGING_FACE[part]}.weight"
    _, n, inner = part.split(".", 2)
    if inner.startswith("moe.experts."):
        spelled = inner.replace("moe.", "block_sparse_moe.", 1)
    else:
        spelled = _HUGGING_FACE[inner]
    return f"model.layers.{n}.{spelled}.weight"
