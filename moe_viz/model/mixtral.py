# SPDX-License-Identifier: Apache-2.0
"""Mixtral, whole: token ids in, logits out, every router open to hooks on the way.

The tokens of all prompts lie end to end, without padding, and go through layer 0 together, then
through layer 1, and so on: one sweep over the weights serves any number of prompts. Where the
weights came from (`checkpoint`) and where they lie (`placement`) makes no difference here.

    T tokens   D hidden size   L layers   V vocabulary
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import MixtralConfig
from ..errors import InputError, NumberError
from ..progress import progress_bar
from ..routing import NotFiniteError, RouterHook, TokenIndex
from ..tokenization import Tokenizer
from ..trace.provenance import Provenance
from .attached import Attached, attached_to, hooked
from .diagnosis import bad_output, bad_routing
from .layers import Attention, KVCache, Pass, RMSNorm, joined, rotation
from .moe import MoELayer
from .threads import settle


class DecoderLayer(nn.Module):
    """Attention, which mixes tokens, then the mixture of experts, which does not."""

    def __init__(self, config: MixtralConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm: RMSNorm = RMSNorm(config)
        self.attention: Attention = Attention(config, layer)
        self.moe_norm: RMSNorm = RMSNorm(config)
        self.moe: MoELayer = MoELayer(config, layer)

    def forward(self, x: Tensor, run: Pass) -> Tensor:
        x = x + self.attention(self.attention_norm(x), run)
        # Experts look at each token alone, so long inputs pass through them in chunks.
        return x + joined(
            [self.moe(self.moe_norm(x[rows]), index, run.hooks) for rows, index in run.chunks]
        )

    def route(self, x: Tensor, run: Pass) -> None:
        """Run as far as the router, for its hooks only."""
        x = x + self.attention(self.attention_norm(x), run)
        routings = [
            self.moe.route(self.moe_norm(x[rows]), index, run.hooks) for rows, index in run.chunks
        ]
        wrong = torch.stack([routing.unsound for routing in routings]).cpu().tolist()
        if any(wrong):
            raise NotFiniteError(routings[wrong.index(True)])


class Mixtral(nn.Module):
    """A sparse mixture of experts with Mixtral's architecture.

    Usually made by `moe_viz.load`. `chunk` bounds how many tokens the experts see at once; no
    result depends on it.
    """

    def __init__(self, config: MixtralConfig, chunk: int = 4096) -> None:
        super().__init__()
        self.config = config
        self.chunk = chunk
        self.tokenizer: Tokenizer | None = None
        self.unread: str = ""  # why there is no tokenizer, if a checkpoint was to bring one
        self.ends: frozenset[int] = frozenset()  # ids that end a text, by the checkpoint's config
        self.origin: Provenance = Provenance(model=config.name)  # of the weights
        self.stored_as: Callable[[str], str] = str  # what a tensor is called in its file
        # Raises an error where weights are views of a file, and it is not what it was.
        self.check_weights: Callable[[], None] = lambda: None
        self.embedding: nn.Embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers: nn.ModuleList = nn.ModuleList(
            DecoderLayer(config, n) for n in range(config.layers)
        )
        self.norm: RMSNorm = RMSNorm(config)
        self.head: nn.Linear = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        """Where token ids must go."""
        return self.norm.weight.device

    @property
    def devices(self) -> list[torch.device]:
        """All devices that hold weights, the one where token ids go first."""
        there = [w.device for w in (self.norm.weight, *self.parameters(), *self.buffers())]
        return list(dict.fromkeys(there))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of all but the routers; packed weights are cast to it as they are used."""
        return self.norm.weight.dtype

    @property
    def attached(self) -> Attached:
        """What the `with` blocks around this attach: what a run that is called here carries."""
        return attached_to(self)

    @property
    def provenance(self) -> Provenance:
        """What a trace recorded here would be stamped with."""
        return self.stamped(self.attached)

    def stamped(self, attached: Attached) -> Provenance:
        """Where a recording comes from: the weights as they are now, and what was attached."""
        return replace(
            self.origin,
            dtype=str(self.dtype).removeprefix("torch."),
            device=", ".join(map(str, self.devices)),
            interventions=(*self.origin.interventions, *attached.interventions),
        )

    def router_hooks(self, *hooks: RouterHook) -> AbstractContextManager[Mixtral]:
        """Attach hooks to every router for the length of a `with` block, and no longer.

        They run after those already attached, in the order given, in every run that is called
        within the block, to its end. A thread started inside the block does not inherit it. Raises
        `HookError` for what cannot be called.
        """
        return hooked(self, hooks)

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for prompts that will be continued, with room for so many tokens."""
        return KVCache(capacity=capacity)

    def routers(self) -> dict[str, Any]:
        """What a trace says of its routers, beside the rule, which is Mixtral's."""
        return {"model_layers": self.config.layers}

    def forward(
        self,
        token_ids: Tensor,
        lengths: Sequence[int] | None = None,
        logits: Literal["all", "last", "none"] = "all",
        *,
        cache: KVCache | None = None,
        index: TokenIndex | None = None,
        attached: Attached | None = None,
    ) -> Tensor | None:
        """Run prompts that lie end to end.

        `token_ids` is (T,), `lengths` the tokens of each prompt (default: one prompt). Returns
        the output head's logits: of all tokens (T, V), of each prompt's last token (prompts, V),
        or None. The head is never computed for tokens nobody asked for.

        With a `cache`, the tokens continue the prompts that the cache holds. `index` tells hooks
        which tokens of a larger recording these are; `attached` names the hooks, if not those of
        the blocks around this call.

        Raises `InputError` for ids outside the vocabulary, lengths that do not add up, and
        prompts longer than the context; `NumberError` where router or head give NaN or infinity.
        """
        if logits not in ("all", "last", "none"):
            raise InputError(f"logits must be 'all', 'last' or 'none', found {logits!r}.")
        lengths = [len(token_ids)] if lengths is None else [int(n) for n in lengths]
        x = self.hidden(token_ids, lengths, cache=cache, index=index, attached=attached)
        if logits == "none":
            return None
        if logits == "last":
            ends = torch.tensor(lengths).cumsum(0) - 1
            x = x[ends.to(x.device)]
        found = self.head(self.norm(x))
        if not bool(found.isfinite().all().cpu()):
            raise NumberError(bad_output(self, "output logits"))
        return found

    def hidden(
        self,
        token_ids: Tensor,
        lengths: Sequence[int],
        *,
        cache: KVCache | None = None,
        index: TokenIndex | None = None,
        attached: Attached | None = None,
    ) -> Tensor:
        """Hidden states (T, D) after the last layer, before the final norm; see `forward`."""
        # Of all layers' hidden states only the last are kept.
        sweep = self.sweep(token_ids, lengths, cache=cache, index=index, attached=attached)
        ((_, x),) = deque(sweep, maxlen=1)
        return x

    def sweep(
        self,
        token_ids: Tensor,
        lengths: Sequence[int],
        *,
        cache: KVCache | None = None,
        index: TokenIndex | None = None,
        last: bool = True,
        resume: tuple[int, Tensor] | None = None,
        progress: bool = False,
        attached: Attached | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """One layer after the other: how many are done, and the hidden states (T, D) after them.

        Without `last`, the last layer runs only as far as its router, which is all that a recording
        needs, and yields nothing. `resume` is a pair yielded earlier, from which this continues.
        With `progress`, a progress bar is shown where it takes longer than a moment. Hooks are
        those that are attached now, not when the first layer is asked for; see `forward`.
        """
        check_tokens(token_ids, lengths, self.config)
        settle()
        carried = self.attached if attached is None else attached
        run = self._prepare(lengths, cache, index, carried.hooks)
        return self._swept(token_ids, run, last, resume, progress)

    def _swept(
        self,
        token_ids: Tensor,
        run: Pass,
        last: bool,
        resume: tuple[int, Tensor] | None,
        progress: bool,
    ) -> Iterator[tuple[int, Tensor]]:
        self.check_weights()
        if resume is None:
            done, x = 0, self.embedding(token_ids.to(self.device))  # (T, D)
        else:
            done, x = resume[0], resume[1].to(self.device)
        try:
            with closing(self.visit(done, len(token_ids), last, progress)) as layers:
                for layer in layers:
                    self.check_weights()
                    if done == self.config.layers - 1 and not last:
                        layer.route(x, run)
                        return
                    x = layer(x, run)
                    done += 1
                    yield done, x
        except NotFiniteError as found:
            raise NumberError(bad_routing(self, found.routing, run.index, token_ids)) from None

    def visit(
        self, done: int, tokens: int, last: bool, progress: bool
    ) -> Generator[DecoderLayer, None, None]:
        """The layers after the first `done`, in order, each ready to run; see `sweep`.

        Where weights do not stay in memory, this is where they come and go.
        """
        with progress_bar("layers", self.config.layers, done, hidden=not progress) as bar:
            for layer in islice(self.layers, done, None):
                yield layer  # type: ignore[misc]
                bar.update()

    def _prepare(
        self,
        lengths: Sequence[int],
        cache: KVCache | None,
        index: TokenIndex | None,
        hooks: tuple[RouterHook, ...],
    ) -> Pass:
        config = self.config
        past = [cache.length(prompt) if cache else 0 for prompt in range(len(lengths))]
        longest = max(p + n for p, n in zip(past, lengths, strict=True))
        if longest > config.context:
            raise InputError(
                f"A prompt of {longest:,} tokens does not fit: {config.name} has a context of "
                f"{config.context:,}. Shorten the text, or split it into several prompts."
            )
        if index is None:
            index = TokenIndex.of_prompts(lengths, past).to(self.device)
        angles = rotation(index.position, config.head_dim, config.rope_theta, self.dtype)
        return Pass(lengths, index, angles, self.chunk, hooks, cache)


def check_tokens(token_ids: Tensor, lengths: Sequence[int], config: MixtralConfig) -> None:
    """Raise `InputError` unless these are prompts that a model of this config can run."""
    if token_ids.ndim != 1 or token_ids.dtype not in (torch.int64, torch.int32):
        raise InputError(
            "token_ids must be a vector of whole numbers, all prompts end to end: found "
            f"{token_ids.dtype} of shape {tuple(token_ids.shape)}. Flatten batches, and give the "
            "prompts' lengths."
        )
    if not lengths or min(lengths) < 1:
        raise InputError(
            f"lengths must name at least one prompt, each of at least one token: found "
            f"{list(lengths)[:8]}."
        )
    if sum(lengths) != len(token_ids):
        raise InputError(
            f"lengths must add up to the number of token_ids: they add up to {sum(lengths):,}, "
            f"but there are {len(token_ids):,} ids."
        )
    low, high = torch.stack(token_ids.aminmax()).cpu().tolist()
    if low < 0 or high >= config.vocab_size:
        raise InputError(
            f"token_ids must lie in 0 … {config.vocab_size - 1}: found {low} … {high}. Was the "
            "text encoded with another model's tokenizer?"
        )
