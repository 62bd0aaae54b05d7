# SPDX-License-Identifier: Apache-2.0
"""The canonical names of a Mixtral's tensors, and where each file format keeps them.

Canonical names are those of `model.Mixtral`'s parameters. For each of them a `Layout` says which
stored tensor it lies in, in which rows, and what has to be done to them; nothing else in the
library knows other spellings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ..config import MixtralConfig

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where a canonical tensor lies: in `rows` of the stored tensor `key`.

    A stored tensor counts as a matrix here, all dimensions but the last being rows. Three things
    may have been done to a tensor before it was stored: it was stacked with others (`rows` says
    where it lies), it was `transposed`, or its rows were reordered for RoPE: Mistral and GGUF keep
    the two numbers that are rotated together in neighbouring rows of a head, the model keeps them
    half a head apart. `interleaved` is the number of such heads, 0 if there are none.
    """

    key: str
    shape: Shape  # of the whole stored tensor
    rows: slice | None = None  # None: all of them
    transposed: bool = False
    interleaved: int = 0


@dataclass(frozen=True)
class Layout:
    """One way of naming and arranging a Mixtral's tensors."""

    title: str
    marker: str  # a stored name that only this layout has
    shared: Callable[[str, str], str]  # layer and inner name → stored name
    expert: Callable[[MixtralConfig, str, int, str, Shape], Place]  # layer, number, matrix, shape
    interleaved: bool = False  # queries and keys, see Place

    def places(self, config: MixtralConfig) -> Iterator[tuple[str, Shape, Place]]:
        """Canonical name, shape and place of every tensor, in reading order."""
        heads = {"attention.wq": config.heads, "attention.wk": config.kv_heads}
        for name, shape in shapes(config):
            n, inner = _parts(name)
            if inner.startswith("moe.experts."):
                _, _, e, matrix = inner.split(".")
                place = self.expert(config, n, int(e), matrix, shape)
            else:
                paired = heads.get(inner, 0) if self.interleaved else 0
                place = Place(f"{self.shared(n, inner)}.weight", shape, interleaved=paired)
            yield name, shape, place


def detect(keys: Collection[str]) -> Layout | None:
    """The layout of stored tensors with these names."""
    return next((layout for layout in LAYOUTS if layout.marker in keys), None)


def shapes(config: MixtralConfig) -> Iterator[tuple[str, Shape]]:
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


def _parts(name: str) -> tuple[str, str]:
    """Layer number, empty outside the layers, and the rest of a canonical name without .weight.

    >>> _parts("layers.3.moe.experts.5.w1.weight"), _parts("head.weight")
    (('3', 'moe.experts.5.w1'), ('', 'head'))
    """
    part = name.removesuffix(".weight")
    if not part.startswith("layers."):
        return "", part
    _, n, inner = part.split(".", 2)
    return n, inner


def _slab(index: int, rows: int) -> slice:
    """The rows of the index-th of several stacked matrices."""
    return slice(index * rows, (index + 1) * rows)


# ---- Hugging Face ----------------------------------------------------------------------------

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


def hugging_face(name: str) -> str:
    """Hugging Face's spelling of a canonical name (that of transformers 4 and of published files).

    >>> hugging_face("layers.3.moe.experts.5.w1.weight")
    'model.layers.3.block_sparse_moe.experts.5.w1.weight'
    """
    return f"{_hugging_face(*_parts(name))}.weight"


def _hugging_face(n: str, inner: str) -> str:
    spelled = _HUGGING_FACE.get(inner) or inner.replace("moe.", "block_sparse_moe.", 1)
    return f"model.layers.{n}.{spelled}" if n else spelled


def _hugging_face_5(n: str, inner: str) -> str:
    return _hugging_face(n, inner).replace(".block_sparse_moe.", ".mlp.")


def _expert_4(config: MixtralConfig, n: str, e: int, matrix: str, shape: Shape) -> Place:
    return Place(f"model.layers.{n}.block_sparse_moe.experts.{e}.{matrix}.weight", shape)


