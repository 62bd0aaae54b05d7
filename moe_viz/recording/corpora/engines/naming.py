# SPDX-License-Identifier: Apache-2.0
"""Which engine a name stands for. loky and Ray are imported when one of theirs begins."""

from __future__ import annotations

from ....errors import InputError
from .engine import Engine, Inline, cores
from .processes import Processes
from .ray import Ray

ENGINES = ("auto", "inline", "processes", "ray")


def engine_named(
    name: str, workers: int | None, alone: bool, address: str | None = None, gpus: float = 0
) -> Engine:
    """The engine of this name. `alone`: whether the work cannot leave this process.

    Raises `InputError` for another name, and where the work cannot go there.
    """
    if name not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, found {name!r}.")
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, found {workers}.")
    if name == "auto":
        count = workers or cores()
        name = "ray" if address else "inline" if alone or count == 1 else "processes"
    if alone and name != "inline":
        raise InputError(
            f"engine={name!r} loads the model in other processes, and this one is in memory here. "
            "Give its name or folder instead, or take engine='inline'."
        )
    if address and name != "ray":
        raise InputError(f"address= belongs to engine='ray', found engine={name!r}.")
    if name == "inline":
        return Inline()
    if name == "processes":
        return Processes(workers or cores())
    return Ray(workers, address, gpus)
