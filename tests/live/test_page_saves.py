# SPDX-License-Identifier: Apache-2.0
"""What a page saves is a trace: Python opens it, and it is what Python would have recorded."""

from __future__ import annotations

import json
import random
import zlib
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import moe_viz as mv
from moe_viz.errors import TraceError
from moe_viz.trace.checksums import checksums
from tests.live.node import ask, packed
from tests.live.test_page_model import NOTHING
from tests.live.traces import Page

CAT = "Our cat answers to no name, but she knows the sound of the fridge."
#: Without two experts of a layer whose scores are as good as equal, where four are chosen.
DOG = "The dog waits at the door, and nobody comes."
LONG = mv.prompts.curated().texts[70]
HOSTILE = 'A\u0301é 中文 👩‍👩‍👧‍👦 “<s>” & 5 %\n\tיום\u200f\x00 {"a": [1]} \\u00e9'
OFF = {"off": [[], [3], [], [1, 6], [], [5]]}
ABLATE = {"ablate": [(1, 3), (3, 1), (3, 6), (5, 5)]}
FORCED = {"forced": [[2], [], [], [4], [0, 7], []]}
FORCE = {"force": [(0, 2), (3, 4), (4, 0), (4, 7)]}

#: A text, and a change in the page's words and in those of `mv.intervene`.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "as it is": (CAT, {}, {}),
    "long": (LONG, {}, {}),
    "hostile": (HOSTILE, {}, {}),
    "a letter": ("a", {}, {}),
    "off": (CAT, OFF, ABLATE),
    "empty": (CAT, OFF | {"empty": True}, ABLATE | {"instead": "nothing"}),
    "forced": (CAT, FORCED, FORCE),
    "one": (CAT, {"k": 1}, {"top_k": 1}),
    "four": (DOG, {"k": 4}, {"top_k": 4}),
    "cold": (CAT, {"temperature": 0.25}, {"temperature": 0.25}),
    "twice as hot": (CAT, {"temperature": 2}, {"temperature": 2}),
    "an odd temperature": (CAT, {"temperature": 1.23456789}, {"temperature": 1.23456789}),
    "uniform": (CAT, {"uniform": True}, {"uniform_gates": True}),
    "all": (HOSTILE, OFF | FORCED | {"k": 3, "temperature": 1.5, "uniform": True, "empty": True},
            ABLATE | FORCE | {"top_k": 3, "temperature": 1.5, "uniform_gates": True,
                              "instead": "nothing"}),
}  # fmt: skip
WRITTEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "intact": ({}, {}),
    "off": (OFF, ABLATE),
}
WRITING = {"count": 20, "temperature": 0, "seed": 0}
SAVE = {"saved": True}


@pytest.fixture(scope="module")
def model():
    return mv.load("8x7m")


