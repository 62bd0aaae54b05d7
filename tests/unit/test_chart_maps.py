# SPDX-License-Identifier: Apache-2.0
"""Maps of loads, axes of lines and names in a ledger, against numbers that are worked out here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.analysis.finding import Finding
from tests.unit.test_charts import BY_LAYER, KINDS, TWIN, documents

pytest.importorskip("plotly")
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def loads(*labels: tuple[int, list[list[float]]], title: str = "made-up") -> Finding:
    """Loads by label: how many assignments each layer has, and shares (L, E) of them."""
    parts = [(assigned, np.array(shares)) for assigned, shares in labels]
    L, E = parts[0][1].shape
    each = len(parts) * L * E
    columns = {
        "label": np.repeat([f"label {n}" for n in range(len(parts))], L * E),
        "layer": np.tile(np.repeat(np.arange(L), E), len(parts)),
        "expert": np.tile(np.arange(E), L * len(parts)),
        "share": np.concatenate([shares.ravel() for _, shares in parts]),
        "low": np.full(each, np.nan), "high": np.full(each, np.nan),
        "uniform": np.full(each, 1 / E),
        "assignments": np.repeat([assigned for assigned, _ in parts], L * E),
        "documents": np.full(each, 30),
    }  # fmt: skip
    return Finding("load, either choice", title, "2 choices of each token", columns)


def drawn(*tables: Finding) -> Any:
    return mv.chart(*tables, view="map")


def test_in_a_map_a_label_counts_by_its_assignments():
    chart = drawn(loads((100, [[0.5, 0.5, 0, 0]]), (300, [[0.1, 0.2, 0.3, 0.4]])))
    (heat,) = chart.figure.data
    # (100 × 0.5 + 300 × 0.1) / 400 and so on; even is 1/4.
    assert heat.customdata[0] == pytest.approx((0.2, 0.275, 0.225, 0.3))
    assert heat.z[0] == pytest.approx((0.8, 1.1, 0.9, 1.2))


def test_a_map_has_its_first_layer_on_top():
    figure = drawn(loads((9, [[0.5, 0.5], [0.25, 0.75]]))).figure
    assert list(figure.data[0].y) == ["0", "1"]
    assert figure.layout.yaxis1.autorange == "reversed"


def test_the_scale_reaches_to_the_larger_of_two_maps_and_says_if_there_is_more():
    even = loads((9, [[0.25, 0.25, 0.25, 0.25]]))
    busy = loads((9, [[0.0, 0.1, 0.3, 0.6]]), title="busy")  # 2.4 times even
    for pair in ((even, busy), (busy, even)):
        for heat in drawn(*pair).figure.data:
            assert (heat.zmin, heat.zmax) == (0, 2.5)
            assert heat.colorbar.ticktext == ("0", "even", "2 ×")
    for most, last in ((0.5, "4 ×"), (0.75, "4 × or more")):  # of eight: 4, and 6 times even
        (heat,) = drawn(loads((9, [[most, 1 - most, *[0.0] * 6]]))).figure.data
        assert heat.zmax == 4
        assert heat.colorbar.ticktext == ("0", "even", "2 ×", "3 ×", last)


def test_experts_with_less_than_a_tenth_of_an_even_load_are_counted():
    # An even load is 1/8, a tenth of it 0.0125: two lie below, and one at a half of it does not.
    rows = [[0.0, 0.012, 0.013, 0.0625, 0.125, 0.125, 0.25, 0.4125]]
    assert drawn(loads((9, rows))).sentence == (
        "Busiest: expert 7 of layer 0 takes 41.2% of its layer's assignments, 3.3 times an even "
        "load. 2 of 8 take less than a tenth of an even load."
    )
    assert "take less" not in drawn(loads((9, [[0.4, 0.6]]))).sentence


@pytest.mark.parametrize("kind", BY_LAYER)
@pytest.mark.parametrize("taller", [0, 1], ids=["found", "control"])
def test_axes_of_lines_reach_to_the_higher_of_a_finding_and_its_control(kind, taller):
    value = BY_LAYER[kind][0]
    tables = [KINDS[kind](documents()), KINDS[kind](documents(seed=1, provenance=TWIN))]
    columns = tables[taller].columns
    higher = {name: 3 * columns[name] for name in (value, "low", "high")}
    tables[taller] = replace(tables[taller], columns={**columns, **higher})
    whats = dict.fromkeys(columns["what"].tolist()) if "what" in columns else [None]
    figure: Any = mv.chart(*tables).figure  # type: ignore[attr-defined]
    for n, what in enumerate(whats):
        most = max(
            np.nanmax((part if what is None else part.where(what=what))[value]) for part in tables
        )
        for panel in (n, n + len(whats)):
            assert figure.layout[f"yaxis{panel + 1}"].range[1] >= most


def test_parts_of_a_ledger_have_their_name_inside_where_it_has_room():
    """Experts, 45.1 and 11.3 billion of the 46.7 that the longer bar stands for; nothing else."""
    figure: Any = mv.chart(mv.ledger("mixtral-8x7b")).figure  # type: ignore[attr-defined]
    inside = {bar.name: list(bar.text) for bar in figure.data}
    assert inside.pop("experts") == ["experts", "experts"]
    assert set(map(tuple, inside.values())) == {("", "")}
    assert [bar.name for bar in figure.data] == [
        "experts", "attention", "embedding", "output head", "routers", "norms",
    ]  # fmt: skip  # the largest first
