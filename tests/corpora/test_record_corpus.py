# SPDX-License-Identifier: Apache-2.0
"""record_corpus: what it makes is what record makes, once, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import moe_viz as mv
from moe_viz.errors import InputError, MoeVizError, OutputError, PlacementError, TokenizerError
from moe_viz.files import TEMPORARY
from moe_viz.recording.corpora import corpus as corpora
from moe_viz.recording.corpora import work
from moe_viz.recording.corpora.corpus import Corpus
from moe_viz.recording.corpora.engines.processes import Processes
from moe_viz.recording.corpora.rows import Columns
from moe_viz.trace import Trace
from tests.conftest import random_model

from .deaths import sleep_or_die
from .made import (
    FORMS,
    Rows,
    assert_same,
    embedded,
    given,
    inline,
    names,
    prose,
    reading_model,
    rows,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model():
    return reading_model()


def texts(documents: Rows) -> list[str]:
    return [row["text"] for row in documents]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every shard's file, when it was written and which it is."""
    found = {path: path.stat() for path in (folder / "shards").rglob("*.safetensors")}
    return {path.name: (said.st_mtime_ns, said.st_ino) for path, said in found.items()}


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(TEMPORARY)]


def whole(data: mv.TraceDataset) -> Trace:
    return Trace.join(list(data))


# ---- It is what record makes


@pytest.mark.parametrize("shard_tokens", [1, 300, 10_000])
def test_shards_are_the_recording_of_all_texts(model, tmp_path, shard_tokens):
    documents = prose(12)
    data = inline(documents, tmp_path, model, shard_tokens=shard_tokens, loss=True)
    assert (len(data) == 12) == (shard_tokens == 1)
    expected = mv.record(model, texts(documents), [row["label"] for row in documents], loss=True)
    found = whole(data)
    assert_same(found, expected, within=2e-6)
    assert [(p.text, p.label, p.start, p.stop) for p in found.prompts] == [
        (p.text, p.label, p.start, p.stop) for p in expected.prompts
    ]
    assert [p.document for p in found.prompts] == [row["id"] for row in documents]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_same_from_every_form(model, tmp_path, form):
    documents = rows(12)
    data = inline(given(form, documents, tmp_path), tmp_path / "out", model, shard_tokens=60)
    expected = mv.record(model, texts(documents), [row["label"] for row in documents])
    found = whole(data)
    assert_same(found, expected, within=2e-6)
    assert [(p.document, p.label) for p in found.prompts] == [
        (row["id"], row["label"]) for row in documents
    ]
    assert len(data) > 2


@pytest.mark.slow
def test_large_shards_differ_from_one_recording_in_hardly_any_bit(tmp_path):
    """Processors multiply matrices of other heights in another order: seldom, and in the last bits.

    Where this was written up to half a percent of the logits differed, by at most 1.7e-6.
    """
    documents = prose(44, least=1500)
    data = inline(documents, tmp_path, shard_tokens=24_000, loss=True)
    assert len(data) > 1
    found, expected = whole(data), mv.record(embedded(), texts(documents), loss=True)
    assert_same(found, expected, within=5e-6)
    assert (found.router_logits == expected.router_logits).mean() > 0.98


def test_batches_within_a_shard_change_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "BATCH", 30)
    data = inline(prose(8), tmp_path, model, loss=True)
    assert len(data) == 1
    assert_same(whole(data), mv.record(model, texts(prose(8)), loss=True), within=2e-6)


@pytest.mark.long
def test_processes_make_what_one_makes(tmp_path):
    documents = prose(16)
    options = {"shard_tokens": 250, "loss": True}
    data = mv.record_corpus("8x7m", documents, tmp_path / "a", "processes", workers=2, **options)
    alone = inline(documents, tmp_path / "b", "8x7m", **options)
    assert names(data) == names(alone)
    assert len(data) > 4
    assert_same(whole(data), whole(alone), within=2e-6)
    assert whole(data).prompts == whole(alone).prompts
    assert temporaries(tmp_path) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "form", ["gzip", *(pytest.param(form, marks=pytest.mark.slow) for form in FORMS[2:5])]
)
def test_processes_read_every_kind_of_source(tmp_path, form):
    documents = rows(40)
    source = given(form, documents, tmp_path)
    data = mv.record_corpus("8x7m", source, tmp_path / "o", "processes", workers=2, shard_tokens=60)
    assert [p.text for trace in data for p in trace.prompts] == texts(documents)
    assert len(data) > 5


