# SPDX-License-Identifier: Apache-2.0
"""Tables of llama.cpp's moe-trace, written as it writes them: pass by pass, layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.errors import InputError

E, K, LAYERS = 16, 3, (1, 2, 5)
#: A prompt in two parts, and two tokens of an answer.
PASSES = (6, 4, 1, 1)
T = sum(PASSES)
IDS = list(range(40, 40 + T + 1))  # the last one was written, and not run


def chosen(seed: int = 0) -> np.ndarray:
    """Expert ids (T, L, k), none twice for a token."""
    rng = np.random.default_rng(seed)
    return rng.random((T, len(LAYERS), E)).argsort(axis=2)[..., :K]


def run(routes: np.ndarray) -> np.ndarray:
    """As llama.cpp runs them: the last layer for the last token of the prompt, and the answer's."""
    found = routes.copy()
    found[: sum(PASSES[:2]) - 1, -1] = -1
    return found


def in_order(routes: np.ndarray) -> str:
    lines, start = ["layer,expert"], 0
    for size in PASSES:
        for row, layer in enumerate(LAYERS):
            block = routes[start : start + size, row].ravel()
            lines += [f"{layer},{e}" for e in block if e >= 0]
        start += size
    return "\n".join(lines) + "\n"


def numbered(routes: np.ndarray) -> str:
    lines, start = ["phase,token,layer,rank,expert"], 0
    for n, size in enumerate(PASSES):
        for row, layer in enumerate(LAYERS):
            for t in range(start, start + size):
                phase = "prefill" if n < 2 else "decode"
                lines += [f"{phase},{t},{layer},{r},{e}" for r, e in enumerate(routes[t, row])
                          if e >= 0]  # fmt: skip
        start += size
    return "\r\n".join(lines)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("form", [in_order, numbered])
def test_a_table_becomes_a_trace_of_choices(form, whole, tmp_path):
    routes = chosen() if whole else run(chosen())
    path = tmp_path / "moe_trace.csv"
    path.write_text(form(routes))
    trace = mv.import_routes(path, experts=E, k=K, ids=IDS, model="Qwen3-30B-A3B")
    assert np.array_equal(trace.experts, routes.transpose(1, 0, 2))
    assert trace.layers == LAYERS
    assert trace.token_ids.tolist() == IDS[:-1]
    assert trace.generated.sum() == (2 if form is numbered else 0)
    assert (trace.gates[trace.experts < 0] == 0).all()
    assert mv.save_page(trace, tmp_path / "page.html").stat().st_size > 10_000
    assert {"load", "transitions"} <= set(mv.report(trace).findings)


def misread(routes: np.ndarray) -> np.ndarray:
    """What a flat copy of a view of the whole ranking gives for passes of several tokens."""
    rng, found, start = np.random.default_rng(1), routes.copy(), 0
    for size in PASSES:
        for row in range(len(LAYERS)):
            ranking = rng.random((size, E)).argsort(axis=1)
            found[start : start + size, row] = ranking.ravel()[: size * K].reshape(size, K)
        start += size
    return found


def two_layers_short(routes: np.ndarray) -> np.ndarray:
    found = routes.copy()
    found[:3, -1] = -1
    return found


WRONG = {
    "no k": (in_order(chosen()), {"k": None}, "does not number its tokens. Say k="),
    "another k": (in_order(chosen()), {"k": 4}, r"k=4 does not divide the rows of a layer, 18 in"),
    "rankings": (in_order(misread(chosen())), {}, "This is a ranking of the experts"),
    "half a layer": (in_order(two_layers_short(chosen())), {}, "which ones cannot be told"),
    "no rows": ("layer,expert\n", {}, "has no rows"),
    "words": ("layer,expert\n1,two\n", {}, "holds no whole numbers"),
    "short rows": ("layer,expert\n1\n", {}, "holds no whole numbers"),
    "gaps": ("token,layer,expert\n0,1,1\n2,1,1\n2,1,2\n", {}, "from 0 on, without gaps"),
    "far": ("token,layer,expert\n0,1,1\n99,1,1\n", {}, "from 0 on, without gaps"),
    "open": (
        "token,layer,expert\n" + "\n".join(f"{n},{n},1" for n in range(99)), {"ids": range(99)},
        "leave most of 9,801 choices open",
    ),
    "open, in order": (
        "layer,expert\n" + "\n".join(f"{n},1" for n in range(99, 0, -1)),
        {"ids": range(99), "k": 1}, "leave most of 9,801 choices open",
    ),
    "other ids": (in_order(chosen()), {"ids": [4, 5]}, "12 rows for 2 token ids"),
    "no ids": (in_order(chosen()), {"ids": None}, "does not hold its token ids"),
    "too few experts": (in_order(chosen()), {"experts": 9}, "and experts=9 says"),
    "no table": ("a,b\n1,2\n", {}, "no CSV with columns layer and expert"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "change", "said"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_said(text, change, said, tmp_path):
    path = Path(tmp_path / "moe_trace.csv")
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        mv.import_routes(path, **{"experts": E, "k": K, "ids": IDS, **change})
