# SPDX-License-Identifier: Apache-2.0
"""What an atlas's page says of an expert: marks, the opening sentences, shares of its own work."""

from __future__ import annotations

import numpy as np
import pytest

from moe_viz.analysis import Finding
from moe_viz.view.atlas.entries import head_of, layer_of
from moe_viz.view.atlas.marks import ALIKE, LESS, MORE, NONE, marks, strong
from moe_viz.view.atlas.words import sentences, work_of
from tests.browser.atlases import made


def table(name: str, rows: list[dict]) -> Finding:
    """Rows of expert 1 of layer 1, each with what it has beside that."""
    rows = [{"layer": 1, "expert": 1, "q": 0.01, "found": True} | row for row in rows]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    return Finding(name, "made-up", "made up", {
        key: np.array(values, object if isinstance(values[0], str) else None)
        for key, values in columns.items()
    })  # fmt: skip


def label(name: str, share: float, rest: float, twin: float, twin_rest: float, **more) -> dict:
    return {"label": name, "share": share, "rest": rest, "twin": twin, "twin_rest": twin_rest,
            **more}  # fmt: skip


def kind(name: str, share: float, random: float, twin: float, **more) -> dict:
    return {"kind": name, "share": share, "random": random, "twin": twin, **more}


LABELS = [
    label("en", 0.8, 0.2, 0.5, 0.3),  # 60 points above the rest, the twin's best 20
    label("fr", 0.5, 0.4, 0.9, 0.8),  # 10 and 10
    label("de", 0.5, 0.4, 0.9, 0.85),  # 10 and 5
    label("es", 0.1, 0.4, 0.5, 0.4),
    label("it", 0.8, 0.2, 0.5, 0.3, found=False),
    label("no twin", 0.5, 0.4, np.nan, np.nan),
]
KINDS = [
    kind("brackets", 0.6, 0.2, 0.59),
    *(kind(name, 0.6, 0.2, 0.6) for name in ("digits", "operators", "words", "marks", "ends")),
]


def test_a_mark_tells_more_from_what_the_twin_has_too_and_from_less():
    assert marks(table("labels", LABELS)).tolist() == [MORE, ALIKE, MORE, LESS, NONE, MORE]
    assert marks(table("kinds", KINDS[:2])).tolist() == [MORE, ALIKE]
    assert marks(table("kinds", [kind("x", 0.6, 0.2, np.nan)])).tolist() == [MORE]


def test_strong_is_half_as_much_again_and_more_than_the_twin():
    atlas = made(1, 4)
    atlas.tables["labels"], atlas.tables["kinds"] = table("labels", LABELS), table("kinds", KINDS)
    assert strong(atlas, "labels").tolist() == [True] + [False] * 5
    assert strong(atlas, "kinds").tolist() == [True] + [False] * 5
    atlas.tables["labels"] = table("labels", [label("en", 0.31, 0.2, 0, 0)])
    assert strong(atlas, "labels").tolist() == [True]
    atlas.tables["labels"] = table("labels", [label("en", 0.29, 0.2, 0, 0)])
    assert strong(atlas, "labels").tolist() == [False]


def planted(**tables: list[dict]):
    """An atlas in which nothing is known of expert 1 of layer 1 but these rows."""
    atlas = made(1, 4)
    for name in ("pieces", "kinds", "labels", "places"):
        atlas.tables[name] = table(name, tables[name]) if name in tables else atlas[name].where(
            expert=0)  # fmt: skip
    return atlas


def test_the_opening_names_what_the_twin_takes_as_well():
    said = sentences(planted(labels=LABELS, kinds=KINDS[1:]), 1, 1)
    assert said.startswith("Expert 1 of layer 1 takes 80 % of the tokens of texts labelled en")
    assert (
        "It also takes digits, operators, words and 2 more, but so does some expert of the "
        "untrained twin."
    ) in said
    assert "takes digits and operators, but" in sentences(planted(kinds=KINDS[1:3]), 1, 1)
    assert "Nothing strong was found of expert 1" in sentences(planted(kinds=KINDS[1:3]), 1, 1)


def test_less_is_no_preference():
    said = sentences(planted(labels=[label("es", 0.1, 0.4, 0.5, 0.4)]), 1, 1)
    assert said.startswith("Nothing was found that expert 1 of layer 1 takes more of.")


def test_an_experts_work_is_all_its_labels_together():
    atlas = made(3, 8)
    work = work_of(atlas["load"])
    layer, expert = atlas["load"]["layer"], atlas["load"]["expert"]
    for one in (1, 3, 5):
        for e in range(8):
            assert work[(layer == one) & (expert == e)].sum() == pytest.approx(1)
    first = atlas["load"].where(layer=3, expert=5)
    taken = first["share"] * np.array([1000, 2000, 3000])
    np.testing.assert_allclose(work[(layer == 3) & (expert == 5)], taken / taken.sum())
    said = layer_of(atlas, 1)["entries"][5]["load"]
    assert sum(row[-1] for row in said) == pytest.approx(1, abs=0.001)


def test_an_expert_that_is_never_chosen_has_no_work():
    none = {"label": "en", "share": 0.0, "assignments": 2000}
    assert np.isnan(work_of(table("load", [none]))).all()


def test_the_leading_label_is_said_with_its_part_of_the_work():
    atlas = planted(labels=[label("c", 0.8, 0.2, 0.5, 0.3), label("fr", 0.7, 0.2, 0.5, 0.3)])
    load = atlas["load"].where(layer=1, expert=1)
    share = work_of(load)[load["label"] == "c"][0]
    assert f"Texts labelled c are {100 * share:.0f} % of its work." in sentences(atlas, 1, 1)


def test_the_largest_significant_harm_is_said():
    atlas = planted(labels=LABELS)
    rows = [
        {"label": "en", "change": 0.2, "low": 0.1, "high": 0.3, "p": 0.001},
        {"label": "fr", "change": 0.594, "low": -0.03, "high": 0.651, "p": 0.05},
        {"label": "de", "change": 0.9, "low": 0.1, "high": 2.0, "p": 0.06},
        {"label": "es", "change": -2.0, "low": -3.0, "high": -1.0, "p": 0.001},
    ]
    atlas.tables["effects"] = table("effects", rows)
    harm = "Without it, the loss on texts labelled fr rises by 0.59 nats a token (−0.03 to 0.65)."
    assert sentences(atlas, 1, 1).endswith(harm)
    atlas.tables["effects"] = table("effects", rows[2:])
    assert "Switched off" not in sentences(atlas, 1, 1)


def test_the_map_and_a_search_have_the_marks_of_labels_that_are_more():
    atlas = planted(labels=[row | {"label": "fr"} for row in LABELS])
    surely = head_of(atlas)["surely"]
    assert surely == [[], [[1, MORE], [1, ALIKE], [1, MORE], [1, MORE]], []]