# ---- Settings


def test_choices_alone_are_kept(model, tmp_path):
    logits = inline(prose(4), tmp_path / "a", model)
    data = inline(prose(4), tmp_path / "b", model, keep="choices", loss=True)
    [trace], [full] = data, logits
    assert trace.router_logits is None
    assert np.array_equal(trace.experts, full.experts)
    assert np.array_equal(trace.gates, full.gates)
    assert trace.loss is not None
    assert trace.expert_count == 8
    assert names(data) != names(logits)
    size = [next((tmp_path / x / "shards").rglob("*.safetensors")).stat().st_size for x in "ba"]
    assert size[0] < 0.7 * size[1]


@pytest.mark.parametrize("context", [16, 40, 200])
def test_long_documents_are_cut_and_stay_in_one_shard(model, tmp_path, context):
    documents = prose(6)
    data = inline(documents, tmp_path, model, context=context, shard_tokens=100)
    found: list[str] = []
    for trace in data:
        assert trace.prompts[0].part == 0
        for prompt in trace.prompts:
            assert prompt.stop - prompt.start <= context
            if prompt.part == 0:
                found.append("")
            found[-1] += prompt.text
    assert found == texts(documents)
    assert data.documents == 6
    parts = [p for trace in data for p in trace.prompts if p.document == "d3"]
    assert [p.part for p in parts] == list(range(len(parts)))
    assert {p.label for p in parts} == {documents[3]["label"]}


def test_parts_are_recorded_as_texts_of_their_own(model, tmp_path):
    data = inline(prose(3), tmp_path, model, context=50, loss=True)
    found = whole(data)
    assert_same(found, mv.record(model, [p.text for p in found.prompts], loss=True), within=2e-6)


def test_the_model_s_context_is_the_most(tmp_path):
    model = reading_model(context=32)
    data = inline(prose(2), tmp_path / "a", model, context=1000)
    assert max(p.stop - p.start for trace in data for p in trace.prompts) <= 32
    assert names(inline(prose(2), tmp_path / "b", model)) == names(data)


def test_columns_and_ids_are_the_caller_s(model, tmp_path):
    documents = [{"body": f"text {n}", "lang": "xy"[n % 2], "nr": n} for n in range(4)]
    [trace] = inline(documents, tmp_path, model, text="body", label="lang", id="nr")
    assert [(p.text, p.label, p.document) for p in trace.prompts] == [
        (f"text {n}", "xy"[n % 2], str(n)) for n in range(4)
    ]


SETTINGS = [{"loss": True}, {"keep": "choices"}, {"context": 20}]


@pytest.mark.parametrize("change", SETTINGS)
def test_other_settings_are_other_shards(model, tmp_path, change):
    before = inline(rows(4), tmp_path, model)
    kept = files(tmp_path)
    after = inline(rows(4), tmp_path, model, **change)
    assert not set(names(before)) & set(names(after))
    assert kept.items() <= files(tmp_path).items()  # what was there stays
    assert names(inline(rows(4), tmp_path, model)) == names(before)
    assert len(files(tmp_path)) == 2  # and is found again


def test_other_models_are_other_shards(tmp_path):
    before = inline(rows(4), tmp_path, reading_model())
    for other in (reading_model(seed=1), embedded()):
        assert not set(names(before)) & set(names(inline(rows(4), tmp_path, other)))


@pytest.mark.parametrize("change", [{"scale": 3.0}, {"layers": 2}, {"experts_per_token": 1}])
def test_another_model_in_memory_makes_other_shards(tmp_path, change):
    """As after a step of training, or weights that were changed by hand, or of another shape."""
    before = inline(rows(4), tmp_path, reading_model())
    other = reading_model(**change)
    after = inline(rows(4), tmp_path, other)
    assert_same(whole(after), mv.record(other, texts(rows(4))), within=2e-6)
    assert names(after) != names(before)


