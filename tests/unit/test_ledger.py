# SPDX-License-Identifier: Apache-2.0
"""The ledger: exact to the parameter, against published numbers, torch, and real files."""

from __future__ import annotations

import pytest
import torch

from moe_viz.config import PRESETS
from moe_viz.costs import MISTRAL_7B, ledger
from moe_viz.errors import ConfigError
from moe_viz.files import embedded_folder
from moe_viz.model import Mixtral, initialise
from tests.conftest import small_config


def test_mixtral_8x7b_as_published():
    account = ledger("mixtral-8x7b")
    assert account.total == 46_702_792_704
    assert account.active == 12_879_925_248
    assert account.attention == 41_943_040
    assert account.expert == 176_160_768
    assert account.router == 32_768
    assert account.norms == 8_192
    assert account.layer == 1_451_270_144
    assert account.shared == 1_605_636_096
    assert account.bytes("bfloat16") == 93_405_585_408
    assert account.dense_twin == MISTRAL_7B
    assert account.cache_per_token("bfloat16") * 32_768 == 4 * 2**30


def test_flops_as_published():
    account = ledger("mixtral-8x7b")
    body = account.flops_per_token(head=False)
    assert round(body / 1e9, 3) == 25.235
    assert round((account.flops_per_token() - body) / 1e9, 3) == 0.262
    assert account.flops_per_token(attended=32_768) - account.flops_per_token() == 524_288 * 32_768


@pytest.mark.parametrize("config", [*PRESETS.values(), small_config(kv_heads=4, experts=3)])
def test_total_equals_the_parameters_torch_counts(config):
    with torch.device("meta"):
        model = Mixtral(config)
    account = ledger(config)
    assert account.total == sum(p.numel() for p in model.parameters())
    layer = sum(p.numel() for p in model.layers[0].parameters())
    assert account.layer == layer


def test_total_equals_the_parameters_transformers_counts():
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        theirs = transformers.MixtralForCausalLM(transformers.MixtralConfig())
    assert ledger("mixtral-8x7b").total == theirs.num_parameters()


def test_bytes_equal_the_embedded_file_less_its_header():
    path = embedded_folder() / "model.safetensors"
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert ledger("8x7m").bytes("bfloat16") == path.stat().st_size - 8 - header


def test_flops_equal_what_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    config = small_config(experts=4, experts_per_token=4)  # all experts: every token the same
    model = initialise(Mixtral(config), 0)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, dtype=torch.int64))
    # torch's counter does not know the CPU's attention kernel: no scores on either side
    assert counter.get_total_flops() == 2 * ledger(config).flops_per_token()


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ConfigError, match="float64"):
        ledger("8x7m").bytes("float64")
