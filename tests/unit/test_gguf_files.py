# SPDX-License-Identifier: Apache-2.0
"""GGUF: damaged and hostile files are refused by name."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFEndian, GGUFValueType, GGUFWriter

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint
from moe_viz.errors import CheckpointError, ConfigError, MoeVizError, TokenizerError
from moe_viz.model.quantized import PackedLinear
from tests import writers
from tests.conftest import random_model
from tests.unit.damage import TOKENS, complaint, config_of, opened_fully, same
from tests.unit.test_checkpoint import refused

TYPES = [2, 3, 3, *[6] * 256, 1, 1, 1, 3]
LLAMA, WORDS = "llama.", "tokenizer.ggml."
Change = Callable[[GGUFWriter], None]


@pytest.fixture(scope="module")
def model():
    return random_model(config_of())


def put(writer: GGUFWriter, key: str, value: Any, kind: GGUFValueType | None = None) -> None:
    """One entry of the metadata, in the place of what was there."""
    writer.kv_data[0].pop(key, None)
    if isinstance(value, list):
        writer.add_array(key, value)
    else:
        writer.add_key_value(key, value, kind or GGUFValueType.get_type(value))


def pop(writer: GGUFWriter, *keys: str) -> None:
    """The metadata without these entries."""
    for key in keys:
        del writer.kv_data[0][key]


def write(model, path: Path, change: Change | None = None, merged=True, kinds=None, **how) -> Path:
    """A GGUF file with a small vocabulary, changed before it is written.

    `kinds` names tensors and how they are packed; `how` goes to the writer.
    """
    writer = GGUFWriter(path, "llama", **how)
    writers.gguf_metadata(writer, model.config)
    put(writer, "tokenizer.ggml.model", "llama")
    put(writer, "tokenizer.ggml.tokens", list(TOKENS))
    put(writer, "tokenizer.ggml.scores", [-float(n) for n in range(len(TOKENS))])
    put(writer, "tokenizer.ggml.token_type", list(TYPES))
    for n, name in enumerate(("unknown", "bos", "eos")):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", n)
    for key, array in writers.gguf_tensors(model, merged).items():
        kind = (kinds or {}).get(key)
        data = writers.packed(array, kind) if kind else array
        writer.add_tensor(key, data, raw_dtype=GGMLQuantizationType[kind] if kind else None)
    if change:
        change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """A small GGUF file."""
    return write(model, tmp_path_factory.mktemp("gguf") / "whole.gguf")


@pytest.fixture(scope="module")
def header_size(whole):
    return gguf.GGUFReader(whole).data_offset


@pytest.fixture
def changed(model, tmp_path):
    """A function that writes the file with a change."""

    def file(change: Change | None = None, name: str = "changed.gguf", **how) -> Path:
        return write(model, tmp_path / name, change, **how)

    return file


@pytest.fixture
def patched(whole, tmp_path):
    """A function that writes other bytes into the file."""

    def file(*patches: tuple[int, bytes]) -> Path:
        data = bytearray(whole.read_bytes())
        for at, new in patches:
            data[at : at + len(new)] = new
        path = tmp_path / "patched.gguf"
        path.write_bytes(data)
        return path

    return file


class Peak:
    """Memory that Python and NumPy take inside a `with` block."""

    def __enter__(self):
        tracemalloc.start()
        return self

    def __exit__(self, *_):
        self.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


# ---- GGUF: whole files ------------------------------------------------------------------------


def test_a_gguf_file_is_the_model_it_was_written_from(whole, model):
    checkpoint = open_checkpoint(whole)
    assert same(checkpoint, dict(model.named_parameters()))
    opened_fully(whole)


def test_a_folder_with_one_gguf_file_is_that_file(whole):
    assert same(open_checkpoint(whole.parent), open_checkpoint(whole))


def test_gguf_version_2_is_read(patched, whole):
    path = patched((4, struct.pack("<I", 2)))
    assert same(open_checkpoint(path), open_checkpoint(whole))


@pytest.mark.parametrize("number", [1, 2])
def test_a_gguf_in_parts_is_the_whole(number, changed, whole):
    path = changed(name="split.gguf", split_max_tensors=8).with_name(
        f"split-0000{number}-of-00002.gguf"
    )
    assert path.is_file()
    assert same(open_checkpoint(path), open_checkpoint(whole))


def test_a_folder_with_all_parts_of_a_gguf_is_the_whole(changed, whole):
    folder = changed(name="split.gguf", split_max_tensors=8).parent
    assert same(open_checkpoint(folder), open_checkpoint(whole))


def test_a_gguf_in_parts_lacking_one_is_refused(changed):
    folder = changed(name="split.gguf", split_max_tensors=8).parent
    (folder / "split-00002-of-00002.gguf").unlink()
    first = folder / "split-00001-of-00002.gguf"
    refused(CheckpointError, first, str(first), "split-00002-of-00002.gguf", "Download")
    refused(CheckpointError, folder, "split-00002-of-00002.gguf", "Download")


def test_a_gguf_in_parts_with_a_damaged_one_names_it(changed):
    folder = changed(name="split.gguf", split_max_tensors=8).parent
    second = folder / "split-00002-of-00002.gguf"
    second.write_bytes(second.read_bytes()[:-1])
    refused(CheckpointError, folder / "split-00001-of-00002.gguf", str(second), "cut short")


def test_gguf_parts_that_hold_the_same_tensor_are_refused(model, changed):
    folder = changed(name="split.gguf", split_max_tensors=8).parent
    second = folder / "split-00002-of-00002.gguf"
    parts = [gguf.GGUFReader(folder / f"split-0000{n}-of-00002.gguf") for n in (1, 2)]
    writer = GGUFWriter(folder / "new.gguf", "llama")
    for t in [parts[0].tensors[0], *parts[1].tensors]:
        writer.add_tensor(t.name, np.array(t.data) + 1)
    for step in (
        writer.write_header_to_file,
        writer.write_kv_data_to_file,
        writer.write_tensors_to_file,
        writer.close,
    ):
        step()
    (folder / "new.gguf").replace(second)
    first = folder / "split-00001-of-00002.gguf"
    refused(CheckpointError, first, "split-0000", parts[0].tensors[0].name)


@pytest.mark.parametrize("name", ["x-00001-of-00000.gguf", "x-00003-of-00002.gguf"])
def test_impossible_numbers_of_parts_are_refused(name, whole, tmp_path):
    for part in (name, "x-00001-of-00002.gguf", "x-00002-of-00002.gguf"):
        shutil.copy(whole, tmp_path / part)
    refused(CheckpointError, tmp_path / name, name)


def test_a_folder_with_two_gguf_files_asks_which(whole, tmp_path):
    for name in ("Q4.gguf", "Q8.gguf"):
        shutil.copy(whole, tmp_path / name)
    refused(CheckpointError, tmp_path, str(tmp_path), "Q4.gguf", "Q8.gguf")


# ---- GGUF: cut short, and damaged anywhere ----------------------------------------------------


def test_a_gguf_cut_short_anywhere_is_refused(whole, header_size, tmp_path):
    path = tmp_path / "cut.gguf"
    data = whole.read_bytes()
    path.write_bytes(data)
    tail = [len(data) - 1, len(data) - 40, (header_size + len(data)) // 2, header_size + 1]
    rng = random.Random(1)
    inside = sorted({*range(0, 400, 3), *rng.sample(range(header_size), 300)}, reverse=True)
    for kept in [*tail, header_size, *inside]:
        os.truncate(path, kept)
        refused(CheckpointError, path, str(path))


@pytest.fixture(scope="module")
def shapes(whole):
    checkpoint = open_checkpoint(whole)
    return {name: tuple(checkpoint[name].shape) for name in checkpoint}


@pytest.mark.parametrize("seed", range(3))
def test_bytes_flipped_in_a_gguf_header_give_an_error_or_the_same_shapes(
    seed, whole, header_size, shapes, tmp_path
):
    data, rng, path = whole.read_bytes(), random.Random(seed), tmp_path / "flipped.gguf"
    path.write_bytes(data)
    vocabulary = data.index(b"tokenizer.ggml.tokens"), data.index(b"tokenizer.ggml.scores")
    # Not the strings of the vocabulary, any of which will do, but their beginning.
    places = [n for n in range(header_size) if not vocabulary[0] + 60 < n < vocabulary[1]]
    complaints = set()
    with Peak() as peak:
        for _ in range(80):
            damaged = bytearray(data[:header_size])
            for at in rng.sample(places, rng.choice((1, 1, 2, 5))):
                damaged[at] = rng.choice((0, 1, 255, damaged[at] ^ (1 << rng.randrange(8))))
            with open(path, "r+b") as file:
                file.write(damaged)
            complaints.add(complaint(path, shapes, opened_fully))
    assert complaints <= {""}, "\n".join(sorted(complaints))
    assert peak.bytes < 50_000_000


#: Entries whose types a reader takes for granted, unless it looks.
ENTRIES = [
    "general.architecture", "general.name", "general.alignment", "llama.context_length",
    "llama.block_count", "llama.attention.head_count", "llama.attention.head_count_kv",
    "llama.attention.key_length", "llama.rope.dimension_count", "llama.rope.freq_base",
    "llama.rope.scaling.type", "llama.rope.scaling.factor", "llama.expert_count",
    "llama.expert_used_count", "llama.vocab_size", "tokenizer.ggml.model", "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.add_space_prefix",
]  # fmt: skip


@pytest.mark.parametrize("key", ENTRIES)
def test_a_gguf_entry_of_another_type_gives_an_error_or_the_same_shapes(key, changed, shapes):
    many = len(TOKENS)
    values: list[Any] = ["", "x", 3, -1, 0.5, float("nan"), True, [1, 2], ["x", "y"]]
    values += [["x"] * many, [float("nan")] * many]
    complaints = set()
    for value in values:
        path = changed(lambda w, v=value: put(w, key, v))
        if said := complaint(path, shapes, opened_fully):
            complaints.add(f"{value!r:.20} → {said.replace(str(path), 'FILE'):.100}")
    assert not complaints, "\n".join(sorted(complaints))


@pytest.mark.parametrize("key", ["scores", "token_type"])
def test_gguf_numbers_beyond_float32_give_an_error_or_a_tokenizer(key, changed, shapes):
    def change(writer):
        values, kinds = [1e300] * len(TOKENS), (GGUFValueType.ARRAY, GGUFValueType.FLOAT64)
        writer.kv_data[0][WORDS + key] = gguf.gguf_writer.GGUFValue(values, *kinds)

    assert complaint(changed(change), shapes, opened_fully) == ""


@pytest.mark.parametrize(
    "start", [b"", b"GGU", b"ggjt\3\0\0\0", b"GGML" + bytes(99), b"<!doctype html>404", bytes(64)]
)
def test_what_is_no_gguf_is_refused(start, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(start)
    refused(CheckpointError, path, str(path), "not a GGUF file", "b'GGUF'")


def test_an_old_gguf_is_refused(patched):
    path = patched((4, struct.pack("<I", 1)))
    refused(CheckpointError, path, str(path), "version 1", "2 or 3")


def test_a_big_endian_gguf_is_refused(changed):
    path = changed(endianess=GGUFEndian.BIG)
    refused(CheckpointError, path, str(path), "little-endian", "Download")


@pytest.mark.parametrize("at", [8, 16, 24], ids=["tensors", "entries", "characters"])
@pytest.mark.parametrize("count", [2**24, 2**40, 2**63, 2**64 - 1])
def test_huge_counts_in_a_gguf_take_no_memory(at, count, patched):
    path = patched((at, struct.pack("<Q", count)))
    with Peak() as peak:
        refused(CheckpointError, path, str(path), f"{count:,}", "Download it again")
    assert peak.bytes < 50_000_000


@pytest.mark.parametrize(
    "value",
    [
        struct.pack("<IQ", GGUFValueType.STRING, 80_000_000),
        struct.pack("<IIQ", GGUFValueType.ARRAY, GGUFValueType.UINT8, 80_000_000),
    ],
    ids=["string", "numbers"],
)
def test_a_large_gguf_s_counts_take_no_memory_either(value, tmp_path):
    path = tmp_path / "sparse.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 3) + b"a.b" + value)
    os.truncate(path, 100_000_000)  # zeros, which take no room on the disk
    with Peak() as peak:
        refused(CheckpointError, path, str(path))
    assert peak.bytes < 50_000_000


def test_a_metadata_key_given_twice_is_refused(whole, tmp_path):
    """As llama.cpp does: which of the two holds is anybody's guess."""
    data = bytearray(whole.read_bytes())
    again = struct.pack("<Q", 18) + b"llama.expert_count" + struct.pack("<II", 4, 7)
    again *= 16  # so that all together they take a multiple of 32 bytes
    data[16:24] = struct.pack("<Q", struct.unpack("<Q", data[16:24])[0] + 16)
    at = data.index(b"\x12\0\0\0\0\0\0\0llama.expert_count")
    data[at:at] = again
    path = tmp_path / "twice.gguf"
    path.write_bytes(data)
    refused(MoeVizError, path, str(path), "llama.expert_count")


