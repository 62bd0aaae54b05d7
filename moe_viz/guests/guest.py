# SPDX-License-Identifier: Apache-2.0
"""A guest: a mixture of another family, run by transformers, with the interface of our own models.

In: a model of transformers, and a tokenizer. Out: what `record`, `generate` and `intervene` ask of
a model. Prompts are padded on the right, in batches of like lengths: some families leak between
prompts that are packed, others go wrong with padding on the left.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError, NumberError
from ..model import Mixtral
from ..model.attached import Attached, attached_to, hooked
from ..progress import progress_bar
from ..routing import RouterHook, TokenIndex
from ..tokenization import Tokenizer
from ..trace.provenance import Provenance
from .batches import BATCH, padded, padded_batches
from .families import FAMILIES
from .mixtures import layers_of, mixtures_of, said_of
from .seam import Mixture, Rows, flat_rows, listening

#: Bytes of output logits at a time.
LOGITS = 2**29


@dataclass(frozen=True)
class GuestConfig:
    """A guest's shape, as far as it is needed outside of transformers."""

    name: str
    model_type: str
    layers: int  # of the model, those without experts too
    mixtures: tuple[int, ...]  # those with experts
    experts: int  # E, of the layer that has most
    experts_per_token: int
    hidden_size: int
    vocab_size: int
    context: int


@dataclass
class GuestCache:
    """Keys, values and states of one prompt, as transformers keeps them."""

    kept: Any = None
    length: int = 0


