# SPDX-License-Identifier: Apache-2.0
"""Settings of an adapter that hold for some modules: rank_pattern and alpha_pattern of peft.

In: expressions and their values. Out: the value of the first that fits the end of a module's name.
An expression from a file may be one that takes centuries to match: what could is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .hub.repository import HubPath

#: Characters of an expression, and ways that it may have to match a name: a repetition can end
#: after each of the name's letters, a group can be any of its choices.
_LONGEST, _MOST_WAYS, _LETTERS = 1000, 1_000_000, 60
_SIGNS = re.compile(r"\\.|([*+?{(|])")
#: Seconds that the matching of all modules may take: they are some thousands.
_PATIENCE = 20.0


class Patterns:
    """The expressions of one setting, in the order of the file.

    Raises `CheckpointError` for one that is too intricate.

    >>> said = {"q_proj": 4, r"layers\\.0\\..*": 8}
    >>> Patterns(said, Path("adapter_config.json")).of("model.layers.0.self_attn.q_proj")
    4
    """

    def __init__(self, said: Any, file: Path | HubPath) -> None:
        self._file = file
        self._left = _PATIENCE
        self._known: list[tuple[re.Pattern[str], Any]] = []
        for pattern, value in said.items() if isinstance(said, Mapping) else ():
            self._refuse_intricate(pattern)
            try:
                self._known.append((re.compile(rf"(.*\.)?({pattern})$"), value))
            except (re.error, RecursionError, OverflowError):
                continue  # peft would stop here; it fits nothing

    def of(self, module: str) -> Any:
        """The value for a module; None where no expression fits."""
        began = time.monotonic()
        found = next((value for known, value in self._known if known.match(module)), None)
        self._left -= time.monotonic() - began
        if self._left < 0:
            raise self._refused(f"{len(self._known):,} expressions")
        return found

    def _refuse_intricate(self, pattern: str) -> None:
        signs = [match[1] for match in _SIGNS.finditer(pattern[:_LONGEST]) if match[1]]
        groups, choices = signs.count("("), 1 + signs.count("|")
        repeated = len(signs) - groups - choices + 1
        ways = choices**groups * _LETTERS**repeated
        if ways > _MOST_WAYS or len(pattern) > _LONGEST or re.search(r"\)[*+{]", pattern):
            raise self._refused(repr(pattern)[:80])

    def _refused(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self._file}: {what} could take very long to match. Expected names of modules, or "
            "simple expressions. Merge the adapter with peft (merge_and_unload), and load that."
        )
