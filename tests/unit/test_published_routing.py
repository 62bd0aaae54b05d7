# SPDX-License-Identifier: Apache-2.0
"""How real models route, as published: figures that others can work out from the same counts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

import moe_viz as mv
from moe_viz.analysis.published_routing import (
    LEAST,
    MEANINGS,
    _Word,
    function_words,
    leading_pieces,
    meaning_and_language,
    published_loads,
    word_meanings,
)
from moe_viz.errors import InputError

DOMAINS = ("github", "arxiv", "wikipedia", "book", "c4")


def loads(model: str, layer: int, choice: str = "first") -> list[np.ndarray]:
    found = published_loads(model, choice)
    return [found.where(label=label, layer=layer)["share"] for label in DOMAINS]


@pytest.mark.parametrize(("model", "experts"), [("mixtral", 8), ("olmoe", 64)])
@pytest.mark.parametrize("choice", ["any", "first"])
def test_loads_are_whole_and_of_every_expert(model, experts, choice):
    for layer in (0, 7, 15):
        for shares in loads(model, layer, choice):
            assert len(shares) == experts
            assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize(("model", "expected", "within"), [
    ("mixtral", (0.0081, 0.0066, 0.0153), 0.0001),
    ("olmoe", (0.31, 0.51, 0.54), 0.006),
])  # fmt: skip
def test_kinds_of_text_are_as_far_apart_as_was_worked_out(model, expected, within):
    """Mean Jensen-Shannon divergence of first choices over all pairs of kinds, in bits."""
    for layer, figure in zip((0, 7, 15), expected, strict=True):
        apart = [jensenshannon(a, b, 2) ** 2 for a, b in combinations(loads(model, layer), 2)]
        assert np.mean(apart) == pytest.approx(figure, abs=within)


def test_the_load_that_books_and_code_do_not_share():
    for layer, figure in zip((0, 7, 15), (0.058, 0.068, 0.105), strict=True):
        github, _, _, book, _ = loads("mixtral", layer, "any")
        assert np.abs(github - book).sum() / 2 == pytest.approx(figure, abs=0.0006)


def test_the_card_of_expert_6_of_layer_7_leaves_nothing_out():
    found = leading_pieces(7, 6)
    assert len(found) == 5 * 12
    for label in DOMAINS:
        card = found.where(label=label)
        assert card["place"].tolist() == list(range(1, 13))
        assert (np.diff(card["share"]) <= 0).all()
        assert card["occurrences"].min() >= 60
    code = found.where(label="github")["piece"].tolist()
    assert code[:6] == ["␣==", "␣!=", "␣===", "␣are", "␣be", "␣is"]


def test_every_counted_word_is_shown_once():
    found = function_words()
    words = [word for group in MEANINGS.values() for word in group]
    assert len(words) == len(set(words)) == 94
    assert len(found) == 94 * 3 * 8
    assert found["occurrences"].min() >= 20
    rows = found["share"].reshape(-1, 8).sum(axis=1)
    np.testing.assert_allclose(rows, 2, atol=0.005)  # two of eight are chosen


def test_a_meaning_is_the_mean_of_all_its_words():
    found, words = word_meanings(), function_words()
    assert len(found) == len(MEANINGS) * 3 * 8
    for meaning in MEANINGS:
        part = words.where(meaning=meaning, layer=7, expert=6)["share"]
        assert found.where(meaning=meaning, layer=7, expert=6)["share"] == pytest.approx(
            part.mean()
        )
    assert [len(panel.z) for panel in mv.chart(found).figure.data] == [len(MEANINGS)] * 3


def test_words_go_together_by_meaning_and_not_by_language():
    found = meaning_and_language(permutations=999)
    assert (found["meaning"] < found["language"]).all()
    assert (found["meaning"][1:] < 0.6 * found["language"][1:]).all()
    assert (found["p"] == 0.001).all()


def test_meanings_permuted_within_languages_would_not(monkeypatch):
    """The same statistic, of shares that know nothing of meanings, gives no small p."""
    module = "moe_viz.analysis.published_routing"
    rng = np.random.default_rng(0)

    def shares() -> dict[int, list[float]]:
        return {layer: (rng.dirichlet(np.ones(8)) * 2).tolist() for layer in (0, 7, 15)}

    made = [(_Word(m, lang, w, 20, shares()), 0.25)
            for m, group in MEANINGS.items() for w, lang in group.items()]  # fmt: skip
    monkeypatch.setattr(f"{module}._words", lambda trace: iter(made))
    assert meaning_and_language(permutations=199)["p"].min() > 0.02


def test_the_same_words_are_counted_in_a_recording_of_ours():
    """By hand: how many occurrences of a word, in texts of its languages, chose each expert."""
    trace = mv.record(mv.load("8x7m"), mv.prompts.passages())
    found, seen = function_words(trace), 0
    for meaning, words in MEANINGS.items():
        for word, languages in words.items():
            chose, times = np.zeros((6, 8)), 0
            for prompt in trace.prompts:
                if prompt.label in languages.split():
                    for t in range(prompt.start, prompt.stop):
                        if trace.tokens[t] == "␣" + word:
                            times += 1
                            for layer in range(6):
                                for e in trace.experts[layer, t]:
                                    chose[layer, e] += 1
            part = found.where(meaning=meaning, piece=word)
            assert len(part) == (48 if times >= LEAST else 0), word
            if len(part):
                seen += 1
                assert set(part["occurrences"]) == {times}
                named = [x for x in languages.split() if x in trace.labels]  # none that was not run
                assert set(part["language"]) == {" ".join(named)}
                assert part["share"] == pytest.approx(chose.ravel() / times)
    assert seen > 15
    meanings = word_meanings(trace).where(layer=5, meaning="and")
    group = found.where(layer=5, meaning="and")["share"].reshape(-1, 8)
    assert meanings["share"] == pytest.approx(group.mean(axis=0))
    assert {*found["uniform"], *function_words()["uniform"], *word_meanings()["uniform"]} == {2 / 8}
    assert found.title == trace.provenance.title
    assert not any("published" in note for note in found.notes)
    one = meaning_and_language(trace, permutations=9)
    assert one["layer"].tolist() == [0, 1, 2, 3, 4, 5]
    assert ((one["meaning"] >= 0) & (one["language"] <= 1)).all()


def test_words_of_a_recording_stand_beside_those_of_its_control():
    model = mv.load("8x7m")
    traces = [mv.record(m, mv.prompts.passages()) for m in (model, mv.untrained_twin(model))]
    own, twin = (word_meanings(trace).where(layer=5) for trace in traces)
    chart = mv.chart(own, twin)
    heads = [chart.figure.layout[f"xaxis{n}"].title.text for n in (1, 2)]
    assert heads == ["experts of layer 5", "experts of layer 5, control"]
    for panel, part in zip(chart.figure.data, (own, twin), strict=True):
        assert np.ravel(panel.z) == pytest.approx(part["share"])


def test_rows_are_grouped_by_meaning_or_by_language_as_they_come():
    found = function_words().where(layer=15, piece=["and", "und", "the", "der", "die"])
    both = {}
    for way, part in (("meaning", found), ("language", found.by("language"))):
        figure = mv.chart(part).figure
        both[way] = list(figure.layout.yaxis.ticktext), [s.y0 for s in figure.layout.shapes]
        assert np.ravel(figure.data[0].z) == pytest.approx(part["share"])
    # What a group is called stands before its first word, unless the word says it.
    by_meaning = ["and (en)", "und (de)", "the (en)", "der (de)", "die (de)"]
    assert both["meaning"] == (by_meaning, [1.5])
    first, *others = both["language"][0]
    assert (first, others[0]) == ("<b>en</b>   and (and)", "the (the)")
    assert others[1:] == ["<b>de</b>   und (and)", "der (the)", "die (the)"]
    assert both["language"][1] == [1.5]


@pytest.mark.parametrize("ask", [
    lambda: published_loads("gpt"),
    lambda: published_loads("mixtral", "second"),
    lambda: leading_pieces(31, 0),
    lambda: leading_pieces(7, 8),
])  # fmt: skip
def test_what_was_not_published_is_refused(ask):
    with pytest.raises(InputError, match="found"):
        ask()


def test_every_figure_says_that_it_was_published_and_what_it_is_not():
    for found in (
        published_loads(),
        leading_pieces(),
        function_words(),
        meaning_and_language(permutations=9),
    ):
        assert found.title.startswith("PUBLISHED for Mixtral 8x7B, arXiv 2409.02060")
        assert any("no intervals" in note for note in found.notes)
    assert any("after a first look" in note for note in function_words().notes)


def test_charts_show_every_row():
    words = mv.chart(function_words())
    assert [len(panel.z) for panel in words.figure.data] == [94] * 3
    assert "at least 85%" in words.sentence
    dots = mv.chart(published_loads("mixtral"), published_loads("olmoe"))
    assert [len(line.x) for line in dots.figure.data] == [8] * 3 + [64] * 3
    assert "Mixtral 8x7B from × 0.63 to × 1.8; OLMoE 1B-7B from × 1/410 to × 79" in dots.sentence
    card = mv.chart(leading_pieces())
    assert np.shape(card.figure.data[0].text) == (12, 5)
    assert card.figure.data[0].text[0][0] == "␣==  100%"
