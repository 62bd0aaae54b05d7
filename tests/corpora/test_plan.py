# SPDX-License-Identifier: Apache-2.0
"""The plan: every row in one shard, in order; names that say what a shard holds, no more."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from moe_viz.errors import InputError
from moe_viz.recording.corpora.plan import Tally, check_rows, content, planned
from moe_viz.recording.corpora.rows import Row
from moe_viz.trace.shards import Shard, read_about, read_plan, write_plan

from .made import FORMS, Rows, expected, given, lines, opened, rows


def plan(source, size: int = 60, identity: str = "a model") -> list[Shard]:
    return list(planned(opened(source), identity, size, Tally()))


def names(source, size: int = 60, identity: str = "a model") -> list[str]:
    return [shard.name for shard in plan(source, size, identity)]


TEXTS = (
    st.none() | st.sampled_from(["", "  ", "\ud800", "é", "漢字", "words of a text"]) | st.text()
)


@settings(deadline=None, max_examples=200)
@drawn(st.lists(TEXTS, min_size=1, max_size=30), st.integers(1, 80))
def test_shards_cover_the_rows_once_and_in_order(texts, size):
    tally = Tally()
    shards = list(planned(opened(texts), "", size, tally))
    ends = [0]
    for shard in shards:
        assert shard.first == ends[-1]
        ends.append(shard.first + shard.rows)
        held = [texts[n] for n in shard.rows_of_documents]
        assert len(held) == shard.documents > 0
        sizes = [len(text.encode()) for text in held]
        assert sum(sizes) == shard.size
        assert sum(sizes[:-1]) < 1.5 * size  # it was closed then, if not before
        assert shard.size >= size / 2 or shard is shards[-1]
        left = [texts[n] for n in range(shard.first, ends[-1]) if n not in shard.rows_of_documents]
        assert all(Row(text).empty for text in left)
    assert all(Row(text).empty for text in texts[ends[-1] :])  # nothing to record is left
    kept = [text for text in texts if not Row(text).empty]
    assert (tally.shards, tally.documents) == (len(shards), len(kept))
    assert tally.empty == len(texts) - len(kept)
    assert tally.size == sum(len(text.encode()) for text in kept)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_make_the_same_shards(form, tmp_path):
    source = given(form, rows(30), tmp_path)
    assert names(source) == names(source)
    if form != "folder of tables":  # which are two sources
        assert names(source) == names(rows(30))


def test_every_shard_has_a_name_of_its_own():
    found = names(rows(60))
    assert len(set(found)) == len(found) > 20
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in found)


CHANGES = {
    "its text": {"text": "other"},
    "a space of its text": {"text": "plain 5:  words words words words words "},
    "its label": {"label": "other"},
    "its id": {"id": "other"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("at", [0, 5, 29])
def test_a_changed_row_changes_its_shard_alone(at, change):
    """And the next one, where it decides that the shard ends, or no longer does."""
    documents = [{**row, "text": row["text"].ljust(60)} for row in rows(300)]
    changed = [dict(row) for row in documents]
    changed[at] |= {name: value.ljust(60) for name, value in change.items()}
    before, after = plan(documents, 600), plan(changed, 600)
    lost = {shard.name for shard in before} - {shard.name for shard in after}
    (own,) = [shard.name for shard in before if shard.first <= at < shard.first + shard.rows]
    assert own in lost
    assert len(lost) <= 4 < len(before) / 5


def test_a_longer_row_leaves_the_shards_before_it():
    documents = rows(40)
    changed = [*documents[:20], {**documents[20], "text": "long " * 100}, *documents[21:]]
    before, after = plan(documents), plan(changed)
    untouched = [shard.name for shard in before if shard.first + shard.rows <= 20]
    assert [shard.name for shard in after][: len(untouched)] == untouched != []


@pytest.mark.parametrize("inserted", [[], ["words " * 30], ["words " * 90]])
def test_a_row_put_in_or_taken_out_changes_only_shards_near_it(inserted):
    """Else one correction in a corpus of millions makes everything after it anew.

    With 200 rows in a shard; of fewer, the ends soon meet again by chance.
    """
    draw = random.Random(0)
    documents = [{"text": f"{n} " + "words " * draw.randint(1, 40)} for n in range(20_000)]
    rest = documents[100 if inserted else 101 :]
    changed = [*documents[:100], *({"text": text} for text in inserted), *rest]
    before, after = names(documents, 26_000), names(changed, 26_000)
    assert len(before) > 50
    assert len(set(before) - set(after)) < 10


def test_appended_rows_keep_the_shards_before_the_last():
    before = names(rows(30))
    for more in (31, 32, 60):
        after = names(rows(more))
        assert after[: len(before) - 1] == before[:-1]
    empty: Rows = [{"text": ""}] * 5
    assert names([*rows(30), *empty])[: len(before) - 1] == before[:-1]


def test_rows_without_a_text_are_counted_and_told():
    tally = Tally()
    list(planned(opened([None, "a", "", "\ud800", "b"]), "", 1, tally))
    assert (tally.empty, tally.documents, tally.first_empty) == (3, 2, "memory, row 0")
    assert "3 rows hold no text" in tally.left_out_note
    assert "memory, row 0" in tally.left_out_note
    assert Tally().left_out_note == ""


def test_duplicates_are_documents_of_their_own():
    shards = plan(["the same text"] * 6, 12)
    assert [(shard.first, shard.rows, shard.documents) for shard in shards] == [
        (n, 1, 1) for n in range(6)
    ]
    assert len({shard.name for shard in shards}) == 1  # one file, which all six are
    assert len(set(names([{"text": "same", "id": str(n)} for n in range(4)], 1))) == 4


def test_the_name_rests_on_everything_that_the_trace_does():
    assert not set(names(rows(20))) & set(names(rows(20), identity="another model"))


def test_a_row_is_hashed_unmistakably():
    """Rows that would be the same, if their parts were only put together."""
    several = [
        [Row("ab")], [Row("a"), Row("b")], [Row("a", "b")], [Row("a", "", "b")], [Row("", "ab")],
        [Row(None)], [Row("null")], [Row("")], [], [Row("a,b")], [Row("a", "b", "")],
        [Row("a\x00b")], [Row("é")], [Row("e\u0301")], [Row("\ud800")], [Row("\\ud800")],
    ]  # fmt: skip
    said = [b"".join(map(content, rows)) for rows in several]
    assert len(set(said)) == len(said) - 1
    assert said[2] == said[10]  # which are one row, written twice


def test_shards_do_not_go_beyond_their_source(tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.jsonl").write_bytes(lines(rows(2, n)))
    shards = plan(tmp_path, 10_000)
    assert [(s.source, s.first, s.rows) for s in shards] == [
        ("0.jsonl", 0, 2), ("1.jsonl", 0, 2), ("2.jsonl", 0, 2),
    ]  # fmt: skip


def test_a_document_larger_than_a_shard_is_one_shard():
    shards = plan(["a" * 10, "b" * 10_000, "c" * 10, "d" * 10], 20)
    assert sum(s.rows for s in shards) == 4
    (large,) = [s for s in shards if s.size >= 10_000]
    assert large.first + large.rows == 2  # it ends there, whatever its row's lot


def test_shards_are_as_large_as_asked_on_the_average():
    sizes = [shard.size for shard in plan(rows(20_000), 4_000)]
    assert 3_500 < sum(sizes) / len(sizes) < 4_500
    assert min(sizes[:-1]) >= 2_000
    assert max(sizes) < 6_100


# ---- What a worker does with it


@pytest.mark.parametrize("form", FORMS)
def test_a_worker_finds_the_rows_that_were_planned(form, tmp_path):
    sources = {source.name: source for source in opened(given(form, rows(30), tmp_path))}
    found: list[Row] = []
    for shard in planned(sources.values(), "a model", 60, Tally()):
        source = sources[shard.source]
        source = source.portion(shard.first, shard.rows) or source
        part = [row for _, row in islice(source.rows(shard.first, shard.mark), shard.rows)]
        check_rows(shard, part, "a model")
        found += part
    assert found == expected(rows(30))


def test_rows_that_are_not_those_that_were_planned_are_refused():
    [shard] = plan(rows(4), 10_000)
    right = expected(rows(4))
    check_rows(shard, right, "a model")
    for wrong in (
        right[:-1], [*right, Row("more")], right[::-1], [*right[:3], Row("other")], [],
        [*right[:3], Row(right[3].text, "other", right[3].document)],
        [*right[:3], Row(right[3].text, right[3].label, "other")],
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"memory, rows 0 to 3: have changed.* Call record_co"):
            check_rows(shard, wrong, "a model")
    with pytest.raises(InputError, match="have changed"):
        check_rows(shard, right, "another model")


# ---- As a file


def test_the_plan_is_kept_as_it_was_made(tmp_path):
    texts = [*("é\u2028\n" * n for n in range(1, 9)), None, "", "\ud800", "end"]
    source = given("JSON lines, blank ones between", rows(12), tmp_path)
    for shards in (plan(texts), plan(source)):
        write_plan(tmp_path, shards, dict)
        assert list(read_plan(tmp_path)) == shards
    assert read_about(tmp_path) == {"format": 1}


def test_a_plan_that_cannot_be_finished_leaves_the_one_before(tmp_path):
    write_plan(tmp_path, plan(rows(5)), lambda: {"model": "first"})

    def broken():
        yield plan(rows(9))[0]
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_plan(tmp_path, broken(), lambda: {"model": "second"})
    assert list(read_plan(tmp_path)) == plan(rows(5))
    assert read_about(tmp_path)["model"] == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.json", "plan.jsonl"]


def test_a_source_of_any_name_can_be_planned(tmp_path):
    write_plan(tmp_path, [Shard("0", "\udcff.jsonl", 0, 1, 1, 1)], dict)
    assert next(read_plan(tmp_path)).source == "\udcff.jsonl"
