# SPDX-License-Identifier: Apache-2.0
"""The report's page, read as HTML: sections, tables, reasons and titles against its survey."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.analysis import Documents
from moe_viz.analysis.finding import Finding
from moe_viz.analysis.survey import ANALYSES
from moe_viz.reporting import Report
from moe_viz.trace.provenance import Provenance
from moe_viz.view.charts.figures import _KINDS
from tests.unit.tables import MADE, table
from tests.unit.test_charts import documents

pytest.importorskip("plotly")
OWN = Provenance(
    "mine", dtype="bfloat16", quantisation="Q4_K, Q6_K", fingerprint="0123456789abcdef",
    date="2026-11-28T10:00:00+00:00",
)  # fmt: skip
TWIN = Provenance("mine", dtype="float32", weights="random weights, seed 7")
#: Table 5 of arXiv 2401.04088, as printed: first choice at layers 0, 15, 31; either choice.
PRINTED = """
ArXiv | 14.0 27.9 22.7 | 46.5 62.3 52.9
DM Mathematics | 14.1 28.4 19.7 | 44.9 67.0 44.5
Github | 14.9 28.1 19.7 | 49.9 66.9 49.2
Gutenberg | 13.9 26.1 26.3 | 49.5 63.1 52.2
PhilPapers | 13.6 25.3 22.1 | 46.9 61.9 51.3
PubMed Abstracts | 14.2 24.6 22.0 | 48.6 61.6 51.8
StackExchange | 13.6 27.2 23.6 | 48.2 64.6 53.6
Wikipedia (en) | 14.4 23.6 25.3 | 49.8 62.1 51.8
"""


LAYERS = (2, 3, 7, 8, 9)


def findings(seed: int, title: str) -> dict[str, Finding]:
    """One of every kind, with random numbers."""
    how = {"seed": seed, "title": title}
    even = {"first choice": 1 / 8, "first or second choice": 13 / 28}
    keys = {"layer": LAYERS, "what": tuple(even), "label": ("en", "fr")}
    repeated = table("repetition", keys, ["share", "uniform", "matched", "shuffled"], **how)
    repeated.columns["uniform"][:] = [even[what] for what in repeated["what"]]
    plain = {
        name: table(name.replace("_", " "), {"layer": LAYERS, "n": range(9)}, ["share"], **how)
        for name in ("paths", "committee", "committee_overlap")
    }
    same_name = {"label_divergence", "language_divergence", "vocabulary", "certainty", "margins",
                 "transitions", "expert_cache", "effects"}  # fmt: skip
    return {
        **{name: MADE["load"](**how) for name in ("load", "load_first", "load_second")},
        **{name: MADE[name.replace("_", " ")](**how) for name in same_name},
        "coactivation": MADE["co-activation"](**how), "repetition": repeated, **plain,
    }  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    own, twin = (documents(seed=n, L=5, provenance=p).trace for n, p in enumerate((OWN, TWIN)))
    special = np.arange(len(own)) % 12 == 0
    traces = [replace(t, layers=LAYERS, special=special) for t in (own, twin)]
    made = [findings(n, t.provenance.title) for n, t in enumerate(traces)]
    (trace, control), (found, controls) = traces, made
    assert set(found) == {*ANALYSES, "effects"}
    return Report(trace, control, Documents(trace), found, controls, {})


@pytest.fixture(scope="module")
def page(report) -> str:
    """The page without plotly's script."""
    return re.sub(r'<script type="text/plain".*?</script>', "", report.to_html(), flags=re.S)


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", " ", html))).strip()


def cells(table: str) -> list[list[str]]:
    rows = re.findall(r"<tr.*?</tr>", table, re.S)
    return [[words(cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row, re.S)] for row in rows]


def test_the_head_counts_documents_tokens_and_labels(report, page):
    assert "<title>How mine routes</title>" in page
    assert "<h1>How mine routes</h1>" in page
    assert '<p class="muted">mine · bfloat16 · Q4_K, Q6_K</p>' in page
    said = words(page[: page.index("<h2")])
    assert (
        "8 documents, 88 tokens (special tokens left out), 5 layers of 8 experts, 2 for each"
        in said
    )
    assert "The control, drawn beside: mine · float32 · random weights, seed 7." in said
    first = page[page.index("<table") : page.index("</table")]
    assert cells(first) == [["label", "documents", "tokens"], ["en", "4", "44"], ["fr", "4", "44"]]
    end = words(page[page.index("How this was made") :])
    assert (
        "recorded 2026-11-28T10:00:00+00:00, mine · bfloat16 · Q4_K, Q6_K; checkpoint 0123456789ab"
        in end
    )


