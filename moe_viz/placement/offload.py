# SPDX-License-Identifier: Apache-2.0
"""Offload: experts wait in the host's memory, and are fetched when a token goes to them.

Unlike a sweep this can generate: attention, routers, norms and embeddings stay on the device, and
so do the experts used last, as many as fit. In: a checkpoint. Out: a model like any other. While a
layer computes, the experts that the next one will probably need are on their way: the next
router's opinion of this layer's hidden states is a good guess (arXiv 2312.17238, section 3.2). A
guess decides when an expert is fetched, never which one runs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..checkpoint import Checkpoint
from ..errors import PlacementError
from ..model import KVCache, Mixtral
from ..model.layers import Pass
from ..model.quantized import Packed
from ..progress import progress_bar
from ..routing import RouterHook, Routing, TokenIndex
from .memory import available_memory
from .ondemand import ROWS, OnDemand, built, expert_name
from .resident import fill
from .transfer import Sent, Transfer

#: Bytes of the device that are reserved for activations, the key-value cache and torch itself.
RESERVE = 1.5 * 2**30


class ExpertCache:
    """The experts that are on the device: those used last, up to `budget` bytes of them.

    `misses` counts the experts that were neither there nor on their way when a decision named them,
    `hits` the others. Several threads may run the model at once.
    """

    def __init__(
        self, send: Callable[[str], Sent], sizes: Mapping[str, int], budget: float
    ) -> None:
        self._send, self._sizes = send, sizes
        self.budget: float = budget
        self._there: OrderedDict[str, Sent] = OrderedDict()  # least recently used first
        self.hits: int = 0
        self.misses: int = 0
        self._lock = threading.RLock()

    def need(self, names: Sequence[str]) -> None:
        """A decision has named these: start fetching those that are missing."""
        with self._lock:
            missing = sum(name not in self._there for name in names)
            self.hits, self.misses = self.hits + len(names) - missing, self.misses + missing
            self.expect(names, keep=names)

    def expect(self, names: Iterable[str], keep: Collection[str]) -> None:
        """Start fetching experts, as far as room can be made without dropping those to keep."""
        with self._lock:
            for name in names:
                if name in self._there:
                    self._there.move_to_end(name)
                elif self._make_room(self._sizes[name], keep):
                    self._there[name] = self._send(name)

    def take(self, name: str) -> nn.Module:
        """An expert that is about to run."""
        with self._lock:
            if name not in self._there:  # there was no room for it before
                self._make_room(self._sizes[name], keep=())
                self._there[name] = self._send(name)
            self._there.move_to_end(name)
            return self._there[name].received()

    def _make_room(self, size: int, keep: Collection[str]) -> bool:
        """Drop what was used longest ago until `size` bytes fit; False if they never do."""
        used = sum(self._sizes[name] for name in self._there)
        for name in [name for name in self._there if name not in keep]:
            if used + size <= self.budget:
                break
            del self._there[name]
            used -= self._sizes[name]
        return used + size <= self.budget


class OffloadedMixtral(Mixtral):
    """A Mixtral whose experts are fetched one by one, and stay on the device while there is room.

    `budget` is how many bytes of experts the device may hold. Raises `PlacementError` where that is
    less than one expert.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, budget: float
    ) -> None:
        with torch.device("meta"):
            super().__init__(checkpoint.config)
        self._placed = (device, dtype)
        self._transfer = Transfer(device)
        sizes: dict[str, int] = {}
        for n, layer in enumerate(self.layers):
            for e in range(checkpoint.config.experts):
                name = expert_name(n, e)
                sizes[name] = checkpoint.memory(dtype, name)
                layer.set_submodule(f"moe.experts.{e}", OnDemand(name, self._take, ROWS))
        if budget < max(sizes.values()):
            raise PlacementError(
                f"Beside what must stay there, {device} has room for {max(0, budget) / 1e6:,.0f} "
                f"MB, and one expert takes {max(sizes.values()) / 1e6:,.0f} MB. Take a smaller "
                "dtype, a quantised file, or placement='stream'."
            )
        self.experts: ExpertCache = ExpertCache(self._send, sizes, budget)
        self.chunk = 2**62  # an expert that was fetched is used by all tokens
        staying = {name: checkpoint[name] for name in checkpoint if ".moe.experts." not in name}
        fill(self, staying, device, dtype)
        self._host = _on_host(checkpoint, device)
        self._seen = threading.local()  # `.x`: what the layer's router has just seen
        for layer in self.layers:
            layer.get_submodule("moe.router").register_forward_pre_hook(self._notice)

    def _take(self, name: str) -> nn.Module:
        return self.experts.take(name)

    def _prepare(
        self,
        lengths: Sequence[int],
        cache: KVCache | None,
        index: TokenIndex | None,
        hooks: tuple[RouterHook, ...],
    ) -> Pass:
        # After all other hooks, so that it sees what will be executed.
        return super()._prepare(lengths, cache, index, (*hooks, self._bring_for))

    def _notice(self, router: nn.Module, args: tuple[Tensor]) -> None:
        self._seen.x = args[0]

    def _bring_for(self, routing: Routing) -> None:
        """A hook that fetches the experts of a decision, and those that the next may name."""
        wanted = [routing.experts, *self._guess(routing.layer + 1)]
        # One copy from the device for both.
        both = torch.cat(wanted, dim=-1).cpu().split([w.shape[1] for w in wanted], dim=1)
        now, *later = (
            [expert_name(n, e) for e in experts.unique().tolist() if e >= 0]
            for n, experts in enumerate(both, start=routing.layer)
        )
        self.experts.need(now)
        for names in later:
            self.experts.expect(names, keep=[*now, *names])

    def _guess(self, layer: int) -> list[Tensor]:
        """The experts that a layer may choose, (T, k), going by what the one before it saw."""
        if layer == self.config.layers:
            return []
        router = self.layers[layer].get_submodule("moe.router")
        scores = router.forward(self._seen.x)  # not a call, which would be noticed
        return [scores.topk(self.config.experts_per_token).indices]

    def _send(self, name: str) -> Sent:
        return self._transfer.send(lambda: built(self._host, self.config, name, *self._placed))


def _on_host(checkpoint: Checkpoint, device: torch.device) -> Mapping[str, Tensor | Packed]:
    """The waiting experts: mapped from their files, or pinned in memory where there is plenty.

    A GPU reads pinned memory directly, and beside the computation.
    """
    names = [name for name in checkpoint if ".moe.experts." in name]
    size = sum(checkpoint.size(name) for name in names)
    if device.type != "cuda" or size > available_memory() / 2:
        return checkpoint
    pinned: dict[str, Tensor | Packed] = {}
    with progress_bar("experts", size, unit="B") as bar:
        for name in names:
            stored = checkpoint[name]
            packed = isinstance(stored, Packed)
            pinned[name] = (
                Packed(stored.data.pin_memory(), stored.kind) if packed else stored.pin_memory()
            )
            bar.update(checkpoint.size(name))
    return pinned
