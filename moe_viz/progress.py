# SPDX-License-Identifier: Apache-2.0
"""What work says while it goes on: a progress bar, in terminals and notebooks, and notes."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any


class _Hidden(AbstractContextManager):
    """No bar, at no cost: generating a token creates one of these."""

    desc = ""

    def update(self, n: int = 1) -> None:
        """Do nothing."""

    def __exit__(self, *error: object) -> None:
        return None


NO_BAR: Any = _Hidden()
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars within the block: for callers that show progress in another way."""
    before = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(before)


def visible(text: str) -> str:
    """Text whose control characters are shown, so that no terminal obeys what a file contains.

    >>> visible("a\\x1b[31mb")
    'a␛[31mb'
    """
    return _CONTROLS.sub(lambda c: chr(0x2400 + ord(c[0])) if c[0] < " " else "�", text)


def tell(text: str) -> None:
    """A note to whoever runs this, on stderr: what was decided, or read instead."""
    print(f"moe_viz: {visible(text)}", file=sys.stderr)


def progress_bar(what: str, total: int, done: int = 0, unit: str = "", hidden: bool = False) -> Any:
    """A bar from tqdm, for a `with` block, shown after two seconds; `unit` "B" counts bytes."""
    if hidden or _quiet.get():
        return NO_BAR
    from tqdm import tqdm

    notebook = _in_notebook()
    return (_replaced_text() if notebook else tqdm)(
        desc=what,
        total=total,
        initial=done,
        leave=False,
        delay=2,
        unit=unit or "it",
        unit_scale=bool(unit),
        unit_divisor=1000,
        ncols=80 if notebook else None,
        file=io.StringIO() if notebook else None,
    )


def _in_notebook() -> bool:
    """Whether there is a kernel, whose outputs can be replaced."""
    if "IPython" not in sys.modules:
        return False
    return getattr(sys.modules["IPython"].get_ipython(), "kernel", None) is not None


@cache
def _replaced_text() -> type:
    """A bar that is one output of its cell, replaced as work goes on, and empty at the end.

    Text on stderr would leave a red band behind, like an error. A bar of widgets would stay in the
    saved notebook, broken without a kernel, and make every export ask a CDN for scripts.
    """
    from IPython.display import display
    from tqdm import tqdm

    class Replaced(tqdm):
        _output: Any = None

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            text = str(self) if msg is None else msg
            if self._output is None and text:
                self._output = display({"text/plain": text}, raw=True, display_id=True)
            elif self._output is not None:
                shown = {"text/plain": text} if text else {"text/html": "", "text/plain": ""}
                self._output.update(shown, raw=True)

    return Replaced