# ---- GGUF: what it describes ------------------------------------------------------------------


def test_a_gguf_without_rope_s_base_is_refused(changed):
    path = changed(lambda w: pop(w, "llama.rope.freq_base"))
    refused(ConfigError, path, str(path), "rope.freq_base")


@pytest.mark.parametrize("count", [0, None])
def test_a_dense_gguf_is_refused(count, changed):
    path = changed(
        lambda w: (
            pop(w, "llama.expert_count")
            if count is None
            else put(w, "llama.expert_count", 0, GGUFValueType.UINT32)
        )
    )
    refused(ConfigError, path, str(path), "expert_count", "dense")


@pytest.mark.parametrize("name", ["qwen3moe", "deepseek2", "", "Llama"])
def test_a_gguf_of_another_architecture_is_refused(name, changed):
    path = changed(lambda w: put(w, "general.architecture", name))
    refused(ConfigError, path, str(path), "general.architecture", repr(name))


@pytest.mark.parametrize(
    "entries",
    [
        {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0},
        {"rope.scaling.factor": 4.0},  # llama.cpp takes a missing type for linear
        {"rope.scale_linear": 4.0},  # what it was called before
        {"rope.dimension_count": 8},
        {"attention.value_length": 8},
    ],
    ids=str,
)
def test_a_gguf_with_another_rope_is_refused(entries, changed):
    path = changed(lambda w: [put(w, LLAMA + k, v) for k, v in entries.items()])
    refused(ConfigError, path, str(path), "RoPE")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expert_used_count", 9),
        ("attention.head_count_kv", 3),
        ("attention.head_count", 0),
        ("block_count", 0),
        ("rope.freq_base", -1.0),
        ("rope.freq_base", "many"),
        ("attention.layer_norm_rms_epsilon", 0.0),
        ("context_length", 0),
        ("feed_forward_length", [96]),
    ],
)
def test_an_impossible_gguf_config_names_the_file(key, value, changed):
    path = changed(lambda w: put(w, LLAMA + key, value))
    refused(ConfigError, path, str(path))


