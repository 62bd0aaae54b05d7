# SPDX-License-Identifier: Apache-2.0
"""record_corpus twice, after a crash and after a change: what is there stays, the rest is made."""

from __future__ import annotations

import pytest

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.files import TEMPORARY
from moe_viz.recording.corpora import corpus as corpora
from moe_viz.recording.corpora import work
from moe_viz.recording.corpora.corpus import Corpus

from .made import (
    Rows,
    assert_same,
    files,
    given,
    inline,
    names,
    prose,
    rows,
    temporaries,
    texts,
    whole,
)

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
