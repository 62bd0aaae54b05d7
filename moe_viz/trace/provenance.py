# SPDX-License-Identifier: Apache-2.0
"""Where a trace comes from, so that real and synthetic never mix.

Every model carries a `Provenance`, every trace keeps the one it was recorded with, and every figure
names it. Plain data: no torch here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: How the stamp of an ablation begins: the experts, as layer/expert; then what else it does.
_ABLATED = re.compile(r"ablated ((?:\d+/\d+(?:, )?)+) \((?:next best|nothing) instead\)(.*)")

#: What every figure made from untrained weights says.
RANDOM_WEIGHTS = "random weights"


@dataclass(frozen=True)
class Provenance:
    """The model behind a recording, and how it was run.

    >>> Provenance(model="8x7m", dtype="float32").title
    '8x7m · float32'
    >>> Provenance(model="8x7m", weights="random weights, seed 3").synthetic
    True
    """

    model: str
    weights: str = "trained"  # or "random weights, seed …"
    fingerprint: str = ""
    revision: str = ""  # where it was read from, if not from this machine: org/name@commit
    dtype: str = ""
    quantisation: str = "none"
    placement: str = "resident"
    device: str = ""
    interventions: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    date: str = ""  # UTC, ISO 8601

    @property
    def synthetic(self) -> bool:
        """True where the weights are random: nothing recorded from them is about a real model."""
        return self.weights.startswith(RANDOM_WEIGHTS)

    @property
    def title(self) -> str:
        """One line for the head of a figure."""
        parts = [self.model, self.dtype]
        if self.quantisation != "none":
            parts.append(self.quantisation)
        if self.synthetic:
            parts.append(self.weights)
        return " · ".join(part for part in (*parts, *self.interventions) if part)

    def switched_off(self, layer: int) -> tuple[set[int], set[int]]:
        """Experts of a layer that were ablated: for every token, and for some of them only.

        >>> stamps = ("ablated 2/5, 3/1 (nothing instead)", "ablated 2/0 (next best instead) in"
        ...           " tokens 0, 1")
        >>> Provenance("m", interventions=stamps).switched_off(2)
        ({5}, {0})
        """
        everywhere, partly = set[int](), set[int]()
        for stamp in self.interventions:
            if not (found := _ABLATED.match(stamp)):
                continue
            pairs, rest = found.groups()
            experts = {
                int(e) for at, e in (p.split("/") for p in pairs.split(", ")) if int(at) == layer
            }
            _, limited, where = rest.rpartition(" in ")
            layers = re.match(r"layers ([\d, ]+)(…)?", where)
            if layers and not layers[2] and str(layer) not in re.findall(r"\d+", layers[1]):
                continue  # this layer was left as it is
            some = limited and ("tokens" in where or "prompts" in where or "…" in where)
            (partly if some else everywhere).update(experts)
        return everywhere, partly - everywhere

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file's header."""
        return {**asdict(self), "interventions": list(self.interventions)}

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Provenance:
        """Back from `to_json`; unknown fields are ignored, and every value is text.

        What is missing or null is as it is by default. Raises `TypeError` or `ValueError` where
        interventions are not a list, or versions not a mapping.
        """
        there = {name: value for name, value in raw.items() if value is not None}
        interventions, versions = there.get("interventions", ()), there.get("versions", {})
        if isinstance(interventions, str):  # a list of letters, if it were read as one
            raise TypeError(f"interventions must be a list, found {interventions!r}")
        texts = {f.name for f in fields(Provenance)} - {"interventions", "versions"}
        known: dict[str, Any] = {name: str(there[name]) for name in texts & there.keys()}
        return Provenance(
            **{"model": "unknown", **known},
            interventions=tuple(str(i) for i in interventions),
            versions={str(k): str(v) for k, v in dict(versions).items()},
        )
