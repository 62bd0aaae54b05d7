# SPDX-License-Identifier: Apache-2.0
"""How a router gets from its logits to a choice, and to the gates of the chosen experts.

Mixtral takes the k largest logits and a softmax over them. Other mixtures score with a sigmoid, add
a bias to the scores for the choice alone, choose within groups, or leave gates as they are. A trace
says which, so that margins, probabilities and sentences about it are true. Plain data: no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

SCORES = ("softmax", "sigmoid", "sqrtsoftplus")
_NAMES = {"softmax": "softmax", "sigmoid": "sigmoid", "sqrtsoftplus": "√ of the softplus"}
CHOICES = ("scores", "stored", "unknown")
BIASES = ("", "scores", "logits")
GROUP_SCORES = ("best", "two best")


@dataclass(frozen=True)
class Rule:
    """A scoring rule: score s = f(logit); the choice goes by s, or by s and more; gates by s.

    >>> mixtral = Rule()
    >>> deepseek = Rule("sigmoid", bias="scores", groups=8, groups_kept=4, scale=2.5)
    >>> mixtral.plain, deepseek.plain
    (True, False)
    """

    score: str = "softmax"  # over all experts; or "sigmoid", or "sqrtsoftplus": √(log(1 + eˣ))
    bias: str = ""  # what a number of each expert is added to for the choice: "scores" or "logits"
    groups: int = 1  # groups of neighbouring experts, of which the best are kept
    groups_kept: int = 1
    group_score: str = "two best"  # added up; or "best": a group's largest score
    outside_zero: bool = False  # whether other groups' experts count as 0, and not as the last
    normalised: bool = True  # gates are divided by their sum
    scale: float = 1.0  # and multiplied by this
    weighted: bool = False  # and by a number of each expert, which a trace does not hold
    choice: str = "scores"  # what it went by: "scores" as above, "stored" ones, or "unknown"
    gates: bool = True  # whether gates follow from the logits as above
    gated: bool = True  # whether gates were recorded; else all of the chosen count equally
    shared: int = 0  # experts that every token uses beside the chosen ones
    shared_gated: bool = False  # by a gate of their own
    note: str = ""  # what else is to be known, as a sentence

    def __post_init__(self) -> None:
        if self.score not in SCORES or self.choice not in CHOICES:
            raise ValueError(f"a rule with score {self.score!r} and choice {self.choice!r}")
        if self.bias not in BIASES or self.group_score not in GROUP_SCORES:
            raise ValueError(f"a rule with bias {self.bias!r}, groups by {self.group_score!r}")
        if not 1 <= self.groups_kept <= self.groups:
            raise ValueError(f"a rule that keeps {self.groups_kept} of {self.groups} groups")

    @property
    def plain(self) -> bool:
        """Whether the experts with the largest logits are the chosen ones."""
        return self.choice == "scores" and not self.bias and self.groups == 1

    @property
    def words(self) -> str:
        """What the choice goes by, for a figure.

        >>> Rule().words, Rule("sigmoid", bias="scores", groups=8, groups_kept=4).words
        ('logits', 'sigmoid of the logit + bias, in the 4 best of 8 groups')
        """
        if self.choice != "scores":
            return "recorded scores" if self.choice == "stored" else "unknown"
        if self.plain:
            return "logits"
        said = "logit" if self.bias == "logits" else f"{_NAMES[self.score]} of the logit"
        said += " + bias" if self.bias else ""
        return said + (f", in the {self.groups_kept} best of {self.groups} groups"
                       if self.groups > 1 else "")  # fmt: skip

    @property
    def remarks(self) -> str:
        """What else is to be known, as sentences.

        >>> Rule(shared=2, shared_gated=True).remarks
        'Beside them every token uses 2 shared experts, by a gate of their own.'
        """
        several = "s" if self.shared > 1 else ""
        own = f", by a gate of {'their' if several else 'its'} own" if self.shared_gated else ""
        beside = f"Beside them every token uses {self.shared} shared expert{several}{own}."
        each = "An expert's gates are multiplied by a number of its own." if self.weighted else ""
        return " ".join(filter(None, (self.note, each, beside if self.shared else "")))

    @property
    def sums_to_one(self) -> bool:
        """Whether each token's gates add up to 1."""
        return self.gates and self.normalised and self.scale == 1 and not self.weighted

    def to_json(self) -> dict[str, Any]:
        """Plain data for a file's header."""
        return asdict(self)

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Rule:
        """Back from `to_json`; what is not known is ignored, what is missing is as by default.

        Raises `TypeError` or `ValueError` for a value of another kind.
        """
        known: dict[str, Any] = {}
        for field in fields(Rule):
            value = raw.get(field.name)
            if value is None:
                continue
            kind = type(field.default)
            if kind is float and type(value) is int:
                value = float(value)
            if type(value) is not kind:
                raise TypeError(f"a rule's {field.name} is {value!r:.40}")
            known[field.name] = value
        return Rule(**known)


