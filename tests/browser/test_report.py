# SPDX-License-Identifier: Apache-2.0
"""The report of a small trace beside its control: the page, its files, and the command for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.analysis.survey import ANALYSES
from moe_viz.cli import main
from tests.browser.conftest import listen, until
from tests.browser.hostile import HOSTILE
from tests.conftest import random_model, small_config

parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("plotly")
pytestmark = pytest.mark.browser
WAIT = 180  # seconds: a busy machine draws a dozen charts when it can
SECTIONS = [
    "Load", "Text", "Repetition", "Languages and labels", "Vocabulary", "Experts chosen together",
    "Certainty", "Paths through the layers", "A cache of experts", "Standing committees", "Damage",
    "How this was made",
]  # fmt: skip
TABLE_5 = [  # as printed, arXiv 2401.04088
    "ArXiv 14.0 27.9 22.7 46.5 62.3 52.9",
    "DM Mathematics 14.1 28.4 19.7 44.9 67.0 44.5",
    "Github 14.9 28.1 19.7 49.9 66.9 49.2",
    "Gutenberg 13.9 26.1 26.3 49.5 63.1 52.2",
    "PhilPapers 13.6 25.3 22.1 46.9 61.9 51.3",
    "PubMed Abstracts 14.2 24.6 22.0 48.6 61.6 51.8",
    "StackExchange 13.6 27.2 23.6 48.2 64.6 53.6",
    "Wikipedia (en) 14.4 23.6 25.3 49.8 62.1 51.8",
]
READY = """() => [...document.querySelectorAll('.moe-viz-chart')]
  .filter((e) => e.offsetWidth && e.dataset.ready !== 'yes').length"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The report, what it wrote, and where; the traces lie beside it."""
    folder, model = tmp_path_factory.mktemp("report"), mv.load("8x7m")
    prompts = mv.prompts.passages()[:10] + mv.prompts.code()[:2]
    traces = [mv.record(m, prompts) for m in (model, mv.untrained_twin(model))]
    for trace, name in zip(traces, ("own", "control"), strict=True):
        trace.save(folder / f"{name}.safetensors")
    damage = [mv.effects(m, prompts[:4], {"top-1": {"top_k": 1}}) for m in (model, model)]
    report = mv.report(traces[0], traces[1], damage[0], damage[1])
    return report, report.save(folder / "out"), folder


@pytest.fixture(scope="module")
def opened(browser, made):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    noise = listen(context)
    page = context.new_page()
    page.goto(made[1][0].as_uri())
    until(lambda: page.evaluate(READY) == 0, WAIT)
    page.locator(".sentence").first.wait_for(timeout=1000 * WAIT)
    yield page, noise
    context.close()


def test_the_page_draws_every_section_and_asks_for_nothing(opened, made):
    page, noise = opened
    assert made[0].left_out == {}
    assert page.locator("h1").inner_text() == "How 8x7m routes"
    assert page.locator("h2:not(.moe-viz h2)").all_inner_texts() == SECTIONS
    for name in SECTIONS[:-1]:  # and the contents lead to each
        assert page.locator("nav a", has_text=name).count() == 1
        anchor = page.locator("nav a", has_text=name).get_attribute("href")
        assert page.locator(anchor).inner_text() == name
    shown = page.locator(".moe-viz-chart:visible")
    assert (
        shown.count() == len(ANALYSES) - 3 + 2
    )  # three are tables; the effects, and a map of loads
    assert page.locator(".moe-viz-status:not(:empty)").count() == 0
    assert page.locator(".moe-viz-chart:visible svg.main-svg").count() >= shown.count()
    assert noise.errors == []
    assert noise.outside("file:") == []


def test_every_chart_has_its_control_in_it_or_folded_beside_it(opened):
    page, _ = opened
    shown = page.locator(".moe-viz-chart:visible")
    for n in range(shown.count()):
        chart = shown.nth(n)
        folded = chart.evaluate("e => e.nextElementSibling?.nextElementSibling"
                                "?.nextElementSibling?.textContent ?? ''")  # fmt: skip
        assert ("control: " in chart.inner_text()) != folded.startswith("The same for the control")
    hidden = page.locator("details > .moe-viz-chart").first
    hidden.locator("..").locator("> summary").click()
    until(lambda: hidden.get_attribute("data-ready") == "yes", WAIT)
    assert "random weights" in hidden.inner_text()
    assert hidden.locator("svg.main-svg").first.bounding_box()["width"] > 900
    hidden.locator("..").locator("> summary").click()


def test_published_numbers_are_told_apart_from_ours(opened, made):
    page, _ = opened
    table = page.locator("table", has=page.locator("caption", has_text="Consecutive tokens sent"))
    rows = [row.split("\t") for row in table.locator("tbody tr").all_inner_texts()]
    bands = [n for n, row in enumerate(rows) if len(row) == 1]
    assert [rows[n][0].partition(",")[0] for n in bands] == [
        "8x7m · float32", "control: 8x7m · float32 · random weights", "PUBLISHED"]  # fmt: skip
    assert "not measured here" in rows[bands[2]][0]
    assert "arXiv 2401.04088" in rows[bands[2]][0]
    assert [" ".join(row) for row in rows[bands[2] + 1 : -1]] == TABLE_5
    assert [float(x) for x in rows[-1][1:]] == [12.5] * 3 + [46.43] * 3
    # Of ours and of the control's, the numbers are those of the tables.
    report = made[0]
    for first, findings in ((bands[0], report.findings), (bands[1], report.controls)):
        found = findings["repetition"]
        for n, label in enumerate(dict.fromkeys(found["label"].tolist())):
            name, *cells = rows[first + 1 + n]
            expected = [100 * found.where(label=label, what=what, layer=layer)["share"][0]
                        for what in dict.fromkeys(found["what"].tolist())
                        for layer in (0, 3, 5)]  # fmt: skip
            assert name == label
            assert [float(c.split(" ")[0]) for c in cells] == pytest.approx(expected, abs=0.06)
            assert not any("nan" in cell for cell in cells)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_never_scrolls_sideways(opened, width):
    page, _ = opened
    page.set_viewport_size({"width": width, "height": 900})
    widest = """Math.max(...[...document.querySelectorAll('svg.main-svg')]
      .filter((e) => e.checkVisibility()).map((e) => e.clientWidth))"""
    until(lambda: page.evaluate(widest) <= width, WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1280, "height": 900})
    until(lambda: page.evaluate(widest) > 900, WAIT)