@pytest.mark.parametrize("key", ["block_count", "vocab_size", "expert_count", "embedding_length"])
def test_a_gguf_config_that_promises_too_much_takes_no_memory(key, changed):
    path = changed(lambda w: put(w, LLAMA + key, 2**31, GGUFValueType.UINT32))
    with Peak() as peak:
        refused(CheckpointError, path, str(path), "belong together")
    assert peak.bytes < 10_000_000


# ---- GGUF: its tensors ------------------------------------------------------------------------


def test_a_gguf_with_tied_embeddings_is_refused(changed):
    path = changed(lambda w: w.tensors[0].pop("output.weight"))
    refused(CheckpointError, path, str(path), "output.weight", "missing")


@pytest.mark.parametrize(
    "name", ["blk.0.attn_q.bias", "rope_freqs.weight", "blk.1.attn_q.weight", "blk.0.ffn_up.weight"]
)
def test_a_gguf_with_a_tensor_that_no_mixtral_has_is_refused(name, changed):
    path = changed(lambda w: w.add_tensor(name, np.zeros(64, np.float32)))
    refused(CheckpointError, path, str(path), name, "another model")


@pytest.mark.parametrize(
    ("merged", "name"), [(True, "blk.0.ffn_up_exps.weight"), (False, "blk.0.ffn_down.5.weight")]
)
def test_a_gguf_without_an_expert_s_tensor_is_refused(merged, name, changed):
    path = changed(lambda w: w.tensors[0].pop(name), merged=merged)
    refused(CheckpointError, path, str(path), name, "missing")