def test_interventions_are_other_shards(model, tmp_path):
    before = inline(rows(4), tmp_path, model)
    with mv.intervene(model, top_k=1):
        after = inline(rows(4), tmp_path, model)
        assert_same(whole(after), mv.record(model, texts(rows(4))), within=2e-6)
    assert not set(names(before)) & set(names(after))
    assert after.provenance.interventions != ()


# ---- Twice, and after a crash


def test_a_second_call_makes_nothing(model, tmp_path, monkeypatch):
    before = inline(rows(30), tmp_path, model, shard_tokens=60)
    kept, plan = files(tmp_path), (tmp_path / "plan.jsonl").read_bytes()
    monkeypatch.setattr(work.Recorder, "_made", lambda *_: pytest.fail("a shard was made again"))
    after = inline(rows(30), tmp_path, model, shard_tokens=60)
    assert files(tmp_path) == kept
    assert (tmp_path / "plan.jsonl").read_bytes() == plan
    assert names(after) == names(before)


@pytest.mark.parametrize("form", ["list", "JSON lines", "gzip", "Parquet in groups of three"])
def test_only_what_is_missing_is_made(model, tmp_path, form):
    source, out = given(form, rows(30), tmp_path), tmp_path / "out"
    data = inline(source, out, model, shard_tokens=60)
    first, kept = whole(data), files(out)
    gone = [data.parts[n].path for n in (0, 3, 4, len(data) - 1)]
    for path in gone:
        path.unlink()
    again = inline(source, out, model, shard_tokens=60)
    after = files(out)
    assert {name for name in kept if after[name] != kept[name]} <= {path.name for path in gone}
    assert set(after) == set(kept)
    assert_same(whole(again), first)


def test_what_a_crash_has_left_is_removed(model, tmp_path):
    data = inline(rows(30), tmp_path, model, shard_tokens=60)
    path = data.parts[2].path
    half = path.parent / f".{path.name}.abc{TEMPORARY}"
    half.mkdir()
    (half / "lock").touch()
    (half / path.name).write_bytes(path.read_bytes()[:500])
    root = tmp_path / f".plan.jsonl.abc{TEMPORARY}"
    root.mkdir()
    (root / "lock").touch()
    path.unlink()
    again = inline(rows(30), tmp_path, model, shard_tokens=60)
    assert temporaries(tmp_path) == []
    assert len(list(again)) == len(data)


def test_what_a_crash_has_left_of_a_shard_that_is_not_planned_any_more(model, tmp_path):
    """The source was changed after the crash: nothing is written where the rest lies."""
    inline(rows(3), tmp_path, model)
    half = tmp_path / "shards/zz" / f".abc{TEMPORARY}"
    half.mkdir(parents=True)
    (half / "lock").touch()
    inline(rows(4), tmp_path, model)
    assert temporaries(tmp_path) == []


@pytest.mark.parametrize("after", range(4))
def test_a_call_that_is_cut_off_goes_on(model, tmp_path, monkeypatch, after):
    """Whatever it has made is kept; the folder says that it is not finished."""
    made, count = work.Recorder._made, [0]

    def cut(self, task):
        if count[0] == after:
            raise KeyboardInterrupt
        count[0] += 1
        return made(self, task)

    with monkeypatch.context() as patch:
        patch.setattr(work.Recorder, "_made", cut)
        with pytest.raises(KeyboardInterrupt):
            inline(rows(30), tmp_path, model, shard_tokens=60)
    kept = files(tmp_path)
    assert len(kept) == after
    with pytest.raises(mv.errors.TraceError, match="shards are not there"):
        mv.TraceDataset.load(tmp_path)
    data = inline(rows(30), tmp_path, model, shard_tokens=60)
    assert kept.items() <= files(tmp_path).items()
    assert len(files(tmp_path)) == len(data)


