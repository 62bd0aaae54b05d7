# SPDX-License-Identifier: Apache-2.0
"""Stream: the weights pass through memory once, for any number of prompts.

A Mixtral of 87 GiB is recorded on a machine with 4: embedding rows, routers and norms stay; each
layer's attention, and then its experts one by one, are read while the ones before them compute, and
dropped when they have. In: a checkpoint. Out: a model like any other, except that it cannot
generate: every token would read all weights again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint import Checkpoint
from ..errors import PlacementError
from ..model import Mixtral
from ..model.mixtral import DecoderLayer
from ..model.quantized import Packed
from ..progress import NO_BAR, progress_bar
from .ondemand import ROWS, OnDemand, built, expert_name
from .resident import fill, stays_packed
from .transfer import Sent, Transfer, tensors

#: With this many tokens every expert of a layer is in use, and all are read ahead of the router;
#: with fewer, nothing is read before it is known to be needed.
ENOUGH_TOKENS = 64

_PAGE = 4096


class Feed:
    """A thread that makes modules ready, in the order they are asked for, one ahead.

    At any time at most one module waits, one is being read, and one computes. An error in the
    thread is raised where its module is taken.
    """

    def __init__(self, send: Callable[[str], Sent]) -> None:
        self._send = send
        self._asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ready: queue.Queue[tuple[str, Sent | BaseException]] = queue.Queue(maxsize=1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="moe_viz feed", daemon=True)
        self._thread.start()

    def ask(self, names: Iterable[str]) -> None:
        """Read these next, after what was asked for before."""
        for name in names:
            self._asked.put(name)

    def take(self, name: str) -> nn.Module:
        """Wait for a module; those asked for before it and never taken are dropped."""
        while True:
            found, sent = self._ready.get()
            if isinstance(sent, BaseException):
                raise sent
            if found == name:
                return sent.received()

    def stop(self) -> None:
        """End the thread, and drop what it has read."""
        self._stopped.set()
        self._asked.put(None)
        while self._thread.is_alive():
            with suppress(queue.Empty):  # it may be waiting to hand something over
                self._ready.get(timeout=0.02)
        self._thread.join()

    def _run(self) -> None:
        while (name := self._asked.get()) is not None and not self._stopped.is_set():
            try:
                sent: Sent | BaseException = self._send(name)
            except BaseException as error:
                sent = error
            self._ready.put((name, sent))


class EmbeddingRows(nn.Module):
    """The embedding, read only in the rows that are used: ids (T,) → (T, D)."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.checkpoint: Checkpoint = checkpoint
        self.device: torch.device = device
        self.dtype: torch.dtype = dtype

    def whole(self) -> nn.Module:
        """The whole embedding, read now."""
        return built(self.checkpoint, self.checkpoint.config, "embedding", self.device, self.dtype)

    def forward(self, ids: Tensor) -> Tensor:
        """Rows of these ids."""
        used, places = ids.cpu().unique(return_inverse=True)
        rows = self.checkpoint.rows("embedding.weight", used)
        rows = rows.unpacked() if isinstance(rows, Packed) else rows
        return rows.to(self.dtype)[places].to(self.device)


class StreamedMixtral(Mixtral):
    """A Mixtral whose attention and experts are read from a checkpoint during each sweep."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        with torch.device("meta"):
            super().__init__(checkpoint.config)
        self._checkpoint, self._placed = checkpoint, (device, dtype)
        self._transfer = Transfer(device)
        self._feed: Feed | None = None
        self._sweeping = threading.Lock()  # weights pass once: for one sweep at a time
        self._head: nn.Module | None = None
        self._bar: Any = NO_BAR
        self.chunk = 2**62  # every expert passes once, for all tokens
        for n, layer in enumerate(self.layers):
            layer.set_submodule("attention", OnDemand(f"layers.{n}.attention", self._take))
            for e in range(checkpoint.config.experts):
                expert = OnDemand(expert_name(n, e), self._take, ROWS)
                layer.set_submodule(f"moe.experts.{e}", expert)
        self.embedding = EmbeddingRows(checkpoint, device, dtype)  # type: ignore[assignment]
        self.head = OnDemand("head", self._take)  # type: ignore[assignment]
        staying = {name: checkpoint[name] for name in checkpoint if not stays_packed(name)}
        fill(self, staying, device, dtype)

    def visit(
        self, done: int, tokens: int, last: bool, progress: bool
    ) -> Generator[DecoderLayer, None, None]:
        """The layers after the first `done`, whose weights are being read; see `Mixtral.sweep`.

        Raises `PlacementError` during another sweep of this model, in whatever thread.
        """
        if not self._sweeping.acquire(blocking=False):
            raise PlacementError(
                "This model is in the middle of another sweep. Let it end, or load the model again."
            )
        try:
            yield from self._visited(done, tokens, last, progress)
        finally:
            self._sweeping.release()

    def _visited(
        self, done: int, tokens: int, last: bool, progress: bool
    ) -> Iterator[DecoderLayer]:
        modules = [list(self._modules_of(n, last)) for n in range(self.config.layers)]
        total = sum(self._checkpoint.size(name) for names in modules[done:] for name in names)
        with progress_bar("sweep", total, unit="B", hidden=not progress) as bar:
            self._bar = bar
            self._feed = Feed(self._send) if tokens >= ENOUGH_TOKENS else None
            try:
                if self._feed is not None:
                    self._feed.ask(name for names in modules[done:] for name in names)
                for n, layer in enumerate(islice(self.layers, done, None), start=done):
                    bar.desc = f"layer {n + 1} of {self.config.layers}: "
                    yield layer  # type: ignore[misc]
            finally:
                if self._feed is not None:
                    self._feed.stop()
                self._feed, self._bar = None, NO_BAR

    @property
    def sweep_bytes(self) -> int:
        """Stored bytes that one pass with an output reads."""
        names = (name for n in range(self.config.layers) for name in self._modules_of(n, True))
        return sum(self._checkpoint.size(name) for name in names)

    def _modules_of(self, n: int, last: bool) -> Iterator[str]:
        """The modules of a layer that a sweep needs, in the order in which it needs them."""
        yield f"layers.{n}.attention"
        if last or n + 1 < self.config.layers:  # else nothing after the router is needed
            yield from (expert_name(n, e) for e in range(self.config.experts))

    def _take(self, name: str) -> nn.Module:
        if name == "head":  # wanted again and again when losses are computed: it stays
            self._head = self._head or self._send(name).received()
            return self._head
        return self._feed.take(name) if self._feed is not None else self._send(name).received()

    def _send(self, name: str) -> Sent:
        """A module with its weights, read now."""
        checkpoint = self._checkpoint
        sent = self._transfer.send(lambda: built(checkpoint, self.config, name, *self._placed))
        for tensor in tensors(sent.module):
            _touch(tensor)
        self._bar.update(checkpoint.size(name))
        return sent


def _touch(tensor: Tensor) -> None:
    """Have a mapped tensor read from disk now, in this thread: touch a byte of every page."""
    whole = tensor if tensor.is_contiguous() else tensor.mT
    if whole.device.type == "cpu" and whole.is_contiguous():
        whole.view(torch.uint8).flatten()[::_PAGE].sum()
