# SPDX-License-Identifier: Apache-2.0
"""What holds for every shard of a corpus: the model, which layers were recorded, and its rule.

In: the trace of any of the shards, or what was written of one. Out: the same, without its arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .format import header_of
from .provenance import Provenance
from .rule import Rule
from .trace import Trace


@dataclass(frozen=True)
class Pattern:
    """What a trace says of its model, by the names that a trace has for it."""

    provenance: Provenance
    layers: tuple[int, ...]
    rule: Rule
    expert_count: int
    choices: int  # experts chosen for each token
    scored: tuple[bool, ...]
    model_layers: int
    mixtures: tuple[int, ...]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name} of a corpus is not in memory: count it shard by shard")

    @staticmethod
    def of(trace: Trace) -> Pattern:
        """The pattern of a trace."""
        said = {name: getattr(trace, name) for name in Pattern.__dataclass_fields__.keys() - _OWN}
        return Pattern(**said, choices=trace.experts.shape[2])

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**header_of(vars(self)), "choices": self.choices}

    @staticmethod
    def from_json(said: Mapping[str, Any]) -> Pattern:
        """What `to_json` gave."""
        return Pattern(
            Provenance.from_json(said["provenance"]),
            tuple(int(n) for n in said["layers"]),
            Rule.from_json(said["rule"]),
            int(said["expert_count"]),
            int(said["choices"]),
            tuple(bool(n) for n in said["scored"]),
            int(said["model_layers"]),
            tuple(int(n) for n in said["mixtures"]),
        )


#: What a trace has as the shape of an array.
_OWN = {"choices"}
