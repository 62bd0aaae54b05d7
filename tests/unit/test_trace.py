"""Traces come back from their files as they were, and damaged files are refused."""

from __future__ import annotations

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import OutputError, TraceError
from tests.conftest import random_model


@pytest.fixture(scope="module")
def trace():
    return mv.record(random_model(), [[1, 2, 3], [4, 5]], labels=["a", "b"], loss=True)


def test_a_saved_trace_comes_back(trace, tmp_path):
    back = mv.Trace.load(trace.save(tmp_path / "t.safetensors"))
    for name in ("router_logits", "experts", "gates", "token_ids", "spans", "special", "loss"):
        assert np.array_equal(getattr(back, name), getattr(trace, name), equal_nan=True), name
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
    assert part.router_logits.shape == (1, 2, 8)
    assert np.array_equal(part.router_logits[0], trace.router_logits[2, 3:])
    with pytest.raises(TraceError, match="labels"):
        trace.select(label="c")


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