def _expert_5(config: MixtralConfig, n: str, e: int, matrix: str, shape: Shape) -> Place:
    """transformers 5: the experts of a layer in two tensors, w1 above w3 in the first."""
    E, F, D = config.experts, config.expert_size, config.hidden_size
    stem = f"model.layers.{n}.mlp.experts"
    if matrix == "w2":
        return Place(f"{stem}.down_proj", (E, D, F), _slab(e, D))
    return Place(f"{stem}.gate_up_proj", (E, 2 * F, D), _slab(2 * e + (matrix == "w3"), F))


# ---- Mistral ---------------------------------------------------------------------------------

_MISTRAL = {
    "embedding": "tok_embeddings",
    "norm": "norm",
    "head": "output",
    "moe_norm": "ffn_norm",
    "moe.router": "feed_forward.gate",
}


def _mistral(n: str, inner: str) -> str:
    spelled = _MISTRAL.get(inner, inner)
    return f"layers.{n}.{spelled}" if n else spelled


def _mistral_first(n: str, inner: str) -> str:
    return _mistral(n, inner).replace("feed_forward.", "block_sparse_moe.")


def _expert_alone(config: MixtralConfig, n: str, e: int, matrix: str, shape: Shape) -> Place:
    return Place(f"layers.{n}.feed_forward.experts.{e}.{matrix}.weight", shape)


def _expert_stacked(config: MixtralConfig, n: str, e: int, matrix: str, shape: Shape) -> Place:
    """The first release: a layer's experts stacked, w2 transposed."""
    E, F, D = config.experts, config.expert_size, config.hidden_size
    key = f"layers.{n}.block_sparse_moe.{matrix}"
    return Place(key, (E * F, D), _slab(e, F), transposed=matrix == "w2")


# ---- GGUF ------------------------------------------------------------------------------------

_GGUF = {
    "embedding": "token_embd",
    "norm": "output_norm",
    "head": "output",
    "attention_norm": "attn_norm",
    "attention.wq": "attn_q",
    "attention.wk": "attn_k",
    "attention.wv": "attn_v",
    "attention.wo": "attn_output",
    "moe_norm": "ffn_norm",
    "moe.router": "ffn_gate_inp",
}
_GGUF_EXPERTS = {"w1": "ffn_gate", "w2": "ffn_down", "w3": "ffn_up"}


def _gguf(n: str, inner: str) -> str:
    return f"blk.{n}.{_GGUF[inner]}" if n else _GGUF[inner]


def _expert_split(config: MixtralConfig, n: str, e: int, matrix: str, shape: Shape) -> Place:
    """The first GGUF files (December 2023): one tensor per expert."""
    return Place(f"blk.{n}.{_GGUF_EXPERTS[matrix]}.{e}.weight", shape)


def _expert_merged(config: MixtralConfig, n: str, e: int, matrix: str, shape: Shape) -> Place:
    """Later GGUF files: all experts of a layer in one tensor per projection."""
    key = f"blk.{n}.{_GGUF_EXPERTS[matrix]}_exps.weight"
    return Place(key, (config.experts, *shape), _slab(e, shape[0]))


LAYOUTS = (
    Layout(
        "Hugging Face",
        "model.layers.0.block_sparse_moe.experts.0.w1.weight",
        _hugging_face,
        _expert_4,
    ),
    Layout(
        "Hugging Face, merged experts",
        "model.layers.0.mlp.experts.gate_up_proj",
        _hugging_face_5,
        _expert_5,
    ),
    Layout(
        "Mistral", "layers.0.feed_forward.experts.0.w1.weight", _mistral, _expert_alone,
        interleaved=True,
    ),
    Layout(
        "Mistral, stacked experts", "layers.0.block_sparse_moe.w1", _mistral_first,
        _expert_stacked, interleaved=True,
    ),
    Layout(
        "GGUF, one tensor per expert", "blk.0.ffn_gate.0.weight", _gguf, _expert_split,
        interleaved=True,
    ),
    Layout(
        "GGUF, merged experts", "blk.0.ffn_gate_exps.weight", _gguf, _expert_merged,
        interleaved=True,
    ),
)  # fmt: skip
