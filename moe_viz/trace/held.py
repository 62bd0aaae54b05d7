# SPDX-License-Identifier: Apache-2.0
"""The arrays of a trace that are views of its file: handed out while the file is what was opened.

In: an open file and a trace. Out: attributes that look at the file before they give an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import TraceError
from ..tensorfile import HeldFile

_FILE = "_held"


class HeldArray:
    """An attribute whose array may be a view of a file; `TraceError` if that has changed since."""

    def __init__(self, name: str) -> None:
        self.name: str = name

    def __get__(self, trace: Any, kind: type) -> Any:
        if trace is None:
            return self
        refuse_changed(held_by(trace))
        return vars(trace)[self.name]

    def __set__(self, trace: Any, array: np.ndarray | None) -> None:
        vars(trace)[self.name] = array


def hold(trace: Any, held: HeldFile | None) -> None:
    """The arrays of this trace are views of this file."""
    vars(trace)[_FILE] = held


def held_by(trace: Any) -> HeldFile | None:
    """The file that the arrays of this trace are views of, if any."""
    return vars(trace).get(_FILE)


def without_file(trace: Any) -> dict[str, Any]:
    """The attributes of a trace for a copy of it, whose arrays are its own; checked like them."""
    refuse_changed(held_by(trace))
    return {name: value for name, value in vars(trace).items() if name != _FILE}


def refuse_changed(held: HeldFile | None) -> None:
    """Raise `TraceError` if the file of a trace is not what it was when it was opened."""
    if held is not None and (change := held.change()):
        raise TraceError(
            f"{held.path}: has changed since it was opened: {change}. The arrays of this trace are "
            "read from it as they are needed. Load it again; with Trace.load(path, copy=True) a "
            "trace does not depend on its file."
        )
