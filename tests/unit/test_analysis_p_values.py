"""Every p-value of every analysis against all the ways that chance could have gone.

Signs of documents turned in every way, labels dealt out in every way, tokens shuffled by other
loops; then Holm's correction by hand, or the largest of all. A p-value is near 0 for what was
planted, near 1 for the opposite where a question has a direction, and never 0.
"""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import entropy, false_discovery_control  # noqa: F401

from moe_viz import analysis
from moe_viz.analysis import Documents
from moe_viz.analysis.examples import example
from moe_viz.analysis.statistics import (
    corrected,
    exceedance,
    holm,
    sign_flips,
    standardised_flips,
)
from tests.unit.test_analysis import counted, first
from tests.unit.test_analysis_promises import hits
from tests.unit.varied import PER_DOCUMENT, sums_of, varied

NEAR = 0.05  # a thousand turns find p = 0.5 within 0.05, three times its error


def all_signs(n: int) -> np.ndarray:
    return np.array(list(product((-1, 1), repeat=n)), float)


def flipped(differences: np.ndarray) -> np.ndarray:
    """Exact two-sided p of each column of (N, rows)."""
    turned = np.abs(all_signs(len(differences)) @ differences)
    return (turned >= np.abs(differences.sum(0)) - 1e-9).mean(0)


def holms(p: list[float]) -> list[float]:
    """Step by step: the smallest times m, the next times m − 1, never less than the one before."""
    found, least = [0.0] * len(p), 0.0
    for rank, n in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1, p[n] * (len(p) - rank)))
        found[n] = least
    return found


def units_of(values: np.ndarray, units: list) -> np.ndarray:
    return np.array([values[[n for n, u in enumerate(units) if u == v]].sum(0) for v in dict.fromkeys(units)])


# ---- signs of documents --------------------------------------------------------------------------

TEN = ["a"] * 10 + ["a"]
TOPICS = [f"topic {n // 2}" for n in range(20)] + [""]


def shuffled_sums(name: str, trace, rows: list[dict], times: int = 60) -> np.ndarray:
    """What each document adds to each row, its counted tokens in random order: (N, rows)."""
    rng, places = np.random.default_rng(9), counted(trace)
    total = 0.0
    for _ in range(times):
        order = np.arange(len(trace))
        for document in places:
            order[document] = rng.permutation(document)
        fields = {n: getattr(trace, n)[:, order] for n in ("experts", "router_logits")}
        total = total + sums_of(name, trace.__class__(**{**vars(trace), **fields}), rows)[..., 0]
    return total / times


@pytest.mark.parametrize("name", ["repetition", "expert_cache"])
def test_order_is_told_from_shuffled_order_by_turning_documents_signs(name):
    trace = varied(TEN, seed=4)
    call = {"repetition": analysis.repetition, "expert_cache": analysis.expert_cache}[name]
    tables = [call(trace, seed=n).where(**({} if name == "repetition" else {"policy": ["LRU", "LFU"]}))
              for n in range(8)]  # the shuffles differ, and their mean is compared
    rows = list(tables[0].rows())
    observed, mixed = sums_of(name, trace, rows), shuffled_sums(name, trace, rows)
    exact = flipped((observed[..., 0] - mixed)[:10])
    total = observed[..., 1].sum(0)
    np.testing.assert_allclose(
        np.mean([t["shuffled"] for t in tables], axis=0), mixed.sum(0) / total, atol=0.02
    )
    keys = [(r.get("what"), r.get("policy"), r.get("size")) for r in rows]
    expected = np.empty(len(rows))
    for key in dict.fromkeys(keys):
        of = [n for n, k in enumerate(keys) if k == key]  # the layers of one question
        expected[of] = holms(exact[of].tolist())
    found = np.mean([t["p"] for t in tables], axis=0)
    assert ((expected > 0.02) & (expected < 0.9)).sum() >= 2  # neither clear nor nothing
    np.testing.assert_allclose(found, expected, atol=0.12)