def test_on_paper_there_is_no_navigation_and_every_chart(opened):
    page, _ = opened
    assert page.locator("nav").is_visible()
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.locator(".moe-viz-buttons:visible").count() == 0
    assert page.locator(".moe-viz-chart:visible svg.main-svg:visible").count() >= 13
    page.emulate_media(media="screen")


def test_a_report_without_control_says_so_and_what_is_hostile_stays_text(browser, tmp_path):
    model = random_model(small_config(layers=2, name=HOSTILE))
    rng = np.random.default_rng(0)
    trace = mv.record(
        model, [rng.integers(3, 99, 40).tolist() for _ in range(2)], labels=[HOSTILE] * 2
    )
    report = mv.report(trace)
    assert {"label_divergence", "language_divergence"} <= set(report.left_out)
    context = browser.new_context()
    noise = listen(context)
    page = context.new_page()
    page.goto(report.save(tmp_path)[0].as_uri())
    until(lambda: page.evaluate(READY) == 0, WAIT)
    text = page.locator("main").inner_text()
    assert "There is no control here" in text
    assert "Random weights: nothing here is about a real model." in text
    assert "Left out" in text
    assert "A divergence is between labels" in text
    assert page.evaluate("window.hacked") is None
    assert noise.errors == []
    assert noise.outside("file:") == []
    context.close()


# ---- Files -------------------------------------------------------------------------------------


def test_the_json_holds_every_finding(made):
    report, written, _ = made
    text = written[1].read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert content["trace"] == json.loads(json.dumps(report.trace.provenance.to_json()))
    assert content["control"]["weights"] == "random weights, seed 20261123"
    for kind, findings in (("findings", report.findings), ("controls", report.controls)):
        assert set(content[kind]) == set(findings) == {*ANALYSES, "effects"}
        for name, found in findings.items():
            assert content[kind][name] == json.loads(json.dumps(found.to_json()))
            assert content[kind][name]["counted"] == found.counted


def test_every_parquet_file_reads_back_equal(made):
    report, written, _ = made
    expected = {f"{name}.parquet": found for name, found in report.findings.items()}
    expected |= {f"control_{name}.parquet": found for name, found in report.controls.items()}
    assert {path.name for path in written[2:]} == set(expected)
    for path in written[2:]:
        table, found = parquet.read_table(path), expected[path.name]
        assert table.schema.metadata[b"title"].decode() == found.title
        assert table.column_names == list(found.columns)
        for name, column in found.columns.items():
            values = table[name].to_pylist()
            if column.dtype.kind == "f":
                np.testing.assert_array_equal(np.array(values, float), column)
            else:
                assert values == column.tolist()


# ---- The command -------------------------------------------------------------------------------


@pytest.fixture
def run(made, tmp_path, monkeypatch, capsys):
    """Runs `moe-viz report` beside the two traces: its exit status and what it printed."""
    monkeypatch.chdir(made[2])
    monkeypatch.setenv("COLUMNS", "99999")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["moe-viz", "report", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


#: A table of each analysis, and of its control; the effects of a change are not asked for.
TABLES = 2 * len(ANALYSES)


def test_the_command_writes_the_same_numbers(run, made, tmp_path):
    out = tmp_path / "new" / "report"
    arguments = ["own.safetensors", "--control", "control.safetensors", "-o", str(out)]
    status, said, _ = run(*arguments)
    assert status == 0
    assert f"written: {out}/report.html, report.json and {TABLES} tables" in said
    written = json.loads((out / "report.json").read_text(encoding="utf-8"))
    whole = json.loads(made[1][1].read_text(encoding="utf-8"))
    for kind in ("findings", "controls"):
        del whole[kind]["effects"]
        assert written[kind] == whole[kind]
    assert len(list(out.iterdir())) == 2 + TABLES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.safetensors"], "missing.safetensors"),
        (["text.txt"], "text.txt"),
        (["own.safetensors", "--control", "text.txt"], "text.txt"),
        (["own.safetensors", "-o", "text.txt"], "text.txt/report.html: cannot be written"),
        (
            ["own.safetensors", "-o", "text.txt/below"],
            "text.txt/below/report.html: cannot be written",
        ),
        (["own.safetensors", "--effects"], "--effects runs the model, which a trace does not hold"),
        (["own.safetensors", "control.safetensors"], "8x7m"),
        (["own.safetensors", "--control"], "--control"),
    ],
)
def test_what_cannot_be_is_refused_in_one_message(run, made, arguments, said):
    (made[2] / "text.txt").write_text("not a trace", encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    status, out, error = run(*arguments)
    assert status != 0
    assert said in error
    assert "Traceback" not in out + error
    assert before == {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
