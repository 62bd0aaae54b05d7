# SPDX-License-Identifier: Apache-2.0
"""What findings are compared with, what is refused, and how a finding is told to others."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy import stats

from moe_viz import analysis
from moe_viz.analysis import Documents, Finding
from moe_viz.analysis.examples import example
from moe_viz.analysis.statistics import holm, interval, permuted, resamples, sign_flips
from moe_viz.errors import InputError, TraceError
from tests.unit.test_analysis import same
from tests.unit.test_analysis_promises import ALL, every, parallel, topical


def sticky(documents: int, rng: np.random.Generator, stay: float = 0.7, E: int = 8, T: int = 30):
    """Documents whose tokens keep the expert of the one before, with this probability."""
    experts = rng.integers(0, E, (documents, T))
    for t in range(1, T):
        keep = rng.random(documents) < stay
        experts[keep, t] = experts[keep, t - 1]
    return example(experts.reshape(-1, 1), [T] * documents, experts=E)


# ---- baselines -----------------------------------------------------------------------------------


def test_shuffled_repetition_is_the_mean_over_all_orders():
    # 0 0 1 1 1 in any order: (1 + 3) of 10 pairs are alike, whichever two come to stand together.
    trace = example([[0], [0], [1], [1], [1]], experts=8)
    means = [analysis.repetition(trace, seed=n).where(what="first choice")["shuffled"][0]
             for n in range(50)]  # fmt: skip
    assert np.mean(means) == pytest.approx(4 / 10, abs=4 * np.std(means) / np.sqrt(50))


def test_shuffled_transitions_are_what_independence_in_each_document_gives():
    # Two documents, each certain in both layers: nothing moves within them, though labels differ.
    trace = example([[[0], [0], [1], [1]], [[2], [2], [3], [3]]], [2, 2], experts=4)
    found = analysis.transitions(trace)
    same(found.where(expert=0)["share"], [0, 0, 1, 0])
    same(found.where(expert=0)["shuffled"], [0, 0, 1, 0])
    same(found.where(expert=0)["matched"], [0, 0, 0.5, 0.5])
    assert (found["p"] == 1).all()
    # 0 1 | 0 0 going to 2 3 | 2 2: half of the first document's moves could have been others.
    trace = example([[[0], [1], [0], [0]], [[2], [3], [2], [2]]], [2, 2], experts=4)
    found = analysis.transitions(trace).where(expert=0)
    same(found["share"], [0, 0, 1, 0])
    same(found["shuffled"], [0, 0, 2.5 / 3, 0.5 / 3])


def test_matched_coactivation_is_independent_pairs_with_these_loads():
    rng = np.random.default_rng(0)
    chosen = (rng.exponential(size=(400, 5)) / np.array([0.1, 0.2, 0.3, 0.2, 0.2])).argsort(1)
    found = analysis.coactivation(example(chosen[:, :3], experts=5))
    expected, together = np.zeros((5, 5)), np.zeros((5, 5))
    for row in found.rows():
        expected[row["expert"], row["other"]] = row["matched"] * row["tokens"]
        together[row["expert"], row["other"]] = row["share"] * row["tokens"]
    np.testing.assert_allclose(expected, expected.T, rtol=1e-6)
    np.testing.assert_allclose(expected.sum(1), together.sum(1), rtol=1e-6)
    for i, j, k, m in product(range(5), repeat=4):  # no interaction: the odds ratio is 1
        if len({i, j, k, m}) == 4:
            odds = expected[i, j] * expected[k, m] / (expected[i, m] * expected[k, j])
            assert odds == pytest.approx(1)


def test_certainty_of_shuffled_logits_keeps_each_experts_own():
    # One token each way: permuted, logits give margins 4 and 0 as often as 2 and 2.
    logits = np.array([[[2.0, 0], [0, 2.0]] * 50])
    trace = example(np.argsort(-logits)[:, :, :1], experts=2, logits=logits)
    (row,) = analysis.certainty(trace).where(what="margin").rows()
    assert row["mean"] == 2
    assert row["shuffled"] == pytest.approx(1, abs=0.4)


def test_sign_flips_are_all_the_ways_to_turn_signs():
    x = np.array([0.5, 1.0, 2.0, -0.2, 0.4, 0.9, 1.1])
    every_way = [abs(np.dot(signs, x)) >= abs(x.sum()) - 1e-12
                 for signs in product([-1, 1], repeat=7)]  # fmt: skip
    p = sign_flips(x[:, None], np.random.default_rng(0), repeats=20_000)
    assert p[0] == pytest.approx(np.mean(every_way), abs=0.004)


def test_holms_correction_is_the_published_one():
    same(holm(np.array([[0.01, 0.04, 0.03, 0.005], [1, 1, 1, 0.5]])),
         [[0.03, 0.06, 0.06, 0.02], [1, 1, 1, 1]])  # fmt: skip


def test_repetition_stands_out_and_order_without_it_does_not():
    rng = np.random.default_rng(1)
    assert (analysis.repetition(sticky(25, rng))["p"] < 0.01).all()
    assert (analysis.repetition(sticky(25, rng, stay=0))["p"] > 0.05).all()
    lru = analysis.expert_cache(sticky(25, rng)).where(policy="LRU", size=2)
    assert (lru["hit"] > lru["shuffled"] + 0.1).all()
    assert (lru["p"] < 0.05).all()


# ---- documents -----------------------------------------------------------------------------------


def test_an_interval_is_students_over_documents():
    # Of 40 documents of 39 tokens, the n-th sends n to expert 0: their shares are 0, 1/39 … 1.
    chosen = [[int(t >= n)] for n in range(40) for t in range(39)]
    found = analysis.load(example(chosen, [39] * 40, experts=2))
    error = np.std(np.arange(40) / 39, ddof=1) / np.sqrt(40)
    width = 2 * stats.t.ppf(0.975, 39) * error
    assert found["high"][0] - found["low"][0] == pytest.approx(width, rel=0.1)
    # One document, however long, gives no interval at all.
    assert np.isnan(analysis.load(example([[0], [1]] * 99, experts=2))["low"]).all()


def test_parallel_passages_are_drawn_together():
    docs = parallel(0)
    assert docs.paired
    assert docs.units.tolist() == [0, 0, 1, 1, 2, 2]
    drawn = resamples(docs.units, np.random.default_rng(0), 200)
    assert (drawn[:, ::2] == drawn[:, 1::2]).all()
    assert len(np.unique(drawn[:, 0])) > 1
    # Labels are permuted within a topic where topics are parallel, among all where they are not.
    permutations = [permuted(docs.labels, docs.units, np.random.default_rng(n)) for n in range(50)]
    assert all(d.reshape(3, 2).sum(1).tolist() == [1, 1, 1] for d in permutations)
    assert len({tuple(d) for d in permutations}) == 8
    free = [permuted(docs.labels, np.arange(6), np.random.default_rng(n)) for n in range(500)]
    assert len({tuple(d) for d in free}) == 20  # 6 over 3


def test_pairing_narrows_what_only_topics_spread():
    # Topics differ wildly, the two languages of each hardly at all.
    rng = np.random.default_rng(2)
    first = np.repeat(rng.integers(0, 4, 30), 2)  # one expert for each topic
    chosen = np.repeat(first, 20)
    chosen[::20] = np.tile([4, 5], 30)  # and one token for the language
    trace = example(chosen[:, None], [20] * 60, ["a", "b"] * 30, 6)
    docs = topical(trace)
    paired, alone = analysis.label_divergence(docs), analysis.label_divergence(trace)
    same(paired["divergence"], alone["divergence"])
    assert (paired["high"] - paired["low"])[0] < (alone["high"] - alone["low"])[0] / 2
    assert paired["p"][0] < 0.05
    assert paired["null"][0] < alone["null"][0]


@every
def test_few_documents_are_flagged(name):
    found = ALL[name](parallel(1))
    assert found.few
    if name not in ("paths", "favourites"):  # their documents are those in which a thing occurs
        assert found["documents"].max() <= 6
        assert any("Few documents" in note for note in found.notes)
        assert "Few documents" in found.to_html()
        many = ALL[name](parallel(1, documents=42 if "language" not in name else 44))
        assert not many.few
        assert many.notes == ()


@every
def test_the_same_seed_gives_the_same_table(name):
    a, b = (ALL[name](parallel(2)).to_json() for _ in range(2))
    assert a == b


@pytest.mark.parametrize(
    "name", ["load", "repetition", "certainty", "committee", "label_divergence"]
)
def test_intervals_hold_what_they_are_about(name):
    found = ALL[name](parallel(7, documents=40))
    value = found[next(c for c in ("share", "mean", "size", "divergence") if c in found.columns)]
    assert (found["low"] <= found["high"]).all()
    assert np.mean((found["low"] <= value) & (value <= found["high"])) > 0.9


def test_resampled_nothing_is_no_interval():
    low, high = interval(np.full((100, 2), np.nan), 30)
    assert np.isnan([low, high]).all()


# ---- what is refused -----------------------------------------------------------------------------

ONE = example([[0], [1], [0]], experts=4)
PAIR = example([[0, 1], [1, 2]], [1, 1], ["en", "fr"], 4)
REFUSED: list[tuple[Callable[[], Finding], str]] = [
    (lambda: analysis.label_divergence(ONE), "between labels.* has one.*labels="),
    (lambda: analysis.committee_overlap(ONE), "between labels.* has one"),
    (lambda: analysis.coactivation(ONE), "one expert here.*no pairs"),
    (lambda: analysis.transitions(ONE), "between two layers.* has one"),
    (lambda: analysis.language_divergence(ONE), r"reference must be one of.*'en'"),
    (lambda: analysis.language_divergence(PAIR), r"No two passages are parallel.*topics="),
    (lambda: analysis.vocabulary(ONE, minimum=3), "No token occurs 3 times.*minimum="),
    (lambda: analysis.favourites(ONE, layer=7), r"layer must be one of \(0,\), found 7"),
    (lambda: analysis.load(ONE, "third choice"), "choice must be one of.*third"),
    (lambda: analysis.load(ONE, "second choice"), "no second choice: .* one expert"),
    (lambda: analysis.margin_histogram(example([[0, 1]], experts=2)), "no next one.*no margin"),
    (lambda: analysis.load(Documents(PAIR, ["x"])), "a topic for each of the 2 prompts, found 1"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_cannot_be_asked_is_said_plainly(call, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        call()


def test_layers_that_do_not_follow_each_other_have_no_transitions():
    trace = example(np.zeros((4, 3, 1)), experts=4)
    with pytest.raises(InputError, match=r"No two layers.*follow"):
        analysis.transitions(trace.select(layers=[0, 2]))
    assert set(analysis.transitions(trace.select(layers=[0, 2, 3]))["layer"]) == {2}


@every
def test_special_tokens_alone_are_nothing_to_count(name):
    trace = parallel(1).trace
    trace.special[:] = True
    with pytest.raises(InputError, match="special tokens only"):
        ALL[name](topical(trace))
    with pytest.raises(TraceError, match="special tokens only"):
        analysis.compare(trace, trace)


# ---- findings ------------------------------------------------------------------------------------

HOSTILE = '<script>alert("é, \n1")</script>'
FOUND = Finding(
    "load", HOSTILE, "2 × tokens",
    {
        "label": np.array(["a,b", HOSTILE, 'say "x"'], dtype=object),
        "layer": np.array([0, 1, 1]),
        "share": np.array([0.25, np.nan, np.inf]),
        "documents": np.array([30, 25, 20]),
    },
    notes=("A note.",),
)  # fmt: skip


def test_rows_are_filtered_and_plain():
    assert FOUND.where(layer=1, label=["a,b", 'say "x"'])["documents"].tolist() == [20]
    assert len(FOUND.where(layer=9)) == 0
    assert next(FOUND.rows()) == {"label": "a,b", "layer": 0, "share": 0.25, "documents": 30}
    assert not FOUND.few
    with pytest.raises(InputError, match="no column 'x'; it has label, layer"):
        FOUND.where(x=1)
    with pytest.raises(InputError, match="equally long"):
        Finding("x", "y", "z", {"a": np.zeros(2), "b": np.zeros(3)})


def test_csv_comes_back_as_it_was():
    lines = FOUND.where(layer=0).csv().splitlines()
    assert lines[-2:] == ["label,layer,share,documents", '"a,b",0,0.25,30']
    plain = Finding("load", "8x7m", "2 × tokens", FOUND.columns, FOUND.notes).csv()
    comments = [line for line in plain.splitlines() if line.startswith("# ")]
    assert comments == ["# load: 8x7m", "# counted: 2 × tokens", "# A note."]
    read = list(csv.DictReader(io.StringIO(plain.split("# A note.\n")[1])))
    assert [row["label"] for row in read] == FOUND["label"].tolist()
    np.testing.assert_equal([float(row["share"]) for row in read], FOUND["share"])


def test_json_is_json():
    told = json.loads(json.dumps(FOUND.to_json(), allow_nan=False))
    assert told["columns"]["share"] == [0.25, None, None]
    assert told["columns"]["label"][1] == HOSTILE
    assert (told["counted"], told["notes"]) == ("2 × tokens", ["A note."])


def test_html_shows_hostile_text_as_text():
    page = FOUND.to_html()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 2  # in the caption and in a row
    assert "2 more rows." in FOUND.to_html(limit=1)
    assert "Counted: 2 × tokens. A note." in page


@every
def test_every_finding_can_be_told_in_every_way(name):
    found = ALL[name](parallel(1, E=4))
    pytest.importorskip("pyarrow")
    table = found.table()
    assert table.column_names == list(found.columns)
    assert table.num_rows == len(found)
    assert table.schema.metadata[b"name"].decode() == found.name
    assert table.schema.metadata[b"counted"].decode() == found.counted
    assert [row.keys() for row in table.to_pylist()][:1] == [row.keys() for row in found.rows()][:1]
    json.dumps(found.to_json(), allow_nan=False)
    rows = list(csv.reader(line for line in found.csv().splitlines() if line[0] != "#"))
    assert len(rows) == len(found) + 1
    assert found.to_html(limit=None).count("<tr>") == len(found) + 1
