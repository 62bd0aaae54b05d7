# SPDX-License-Identifier: Apache-2.0
"""All families of transformers, or one of each kind: a guest of each, and what it records."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.guests.guest import Guest

from . import tiny

#: One of each kind: rule, seam, attention, place of the router.
FAST = (
    "axk2", "dbrx", "deepseek_v3", "deepseek_v4", "gemma4_text", "gpt_oss", "inkling2_loop_text",
    "jetmoe", "llama4_text", "longcat_flash", "nemotron_h", "olmoe", "phimoe", "qwen3_next", "zaya",
)  # fmt: skip
#: About a sliding window of 64 and a chunk of linear attention.
LENGTHS = (129, 1, 63, 64, 65, 17)


def but(*left_out: str) -> Any:
    """A mark for a test of all families but these."""
    names = [name for name in tiny.TINY if name not in left_out]
    return pytest.mark.parametrize("name", [
        pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in names
    ])  # fmt: skip


families = but()


@cache
def guest(name: str) -> Guest:
    return Guest(tiny.build(name))


@cache
def prompts() -> tuple[tuple[int, ...], ...]:
    rng = np.random.default_rng(7)
    return tuple(tuple(rng.integers(3, tiny.VOCABULARY, n).tolist()) for n in LENGTHS)


@cache
def recorded(name: str) -> Any:
    return mv.record(guest(name), [list(ids) for ids in prompts()], loss=True)
