# SPDX-License-Identifier: Apache-2.0
"""Recordings of earlier versions may hold NaN: they open, and nothing computes with them unsaid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moe_viz as mv
from moe_viz import analysis
from moe_viz.analysis.damage import damage
from moe_viz.analysis.documents import Documents
from moe_viz.analysis.survey import survey
from moe_viz.errors import InputError
from moe_viz.prompts import passages
from moe_viz.trace import Trace, gaps, margins_of

BROKEN = (3, 8)  # prompts with NaN in them: all of a label


@pytest.fixture(scope="module")
def whole() -> Trace:
    return mv.record(mv.load("8x7m"), passages()[:10], loss=True)


def spoilt(trace: Trace, prompts=BROKEN) -> Trace:
    logits, gates = trace.router_logits.copy(), trace.gates.copy()
    for number, prompt in enumerate(trace.prompts):
        if number in prompts:
            logits[3, prompt.start + 2 : prompt.stop, number % 8] = np.nan
            gates[3, prompt.start + 5] = np.inf
    return replace(trace, router_logits=logits, gates=gates)


@pytest.fixture(scope="module")
def broken(whole) -> Trace:
    return spoilt(whole)


@pytest.fixture(scope="module")
def rest(whole) -> Trace:
    """What the broken one should count as."""
    return whole.select(prompt=[n for n in range(10) if n not in BROKEN])


def test_a_file_with_nan_opens_and_its_table_says_where(broken, tmp_path):
    trace = Trace.load(broken.save(tmp_path / "t.safetensors"))
    where = gaps(trace)
    assert where[3].sum() == sum(p.stop - p.start - 2 for n, p in enumerate(trace.prompts)
                                 if n in BROKEN)  # fmt: skip
    assert not where[[0, 1, 2, 4, 5]].any()
    assert np.array_equal(np.isnan(trace.margins), where)
    table = trace.table()
    assert np.array_equal(np.isnan(table["margin"].to_numpy()), where.reshape(-1))
    assert table.schema.metadata[b"gaps"].startswith(f"{where.sum()} of".encode())


def test_a_table_without_gaps_says_nothing_of_them(whole):
    assert whole.table().schema.metadata is None
    assert not gaps(whole).any()


def test_a_missing_expert_s_minus_infinity_is_no_gap(whole):
    logits = whole.router_logits.copy()
    logits[2, :, 7] = -np.inf
    assert not gaps(replace(whole, router_logits=logits)).any()
    assert np.isnan(margins_of(np.array([3.0, np.nan, 1.0, 2.0]), 2))


@pytest.mark.parametrize("analyse", [
    analysis.load, analysis.certainty, analysis.repetition, analysis.coactivation,
    analysis.committee, analysis.transitions, analysis.margin_histogram,
])  # fmt: skip
def test_an_analysis_leaves_those_prompts_out_and_says_so(broken, rest, analyse):
    found, expected = analyse(broken), analyse(rest)
    assert found.notes[0].startswith("Left out: 2 of 10 prompts, whose router logits or gates hold")
    assert not expected.notes or not expected.notes[0].startswith("Left out")
    known = [n for n in ("share", "mean", "size") if n in expected.columns]
    for name in known:
        assert np.array_equal(found[name], expected[name], equal_nan=True), name
    assert found["documents"].tolist() == expected["documents"].tolist()
    assert "Left out: 2 of 10" in found.to_html()
    assert "Left out: 2 of 10" in found.csv()


def test_a_chart_and_a_report_say_it_too(broken):
    assert "Left out: 2 of 10 prompts" in mv.chart(analysis.load(broken)).to_html(plotly=False)
    from moe_viz.view.pages.report import report_body

    assert "Left out: 2 of 10 prompts" in report_body(survey(broken))


def test_two_runs_are_compared_where_both_have_numbers(whole, broken, rest):
    expected = mv.compare(rest, rest)
    for pair in ((whole, broken), (broken, whole)):
        found = mv.compare(*pair)
        assert found["share"].tolist() == expected["share"].tolist()
        assert np.isfinite(found["logit_error"]).all()
        assert found.notes[0].startswith("Left out: 2 of 10 prompts")


def test_where_every_prompt_holds_nan_there_is_nothing_to_count(whole):
    with pytest.raises(InputError, match=r"Left out: 10 of 10 prompts.*nothing else to count"):
        Documents(spoilt(whole, range(10)))


def test_losses_that_are_nan_after_the_first_token_are_refused(whole, broken):
    loss = whole.loss.copy()
    loss[[3, 7]] = np.nan
    with pytest.raises(InputError, match="2 tokens have a loss that is NaN or infinite"):
        damage(replace(whole, loss=loss), {"same": whole.loss})
    found = damage(broken, {"same": whole.loss})
    assert found.notes[0].startswith("Left out: 2 of 10")
    assert (found["change"] == 0).all()
