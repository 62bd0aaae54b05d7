# SPDX-License-Identifier: Apache-2.0
"""The same weights in every layout are the same model; oracles are transformers and gguf."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.checkpoint import open_checkpoint
from moe_viz.model.gguf_blocks import BLOCK_TYPES
from moe_viz.model.quantized import Packed, PackedEmbedding, PackedLinear
from tests import writers
from tests.conftest import random_model, small_config
from tests.parity.test_transformers import relative, theirs_from

TEXT = "Good morning, Zoë!\n\tfor i in range(10): print(i)  # 漢字"
IDS = torch.randint(3, 8192, (60,), generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module", params=["random", "trained"])
def original(request, tmp_path_factory):
    """A model, its folder in transformers' form, and the logits transformers computes with it."""
    if request.param == "random":
        # Widths that blocks of 32 divide; heads of another size than hidden / heads.
        model = random_model(small_config(vocab_size=8192, hidden_size=64, expert_size=96))
    else:
        model = mv.load("8x7m")
    folder = writers.hugging_face_4(model, tmp_path_factory.mktemp(request.param))
    with torch.inference_mode():
        logits = theirs_from(folder)(IDS[None]).logits[0]
    return model, folder, logits


@pytest.mark.parametrize("layout", writers.LAYOUTS)
def test_every_layout_is_the_same_model(layout, original, tmp_path):
    model, folder, expected = original
    written = writers.LAYOUTS[layout](model, tmp_path / "model")
    reference: Any = open_checkpoint(folder)
    checkpoint: Any = open_checkpoint(written)
    assert checkpoint.layout == layout
    for name in reference:
        assert torch.equal(checkpoint[name], reference[name]), name
    assert checkpoint.fingerprint() == reference.fingerprint()
    ours: Any = mv.load(written)
    read: Any = mv.load(folder)
    with torch.inference_mode():
        assert relative(ours(IDS), expected) < 1e-5
    assert ours.tokenizer.encode(TEXT) == read.tokenizer.encode(TEXT)


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_a_type_unpacks_to_the_last_bit_as_gguf_does(kind):
    number = gguf.GGMLQuantizationType[kind]
    assert gguf.GGML_QUANT_SIZES[number] == (BLOCK_TYPES[kind].width, BLOCK_TYPES[kind].size)
    rng = np.random.default_rng(7)
    matrix = rng.integers(0, 256, (300, 4 * BLOCK_TYPES[kind].size), dtype=np.uint8)
    with np.errstate(all="ignore"):  # random bytes are also infinities and no numbers
        expected = gguf.quants.dequantize(matrix, number)
    ours = Packed(torch.from_numpy(matrix), kind)
    assert ours.shape == expected.shape
    known = ~np.isnan(expected)
    assert known.mean() > 0.9
    unpacked = ours.unpacked().numpy()
    assert np.array_equal(unpacked.view(np.uint32)[known], expected.view(np.uint32)[known])
    assert np.isnan(unpacked[~known]).all()


#: How tensors are packed whose names contain a word, several types in one file as llama.cpp does.
MIXED = {
    "simple": {
        "token_embd": "Q4_0", "output.weight": "Q8_0", "attn_q": "Q5_0", "attn_k": "Q4_1",
        "attn_v": "F16", "ffn_down": "Q5_1", "ffn_gate_inp": "F16", "ffn_gate": "Q4_0",
        "ffn_up": "BF16",
    },
    "K": {
        "token_embd": "Q2_K", "output.weight": "Q6_K", "attn_q": "Q4_K", "attn_k": "Q5_K",
        "attn_v": "IQ4_XS", "ffn_down": "Q6_K", "ffn_gate_inp": "F32", "ffn_gate": "Q3_K",
        "ffn_up": "IQ4_NL",
    },
}  # fmt: skip


@pytest.mark.parametrize("merged", [True, False], ids=["merged", "split"])
@pytest.mark.parametrize("mixture", MIXED)
def test_a_quantised_file_computes_with_what_gguf_unpacks(mixture, merged, tmp_path):
    shape = {"hidden_size": 256, "expert_size": 256, "head_dim": 64, "layers": 2}
    model = random_model(small_config(vocab_size=8192, **shape), scale=1.5)
    path = writers.write_gguf(model, tmp_path / "model.gguf", merged, MIXED[mixture])
    ours: Any = mv.load(path)
    assert isinstance(ours.embedding, PackedEmbedding)
    assert isinstance(ours.layers[1].moe.experts[3].w1, PackedLinear)
    kinds = set(MIXED[mixture].values()) - {"F16", "BF16", "F32"}
    assert set(ours.provenance.quantisation.split(", ")) == kinds
    # The oracle: gguf reads and unpacks the file; the values go to transformers by way of a model
    # that was read from an F32 file, which the test above holds equal to the original.
    reader = gguf.GGUFReader(path)
    values = {
        t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1].tolist())
        for t in reader.tensors
    }
    plain = tmp_path / "plain.gguf"
    writer = gguf.GGUFWriter(plain, "llama")
    writers.gguf_metadata(writer, model.config)
    writers.gguf_vocabulary(writer)
    for name, value in values.items():
        writer.add_tensor(name, np.ascontiguousarray(value, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    loaded: Any = mv.load(plain)
    folder = writers.hugging_face_4(loaded, tmp_path / "unpacked")
    ids = IDS[:40]
    with torch.inference_mode():
        expected = theirs_from(folder)(ids[None], output_router_logits=True)
        assert relative(ours(ids), expected.logits[0]) < 1e-5
    trace = mv.record(ours, [ids.tolist()])
    assert (
        relative(torch.from_numpy(trace.router_logits), torch.stack(expected.router_logits)) < 1e-5
    )
