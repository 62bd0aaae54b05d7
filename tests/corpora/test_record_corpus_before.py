# SPDX-License-Identifier: Apache-2.0
"""Before a corpus is recorded: what is estimated, what the caller is told, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import moe_viz as mv
from moe_viz.errors import InputError, MoeVizError, OutputError, PlacementError, TokenizerError
from moe_viz.recording.corpora import corpus as corpora
from moe_viz.recording.corpora import work
from moe_viz.recording.corpora.corpus import Corpus
from moe_viz.recording.corpora.rows import Columns
from tests.conftest import random_model

from .made import embedded, inline, prose, rows, texts

ROOT = Path(__file__).parents[2]


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