@pytest.mark.parametrize(
    "name", ["blk.0.ffn_down_exps.weight", "token_embd.weight", "blk.0.attn_k.weight"]
)
def test_a_gguf_with_a_shape_the_wrong_way_round_is_refused(name, changed):
    def swap(writer):
        info = writer.tensors[0][name]
        info.shape = (*info.shape[:-2], info.shape[-1], info.shape[-2])

    path = changed(swap)
    refused(CheckpointError, path, str(path), name, "belong together")


def mistyped(name: str, kind: str) -> Change:
    """The header says that a tensor of float32 is packed otherwise."""

    def change(writer):
        writer.tensors[0][name].dtype = GGMLQuantizationType[kind]

    return change


@pytest.mark.parametrize("kind", ["IQ2_XXS", "TQ1_0", "I8", "F64", "Q8_K", "MXFP4"])
def test_a_gguf_tensor_of_an_unknown_type_is_refused(kind, changed):
    path = changed(mistyped("output.weight", kind))
    refused(CheckpointError, path, str(path), "output.weight", f"as {kind},", "Q4_K", "Download")


@pytest.mark.parametrize(
    ("name", "kind"), [("output.weight", "Q4_K"), ("blk.0.ffn_down_exps.weight", "Q6_K")]
)
def test_a_gguf_row_that_blocks_do_not_fill_is_refused(name, kind, changed):
    path = changed(mistyped(name, kind))
    refused(CheckpointError, path, str(path), name, kind, "256")


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_a_gguf_tensor_that_does_not_fill_its_room_is_refused(kind, changed):
    """Tensors lie end to end; a gap says that a type, a shape or an offset is wrong."""
    path = changed(mistyped("blk.0.attn_q.weight", kind))
    refused(CheckpointError, path, str(path), "blk.0.attn_")