#: The k largest logits, and a softmax over them.
MIXTRAL = Rule()


def scores_of(rule: Rule, logits: np.ndarray) -> np.ndarray:
    """Scores (…, E) of logits (…, E), in float32 or wider.

    >>> scores_of(Rule("sigmoid"), np.array([0.0, np.log(3.0)]))
    array([0.5 , 0.75])
    """
    x = logits if logits.dtype == np.float64 else logits.astype(np.float32)
    if rule.score == "softmax":
        weights = np.exp(x - x.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)
    if rule.score == "sigmoid":
        return np.exp(-np.logaddexp(0, -x))  # exp alone would overflow
    return np.sqrt(np.logaddexp(x, 0))


def ranking_of(rule: Rule, logits: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """What the choice goes by, (…, E): the k largest are chosen; −∞ outside the kept groups.

    `bias` is (E,), where the rule has one. Where the choice goes by the logits themselves, or
    what rises with them, these are the logits. Raises `ValueError` where it goes by something else.

    >>> rule = Rule("sigmoid", bias="scores")
    >>> ranking_of(rule, np.array([[0.0, 1.0]], np.float32), np.array([1, 0], np.float32)).argmax()
    np.int64(0)
    """
    if rule.choice != "scores":
        raise ValueError("the choice does not go by scores that follow from the logits")
    if rule.plain:
        return logits
    if rule.bias == "logits":
        ranking = logits + bias
    else:
        ranking = scores_of(rule, logits)
        if rule.bias:
            ranking = ranking + bias
    if rule.groups == 1:
        return ranking
    E = ranking.shape[-1]
    grouped = ranking.reshape(*ranking.shape[:-1], rule.groups, E // rule.groups)
    counted = 1 if rule.group_score == "best" else min(2, grouped.shape[-1])
    best = np.sort(grouped, axis=-1)[..., -counted:].sum(axis=-1)  # (…, groups)
    kept = np.argsort(-best, axis=-1, kind="stable")[..., : rule.groups_kept]
    inside = np.zeros(best.shape, bool)
    np.put_along_axis(inside, kept, True, axis=-1)
    outside = 0 if rule.outside_zero else -np.inf
    return np.where(inside[..., None], grouped, outside).reshape(ranking.shape)


def gates_of(rule: Rule, logits: np.ndarray, experts: np.ndarray) -> np.ndarray:
    """Gates (…, k) of these experts (…, k), by the rule; 0 for an unused slot (−1).

    Without what a `weighted` rule multiplies them by.

    >>> logits = np.array([[1.0, 1.0, -9.0]])
    >>> gates_of(Rule(), logits, np.array([[0, 1]])), gates_of(
    ...     Rule("sigmoid", normalised=False, scale=2.0), np.zeros((1, 3)), np.array([[2, -1]]))
    (array([[0.5, 0.5]]), array([[1., 0.]]))
    """
    used, there = experts >= 0, np.maximum(experts, 0)
    if rule.score == "softmax" and rule.normalised:  # over the chosen alone: none is lost by others
        chosen = np.where(used, np.take_along_axis(logits, there, axis=-1), -np.inf)
        weights = np.exp(chosen - np.maximum(chosen.max(axis=-1, keepdims=True), -1e30))
        return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-20) * rule.scale
    scores = np.take_along_axis(scores_of(rule, logits), there, axis=-1) * used
    if rule.normalised:
        scores = scores / np.maximum(scores.sum(axis=-1, keepdims=True), 1e-20)
    return scores * rule.scale
