# SPDX-License-Identifier: Apache-2.0
"""Words and counts where a token has more or fewer than two choices, or none is the strongest."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

import moe_viz as mv
from moe_viz import analysis
from moe_viz.analysis.examples import example
from moe_viz.errors import InputError

E, K = 12, 4


@pytest.fixture(scope="module")
def trace() -> mv.Trace:
    """Two labels of three documents each; four of twelve experts for each token."""
    rng = np.random.default_rng(0)
    chosen = [rng.choice(E, K, replace=False).tolist() for _ in range(240)]
    one = example(chosen, experts=E)
    whole = one.prompts[0]
    prompts = tuple(
        replace(whole, label="ab"[n % 2], text=f"{n}" * 40, start=40 * n, stop=40 * n + 40)
        for n in range(6)
    )
    return replace(one, prompts=prompts)


def text_of(page: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", page))


def test_second_choices_are_the_second_strongest(trace):
    second = analysis.load(trace, "second choice").where(label="a")["share"]
    mine = np.concatenate([trace.experts[0, p.start : p.stop, 1] for p in trace.prompts[::2]])
    np.testing.assert_allclose(second, np.bincount(mine, minlength=E) / len(mine))
    with pytest.raises(InputError, match="There is no second choice"):
        analysis.load(example([[0], [1]], experts=E), "second choice")


def test_names_say_how_many_choices_there_are(trace):
    assert analysis.load(trace).name == "load, any choice"
    assert analysis.load(trace).counted == "4 choices of each token"
    assert analysis.load(trace, "first choice").name == "load, first choice"
    assert set(analysis.repetition(trace)["what"]) == {"first choice", "any choice"}


def test_the_report_speaks_of_two_choices_only_where_there_are_two(trace):
    found = mv.report(trace)
    assert {"load", "load_first", "load_second", "repetition"} <= set(found.findings)
    page = text_of(found.to_html())
    body = page[page.index("How ") :]
    assert "any choice, last layer" in body
    assert "layers (0, 15, 31); any choice is its first or second" in body
    assert not re.search(r"\bboth choices\b|\beither choice\b", body)
    uniform = found.findings["repetition"].where(what="any choice")["uniform"][0]
    assert uniform == pytest.approx(1 - 70 / 495)  # C(8, 4) of C(12, 4) sets are apart
    assert f"{100 * uniform:.2f}" in body


def test_first_choices_without_gates_say_whose_order_that_is(trace):
    routes = [trace.experts[:, p.start : p.stop].transpose(1, 0, 2) for p in trace.prompts]
    ids = [trace.token_ids[p.start : p.stop].tolist() for p in trace.prompts]
    listed = mv.import_routes(routes, experts=E, ids=ids)
    for finding in (analysis.load(listed, "first choice"), analysis.repetition(listed)):
        assert any("names first" in note for note in finding.notes), finding.name
    assert not any("names first" in note for note in analysis.load(trace).notes)