@pytest.mark.parametrize("damage", ["gone", b"", b"{", b"[1]"])
@pytest.mark.parametrize("name", ["plan.jsonl", "corpus.json"])
def test_what_describes_it_is_written_anew(model, tmp_path, name, damage):
    inline(rows(30), tmp_path, model, shard_tokens=60)
    before, kept = (tmp_path / name).read_bytes(), files(tmp_path)
    (tmp_path / name).unlink() if damage == "gone" else (tmp_path / name).write_bytes(damage)
    inline(rows(30), tmp_path, model, shard_tokens=60)
    assert (tmp_path / name).read_bytes() == before
    assert files(tmp_path) == kept


@pytest.mark.parametrize("form", ["JSON lines", "Parquet"])
def test_the_same_text_twice_is_made_once(model, tmp_path, form):
    documents: Rows = [{"text": f"text {n % 3} " * 8} for n in range(9)]
    source = given(form, documents, tmp_path)
    data = inline(source, tmp_path / "out", model, shard_tokens=1)
    assert (len(data), data.documents, len(files(tmp_path / "out"))) == (9, 9, 3)
    found = whole(data)
    assert_same(found, mv.record(model, texts(documents)), within=2e-6)
    assert len({prompt.document for prompt in found.prompts}) == 9


@pytest.mark.parametrize("form", ["list", "gzip", "dataset"])
def test_the_same_text_twice_where_rows_are_sent(model, tmp_path, form):
    documents: Rows = [{"text": f"text {n} " * 8} for n in (0, 1, 1, 2, 0)]
    source = given(form, documents, tmp_path)
    data = inline(source, tmp_path / "out", model, shard_tokens=1)
    assert (len(data), data.documents, len(files(tmp_path / "out"))) == (5, 5, 3)


# ---- A source that changes


def test_more_documents_at_the_end_keep_what_is_there(model, tmp_path):
    """After the sample, that is: see below."""
    before = inline(prose(100), tmp_path, model, shard_tokens=400)
    kept = files(tmp_path)
    after = inline(prose(120), tmp_path, model, shard_tokens=400)
    assert names(after)[: len(before) - 1] == names(before)[:-1]
    assert kept.items() <= files(tmp_path).items()


def test_a_changed_document_changes_its_shard(model, tmp_path):
    documents = prose(100)
    before = inline(documents, tmp_path, model, shard_tokens=400)
    documents[90] = {**documents[90], "text": documents[90]["text"].swapcase()}
    after = inline(documents, tmp_path, model, shard_tokens=400)
    if documents[90]["text"].isascii():
        assert sum(a != b for a, b in zip(names(before), names(after), strict=True)) == 1


CHANGED = {
    "the first document": lambda documents: [
        {**documents[0], "text": "Другой текст. " * 40},
        *documents[1:],
    ],
    "documents more": lambda documents: [*documents, *({"text": "ä ö ü " * 50} for _ in range(9))],
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_change_within_the_sample_keeps_the_other_shards(model, tmp_path, change):
    documents: Rows = [{"text": f"document {n}: " + "words " * (n % 7)} for n in range(40)]
    before = inline(documents, tmp_path, model, shard_tokens=60)
    after = inline(change(documents), tmp_path, model, shard_tokens=60)
    assert len(set(names(before)) - set(names(after))) < 0.5 * len(before)


@pytest.mark.parametrize("form", ["JSON lines", "Parquet", "gzip"])
def test_a_source_that_changes_while_it_is_recorded_is_noticed(model, tmp_path, form):
    source, out = given(form, rows(30), tmp_path), tmp_path / "out"
    corpus = Corpus(model, source, out, "inline", shard_tokens=60)
    changed = [*rows(29), {**rows(30)[29], "text": rows(30)[29]["text"].swapcase()}]
    read_plan = corpora.read_plan

    def meanwhile(folder):
        given(form, changed, tmp_path)
        return read_plan(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "read_plan", meanwhile)
        with pytest.raises(InputError, match=r"rows \d+ to 29: have changed since they were plann"):
            corpus.record()
    assert len(files(out)) > 3  # what had not changed
    data = inline(source, out, model, shard_tokens=60)
    assert [p.text for trace in data for p in trace.prompts] == texts(changed)


@pytest.mark.parametrize(
    "form",
    [
        "Parquet",
        "JSON lines",
        "gzip",
    ],
)  # fmt: skip
def test_a_source_that_shrinks_is_noticed_too(model, tmp_path, form):
    source, out = given(form, rows(30), tmp_path), tmp_path / "out"
    corpus = Corpus(model, source, out, "inline", shard_tokens=60)
    read_plan = corpora.read_plan

    def meanwhile(folder):
        shorter = [{"text": "short", "label": "", "id": ""}, *rows(9)]
        given(form, shorter * (3 if form == "JSON lines" else 1), tmp_path)
        return [shard for shard in read_plan(folder) if shard.first > 10]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "read_plan", meanwhile)
        with pytest.raises(InputError, match="have changed since they were planned"):
            corpus.record()