def test_gguf_tensors_that_lie_on_each_other_are_refused(whole, patched):
    data = whole.read_bytes()
    at = data.index(b"blk.0.attn_v.weight") + len("blk.0.attn_v.weight") + 4 + 16 + 4
    offset = data.index(b"blk.0.attn_k.weight") + len("blk.0.attn_k.weight") + 4 + 16 + 4
    path = patched((at, data[offset : offset + 8]))  # V is read where K lies, of the same shape
    refused(CheckpointError, path, str(path), "blk.0.attn_v.weight")


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_a_gguf_may_be_aligned_otherwise(alignment, changed, whole):
    path = changed(lambda w: w.add_custom_alignment(alignment))
    assert same(open_checkpoint(path), open_checkpoint(whole))


@pytest.mark.parametrize("alignment", [0, 1, 2, 3, 24, 2**31])
def test_a_gguf_aligned_badly_is_refused(alignment, changed):
    def change(writer):
        put(writer, "general.name", "12345678901234567")  # so that data begin at an odd byte
        put(writer, "general.alignment", alignment, GGUFValueType.UINT32)

    path = changed(change)
    with pytest.raises(MoeVizError, match=re.escape(str(path))):
        opened_fully(path)


@pytest.mark.parametrize("dimensions", [0, 5, 2**31])
def test_a_gguf_tensor_of_impossible_dimensions_is_refused(dimensions, whole, patched):
    at = whole.read_bytes().index(b"output_norm.weight") + len("output_norm.weight")
    path = patched((at, struct.pack("<I", dimensions)))
    refused(CheckpointError, path, str(path), "output_norm.weight", f"{dimensions} dimensions")


@pytest.mark.parametrize("length", [0, 2**40, 2**63, 2**64 - 1])
def test_a_gguf_tensor_of_an_impossible_length_is_refused(length, whole, patched):
    at = whole.read_bytes().index(b"token_embd.weight") + len("token_embd.weight") + 4
    path = patched((at, struct.pack("<Q", length)))
    with Peak() as peak:
        refused(CheckpointError, path, str(path), "token_embd.weight")
    assert peak.bytes < 10_000_000