def test_each_chart_is_the_chart_of_its_finding_and_names_both_titles(report, page):
    shown = [words(head) for head in re.findall(
        r'<div style="font-size:16px;font-weight:600">(.*?)</div>', page, re.S)]  # fmt: skip
    own, twin = "mine · bfloat16 · Q4_K, Q6_K", "mine · float32 · random weights, seed 7"
    drawn = [f for f in report.findings.values() if any(f.name.startswith(k) for k in _KINDS)]
    charts = {key: mv.chart(f, report.controls.get(key)) for key, f in report.findings.items()
              if f in drawn}  # fmt: skip
    expected = []
    for key, chart in charts.items():
        expected.append(f"{chart.title} {chart.provenance}")
        assert f'style="margin:4px 0">{chart.sentence}</p>' in unescape(page)
        if "control" not in chart.provenance:  # drawn alone: and the control's folded beside
            expected.append(f"{chart.title} {twin}")
            assert mv.chart(report.controls[key]).sentence in unescape(page)
        if key == "load":  # all layers at once, the control beside
            every = mv.chart(report.findings[key], report.controls.get(key), view="map")
            expected.append(f"{every.title} {every.provenance}")
            assert every.sentence in unescape(page)
    assert sorted(shown) == sorted(expected)
    assert all(head.endswith((own, twin)) for head in shown)


def test_tables_that_are_no_charts_stand_there_for_both(report, page):
    for key in ("paths", "committee", "committee_overlap"):
        for found, limit in ((report.findings[key], 40), (report.controls[key], 20)):
            assert found.to_html(limit) in page


def table_5(page: str) -> list[list[str]]:
    start = page.index("<caption>Consecutive tokens")
    return cells(page[start : page.index("</table>", start)])


def test_table_5_holds_the_published_numbers_as_printed_and_says_whose_they_are(page):
    rows = table_5(page)
    band = next(n for n, row in enumerate(rows) if row[0].startswith("PUBLISHED"))
    assert rows[band] == [
        "PUBLISHED, not measured here: Mixtral 8x7B on subsets of The Pile "
        "(arXiv 2401.04088, Table 5), %; layers (0, 15, 31)"
    ]
    printed = [line.replace("|", " ").rsplit(maxsplit=6) for line in PRINTED.strip().splitlines()]
    assert rows[band + 1 : -1] == printed
    assert rows[-1] == ["even routing", *["12.50"] * 3, *["46.43"] * 3]
    assert rows[0][1:] == [
        f"{what}, {where} layer"
        for what in ("first choice", "first or second choice")
        for where in ("first", "middle", "last")
    ]


def test_table_5_holds_ours_and_the_control_s_with_interval_and_shuffled(report, page):
    rows = table_5(page)
    bands = [n for n, row in enumerate(rows) if len(row) == 1]
    assert [rows[n][0] for n in bands[:2]] == [
        "mine · bfloat16 · Q4_K, Q6_K, %; layers (2, 7, 9)",
        "control: mine · float32 · random weights, seed 7, %; layers (2, 7, 9)",
    ]
    for band, findings in zip(bands, (report.findings, report.controls), strict=False):
        found = list(findings["repetition"].rows())
        whats = list(dict.fromkeys(row["what"] for row in found))
        for n, label in enumerate(("en", "fr")):
            expected = []
            for what in whats:
                for layer in (2, 7, 9):
                    (row,) = [
                        r
                        for r in found
                        if (r["label"], r["what"], r["layer"]) == (label, what, layer)
                    ]
                    share, low, high, mixed = (
                        100 * row[c] for c in ("share", "low", "high", "shuffled"))  # fmt: skip
                    expected.append(f"{share:.1f} ({low:.0f}–{high:.0f}; shuffled {mixed:.1f})")
            assert rows[band + 1 + n] == [label, *expected]


def test_the_text_is_one_prompt_of_each_label(report, page):
    packed = map(json.loads, re.findall(r'-data">(.*?)</script>', page, re.S))
    (prompts,) = (data["prompts"] for data in packed if "prompts" in data)
    shown = [(label, text) for label, text, *_ in prompts]
    firsts: dict[str, str] = {}
    for prompt in report.trace.prompts:
        firsts.setdefault(prompt.label, prompt.text)
    assert shown == list(firsts.items())


def test_what_is_left_out_says_why_and_no_section_stands_empty():
    alone = documents(labels=("",), provenance=TWIN).trace
    report = mv.report(alone)
    assert report.left_out
    html = report.to_html()
    listed = html[html.index("<h2>Left out</h2>") :]
    items = [words(item) for item in re.findall(r"<li>(.*?)</li>", listed, re.S)]
    assert items == [f"{name}: {why}" for name, why in report.left_out.items()]
    assert "There is no control here" in html
    assert "control: " not in html
    assert "Random weights: nothing here is about a real model." in html
    assert '<h2 id="languages-and-labels">' not in html
    assert '<h2 id="damage">' not in html
    headings = re.findall(r'<h2 id="(.*?)">(.*?)</h2>', html)
    assert re.findall(r'<li><a href="#(.*?)">(.*?)</a></li>', html) == headings
    assert [anchor for anchor, _ in headings] == [
        name.lower().replace(" ", "-") for _, name in headings]  # fmt: skip


def test_a_trained_model_s_report_is_not_called_random(page):
    assert "nothing here is about a real model" not in page
    assert "Left out" not in page