@pytest.fixture(scope="module")
def page(model, tmp_path_factory):
    return Page(model, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def saved(page):
    """What the page has saved of each case."""
    questions = []
    for text, changes, _ in CASES.values():
        questions += [{"text": text, "changes": NOTHING | changes}, SAVE]
    for changes, _ in WRITTEN.values():
        asked = {"text": "The first file", "changes": NOTHING | changes, "writing": WRITING}
        questions += [asked, SAVE]
    assert [m for m in page.says(questions) if "failed" in m] == []
    names = [*CASES, *(f"written, {name}" for name in WRITTEN)]
    return {name: page.folder / f"{2 * n + 1}.safetensors" for n, name in enumerate(names)}


def changed(model: Any, changes: dict[str, Any]) -> AbstractContextManager[Any]:
    return mv.intervene(model, **changes) if changes else nullcontext()


def same(found: mv.Trace, expected: mv.Trace) -> None:
    """The same trace, up to what float32 rounds; Python leaves room for the model's own k."""
    k = found.experts.shape[2]
    assert (expected.experts[:, :, k:] == -1).all()
    assert (found.experts == expected.experts[:, :, :k]).all()
    np.testing.assert_allclose(found.router_logits, expected.router_logits, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.gates, expected.gates[:, :, :k], rtol=0, atol=1e-5)
    for name in ("token_ids", "spans", "special", "generated"):
        own, theirs = getattr(found, name), getattr(expected, name)
        assert own.dtype == theirs.dtype, name
        assert (own == theirs).all(), name
    assert list(found.tokens) == list(expected.tokens)
    assert found.prompts == expected.prompts
    for name in ("layers", "rule", "scored", "expert_count", "model_layers", "mixtures", "bias"):
        assert getattr(found, name) == getattr(expected, name), name
    provenance = found.provenance
    for name in ("model", "weights", "fingerprint", "revision", "dtype", "interventions"):
        assert getattr(provenance, name) == getattr(expected.provenance, name), name
    assert provenance.title == expected.provenance.title
    assert provenance.device == "browser"


@pytest.mark.parametrize("name", CASES)
def test_a_saved_run_is_what_python_records(saved, model, name):
    text, _, changes = CASES[name]
    with changed(model, changes):
        expected = mv.record(model, text, loss=True)
    found = mv.Trace.load(saved[name], whole=True)
    same(found, expected)
    assert found.loss is not None
    assert expected.loss is not None
    assert np.isnan(found.loss[0])
    np.testing.assert_allclose(found.loss, expected.loss, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_saved_continuation_is_what_python_generates(saved, model, name):
    _, changes = WRITTEN[name]
    with changed(model, changes):
        expected = mv.generate(model, "The first file", max_new_tokens=20).trace
        loss = mv.record(model, [expected.token_ids.tolist()], loss=True).loss
    found = mv.Trace.load(saved[f"written, {name}"], whole=True)
    assert found.generated.sum() == 20
    same(found, expected)
    assert found.loss is not None
    assert loss is not None
    np.testing.assert_allclose(found.loss, loss, rtol=0, atol=1e-4)


def test_a_saved_file_has_the_checksums_that_python_sums(saved):
    """Of all of an array, and of its pages: those are looked at where an array is large."""
    largest = 0
    for path in saved.values():
        arrays = safetensors.numpy.load_file(path)
        with safetensors.safe_open(path, "np") as file:
            said = file.metadata()
        header = said["moe_viz_trace"]
        assert json.loads(header)["checksums"] == checksums(arrays)
        assert said["moe_viz_crc32"] == f"{zlib.crc32(header.encode()):08x}"
        largest = max(largest, *(array.nbytes for array in arrays.values()))
    assert largest > 4 * 4096, "one page: this test does not test"


def test_the_checksum_is_zlib_s(tmp_path):
    rng = random.Random(0)
    given = [b"", b"\0", b"123456789", bytes(range(256)), *(rng.randbytes(n) for n in range(1, 60))]
    found = ask(
        tmp_path, {"does": "sums", "given": [packed(np.frombuffer(x, "u1")) for x in given]}
    )
    assert found == [zlib.crc32(x) for x in given]


def test_before_anything_has_been_run_nothing_is_saved(page):
    (said,) = page.says([SAVE])[1:]
    assert said["failed"] == "RangeError: Nothing has been run yet."


def test_a_byte_that_has_changed_is_noticed_by_python_and_by_the_page(saved, page, tmp_path):
    file = saved["off"].read_bytes()
    head = 8 + int.from_bytes(file[:8], "little")
    rng = random.Random(0)
    places = [*rng.sample(range(head), 300), *rng.sample(range(head, len(file)), 100)]
    flips = [(at, file[at] ^ 1 << rng.randrange(8)) for at in sorted(places)]
    path, noticed = tmp_path / "damaged.safetensors", []
    for at, byte in flips:
        path.write_bytes(file[:at] + bytes([byte]) + file[at + 1 :])
        try:
            mv.Trace.load(path)
        except TraceError:
            noticed.append((at, byte))
    assert len(noticed) > 0.99 * len(flips)
    answers = page.shows(saved["off"], put=[[[at, byte]] for at, byte in noticed])
    missed = [
        at for (at, _), answer in zip(noticed, answers, strict=True) if "failed" not in answer
    ]
    assert [at for at in missed if at >= head] == [], "in an array"
    around = [file[max(at - 20, 0) : at + 10] for at in missed]
    assert around == [], f"{len(missed)} of {sum(at < head for at, _ in noticed)} in the header"
    # What is refused is told in a sentence of ours.
    assert {answer["failed"].partition(":")[0] for answer in answers} == {"RangeError"}


def test_what_is_saved_is_what_was_told_last_also_right_after(model, tmp_path):
    """A reader who sees the new picture saves that, and not the one before it."""
    page = Page(model, tmp_path)
    questions = [{"text": text, "changes": NOTHING} for text in ("Good morning.", LONG)]
    questions[1]["upon"] = SAVE
    said = page.says(questions, plain=True)
    assert [m for m in said if "failed" in m] == []
    (prompt,) = mv.Trace.load(tmp_path / "2.safetensors").prompts
    assert prompt.text == LONG
