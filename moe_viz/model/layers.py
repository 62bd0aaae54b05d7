# SPDX-License-Identifier: Apache-2.0
"""What Mixtral shares with any modern transformer: norm, rotary positions, attention.

In: hidden states (T, D) of all prompts end to end, and a `Pass` that says where each prompt
begins. Out: the same shape. Attention is causal within each prompt; no token sees another prompt,
and there is no padding to leak.

    T tokens   D hidden size   H query heads   G key-value heads   d head dimension
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, count, groupby

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ..config import MixtralConfig
from ..routing import RouterHook, TokenIndex

#: Queries that look at a longer past are run in blocks, so that their mask stays small.
QUERY_BLOCK = 1024


class RMSNorm(nn.Module):
    """Root-mean-square normalisation (arXiv 1910.07467)."""

    def __init__(self, config: MixtralConfig) -> None:
        super().__init__()
        self.eps: float = config.norm_eps
        self.weight: nn.Parameter = nn.Parameter(torch.empty(config.hidden_size))

    def forward(self, x: Tensor) -> Tensor:
        h = x.float()
        norm = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
        h = h * torch.rsqrt(norm.square() / x.shape[-1] + self.eps)
        return h.to(x.dtype) * self.weight  # (T, D)


class KVCache:
    """Keys and values of the tokens seen so far, for every layer and prompt.

    Memory is allocated once, for `capacity` tokens of each prompt, and doubled when it runs out.
    """

    def __init__(self, capacity: int = 256) -> None:
        self.capacity = capacity
        self._store: dict[tuple[int, int], Tensor] = {}  # (2, capacity, G, d) each
        self._length: dict[tuple[int, int], int] = {}

    def length(self, prompt: int) -> int:
        """Tokens of this prompt that are held."""
        return self._length.get((0, prompt), 0)

    def extend(self, layer: int, prompt: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values (t, G, d) of t new tokens; return those of all tokens."""
        slot = (layer, prompt)
        start = self._length.get(slot, 0)
        stop = start + len(k)
        held = self._store.get(slot)
        if held is None or stop > held.shape[1]:
            larger = k.new_empty(2, max(stop, self.capacity, 2 * start), *k.shape[1:])
            if held is not None:
                larger[:, :start] = held[:, :start]
            self._store[slot] = held = larger
        held[0, start:stop], held[1, start:stop] = k, v
        self._length[slot] = stop
        return held[0, :stop], held[1, :stop]


@dataclass(frozen=True)
class Pass:
    """What every layer of one forward pass needs to know about its tokens."""

    lengths: Sequence[int]  # tokens of each prompt
    index: TokenIndex
    rotation: tuple[Tensor, Tensor]  # RoPE's factors for every token
    chunk: int  # tokens that the experts see at once, at most
    hooks: Sequence[RouterHook] = ()
    cache: KVCache | None = None

    @cached_property
    def prompts(self) -> list[tuple[int, int, int]]:
        """Number, first row and tokens of each prompt."""
        starts = accumulate(self.lengths, initial=0)
        return list(zip(count(), starts, self.lengths, strict=False))

    @cached_property
    def chunks(self) -> list[tuple[slice, TokenIndex]]:
        """Rows that the experts see at once."""
        T = sum(self.lengths)
        if self.chunk >= T:
            return [(slice(None), self.index)]
        blocks = (slice(start, start + self.chunk) for start in range(0, T, self.chunk))
        return [(rows, self.index[rows]) for rows in blocks]

    @cached_property
    def batches(self) -> list[tuple[int, int, int]]:
        """Neighbouring prompts of equal length, one batch to attention: row, prompts, tokens."""
        groups = [list(group) for _, group in groupby(self.prompts, key=lambda prompt: prompt[2])]
        return [(group[0][1], len(group), group[0][2]) for group in groups]