class Guest:
    """A model of transformers whose routing is recorded and changed; made by `load` or `guest`.

    One pass runs at a time: hooks sit on modules that all callers share, and a second one waits.
    """

    def __init__(
        self, hf: nn.Module, tokenizer: Tokenizer | None = None, name: str = "", unread: str = ""
    ) -> None:
        config: Any = getattr(hf, "config", None)
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        if text is None or not hasattr(text, "model_type"):
            raise InputError(
                f"guest takes a model of transformers, found {type(hf).__name__} without a config."
            )
        self.hf: nn.Module = hf.eval()
        self.mixtures: list[Mixture] = mixtures_of(hf, text.model_type)
        self.tokenizer: Tokenizer | None = tokenizer
        self.unread: str = unread
        self.ends: frozenset[int] = frozenset()
        self.config: GuestConfig = GuestConfig(
            name=name
            or str(getattr(config, "_name_or_path", "")).rstrip("/").split("/")[-1]
            or text.model_type,
            model_type=text.model_type,
            layers=layers_of(hf, self.mixtures),
            mixtures=tuple(mixture.layer for mixture in self.mixtures),
            experts=max(mixture.width for mixture in self.mixtures),
            experts_per_token=max(mixture.k for mixture in self.mixtures),
            hidden_size=int(text.hidden_size),
            vocab_size=int(text.vocab_size),
            context=int(getattr(text, "max_position_embeddings", None) or 2**20),
        )
        self.origin: Provenance = Provenance(model=self.config.name)
        self.astray: bool = False  # whether a choice was seen that its rule does not explain
        self._lock = threading.RLock()
        takes = inspect.signature(hf.forward).parameters
        self._cache_name = "cache" if "cache" in takes else "past_key_values"  # before 5.24

    def __repr__(self) -> str:
        c = self.config
        return (
            f"<Guest {c.name} ({c.model_type}): {len(c.mixtures)} of {c.layers} layers with "
            f"{c.experts} experts, {c.experts_per_token} a token>"
        )

    @property
    def device(self) -> torch.device:
        """Where token ids must go."""
        embedding = self.hf.get_input_embeddings()  # type: ignore[operator]
        found = embedding.weight.device
        return torch.device("cpu") if found.type == "meta" else found

    @property
    def dtype(self) -> torch.dtype:
        """What most of it computes in."""
        return self.hf.dtype  # type: ignore[return-value]

    @property
    def attached(self) -> Attached:
        """What the `with` blocks around this attach: what a run that is called here carries."""
        return attached_to(self)

    @property
    def provenance(self) -> Provenance:
        """What a trace recorded here would be stamped with."""
        return self.stamped(self.attached)

    def stamped(self, attached: Attached) -> Provenance:
        """Where a recording comes from: the weights, and what was attached."""
        devices = dict.fromkeys(str(w.device) for w in self.hf.parameters())
        return replace(
            self.origin,
            dtype=str(self.dtype).removeprefix("torch."),
            device=", ".join(devices),
            interventions=(*self.origin.interventions, *attached.interventions),
        )

    def router_hooks(self, *hooks: RouterHook) -> AbstractContextManager[Guest]:
        """Attach hooks to every router for the length of a `with` block; as `Mixtral`'s."""
        return hooked(self, hooks)

    def routers(self) -> dict[str, Any]:
        """What a trace says of its routers."""
        return said_of(self.mixtures, self.config.layers, self.config.experts, self.astray)

    # ---- Running ---------------------------------------------------------------------------

    def __call__(
        self,
        token_ids: Tensor,
        lengths: Sequence[int] | None = None,
        logits: Literal["all", "last", "none"] = "all",
        *,
        cache: GuestCache | None = None,
        index: TokenIndex | None = None,
        attached: Attached | None = None,
        progress: bool = False,
    ) -> Tensor | None:
        """Run prompts that lie end to end, or continue the one that `cache` holds.

        As `Mixtral.forward`: `logits` are of all tokens (T, V), of each prompt's last one, or none.

        Raises `InputError` for lengths that do not add up, `CheckpointError` where a layer was not
        heard, and `NumberError` where routers or head give NaN or infinity.
        """
        lengths = [len(token_ids)] if lengths is None else [int(n) for n in lengths]
        if sum(lengths) != len(token_ids) or min(lengths, default=0) < 1:
            raise InputError(
                f"lengths must add up to the number of token_ids: found {list(lengths)[:8]} for "
                f"{len(token_ids):,} ids."
            )
        past = [cache.length if cache else 0]
        index = TokenIndex.of_prompts(lengths, past * len(lengths)) if index is None else index
        carried = self.attached if attached is None else attached
        if cache is not None:
            return self._continued(token_ids, logits, cache, index, carried)
        found: list[Tensor | None] = [None] * len(lengths)
        keep = logits != "none"
        for prompts, out in self._passes(token_ids, lengths, index, carried, keep, progress):
            for n, prompt in enumerate(prompts):
                if out is not None:
                    rows = out[n, : lengths[prompt]]
                    found[prompt] = rows if logits == "all" else rows[-1:]
        return None if logits == "none" else torch.cat([x for x in found if x is not None])

    def new_cache(self, capacity: int) -> GuestCache:
        """An empty cache for one prompt that will be continued; `capacity` is not needed here."""
        return GuestCache()

    def _continued(
        self,
        token_ids: Tensor,
        logits: str,
        cache: GuestCache,
        index: TokenIndex,
        attached: Attached,
    ) -> Tensor | None:
        """The next tokens of a prompt: logits (T, V), of the last token (1, V), or None."""
        before, new = cache.length, len(token_ids)
        # Without a mask: nothing is padded, and some families take one for the new tokens alone.
        ids, cached = token_ids.to(self.device), FAMILIES[self.config.model_type].cached
        if not cached and before:  # all that went before once more
            ids = torch.cat([cache.kept, ids])
        given: dict[str, Any] = {"input_ids": ids[None], "use_cache": cached}
        if cached and before:
            given[self._cache_name] = cache.kept
        places = torch.arange(len(ids) - new, len(ids))
        rows = Rows(places, index.to(self.device), len(ids))
        out, whole = self.heard(given, rows, attached, logits != "none")
        cache.kept, cache.length = whole[self._cache_name] if cached else ids, before + new
        if out is None:
            return None
        return out[0, -new:] if logits == "all" else out[0, -1:]

    def losses(
        self,
        token_ids: Tensor,
        lengths: Sequence[int],
        index: TokenIndex,
        attached: Attached,
        progress: bool = False,
    ) -> Tensor:
        """Nats of each token given those before it in its prompt, (T,); NaN for first tokens."""
        starts = torch.tensor([0, *lengths]).cumsum(0)
        losses = torch.full((len(token_ids),), torch.nan)
        passes = self._passes(token_ids, lengths, index, attached, True, progress)
        for prompts, out in passes:
            assert out is not None
            for n, prompt in enumerate(prompts):
                rows = slice(int(starts[prompt]) + 1, int(starts[prompt + 1]))
                targets = token_ids[rows].to(out.device)
                if len(targets):
                    scores = out[n, : len(targets)].float()
                    losses[rows] = functional.cross_entropy(scores, targets, reduction="none").cpu()
        return losses

    def _passes(
        self,
        token_ids: Tensor,
        lengths: Sequence[int],
        index: TokenIndex,
        attached: Attached,
        keep: bool,
        progress: bool,
    ) -> Iterator[tuple[list[int], Tensor | None]]:
        """Padded batches: their prompts' numbers, and output logits (B, S, V) if asked for."""
        starts = torch.tensor([0, *lengths]).cumsum(0).tolist()
        room = min(BATCH, LOGITS // (4 * self.config.vocab_size)) if keep else BATCH
        batches = padded_batches(lengths, room)
        with progress_bar("prompts", len(lengths), hidden=not progress) as bar:
            for prompts in batches:
                rows = torch.cat([torch.arange(starts[n], starts[n + 1]) for n in prompts])
                sizes = [lengths[n] for n in prompts]
                ids, mask = padded(token_ids[rows], sizes)
                place = flat_rows(sizes, index.at(rows).to(self.device))
                given = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
                yield prompts, self.heard(given | {"use_cache": False}, place, attached, keep)[0]
                bar.update(len(prompts))

    def heard(
        self, given: dict[str, Any], rows: Rows, attached: Attached, keep: bool
    ) -> tuple[Tensor | None, Any]:
        """One forward pass with hooks: output logits (B, S, V) if asked for, and all it gave."""
        body = getattr(self.hf, "base_model", self.hf)
        model: Any = self.hf if keep or body is None else body
        with self._lock, torch.inference_mode():
            with listening(self.mixtures, attached.hooks, rows) as ear:
                out = model(**given)
            self.astray |= bool(ear.astray)
        if ear.unsound:
            raise NumberError(
                f"{self.config.name}, layer {ear.unsound[0].layer}: the router's logits are NaN or "
                f"infinite, computed in {str(self.dtype).removeprefix('torch.')}. Load it with "
                "dtype='float32', or check its weights."
            )
        logits = out.logits if keep else None
        if logits is not None and not bool(logits[:, -1].isfinite().all()):
            raise NumberError(
                f"{self.config.name}: the output logits are NaN or infinite, computed in "
                f"{str(self.dtype).removeprefix('torch.')}. Load it with dtype='float32', or check "
                "its weights."
            )
        return logits, out


#: What can be recorded.
Recordable = Mixtral | Guest
