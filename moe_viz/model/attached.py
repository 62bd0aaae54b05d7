# SPDX-License-Identifier: Apache-2.0
"""What is attached to a model: the hooks of the `with` blocks that a call is made in.

A run takes them once, when it is called, and carries them to its end. So a block that ends first, a
second thread, or another task takes nothing from it and adds nothing to it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ..errors import HookError, kind_of
from ..routing import RouterHook


@dataclass(frozen=True)
class Attached:
    """Hooks in the order in which they run, and what the trace of such a run must say of them."""

    hooks: tuple[RouterHook, ...] = ()
    interventions: tuple[str, ...] = ()

    def then(self, *hooks: RouterHook) -> Attached:
        """The same, with more hooks behind; for those that change nothing, as a recorder."""
        return Attached((*self.hooks, *hooks), self.interventions)


class _Block:
    """A `with` block that has been entered: whose model it is about, and in which thread."""

    def __init__(self, model: object, attached: Attached) -> None:
        self.model: object = model
        self.attached = attached
        self.thread = threading.current_thread()

    def close(self) -> None:
        """From now on it counts nowhere, also in contexts that were copied from this one."""
        self.model = None


#: The blocks around the code that runs, outermost first; each task of asyncio has its own.
_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("moe_viz blocks", default=())


def attached_to(model: object) -> Attached:
    """What the blocks around this call attach to a model.

    Those of another thread do not count. Some versions of Python hand them on to the threads that
    they start, others do not, and a thread may well outlive the block.
    """
    thread = threading.current_thread()
    found = [b.attached for b in _blocks.get() if b.model is model and b.thread is thread]
    return Attached(
        tuple(hook for one in found for hook in one.hooks),
        tuple(stamp for one in found for stamp in one.interventions),
    )


@contextmanager
def attach(model: object, attached: Attached) -> Iterator[None]:
    """Attach hooks for the length of a block, which may be left in another context or thread."""
    block = _Block(model, attached)
    _blocks.set((*_open(), block))
    try:
        yield
    finally:
        block.close()
        _blocks.set(_open())


@contextmanager
def hooked(model: Any, hooks: Sequence[RouterHook]) -> Iterator[Any]:
    """Attach router hooks for the length of a block. `HookError` for what cannot be called."""
    for hook in hooks:
        if not callable(hook):
            raise HookError(
                "router_hooks takes functions hook(routing) -> Routing | None; found "
                f"{kind_of(hook)}."
            )
    with attach(model, Attached(tuple(hooks))):
        yield model


def _open() -> tuple[_Block, ...]:
    return tuple(block for block in _blocks.get() if block.model is not None)
