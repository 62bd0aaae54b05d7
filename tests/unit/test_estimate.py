# SPDX-License-Identifier: Apache-2.0
"""What `doctor` says of a checkpoint: memory to the byte, times by the sums of what overlaps."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from moe_viz.checkpoint import open_checkpoint
from moe_viz.cli import app
from moe_viz.costs import ledger
from moe_viz.errors import MoeVizError
from moe_viz.placement import estimate as estimating
from moe_viz.placement.estimate import Estimate, estimate
from tests import writers
from tests.conftest import random_model, small_config

EXPERT = 3 * 256 * 512


@pytest.fixture
def measured(monkeypatch):
    """Set what is measured: bytes/s, seconds to make an expert, seconds for it to compute."""

    def set_rates(read: float, make: float, compute: float) -> None:
        monkeypatch.setattr(estimating, "_read_rate", lambda checkpoint: read)
        monkeypatch.setattr(estimating, "_time_an_expert", lambda *args: (make, compute))

    return set_rates


def by_name(*args, **kwargs) -> dict[str, Estimate]:
    return {e.placement: e for e in estimate(*args, **kwargs)[1]}


def test_memory_is_what_the_ledger_counts(measured):
    measured(1.0, 1.0, 1.0)
    found = by_name("8x7m", dtype="bfloat16")
    books = ledger("8x7m")
    assert found["resident"].needed == books.bytes("bfloat16")
    assert found["offload"].needed == 2 * (books.shared + EXPERT)
    assert found["resident"].generates
    assert not found["stream"].generates
    assert found["offload"].why_not == "needs a GPU"
    assert not found["offload"].fits


def test_a_sweep_that_waits_for_the_disk_takes_as_long_as_reading(measured):
    measured(read=1000.0, make=0.0, compute=0.0)
    books = ledger("8x7m")
    # All that is stored, in bf16, but for the last layer's experts.
    assert by_name("8x7m")["stream"].record == 2 * (books.total - 8 * EXPERT) / 1000
    assert by_name("8x7m")["resident"].load == 2 * books.total / 1000
    assert by_name("8x7m")["resident"].record == 0


def test_one_that_waits_for_the_processor_as_long_as_computing(measured):
    measured(read=1e15, make=0.0, compute=2.0)
    # 400 tokens, each of which two of eight experts compute: 100 rows take an expert 2 seconds.
    flops = ledger("8x7m").flops_per_token(head=False) * 400
    expected = flops / (2 * EXPERT * 100 / 2.0)
    found = by_name("8x7m", tokens=400)
    assert found["stream"].record == pytest.approx(expected)
    assert found["resident"].record == pytest.approx(expected)


def test_reading_and_computing_overlap_and_making_ready_goes_with_reading(measured):
    measured(read=1e9, make=0.1, compute=1e-9)
    assert by_name("8x7m")["stream"].record > 0.1 * 48  # 48 experts, and the rest
    measured(read=1e9, make=0.1, compute=1e9)
    assert by_name("8x7m")["stream"].record == by_name("8x7m")["resident"].record


def test_what_does_not_fit_is_said(measured, monkeypatch):
    measured(1e9, 1e-3, 1e-3)
    monkeypatch.setattr(estimating, "free_memory", lambda device: 2e7)
    found = by_name("8x7m")
    assert not found["resident"].fits
    assert found["stream"].fits


def test_rates_are_measured_on_the_checkpoint_s_own_types(tmp_path):
    model = random_model(small_config(vocab_size=8192, hidden_size=64, expert_size=96))
    kinds = {"norm": "F32", "ffn_gate_inp": "F32", "ffn": "Q5_0", "attn": "Q8_0"}
    path = writers.write_gguf(model, tmp_path / "m.gguf", merged=True, kinds=kinds)
    rates, found = estimate(path, tokens=50)
    assert min(rates.read, rates.make, rates.compute) > 0
    assert found[0].needed == sum(h.size for h in open_checkpoint(path).headers)


def test_the_command_line_shows_it():
    result = CliRunner().invoke(app, ["doctor", "8x7m", "--tokens", "100"])
    assert result.exit_code == 0, result.output
    for word in ("resident", "stream", "offload", "needs a GPU", "recording 100 tokens", "MB/s"):
        assert word in result.output
    result = CliRunner().invoke(app, ["doctor", "no such thing"])
    assert isinstance(result.exception, MoeVizError)