# ---- Estimates


@pytest.mark.parametrize("options", [{}, {"keep": "choices"}, {"loss": True}])
def test_an_estimate_is_near_what_comes(model, tmp_path, options):
    documents = prose(150)
    values = {"shard_tokens": 2000, **options}
    said = Corpus(model, documents, tmp_path / "a", "inline", **values).estimate()
    data = inline(documents, tmp_path / "a", model, **values)
    assert said.tokens == pytest.approx(data.tokens, rel=0.15)
    size = sum(part.path.stat().st_size for part in data.parts)
    assert said.trace_bytes == pytest.approx(size, rel=0.15)
    assert (said.shards, said.documents, said.made) == (len(data), 150, 0)
    assert said.text_bytes == sum(len(text.encode()) for text in texts(documents))
    again = Corpus(model, documents, tmp_path / "a", "inline", **values).estimate()
    assert again.made == len(data)
    assert "150 documents" in str(again)
    assert f"({len(data)} are there)" in str(again)


def test_an_estimate_writes_nothing(model, tmp_path):
    Corpus(model, rows(3), tmp_path / "out", "inline").estimate()
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_writes_no_file(model, tmp_path):
    Corpus(model, rows(3), tmp_path / "out", "inline").estimate()
    assert not (tmp_path / "out").exists()


def test_planning_tokenises_a_sample_alone(model, tmp_path):
    reader = embedded().tokenizer
    assert reader is not None

    class Counted:
        texts = 0

        def encode(self, text):
            self.texts += 1
            return reader.encode(text)

    cost = []
    for many in (100, 3000):
        model.tokenizer = counted = Counted()
        Corpus(model, rows(many), tmp_path, "inline", shard_tokens=100).estimate()
        cost.append(counted.texts)
    model.tokenizer = reader
    assert cost[0] == cost[1]


def test_the_caller_is_told_what_will_be_done(model, tmp_path, capfd):
    inline([*rows(5), {"text": " "}], tmp_path, model)
    said = capfd.readouterr().err
    assert "5 documents" in said
    assert "1 rows hold no text" in said
    assert "memory, row 5" in said
    inline([*rows(5), {"text": " "}], tmp_path, model)
    assert "documents" not in capfd.readouterr().err  # nothing is made


@pytest.mark.long
def test_what_was_estimated_can_be_recorded_by_processes(tmp_path):
    corpus = Corpus("8x7m", rows(5), tmp_path, "processes", workers=1)
    corpus.estimate()
    assert corpus.record().documents == 5


# ---- What is refused, before a model is loaded


@pytest.fixture
def never_loaded(monkeypatch):
    monkeypatch.setattr(work, "load", lambda *_, **__: pytest.fail("the model was loaded"))


