# SPDX-License-Identifier: Apache-2.0
"""Looks at a training run, as findings and as a film."""

from __future__ import annotations

import numpy as np
import pytest

from moe_viz.analysis.snapshots import Snapshots
from moe_viz.errors import InputError
from moe_viz.view.charts.film import film

STEPS, LAYERS, EXPERTS = (0, 1, 9), 2, 4
LENGTHS = {"cat/en": 4, "cat/fr": 6}  # tokens, <s> among them
LOOKS = ("en", "fr")


@pytest.fixture
def path(tmp_path):
    rng, T = np.random.default_rng(0), sum(LENGTHS.values())
    pairs = rng.permuted(np.tile(np.arange(EXPERTS), (len(STEPS), LAYERS, T, 1)), axis=-1)
    np.savez(
        tmp_path / "snapshots.npz",
        steps=np.array(STEPS),
        passages=np.array([*LENGTHS]),
        starts=np.array([0, LENGTHS["cat/en"]]),
        ids=np.arange(100, 100 + T, dtype=np.uint16),
        experts=pairs[..., :2].astype(np.uint8),
        looks=np.array(LOOKS),
        bits=np.array([[4.5, 4.75], [4, 4.25], [2, 2.5]], np.float32),
        assignments=rng.integers(1, 99, (len(STEPS), len(LOOKS), LAYERS, EXPERTS), np.uint32),
        moved=rng.random((len(STEPS), LAYERS, 2), np.float32),
    )
    return tmp_path / "snapshots.npz"


def test_who_took_each_token_of_a_passage_at_each_moment(path):
    run, held = Snapshots.load(path), np.load(path)
    rows = [*run.choices("cat/fr").rows()]
    assert [(row["step"], row["layer"]) for row in rows] == [(s, n) for s in STEPS for n in (0, 1)]
    of_step_9 = [int(e) for e in rows[-1]["first"].split()]
    assert of_step_9 == held["experts"][2, 1, 5:, 0].tolist()  # behind 4 of English and <s>
    assert run.pieces("cat/fr").tolist() == [105, 106, 107, 108, 109]
    assert run.pieces("cat/en").tolist() == [101, 102, 103]


def test_what_was_learnt_and_how_far_words_had_parted(path):
    run, held = Snapshots.load(path), np.load(path)
    assert run.learnt().where(step=9, label="fr")["bits"].tolist() == [2.5]
    parted = run.parted().where(step=1, layer=1)
    np.testing.assert_array_equal(parted["meaning"], held["moved"][1, 1, :1])
    np.testing.assert_array_equal(parted["language"], held["moved"][1, 1, 1:])


def test_the_film_shows_the_moment_of_its_slider(path):
    run, held = Snapshots.load(path), np.load(path)
    chart = film(run, "cat/en", ["a", "b", "c"], ["fr", "en"], opens=0)
    cells, *lines, marks, bars = chart.figure.data
    slider = chart.figure.layout.sliders[0]
    assert [step.label for step in slider.steps] == ["0", "1", "9"]
    assert slider.active == 0
    firsts = held["experts"][:, :, 1:4, 0]
    assert np.array_equal(cells.z, firsts[0])
    assert [line.name for line in lines] == ["fr", "en"]
    assert list(marks.x) == [0.5, 0.5]  # step 0, on a logarithmic axis
    assert list(marks.y) == [4.75, 4.5]
    loads = held["assignments"][:, 1, -1] / held["assignments"][:, 1, -1].sum(1, keepdims=True)
    np.testing.assert_allclose(bars.y, loads[0])
    changed, traces = slider.steps[2].args
    assert list(traces) == [0, len(chart.figure.data) - 2, len(chart.figure.data) - 1]
    assert np.array_equal(changed["z"][0], firsts[2])
    assert [value is None for value in changed["z"]] == [False, True, True]
    assert [value is None for value in changed["x"]] == [True, False, True]
    assert changed["x"][1] == [9, 9]
    assert changed["y"][1] == [2.5, 2.0]
    np.testing.assert_allclose(changed["y"][2], loads[2])
    ends = [x for x, _ in cells.colorscale]
    assert ends == pytest.approx([0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1])
    last = film(run, "cat/en", ["a", "<b>", "c"], ["fr"])
    assert np.array_equal(last.figure.data[0].z, firsts[2])
    assert last.figure.data[0].text[0][1] == "&lt;b&gt;"  # plotly reads it as HTML
    share = (firsts[0] == firsts[2]).mean()
    assert chart.sentence.startswith(f"At step 0, {share:.0%} of the first choices")


def test_what_is_not_there_is_named(path, tmp_path):
    run = Snapshots.load(path)
    with pytest.raises(InputError, match=r"passage is one of cat/en, cat/fr, found 'dog'"):
        run.choices("dog")
    with pytest.raises(InputError, match=r"looks are among en, fr, found 'de'"):
        film(run, "cat/en", ["a", "b", "c"], ["de"])
    for looks in ([], ["en"] * 10):
        with pytest.raises(InputError, match=f"1 to 9 kinds of text, found {len(looks)}"):
            film(run, "cat/en", ["a", "b", "c"], looks)
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "other.npy", np.zeros(3))
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-200])
    for other in ("none.npz", "empty.npz", "cut.npz", "other.npy"):
        with pytest.raises(InputError, match=f"{other}: holds no snapshots of a training run"):
            Snapshots.load(tmp_path / other)
