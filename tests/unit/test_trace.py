# SPDX-License-Identifier: Apache-2.0
"""Traces come back from their files as they were, and damaged files are refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import OutputError, TraceError
from tests.conftest import random_model


@pytest.fixture(scope="module")
def trace():
    """Every field has something to lose: layers with gaps, one special token, two generated."""
    made = mv.record(random_model(), [[1, 2, 3], [4, 5]], labels=["a", "b"], loss=True)
    return replace(made, layers=(0, 2, 5), model_layers=6, special=np.arange(5) == 0,
                   generated=np.arange(5) >= 3)  # fmt: skip


ARRAYS = ("router_logits", "experts", "gates", "token_ids", "spans", "special", "generated", "loss")


def test_a_saved_trace_comes_back(trace, tmp_path):
    back = mv.Trace.load(trace.save(tmp_path / "t.safetensors"))
    for name in ARRAYS:
        assert np.array_equal(getattr(back, name), getattr(trace, name), equal_nan=True), name
    assert isinstance(back.router_logits, np.memmap)
    assert not back.router_logits.flags.writeable
    assert back.layers == trace.layers
    assert back.prompts == trace.prompts
    assert back.provenance == trace.provenance
    assert list(back.tokens) == list(trace.tokens)


def test_safetensors_itself_reads_the_file(trace, tmp_path):
    from safetensors.numpy import load_file

    arrays = load_file(trace.save(tmp_path / "t.safetensors"))
    assert np.array_equal(arrays["router_logits"], trace.router_logits)


def test_every_truncation_is_refused(trace, tmp_path):
    data = trace.save(tmp_path / "t.safetensors").read_bytes()
    short = tmp_path / "short.safetensors"
    for stop in range(0, len(data), 97):
        short.write_bytes(data[:stop])
        with pytest.raises(TraceError, match=r"short\.safetensors"):
            mv.Trace.load(short)


def test_selecting(trace):
    part = trace.select(label="b", layers=[2])
    for name in ARRAYS:
        whole = getattr(trace, name)
        expected = whole[1:2, 3:] if whole.ndim == 3 else whole[3:]
        assert np.array_equal(getattr(part, name), expected, equal_nan=True), name
    assert part.layers == (2,)
    assert list(part.tokens) == list(trace.tokens[3:])
    assert [(p.text, p.start, p.stop) for p in part.prompts] == [(trace.prompts[1].text, 0, 2)]
    with pytest.raises(TraceError, match="labels"):
        trace.select(label="c")


def test_a_margin_is_what_the_last_chosen_expert_leads_by(trace):
    first, second, third = torch.from_numpy(trace.router_logits).topk(3).values.unbind(-1)
    assert np.array_equal(trace.margins, second - third)
    one = replace(trace, experts=trace.experts[..., :1], gates=trace.gates[..., :1])
    assert np.array_equal(one.margins, first - second)


def test_the_table_has_a_row_for_each_layer_and_token(trace):
    pytest.importorskip("pyarrow")
    rows = trace.table().to_pylist()
    for row, (n, t) in zip(rows, product(range(3), range(5)), strict=True):
        prompt, position = divmod(t, 3)
        assert (row["layer"], row["prompt"], row["position"]) == ((0, 2, 5)[n], prompt, position)
        assert (row["label"], row["token"]) == ("ab"[prompt], trace.tokens[t])
        assert (row["token_id"], row["special"], row["generated"]) == (t + 1, t == 0, t >= 3)
        assert row["margin"] == trace.margins[n, t]
        assert [row["expert_0"], row["expert_1"]] == trace.experts[n, t].tolist()
        assert [row["gate_0"], row["gate_1"]] == trace.gates[n, t].tolist()
        assert [row[f"logit_{e}"] for e in range(8)] == trace.router_logits[n, t].tolist()
        assert row["loss"] == trace.loss[t] or position == 0


def full_disk(*_):
    raise OSError(28, "full")


def test_an_existing_file_survives_a_failed_save(trace, tmp_path, monkeypatch):
    path = trace.save(tmp_path / "t.safetensors")
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(
            "safetensors.numpy.save_file", lambda *a: (_ for _ in ()).throw(OSError(28, "full"))
        )
        with pytest.raises(OutputError, match="full"):
            trace.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]
