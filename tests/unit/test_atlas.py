# SPDX-License-Identifier: Apache-2.0
"""The atlas finds what was planted, and over a thousand experts that take nothing, nothing.

Those belong to a random router that is constant for each piece, not to uniform choice, and their
documents have tastes and bursts of words: a test that counts tokens as independent fails here, and
is seen to.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from moe_viz.analysis import Documents
from moe_viz.analysis.atlas import Atlas, atlas_of
from moe_viz.analysis.atlas.contexts import strongest
from moe_viz.analysis.atlas.kinds import KINDS, kind_shares, plain
from moe_viz.analysis.atlas.labels import label_tests, place_tests
from moe_viz.analysis.atlas.pieces import filtered
from moe_viz.analysis.atlas.sureness import false_discovery, halves, holding
from moe_viz.analysis.examples import example
from moe_viz.errors import InputError
from moe_viz.trace import Trace
from tests.unit.planted import DIGITS, EXPERTS, PIECES, owned, routed, texts

TESTED = ("pieces", "kinds", "labels", "places")


def found(atlas: Atlas, name: str) -> list[dict]:
    return [] if not len(atlas[name]) else list(atlas[name].where(found=True).rows())


@pytest.fixture(scope="module")
def nothing() -> list[tuple[Trace, Atlas]]:
    """Five atlases of 25 layers of 8 experts that take nothing: 1,000 experts."""
    made = []
    for seed in range(5):
        given = texts(seed=seed)
        own, twin = (routed(given, 25, 7 * seed + n) for n in (1, 2))
        made.append((own, atlas_of(Documents(own), Documents(twin))))
    return made


@pytest.fixture(scope="module")
def planted() -> Atlas:
    given = texts(seed=99)
    return atlas_of(Documents(routed(given, 9, 1, planted=True)), Documents(routed(given, 9, 2)))


def test_of_a_thousand_experts_that_take_nothing_hardly_anything_is_found(nothing):
    """Each of twenty lists has a false discovery in 5 % of cases: four or more are a sign."""
    assert sum(len(atlas.layers) * atlas.experts for _, atlas in nothing) == 1000
    with_some = [len(found(atlas, name)) > 0 for _, atlas in nothing for name in TESTED]
    assert sum(with_some) < stats.binom.isf(0.01, len(with_some), 0.05) + 1
    tested = sum(len(atlas[name]) for _, atlas in nothing for name in TESTED)
    assert tested > 15_000
    assert sum(len(found(atlas, name)) for _, atlas in nothing for name in TESTED) < 5


def test_p_values_of_nothing_are_even(nothing):
    """As many are below a level as it says, over labels and places of 250 experts and more."""
    for tests in (label_tests, place_tests):
        p = np.concatenate(
            [
                tests(Documents(own), row)["p"].ravel()
                for own, _ in nothing[:2]
                for row in range(0, 25, 2)
            ]
        )
        p = p[np.isfinite(p)]
        for level in (0.5, 0.1, 0.05, 0.01):
            # Experts of a layer, and labels, share documents: a third as many are independent.
            assert (p < level).mean() == pytest.approx(
                level, abs=4 * np.sqrt(level * (1 - level) / (len(p) / 3))
            )


def test_counting_tokens_as_independent_finds_what_is_not_there(nothing):
    """The same experts and labels, by the chi-square test that papers use."""
    own, _ = nothing[0]
    labels = np.array([prompt.label for prompt in own.prompts])
    of = np.repeat(labels, [prompt.stop - prompt.start for prompt in own.prompts])
    p = []
    for row in range(len(own.layers)):
        for e in range(EXPERTS):
            uses = (own.experts[row] == e).any(axis=1)
            table = [[(uses & (of == g)).sum(), (~uses & (of == g)).sum()] for g in set(labels)]
            p.append(stats.chi2_contingency(np.array(table))[1])
    assert (np.array(p) < 0.05).mean() > 0.3  # and 5 % is what it claims
    assert (false_discovery(np.array(p)) <= 0.05).sum() > 20
    # A piece's share beside k/E, by the binomial test: a router that is constant is "specialised".
    shares = [
        stats.binomtest(int((own.experts[0][own.token_ids == x] == 0).any(1).sum()),
                        int((own.token_ids == x).sum()), 2 / EXPERTS).pvalue
        for x in range(60)
    ]  # fmt: skip
    assert (np.array(shares) < 0.05).mean() > 0.3


def test_a_planted_kind_is_found_and_is_the_only_one(planted):
    (row,) = found(planted, "kinds")
    assert (row["layer"], row["expert"], row["kind"]) == (0, 1, "digits")
    assert row["share"] > 0.99 > row["twin"]


def test_a_planted_label_is_found(planted):
    more = [row for row in found(planted, "labels") if row["share"] > row["rest"]]
    assert (0, 2, "b") in [(row["layer"], row["expert"], row["label"]) for row in more]
    assert {row["layer"] for row in found(planted, "labels")} == {0}
    strongest = max(more, key=lambda row: row["share"] - row["rest"])
    assert (strongest["expert"], strongest["label"]) == (2, "b")
    assert strongest["twin"] - strongest["twin_rest"] < strongest["share"] - strongest["rest"]


def test_a_planted_place_is_found(planted):
    more = [row for row in found(planted, "places") if row["share"] > row["rest"]]
    assert [(row["layer"], row["expert"], row["place"]) for row in more] == [
        (0, 3, "tokens 0 to 3")
    ]


def test_planted_pieces_are_found_beside_the_twin(planted):
    """Power: of 152 that were planted at least a hundred; of what is found at most 5 % is not."""
    rows = found(planted, "pieces")
    right = [
        PIECES.index(row["piece"]) in owned(row["layer"], row["expert"])
        or (row["layer"] == 0 and row["expert"] == 1 and row["piece"] in DIGITS)
        for row in rows
    ]
    assert sum(right) >= 100
    assert right.count(False) <= 0.1 * len(rows)  # 5 % on average
    assert all(row["share"] > row["twin"] for row in rows)


def test_without_a_twin_no_single_piece_is_found():
    given = texts(60, seed=3)
    atlas = atlas_of(Documents(routed(given, 2, 1, planted=True)), minimum=10)
    assert found(atlas, "pieces") == []
    assert np.isnan(np.asarray(atlas["pieces"]["twin"], float)).all()
    assert atlas.control == ""


# ---- What it counts ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> tuple[Trace, Atlas]:
    own = routed(texts(50, seed=8), 2, 3)
    return own, atlas_of(Documents(own), minimum=10)


def test_pieces_are_counted_as_a_loop_counts_them(small):
    own, atlas = small
    for row in list(atlas["pieces"].rows())[::5]:
        at = [t for t, piece in enumerate(own.tokens) if piece == row["piece"]]
        uses = [row["expert"] in own.experts[row["layer"], t] for t in at]
        assert row["occurrences"] == len(at) >= 10
        assert row["count"] == sum(uses)
        assert row["share"] == pytest.approx(sum(uses) / len(at))
        number = np.repeat(
            np.arange(len(own.prompts)), [prompt.stop - prompt.start for prompt in own.prompts]
        )
        first = halves(np.arange(len(own.prompts)))[number[at]] == 0
        assert row["first_half"] == pytest.approx(np.mean(np.array(uses)[first]))


def test_neighbours_are_of_the_same_document(small):
    own, atlas = small
    starts = {prompt.start for prompt in own.prompts}
    for row in list(atlas["neighbours"].rows())[::7]:
        step = -1 if row["where"] == "before" else 1
        count = 0
        for t in range(len(own)):
            inside = t not in starts if step < 0 else t + 1 < len(own) and t + 1 not in starts
            if inside and row["expert"] in own.experts[row["layer"], t]:
                count += own.tokens[t + step] == row["piece"]
        assert row["count"] == count


def test_contexts_are_the_largest_gates_each_of_another_document(small):
    own, atlas = small
    for layer in (0, 1):
        for e in range(EXPERTS):
            best: dict[int, float] = {}
            for n, prompt in enumerate(own.prompts):
                for t in range(prompt.start, prompt.stop):
                    for expert, gate in zip(
                        own.experts[layer, t], own.gates[layer, t], strict=True
                    ):
                        if expert == e:
                            best[n] = max(best.get(n, 0), float(gate))
            mine = atlas["contexts"].where(layer=layer, expert=e)
            expected = sorted(best.values(), reverse=True)[:5]
            np.testing.assert_allclose(mine["gate"], expected, rtol=1e-6)


def test_medians_of_gates_are_within_what_is_said(small):
    own, atlas = small
    for row in atlas["gates"].rows():
        uses = own.experts[row["layer"]] == row["expert"]
        assert row["uses"] == uses.sum()
        median = np.quantile(own.gates[row["layer"]][uses], 0.5, method="inverted_cdf")
        assert row["gate"] == pytest.approx(median, rel=0.002)


def test_where_tokens_come_from_is_where_they_went(small):
    own, atlas = small
    first = own.experts[:, :, 0]
    for row in atlas["origins"].rows():
        here = first[1] == row["expert"]
        assert row["layer"] == 1
        assert row["share"] == pytest.approx((first[0][here] == row["before"]).mean())
        assert row["matched"] == pytest.approx((first[0] == row["before"]).mean())


def test_a_corpus_that_is_too_small_is_refused():
    with pytest.raises(InputError, match="No piece occurs 1000 times"):
        atlas_of(Documents(routed(texts(10), 1, 0)), minimum=1000)


# ---- Rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        ("7", "digits"), ("␣12", "digits"), ("(", "brackets"), ("␣==", "operators"),
        (",", "sentence marks"), ("␣for", "words of Python"), ("␣Haus", "capitalised words"),
        ("␣NATO", "capitals only"), ("ung", "ends of words"), ("␣the", "little words of en"),
        ("␣und", "little words of de"), ("⏎", "blanks and line ends"),
        ("é", "letters with an accent"), ("’", "quotation marks and apostrophes"),
        ("␣word", "beginnings of words"),
    ],
)  # fmt: skip
def test_a_piece_is_of_its_kind(piece, kind):
    assert KINDS[kind](plain(piece))


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        ("7a", "digits"), ("the", "little words of en"), ("␣la", "little words of fr"),
        ("␣haus", "capitalised words"), ("x", "ends of words"), ("␣Ab", "capitals only"),
        ("e", "letters with an accent"), ("÷", "letters with an accent"),
    ],
)  # fmt: skip
def test_a_piece_is_not_of_another(piece, kind):
    assert not KINDS[kind](plain(piece))


def test_false_discoveries_are_controlled_as_scipy_does():
    p = np.random.default_rng(0).random(500) ** 3
    np.testing.assert_allclose(false_discovery(p), stats.false_discovery_control(p))


def test_both_halves_must_show_it():
    q = np.array([0.01, 0.01, 0.2, np.nan])
    assert holding(q, np.array([0.01, 0.2, 0.01, 0.01]), np.full(4, 0.01)).tolist() == [
        True, False, False, False,
    ]  # fmt: skip


def test_halves_are_halves():
    assert halves(np.arange(10_000)).mean() == pytest.approx(0.5, abs=0.02)


def test_the_filter_keeps_false_discoveries_below_its_rate():
    """Knockoffs: signs of what is nothing are by lot; 300 of 1,000 are ahead for sure."""
    rng, false = np.random.default_rng(1), []
    for _ in range(200):
        ahead = rng.normal(0, 0.1, 1000)
        ahead[:300] = rng.uniform(0.2, 0.6, 300)
        kept = filtered(ahead) <= 0.05
        false.append(kept[300:].sum() / max(kept.sum(), 1))
        assert kept[:300].mean() > 0.7
    assert np.mean(false) < 0.05 + 3 * np.std(false) / np.sqrt(200)


def test_the_filter_finds_nothing_in_nothing():
    rng = np.random.default_rng(2)
    any_found = [(filtered(rng.normal(size=500)) <= 0.05).any() for _ in range(400)]
    assert np.mean(any_found) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_a_kind_is_compared_with_pieces_that_are_as_frequent():
    """Frequent pieces go to expert 0, whatever their kind: a kind of frequent ones is nothing."""
    alike = np.repeat([0, 1], 100)
    shares = np.where(alike == 0, 0.9, 0.1)[:, None]
    own, random, p = kind_shares(np.arange(10), shares, alike)
    assert own == pytest.approx(0.9)
    assert random == pytest.approx(0.9)
    assert p > 0.5


def test_one_document_with_large_gates_gives_one_context():
    """Its ten decisions are the strongest of all; the other nine give way to other documents."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 100, 4)).astype(np.float32)
    logits[0, :10, 0] += 20
    chosen = np.argsort(-logits, axis=2)[:, :, :2]
    trace = example(chosen, [10] * 10, experts=4, logits=logits, texts=[f"t{n}" for n in range(10)])
    found = strongest(Documents(trace), 0, 5)
    assert len(set(found.number[found.expert == 0].tolist())) == (found.expert == 0).sum() > 1