def joined(parts: list[Tensor]) -> Tensor:
    """The parts end to end; a single one as it is, where `torch.cat` would copy it."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def rotation(
    positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Factors of RoPE (arXiv 2104.09864) at these positions, for `rotate`.

    Cosines for both of each pair, (T, 1, d), and sines, (T, 1, d/2), of angles in float32.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device) / head_dim
    angles = positions[:, None, None].float() * theta**-exponents
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    return torch.cat((cos, cos), dim=-1), sin


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each head's pairs (i, i + d/2), the order of Hugging Face's weights: (T, H, d).

    A pair (a, b) becomes (a cos − b sin, b cos + a sin).
    """
    half = sin.shape[-1]
    turned = x * cos
    turned[..., :half].addcmul_(x[..., half:], sin, value=-1)
    turned[..., half:].addcmul_(x[..., :half], sin)
    return turned


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of the last queries of each prompt: (B, t, H, d) → (B, t, H, d).

    Keys and values are (B, s, G, d), s ≥ t: the queries are the last t of s tokens. Memory stays
    linear in s.
    """
    t, s, heads, groups = q.shape[1], k.shape[1], q.shape[2], k.shape[2]
    if t == 1:
        # The query heads that share a key head attend to it like so many tokens of one head.
        q = q.unflatten(2, (groups, -1)).squeeze(1)  # (B, G, H/G, d)
        out = scaled_dot_product_attention(q, k.transpose(1, 2), v.transpose(1, 2))
        return out.flatten(1, 2)[:, None]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, heads, tokens, d)
    if groups != heads and q.device.type != "cpu":
        # Expanded, since enable_gqa falls back to quadratic memory on some GPUs (T4).
        k, v = (x.repeat_interleave(heads // groups, dim=1) for x in (k, v))
    if t == s:
        out = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    else:
        # is_causal would align the first query with the first key, not the last with the last.
        out = torch.cat(
            [
                scaled_dot_product_attention(block, k, v, attn_mask=mask, enable_gqa=True)
                for block, mask in _masked_blocks(q, s - t, s)
            ],
            dim=2,
        )
    return out.transpose(1, 2)


def _masked_blocks(q: Tensor, past: int, s: int) -> Iterator[tuple[Tensor, Tensor]]:
    keys = torch.arange(s, device=q.device)
    for start in range(0, q.shape[2], QUERY_BLOCK):
        block = q[:, :, start : start + QUERY_BLOCK]
        queries = torch.arange(block.shape[2], device=q.device) + past + start
        yield block, keys <= queries[:, None]


class Attention(nn.Module):
    """Grouped-query attention (arXiv 2305.13245): several query heads share a key-value head."""

    def __init__(self, config: MixtralConfig, layer: int) -> None:
        super().__init__()
        self.layer: int = layer
        self.head_dim: int = config.head_dim
        queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.wq: nn.Linear = nn.Linear(config.hidden_size, queries, bias=False)
        self.wk: nn.Linear = nn.Linear(config.hidden_size, keys, bias=False)
        self.wv: nn.Linear = nn.Linear(config.hidden_size, keys, bias=False)
        self.wo: nn.Linear = nn.Linear(queries, config.hidden_size, bias=False)

    def forward(self, x: Tensor, run: Pass) -> Tensor:
        q, k, v = (w(x).unflatten(-1, (-1, self.head_dim)) for w in (self.wq, self.wk, self.wv))
        q, k = rotate(q, *run.rotation), rotate(k, *run.rotation)  # (T, H, d), (T, G, d)
        if run.cache is None:
            mixed = [self._batch(q, k, v, *batch) for batch in run.batches]
        else:
            mixed = [self._cached(q, k, v, run.cache, *prompt) for prompt in run.prompts]
        return self.wo(joined(mixed).flatten(1))

    def _batch(
        self, q: Tensor, k: Tensor, v: Tensor, start: int, prompts: int, length: int
    ) -> Tensor:
        """Neighbouring prompts of equal length, without a past."""
        rows = slice(start, start + prompts * length)
        q, k, v = (y[rows].unflatten(0, (prompts, length)) for y in (q, k, v))
        return attend(q, k, v).flatten(0, 1)

    def _cached(
        self, q: Tensor, k: Tensor, v: Tensor, cache: KVCache, prompt: int, start: int, length: int
    ) -> Tensor:
        """One prompt, after what the cache already holds of it."""
        rows = slice(start, start + length)
        keys, values = cache.extend(self.layer, prompt, k[rows], v[rows])
        return attend(q[None, rows], keys[None], values[None])[0]
