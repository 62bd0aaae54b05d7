"""How far long work is: one kind of bar, in terminals and notebooks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


class _Hidden(AbstractContextManager):
    """No bar at all, at no cost: generating a token makes one of these."""

    def update(self, n: int = 1) -> None:
        """Do nothing."""

    def set_description(self, text: str) -> None:
        """Do nothing."""

    def __exit__(self, *error: object) -> None:
        return None


NO_BAR = _Hidden()


def progress_bar(what: str, total: int, done: int = 0, unit: str = "", hidden: bool = False) -> Any:
    """A bar from tqdm, for a `with` block, shown after two seconds; `unit` "B" counts bytes."""
    if hidden:
        return NO_BAR
    # Plain text, in notebooks too: a bar of widgets would stay in the saved notebook, where it is
    # an error message without a kernel, and would make every export ask a CDN for scripts.
    from tqdm import tqdm

    return tqdm(
        desc=what,
        total=total,
        initial=done,
        leave=False,
        delay=2,
        unit=unit or "it",
        unit_scale=bool(unit),
        unit_divisor=1000,
    )