REFUSED = {
    "an engine": ({"engine": "spark"}, "engine must be one of auto, inline, processes, ray"),
    "what is kept": (
        {"keep": "gates"},
        "keep must be one of logits, choices, summaries, found 'gates'",
    ),
    "no workers": ({"engine": "processes", "workers": 0}, "workers must be at least 1, found 0"),
    "a small context": ({"context": 15}, "context of at least 16 tokens, found 65536 and 15"),
    "no tokens": ({"shard_tokens": 0}, "shard_tokens of at least 1"),
    "an address": ({"engine": "inline", "address": "x"}, "address= belongs to engine='ray'"),
    "no column": ({"text": "body"}, "no column 'body'; it has 'text', 'label', 'id'"),
}


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=REFUSED)
def test_settings_are_looked_at_first(never_loaded, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        mv.record_corpus("8x7m", rows(3), tmp_path, **options)


@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_model_in_memory_runs_here(model, tmp_path, engine):
    with pytest.raises(InputError, match=r"in memory here\. Give its name or folder"):
        mv.record_corpus(model, rows(3), tmp_path, engine)
    with pytest.raises(InputError, match="loaded already: dtype, device cannot be asked for"):
        mv.record_corpus(model, rows(3), tmp_path, "inline", dtype="float16", device="cpu")
    assert mv.record_corpus(model, rows(3), tmp_path).documents == 3  # as "auto" knows


def test_a_source_without_texts_is_refused(never_loaded, tmp_path):
    with pytest.raises(InputError, match="No row of the source holds a text"):
        inline([{"text": ""}, {"text": None}], tmp_path, "8x7m")


def test_a_folder_that_cannot_be_written_is_told(never_loaded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        inline(rows(3), tmp_path / "file", "8x7m")


def test_the_folder_may_lie_in_its_source(model, tmp_path):
    (tmp_path / "a.txt").write_text("text")
    inline(tmp_path, tmp_path / "out", model)
    assert inline(tmp_path, tmp_path / "out", model).documents == 1


@pytest.mark.parametrize("column", ["label", "id"])
def test_a_label_that_is_no_unicode_is_told_with_its_row(model, tmp_path, column):
    with pytest.raises(InputError, match="row 1"):
        inline([{"text": "a", "label": ""}, {"text": "b", column: "\ud800"}], tmp_path, model)


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no tokenizer, and a corpus is texts"):
        inline(rows(3), tmp_path, random_model())


@pytest.mark.parametrize(
    ("model", "error"), [("nowhere/at all", MoeVizError), (str(ROOT / "docs"), MoeVizError)]
)
def test_a_model_that_is_none_is_told(tmp_path, model, error):
    with pytest.raises(error):
        inline(rows(3), tmp_path, model)


@pytest.mark.long
def test_errors_of_workers_are_those_of_this_process(tmp_path):
    """Of the same kind, with the same words, whichever process they were raised in."""
    wrong: list[dict[str, Any]] = [{"dtype": "nonsense"}, {"device": "nonsense"}]
    for options in wrong:
        said = []
        for engine in ("inline", "processes"):
            with pytest.raises((PlacementError, InputError, TokenizerError)) as error:
                mv.record_corpus("8x7m", rows(3), tmp_path, engine, **options)
            said.append((type(error.value), str(error.value)))
        assert said[0] == said[1]


def test_an_error_while_recording_names_the_rows(model, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise mv.errors.NumberError("NaN.")

    monkeypatch.setattr(work, "record", fail)
    recorder = work.Recorder(model, {}, tmp_path, "logits", False)
    monkeypatch.setattr(recorder, "_described", work.Recorder._described)
    [source] = corpora.sources_in(rows(3), Columns())
    [shard] = corpora.planned([source], "", 10_000, corpora.Tally())
    with pytest.raises(mv.errors.NumberError, match=r"memory, rows 0 to 2: NaN\."):
        recorder(work.Task(shard, "", source))


# ---- Processes


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_tasks_of_workers_that_die_are_done_by_others(tmp_path):
    tasks = [(f"dies {n}" if n % 8 == 0 else f"lives {n}", str(tmp_path)) for n in range(16)]
    with Processes(2).started(sleep_or_die) as run:
        assert sorted(run(tasks)) == sorted(what for what, _ in tasks)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_task_that_kills_every_worker_is_given_up(tmp_path):
    with (
        Processes(1).started(sleep_or_die) as run,
        pytest.raises(MoeVizError, match=r"died \d+ times and finished nothing.*fewer workers="),
    ):
        list(run([("always", str(tmp_path))]))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_task_is_not_blamed_for_others(tmp_path):
    """Six workers die, each over a task of its own; the slow one has killed nobody."""
    tasks = [("slow", str(tmp_path)), *((f"dies {n}", str(tmp_path)) for n in range(6))]
    with Processes(2).started(sleep_or_die) as run:
        assert len(list(run(tasks))) == 7


@pytest.mark.slow
def test_a_worker_that_grows_is_not_taken_for_one_that_leaks(tmp_path):
    """A model and its batches may be gigabytes; loky would start a worker anew beyond 300 MB."""
    tasks = [("tells", str(tmp_path)), *[("grows", str(tmp_path))] * 3]
    with warnings.catch_warnings(), Processes(1).started(sleep_or_die) as run:
        warnings.simplefilter("error")
        assert len(set(run(tasks))) == 1  # process


@pytest.mark.long
def test_an_error_of_a_task_ends_the_workers(tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with (
        pytest.raises(InputError, match="it was not to be"),
        Processes(2).started(sleep_or_die) as run,
    ):
        list(run([("fails", str(tmp_path)), *[("slow", str(tmp_path))] * 4]))
    left = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert not [c for c in left if any("popen_loky" in word for word in c.cmdline())]


SCRIPT = """
import json, sys, moe_viz as mv
data = mv.record_corpus("8x7m", sys.argv[1], sys.argv[2], engine="processes", workers=2,
                        shard_tokens=int(sys.argv[3]))
print(json.dumps([data.documents, len(data)]))
"""


def script(tmp_path: Path, documents: Rows, tokens: int) -> list[str]:
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    (tmp_path / "script.py").write_text(SCRIPT)
    return [sys.executable, *(str(tmp_path / n) for n in ("script.py", "corpus.jsonl", "out")),
            str(tokens)]  # fmt: skip


@pytest.mark.long
def test_a_plain_script_needs_no_guard(tmp_path):
    """A script that would start itself again in every worker would print more than once."""
    run = subprocess.run(
        script(tmp_path, rows(9), 60), capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    documents, shards = json.loads(run.stdout)
    assert documents == 9
    assert shards > 1
    assert "Traceback" not in run.stderr
    assert "Warning" not in run.stderr


def below(process: subprocess.Popen) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process(process.pid).children(recursive=True)
    return []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_workers_end_when_their_driver_is_killed(tmp_path):
    """And the same call goes on, with what they had made."""
    asked, out = script(tmp_path, prose(200), 1000), tmp_path / "out"
    driver = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(list(out.rglob("*.safetensors"))) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    there = below(driver)
    assert sum("popen_loky" in " ".join(p.cmdline()) for p in there) == 2
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(there, timeout=20)
    assert alive == []
    kept = files(out)
    documents = prose(200)[:40]
    asked = script(tmp_path, documents, 1000)
    run = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=200)
    assert run.returncode == 0, run.stderr
    assert kept.items() <= files(out).items()
    assert mv.TraceDataset.load(out).documents == 40


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT on Windows")
def test_an_interrupted_call_takes_its_workers_with_it(tmp_path):
    """Control and C reach the whole group: workers leave it to their driver, which ends them."""
    asked, out = script(tmp_path, prose(200), 1000), tmp_path / "out"
    driver = subprocess.Popen(
        asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 60
    while len(files(out)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    there = below(driver)
    os.killpg(driver.pid, signal.SIGINT)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == -signal.SIGINT
    assert said.count("Traceback") == 1  # the driver's own
    assert psutil.wait_procs(there, timeout=20)[1] == []
    assert temporaries(out) == []


@pytest.mark.slow
def test_two_calls_at_the_same_time_make_one_corpus(tmp_path):
    asked = script(tmp_path, prose(30), 200)
    asked[1:2] = ["-c", SCRIPT.replace('"processes", workers=2', '"inline"')]
    drivers = [subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [driver.communicate(timeout=200)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0]
    assert said[0] == said[1]
    data = mv.TraceDataset.load(tmp_path / "out")
    assert [p.text for trace in data for p in trace.prompts] == texts(prose(30))
    assert len(files(tmp_path / "out")) == len(data)
    assert temporaries(tmp_path) == []
