# SPDX-License-Identifier: Apache-2.0
"""Each part of each preset against numbers worked out by hand, and what bytes and FLOPs follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from moe_viz.config import PRESETS
from moe_viz.costs import Part, ledger
from moe_viz.errors import ConfigError

#: One layer: attention D·d·(H + G) twice, expert 3·D·F, router D·E, norms 2·D.
LAYER = {
    "mixtral-8x7b": {
        "attention": 41_943_040, "expert": 176_160_768, "router": 32_768, "norms": 8_192,
        "layer": 1_451_270_144,
    },
    "mixtral-8x22b": {
        "attention": 88_080_384, "expert": 301_989_888, "router": 49_152, "norms": 12_288,
        "layer": 2_504_060_928,
    },
    "8x7m": {
        "attention": 196_608, "expert": 393_216, "router": 2_048, "norms": 512,
        "layer": 3_344_896,
    },
}  # fmt: skip
#: The whole model: stored, and used by a token.
PARTS = {
    "mixtral-8x7b": [
        ("embedding", 131_072_000, 131_072_000),
        ("attention", 1_342_177_280, 1_342_177_280),
        ("routers", 1_048_576, 1_048_576),
        ("experts", 45_097_156_608, 11_274_289_152),
        ("norms", 266_240, 266_240),
        ("output head", 131_072_000, 131_072_000),
    ],
    "mixtral-8x22b": [
        ("embedding", 196_608_000, 196_608_000),
        ("attention", 4_932_501_504, 4_932_501_504),
        ("routers", 2_752_512, 2_752_512),
        ("experts", 135_291_469_824, 33_822_867_456),
        ("norms", 694_272, 694_272),
        ("output head", 196_608_000, 196_608_000),
    ],
    "8x7m": [
        ("embedding", 2_097_152, 2_097_152),
        ("attention", 1_179_648, 1_179_648),
        ("routers", 12_288, 12_288),
        ("experts", 18_874_368, 4_718_592),
        ("norms", 3_328, 3_328),
        ("output head", 2_097_152, 2_097_152),
    ],
}
WHOLE = {
    "mixtral-8x7b": {
        "total": 46_702_792_704, "active": 12_879_925_248, "shared": 1_605_636_096,
        "dense_twin": 7_241_732_096,
    },
    "mixtral-8x22b": {
        "total": 140_620_634_112, "active": 39_152_031_744, "shared": 5_329_164_288,
        "dense_twin": 22_237_845_504,
    },
    "8x7m": {
        "total": 24_263_936, "active": 10_108_160, "shared": 5_389_568, "dense_twin": 7_736_576,
    },
}  # fmt: skip
#: FLOPs of the body, of the head, and of one attended position; bytes of a cached token in bf16.
RUN = {
    "mixtral-8x7b": (25_235_030_016, 262_144_000, 524_288, 131_072),
    "mixtral-8x22b": (77_516_242_944, 393_216_000, 1_376_256, 229_376),
    "8x7m": (11_821_056, 4_194_304, 6_144, 3_072),
}

EACH = pytest.mark.parametrize("name", PRESETS)


def test_every_preset_is_worked_out():
    assert set(LAYER) == set(PARTS) == set(WHOLE) == set(RUN) == set(PRESETS)


@EACH
def test_one_layer(name):
    for item, expected in LAYER[name].items():
        assert getattr(ledger(name), item) == expected, item


@EACH
def test_every_part_stored_and_active(name):
    assert ledger(name).parts == tuple(Part(*part) for part in PARTS[name])


@EACH
def test_the_whole(name):
    for item, expected in WHOLE[name].items():
        assert getattr(ledger(name), item) == expected, item


@EACH
def test_bytes_of_each_dtype(name):
    account, total = ledger(name), WHOLE[name]["total"]
    sizes = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
    assert {dtype: account.bytes(dtype) for dtype in sizes} == {
        dtype: total * size for dtype, size in sizes.items()
    }
    assert account.bytes() == 2 * total  # bfloat16, as it is published
    cached = RUN[name][3]
    assert {d: account.cache_per_token(d) for d in sizes} == {
        d: cached * n // 2 for d, n in sizes.items()
    }
    assert account.cache_per_token() == cached


@EACH
def test_flops(name):
    account, (body, head, position, _) = ledger(name), RUN[name]
    assert account.flops_per_token(head=False) == body
    assert account.flops_per_token() == body + head
    assert account.flops_per_token(attended=1000) == body + head + 1000 * position
    assert account.flops_per_token(attended=7, head=False) == body + 7 * position


@EACH
def test_a_name_and_its_config_are_the_same_account(name):
    assert ledger(PRESETS[name]) == ledger(name)
    assert ledger(name).config is PRESETS[name]


def test_all_dimensions_apart():
    """Sizes no two of which are equal, so that none can stand for another."""
    config = replace(
        PRESETS["8x7m"], hidden_size=10, layers=3, heads=6, kv_heads=2, head_dim=4, expert_size=7,
        experts=5, experts_per_token=3, vocab_size=11,
    )  # fmt: skip
    account = ledger(config)
    assert account.attention == 10 * 24 + 10 * 8 + 10 * 8 + 24 * 10 == 640
    assert account.expert == 210
    assert account.layer == 640 + 5 * 210 + 50 + 20 == 1760
    assert account.total == 110 + 3 * 1760 + 10 + 110 == 5510
    assert account.active == 5510 - 3 * 2 * 210 == 4250
    assert account.shared == 5510 - 3 * 5 * 210
    assert account.cache_per_token("int8") == 3 * (8 + 8)
    assert account.flops_per_token(head=False) == 2 * 3 * (640 + 50 + 3 * 210)
    assert account.flops_per_token() == 2 * 3 * (640 + 50 + 630) + 2 * 110
    assert account.flops_per_token(2, head=False) == 7920 + 3 * 6 * 2 * (2 * 4 + 2 * 4)
    assert account.dense_twin == 110 + 3 * (640 + 210 + 20) + 10 + 110


@pytest.mark.parametrize("method", ["bytes", "cache_per_token"])
def test_an_unknown_dtype_is_refused_with_those_there_are(method):
    with pytest.raises(ConfigError, match="float32, float16, bfloat16, int8, found 'int4'"):
        getattr(ledger("8x7m"), method)("int4")


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"'8x8b'. There are mixtral-8x7b, mixtral-8x22b, 8x7m"):
        ledger("8x8b")
