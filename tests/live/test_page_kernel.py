# SPDX-License-Identifier: Apache-2.0
"""Both engines of a page multiply and blend as NumPy does, whatever the shapes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.live.node import ask, packed, unpacked

ENGINES = ("WebAssembly", "JavaScript")
#: T, R and n: single vectors and rows, odd numbers of both, what no four divides.
SHAPES = [(1, 1, 8), (1, 2, 16), (2, 3, 8), (3, 1, 64), (4, 4, 32), (5, 7, 40), (8, 2, 64),
          (9, 5, 256), (31, 6, 24), (32, 33, 128)]  # fmt: skip
GAP = 48  # bytes between vectors, where they do not follow each other


def as_floats(stored: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """What stored weights stand for, float64."""
    if stored.dtype == np.int8:
        return stored * scale[:, None].astype(float)
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32).astype(float)
    return stored.astype(float)


def weights(rng: np.random.Generator, size: int, R: int, n: int) -> np.ndarray:
    if size == 1:
        return rng.integers(-128, 128, (R, n)).astype(np.int8)
    floats = rng.normal(size=(R, n)).astype(np.float32)
    return floats if size == 4 else (floats.view(np.uint32) >> 16).astype(np.uint16)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_matrix_times_vectors(engine, tmp_path):
    rng, cases, all_asked = np.random.default_rng(0), [], []
    for size in (1, 2, 4):
        for T, R, n in SHAPES:
            apart = 4 * n + (GAP if T % 2 else 0)
            x = np.zeros((T, apart // 4), np.float32)
            x[:, :n] = rng.normal(size=(T, n))
            w, scale = weights(rng, size, R, n), rng.uniform(0.001, 0.1, R).astype(np.float32)
            memory, at = b"", []
            for array in (x, w, scale):
                at.append(len(memory))
                memory += array.tobytes() + bytes(-array.nbytes % 64)
            y, room = len(memory), len(memory) + 4 * T * R + 64
            args = [at[0], apart, at[1], size, at[2], y, T, R, n, room]
            all_asked.append(
                {"does": "arithmetic", "engine": engine, "what": "multiply", "args": args,
                 "memory": packed(np.frombuffer(memory, np.uint8)), "size": room + 8 * n + 64,
                 "from": y, "count": T * R + 1}
            )  # fmt: skip
            cases.append((x[:, :n].astype(float), as_floats(w, scale)))
    for (x, w), answer in zip(cases, ask(tmp_path, {"all": all_asked}), strict=True):
        found, beyond = np.split(unpacked(answer, np.float32), [len(x) * len(w)])
        np.testing.assert_allclose(found.reshape(len(x), -1), x @ w.T, atol=2e-5 * np.abs(w).max())
        assert beyond == 0, "nothing is written past the end"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_weighted_sum_of_rows(engine, tmp_path):
    rng, cases, all_asked = np.random.default_rng(1), [], []
    for S, n, apart in [(1, 8, 32), (3, 16, 64), (7, 64, 512), (200, 24, 96)]:
        p, v = rng.random(S).astype(np.float32), rng.normal(size=(S, apart // 4)).astype(np.float32)
        memory = p.tobytes() + bytes(-p.nbytes % 64)
        rows, y = len(memory), len(memory) + v.nbytes
        memory += v.tobytes() + np.full(n + 1, 7, np.float32).tobytes()  # what is there is replaced
        all_asked.append(
            {"does": "arithmetic", "engine": engine, "what": "blend",
             "args": [0, rows, apart, y, S, n], "memory": packed(np.frombuffer(memory, np.uint8)),
             "size": len(memory), "from": y, "count": n + 1}
        )  # fmt: skip
        cases.append(p.astype(float) @ v[:, :n])
    for expected, answer in zip(cases, ask(tmp_path, {"all": all_asked}), strict=True):
        found = unpacked(answer, np.float32)
        np.testing.assert_allclose(found[:-1], expected, rtol=1e-5, atol=1e-5)
        assert found[-1] == 7, "nothing is written past the end"
