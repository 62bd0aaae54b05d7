# SPDX-License-Identifier: Apache-2.0
"""Format 1 byte by byte, read here with json and struct; and what later versions may add to it."""

from __future__ import annotations

import json
import struct
import zlib
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from moe_viz.errors import TraceError
from moe_viz.trace import Provenance, Rule, Trace, TracePrompt
from moe_viz.trace.checksums import checksums

from .handmade import ARRAYS, handmade, losses

TRACE = handmade(
    fingerprint="abc", weights="random weights, seed 3", revision="org/name@123",
    quantisation="Q4_K", placement="stream", device="cuda:0, cpu",
    interventions=("top-1", "uniform gates"), versions={"torch": "2.13"},
    date="2026-11-28T10:00:00",
)  # fmt: skip
TYPES = {
    "router_logits": "F32", "experts": "I16", "gates": "F32", "token_ids": "I32", "pieces": "I32",
    "spans": "I32", "special": "U8", "generated": "U8", "prompt_stops": "I64", "text_stops": "I64",
    "texts": "U8", "loss": "F32",
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return TRACE.save(tmp_path / "t.safetensors")


def parsed(path) -> tuple[dict, dict]:
    """A safetensors file as its specification says: header length, JSON, numbers."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    kinds = {"F32": "<f4", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1"}
    arrays = {
        name: np.frombuffer(
            data[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]],
            kinds[entry["dtype"]],
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }
    types = {name: header[name]["dtype"] for name in arrays}
    ours = header["__metadata__"]["moe_viz_trace"]
    if len(header["__metadata__"]) > 1:  # those that are rewritten here are of the first edition
        summed = {"moe_viz_trace": ours, "moe_viz_crc32": f"{zlib.crc32(ours.encode()):08x}"}
        assert header["__metadata__"] == summed
    return {"types": types, **json.loads(ours)}, arrays


def test_what_the_file_holds(path):
    header, arrays = parsed(path)
    assert header["types"] == TYPES
    assert header["format"] == 2
    assert header["rule"] == {
        "score": "softmax", "bias": "", "groups": 1, "groups_kept": 1, "group_score": "two best",
        "outside_zero": False, "normalised": True, "scale": 1.0, "weighted": False,
        "choice": "scores",
        "gates": True, "gated": True, "shared": 0, "shared_gated": False, "note": "",
    }  # fmt: skip
    assert (header["scored"], header["expert_count"], header["model_layers"]) == ([], 6, 0)
    assert header["pieces"] == ["piece 0.0", "piece 0.1", "piece 0.2", "piece 0.3"]
    assert header["labels"] == ["a", "b"]
    assert header["layers"] == [0, 2, 5]
    assert header["provenance"] == {
        "model": "handmade", "weights": "random weights, seed 3", "fingerprint": "abc",
        "revision": "org/name@123", "dtype": "float32", "quantisation": "Q4_K",
        "placement": "stream", "device": "cuda:0, cpu",
        "interventions": ["top-1", "uniform gates"], "versions": {"torch": "2.13"},
        "date": "2026-11-28T10:00:00",
    }  # fmt: skip
    assert arrays["pieces"].tolist() == [0, 1, 2, 3, 0]
    assert arrays["prompt_stops"].tolist() == [3, 5]
    texts = [prompt.text.encode() for prompt in TRACE.prompts]
    assert arrays["texts"].tobytes() == b"".join(texts)
    assert arrays["text_stops"].tolist() == [len(texts[0]), len(texts[0]) + len(texts[1])]
    assert len(texts[0]) > len(TRACE.prompts[0].text)  # stops are bytes, not characters
    for name in ARRAYS:
        assert np.array_equal(arrays[name], getattr(TRACE, name), equal_nan=name == "loss"), name


def test_every_field_comes_back_mapped_and_read_only(path):
    back = Trace.load(path)
    for name, dtype in ARRAYS.items():
        found = getattr(back, name)
        assert found.dtype == dtype, name
        assert np.array_equal(found, getattr(TRACE, name), equal_nan=name == "loss"), name
        if dtype != np.bool_:
            assert isinstance(found, np.memmap), name
            with pytest.raises(ValueError, match="read-only"):
                found[...] = 0
    assert list(back.tokens) == list(TRACE.tokens)
    assert back.prompts == TRACE.prompts
    assert back.provenance == TRACE.provenance
    assert back.layers == TRACE.layers
    assert all(isinstance(p, TracePrompt) for p in back.prompts)


def test_wider_types_are_narrowed_when_saved(tmp_path):
    wide = replace(
        TRACE,
        router_logits=TRACE.router_logits.astype(np.float64),
        experts=TRACE.experts.astype(np.int64),
        token_ids=TRACE.token_ids.astype(np.int64),
        spans=TRACE.spans.astype(np.int64),
        loss=losses(TRACE).astype(np.float64),
        gates=TRACE.gates.astype(np.float64),
    )
    assert parsed(wide.save(tmp_path / "wide"))[0]["types"] == TYPES


def test_arrays_that_are_views_are_saved_as_they_look(tmp_path):
    turned = replace(TRACE, router_logits=TRACE.router_logits[:, ::-1], spans=TRACE.spans[:, ::-1])
    back = Trace.load(turned.save(tmp_path / "turned"))
    assert np.array_equal(back.router_logits, TRACE.router_logits[:, ::-1])
    assert np.array_equal(back.spans, TRACE.spans[:, ::-1])


def test_without_loss_the_file_has_none(tmp_path):
    path = replace(TRACE, loss=None).save(tmp_path / "t")
    assert "loss" not in parsed(path)[1]
    assert Trace.load(path).loss is None


def test_a_selection_of_a_loaded_trace_can_be_saved_over_its_file(path):
    part = Trace.load(path).select(label="b")
    part.save(path)
    assert Trace.load(path).prompts == part.prompts


# ---- What another version writes -----------------------------------------------------------------


def rewritten(path, change=lambda header: None, more=None, without=(), form=2):
    """The same file with another header, more arrays, or fewer; of the first format, if asked."""
    header, _ = parsed(path)
    header.pop("types")
    arrays = {k: v for k, v in {**load_file(path), **(more or {})}.items() if k not in without}
    if form == 1:
        for name in ("rule", "scored", "expert_count", "model_layers", "mixtures", "checksums"):
            header.pop(name)
        header["format"] = 1
    else:
        header["checksums"] = checksums(arrays)
    change(header)
    text = json.dumps(header)
    summed = {"moe_viz_crc32": f"{zlib.crc32(text.encode()):08x}"} if form == 2 else {}
    save_file(arrays, path, {"moe_viz_trace": text} | summed)
    return path


@pytest.mark.parametrize("summed", [True, False])
def test_the_first_format_opens_as_before_and_is_saved_as_the_second(path, tmp_path, summed):
    rewritten(path, form=1)
    if summed:  # as the last version did that wrote it
        text = json.dumps(parsed(path)[0] | {"checksums": checksums(load_file(path))})
        noted = {"moe_viz_trace": text, "moe_viz_crc32": f"{zlib.crc32(text.encode()):08x}"}
        save_file(load_file(path), path, noted)
    back = Trace.load(path)
    again = Trace.load(back.save(tmp_path / "again"))
    assert parsed(tmp_path / "again")[0]["format"] == 2
    for found in (back, again):
        assert (found.rule, found.scored, found.model_layers) == (Rule(), (), 0)
        assert found.expert_count == 6
        assert np.array_equal(found.margins, TRACE.margins)
        for name in ARRAYS:
            assert np.array_equal(getattr(found, name), getattr(TRACE, name), equal_nan=True), name


def test_the_second_format_has_a_checksum_of_its_header(path):
    header, _ = parsed(path)
    save_file(load_file(path), path, {"moe_viz_trace": json.dumps(header)})
    with pytest.raises(TraceError, match="the checksum of its header is not what was written"):
        Trace.load(path)


def test_what_a_later_version_adds_is_left_alone(path):
    def later(header):
        header["corpus"] = {"shard": 3}
        header["provenance"] |= {"scoring": "sigmoid", "cluster": ["a", 1], "seed": None}

    more = {"hidden": np.zeros((3, 5, 4), np.float16), "flags": np.ones(5, np.bool_)}
    back = Trace.load(rewritten(path, later, more))
    assert back.provenance == TRACE.provenance
    assert np.array_equal(back.router_logits, TRACE.router_logits)
    assert back.prompts == TRACE.prompts


def test_what_an_older_version_did_not_write_has_its_usual_value(path):
    def older(header):
        header["provenance"] = {"model": "old"}

    assert Trace.load(rewritten(path, older)).provenance == Provenance(model="old")


def test_provenance_reads_text_whatever_stands_there():
    raw = {"model": 7, "date": None, "interventions": [1, "top-1"], "versions": {"torch": 2.13}}
    read = Provenance.from_json(raw)
    assert (read.model, read.date) == ("7", "")
    assert read.interventions == ("1", "top-1")
    assert read.versions == {"torch": "2.13"}
    assert Provenance.from_json({}) == Provenance(model="unknown")
    assert Provenance.from_json(TRACE.provenance.to_json()) == TRACE.provenance


@pytest.mark.parametrize("number", [3, 17])
def test_a_later_format_is_refused_with_advice(path, number):
    rewritten(path, lambda header: header.update(format=number))
    with pytest.raises(TraceError, match=f"format {number}.*up to 2. Upgrade moe_viz") as error:
        Trace.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", [name for name in TYPES if name != "loss"])
@pytest.mark.parametrize("form", [1, 2])
def test_a_missing_array_is_named(path, name, form):
    if form == 2 and name == "router_logits":
        return  # a record of another program has none
    rewritten(path, without=[name], form=form)
    with pytest.raises(TraceError, match=f"array {name} is missing. Copy the file again"):
        Trace.load(path)


@pytest.mark.parametrize("name", TYPES)
def test_an_array_of_another_type_is_refused_by_name(path, name):
    other = np.zeros(5, np.float64)
    with pytest.raises(TraceError, match=f"array {name} should be {TYPES[name]}"):
        Trace.load(rewritten(path, more={name: other}))


@pytest.mark.parametrize("key", ["format", "pieces", "labels", "layers", "provenance"])
def test_a_header_that_lacks_something_is_a_damaged_trace(path, key):
    rewritten(path, lambda header: header.pop(key))
    with pytest.raises(TraceError, match=r"t\.safetensors: is a damaged trace"):
        Trace.load(path)


#: The texts are 15 bytes each.
DAMAGE = {
    "piece below": ({"pieces": np.array([0, 1, 2, 3, -1], np.int32)}, "list of pieces"),
    "piece above": ({"pieces": np.array([0, 1, 2, 3, 4], np.int32)}, "list of pieces"),
    "expert above": ({"experts": np.full((3, 5, 2), 6, np.int16)}, "outside −1 … 5"),
    "expert below": ({"experts": np.full((3, 5, 2), -2, np.int16)}, "outside −1 … 5"),
    "prompts": ({"prompt_stops": np.array([3, 4, 5])}, "3 prompts, 2 texts, 2 labels"),
    "texts turned": ({"text_stops": np.array([31, 30])}, "end to end"),
    "texts short": ({"text_stops": np.array([3, 15])}, "end to end"),
    "texts below": ({"text_stops": np.array([-1, 30])}, "end to end"),
    "inside a letter": ({"texts": np.full(30, 0xFF, np.uint8)}, "UnicodeDecodeError"),
    "prompt beyond": ({"prompt_stops": np.array([3, 6])}, "cover the 5 tokens"),
}


@pytest.mark.parametrize(("more", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_contents_that_do_not_fit_together_are_refused(path, more, message):
    with pytest.raises(TraceError, match=message):
        Trace.load(rewritten(path, more=more))


def test_no_bit_of_the_header_can_flip_unseen(path):
    """459 of 5,064 once did: tokens, layers, even "trained"."""
    data = path.read_bytes()
    flipped = path.with_name("flipped")
    same = []
    for at in range(8 + int.from_bytes(data[:8], "little")):
        for bit in range(at % 3, 8, 3):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            flipped.write_bytes(changed)
            with suppress(TraceError):
                same.append((at, bit, Trace.load(flipped)))
    # What is left changes nothing: the spaces at the end of a header, one kind for another.
    for at, bit, found in same:
        for name in ARRAYS:
            was = getattr(TRACE, name)
            assert np.array_equal(getattr(found, name), was, equal_nan=name == "loss"), (at, bit)
        assert (found.prompts, found.tokens) == (TRACE.prompts, TRACE.tokens), (at, bit)
        assert (found.layers, found.provenance) == (TRACE.layers, TRACE.provenance), (at, bit)


@pytest.mark.parametrize(("old", "new"), [
    (b'"loss":{"', b'"lost":{"'),  # as if none had been recorded
    (b"moe_viz_crc32", b"moe_viz_crc33"),  # as if the first edition had written it
])  # fmt: skip
def test_a_name_that_has_changed_is_damage(path, old, new):
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    with pytest.raises(TraceError, match=r"is damaged: (its header is|loss are) not what was wri"):
        Trace.load(path)


@pytest.mark.parametrize("layers", [(1, 1, 2), (-1, 0, 1)])
def test_layers_are_numbered_once(layers):
    with pytest.raises(TraceError, match=r"stands for one layer, found \(-?1, "):
        replace(TRACE, layers=layers)


@pytest.mark.parametrize("missing", [1, 4, 29])
def test_a_file_that_lacks_its_end_says_so(path, missing):
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(TraceError, match=r"not a whole safetensors .* Was the file cut short"):
        Trace.load(path)


def test_the_values_at_the_edge_are_accepted(path):
    experts = np.array([[[-1, 5]] * 5] * 3, np.int16)
    assert np.array_equal(Trace.load(rewritten(path, more={"experts": experts})).experts, experts)


def test_a_file_of_another_program_is_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(TraceError, match=r"weights.*: is a safetensors file, but not a tr"):
        Trace.load(path)
    with pytest.raises(TraceError, match="cannot be read"):
        Trace.load(tmp_path / "none")