@pytest.mark.parametrize("offset", [1, 2**40, 2**64 - 32])
def test_a_gguf_tensor_at_an_impossible_place_is_refused(offset, whole, patched):
    at = whole.read_bytes().index(b"token_embd.weight") + len("token_embd.weight") + 4 + 16 + 4
    path = patched((at, struct.pack("<Q", offset)))
    refused(CheckpointError, path, str(path), "token_embd.weight")


# ---- GGUF: packed tensors ---------------------------------------------------------------------


def unpacked(path: Path, name: str) -> torch.Tensor:
    """What the gguf package reads."""
    tensor = next(t for t in gguf.GGUFReader(path).tensors if t.name == name)
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return torch.from_numpy(values.reshape(tensor.shape[::-1].tolist()).copy())


def permuted_back(weights: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp's `LlamaModel.permute`, the other way round."""
    rows, columns = weights.shape
    pairs = weights.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1", "Q5_0", "F16"])
def test_packed_queries_and_keys_come_in_the_model_s_order(kind, changed, model):
    names = {"wq": "blk.0.attn_q.weight", "wk": "blk.0.attn_k.weight"}
    path = changed(kinds=dict.fromkeys(names.values(), kind))
    heads = {"wq": model.config.heads, "wk": model.config.kv_heads}
    loaded: Any = mv.load(path)
    checkpoint = open_checkpoint(path)
    for ours, name in names.items():
        expected = permuted_back(unpacked(path, name), heads[ours])
        read = checkpoint[f"layers.0.attention.{ours}.weight"]
        values = read.float() if isinstance(read, torch.Tensor) else read.unpacked()
        assert torch.equal(values, expected)
        module = getattr(loaded.layers[0].attention, ours)
        x = torch.eye(64)
        assert torch.equal(module(x).T.contiguous(), expected)
        original = model.state_dict()[f"layers.0.attention.{ours}.weight"]
        assert (values - original).abs().max() < 0.1 * original.abs().max()


def test_a_packed_router_is_unpacked_as_gguf_does(changed):
    name = "blk.0.ffn_gate_inp.weight"
    path = changed(kinds={name: "Q8_0"})
    loaded: Any = mv.load(path)
    router = loaded.layers[0].moe.router.weight
    assert torch.equal(router, unpacked(path, name))


@pytest.mark.parametrize(
    "name", ["output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"]
)
def test_a_packed_norm_is_unpacked_as_gguf_does(name, changed):
    path = changed(kinds={name: "Q8_0"})
    loaded: Any = mv.load(path)
    layer = loaded.layers[0]
    norms = {"output": loaded.norm, "blk.0.attn": layer.attention_norm, "blk.0.ffn": layer.moe_norm}
    assert torch.equal(norms[name.partition("_")[0]].weight, unpacked(path, name))


def test_packed_experts_of_one_tensor_are_told_apart(changed):
    names = [f"blk.0.ffn_{p}_exps.weight" for p in ("gate", "down", "up")]
    path = changed(kinds=dict(zip(names, ("Q8_0", "Q4_0", "Q5_1"), strict=True)))
    loaded: Any = mv.load(path)
    experts = loaded.layers[0].moe.experts
    for name, matrix in zip(names, ("w1", "w2", "w3"), strict=True):
        expected = unpacked(path, name)
        for e, expert in enumerate(experts):
            module = getattr(expert, matrix)
            assert isinstance(module, PackedLinear)
            assert torch.equal(module.packed.unpacked(), expected[e])


# ---- GGUF: its vocabulary ---------------------------------------------------------------------


def test_a_gguf_with_another_kind_of_tokenizer_is_refused(changed):
    path = changed(lambda w: put(w, WORDS + "model", "bert"))
    refused(TokenizerError, path, str(path), "bert", "llama", opening=opened_fully)


def test_a_gguf_whose_scores_are_all_equal_is_refused(changed):
    """SentencePiece would read it, and join other pieces than in training."""
    path = changed(lambda w: put(w, WORDS + "scores", [0.0] * len(TOKENS)))
    refused(CheckpointError, path, str(path), WORDS + "scores", "equal", opening=opened_fully)
    refused(CheckpointError, path, str(path), WORDS + "scores", "equal", opening=mv.load)


def test_a_gguf_without_a_tokenizer_is_refused(changed):
    keys = ("model", "tokens", "scores", "token_type")
    path = changed(lambda w: pop(w, *(WORDS + key for key in keys)))
    refused(TokenizerError, path, str(path), opening=opened_fully)


@pytest.mark.parametrize("key", ["scores", "token_type"])
@pytest.mark.parametrize("by", [-1, 1])
def test_gguf_lists_of_different_lengths_are_refused(key, by, changed):
    values = {"scores": [0.0], "token_type": [1]}[key] * (len(TOKENS) + by)
    path = changed(lambda w: put(w, WORDS + key, values))
    refused(
        TokenizerError,
        path,
        str(path),
        WORDS + key,
        str(len(TOKENS)),
        "download it again",
        opening=opened_fully,
    )


@pytest.mark.parametrize("key", ["tokens", "scores"])
def test_a_gguf_without_pieces_or_scores_is_refused(key, changed):
    path = changed(lambda w: pop(w, WORDS + key))
    refused(TokenizerError, path, str(path), WORDS + key, opening=opened_fully)


def test_a_gguf_without_a_vocabulary_s_size_has_as_many_tokens_as_pieces(changed):
    path = changed(lambda w: pop(w, "llama.vocab_size"))
    assert open_checkpoint(path).config.vocab_size == len(TOKENS)


@pytest.mark.parametrize("pieces", [5, "pieces", [1, 2], True], ids=str)
def test_a_gguf_without_a_vocabulary_s_size_or_pieces_is_refused(pieces, changed):
    def change(writer):
        pop(writer, "llama.vocab_size")
        put(writer, WORDS + "tokens", pieces)

    path = changed(change)
    with pytest.raises(MoeVizError, match=re.escape(str(path))):
        open_checkpoint(path)


@pytest.mark.parametrize("piece", [b"\xff\xfe", b"\xed\xa0\x80", b"a\xc3"])
def test_a_gguf_piece_that_is_no_utf8_is_refused(piece, changed):
    path = changed(lambda w: put(w, WORDS + "tokens", [piece, *TOKENS[1:]]))
    refused(MoeVizError, path, str(path))


@pytest.mark.parametrize("piece", ["", "a", "<0x61>", "<0xZZ>", "\0"])
@pytest.mark.parametrize("kind", [0, 2, 3, 6, -1, 2**31 - 1])
def test_a_strange_gguf_piece_is_refused_or_read(piece, kind, changed):
    def change(writer):
        put(writer, WORDS + "tokens", [*TOKENS[:-1], piece])
        put(writer, WORDS + "token_type", [*TYPES[:-1], kind])

    path = changed(change)

    def opening(path):
        open_checkpoint(path).vocabulary.tokenizer().encode("ab a\n\0é")

    assert complaint(path, {}, opening) == ""


def test_the_gguf_s_own_end_of_text_is_the_tokenizer_s(changed):
    """Models made for conversations end with a token of their own."""
    path = changed(lambda w: put(w, WORDS + "eos_token_id", TOKENS.index("<|end|>")))
    tokenizer = open_checkpoint(path).vocabulary.tokenizer()
    assert (tokenizer.bos, tokenizer.eos) == (1, TOKENS.index("<|end|>"))


def test_a_gguf_may_call_its_special_pieces_as_it_likes(changed):
    path = changed(
        lambda w: put(w, WORDS + "tokens", ["<none>", "<begin>", "<finish>", *TOKENS[3:]])
    )
    tokenizer = open_checkpoint(path).vocabulary.tokenizer()
    assert (tokenizer.bos, tokenizer.eos) == (1, 2)
    assert tokenizer.encode("a").ids == [1, TOKENS.index("▁a")]


@pytest.mark.parametrize("name", ["bos", "eos", "unknown"])
@pytest.mark.parametrize("number", [len(TOKENS), 2**31 - 1, -1])
def test_a_special_gguf_token_outside_the_vocabulary_is_never_used(name, number, changed):
    kind = GGUFValueType.INT32
    path = changed(lambda w: put(w, f"{WORDS}{name}_token_id", number, kind))

    def opening(path):
        tokenizer = open_checkpoint(path).vocabulary.tokenizer()
        assert (tokenizer.bos, tokenizer.eos) == (1, 2)
        assert tokenizer.encode("a").ids == [1, TOKENS.index("▁a")]

    assert complaint(path, {}, opening) == ""
