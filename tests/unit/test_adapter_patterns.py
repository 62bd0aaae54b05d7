# SPDX-License-Identifier: Apache-2.0
"""Ranks that an adapter gives by pattern go to the modules that peft gives them to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from moe_viz.checkpoint import patterns
from moe_viz.checkpoint.patterns import Patterns
from moe_viz.errors import CheckpointError


def test_patterns_that_real_adapters_have_are_read():
    layers = "|".join(map(str, range(32)))
    said = {
        "(": 1, "q_proj": 2,
        rf"layers\.({layers})\.block_sparse_moe\.experts\.[0-7]\.w1": 3,
        r"model\.layers\.\d+\.mlp\..*": 4, r"^layers\.(?:0|1)\.w2": 5, "k_proj|v_proj": 6,
    }  # fmt: skip
    made = Patterns(said, Path("adapter_config.json"))
    for module, value in (("model.layers.3.self_attn.q_proj", 2), ("layers.0.w2", 5),
                          ("model.layers.31.block_sparse_moe.experts.7.w1", 3),
                          ("model.layers.31.block_sparse_moe.experts.8.w1", None),
                          ("model.layers.9.mlp.gate", 4), ("a.v_proj", 6),
                          ("my_q_proj", None)):  # fmt: skip
        assert made.of(module) == value, module
        for pattern in list(said)[1:]:  # as peft looks for them
            if re.match(rf"(.*\.)?({pattern})$", module):
                assert said[pattern] == value
                break
    assert Patterns(None, Path("a")).of("q_proj") is None


def test_many_patterns_take_a_while_and_no_longer(monkeypatch):
    monkeypatch.setattr(patterns, "_PATIENCE", 0.05)
    many = Patterns({f".*.*{n}x": 1 for n in range(1000)}, Path("adapter_config.json"))
    with pytest.raises(CheckpointError, match="1,000 expressions could take very long"):
        [many.of("a" * 60 + str(n)) for n in range(1000)]
