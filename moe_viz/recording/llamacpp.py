# SPDX-License-Identifier: Apache-2.0
"""Tables of expert ids that llama.cpp's `moe-trace` writes, as arrays.

In: the text of a CSV file. Out: expert ids of each token, and which layers they are of. There are
two forms: `layer,expert`, a row for each choice in the order in which it was made (llama.cpp's pull
request 28544), and `phase,token,layer,rank,expert`, which numbers the tokens (its forks).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from math import comb, prod
from typing import NamedTuple

import numpy as np

from ..errors import InputError


class Table(NamedTuple):
    """Expert ids (T, L, k), −1 where none ran; the model's layers; and how many tokens are new."""

    routes: np.ndarray
    layers: tuple[int, ...]
    generated: int


def is_table(text: str) -> bool:
    """Whether a file's first line names columns of layers and experts."""
    columns = _columns(text.partition("\n")[0])
    return "layer" in columns and "expert" in columns


def read_table(text: str, where: str, experts: int, k: int | None) -> Table:
    """The choices of one prompt and its answer. `k` must be said where rows do not number tokens.

    llama.cpp runs the last layer for those tokens alone whose output is asked for: most of a
    prompt's choose no expert there.

    Raises `InputError` where it cannot be told which token a row is of.
    """
    lines = text.splitlines()
    columns = _columns(lines[0])
    rows = [row for row in csv.reader(lines[1:]) if row]
    try:
        at = {name: columns.index(name) for name in columns}
        numbers = {
            name: np.array([int(row[at[name]]) for row in rows], np.int64)
            for name in ("token", "layer", "rank", "expert") if name in at
        }  # fmt: skip
        phases = [row[at["phase"]] for row in rows] if "phase" in at else []
    except (ValueError, IndexError, OverflowError) as error:
        raise InputError(
            f"{where}: a row holds no whole numbers under {','.join(columns)} ({error!s:.80})."
        ) from error
    if not rows:
        raise InputError(f"{where}: has no rows under {','.join(columns)}.")
    if "token" in numbers:
        return _numbered(numbers, phases, where)
    if k is None:
        raise InputError(f"{where}: does not number its tokens. Say k=, the experts of a token.")
    return _in_order(numbers["layer"], numbers["expert"], where, experts, k)


def _columns(line: str) -> list[str]:
    return [name.strip().lower() for name in line.lstrip("\ufeff").split(",")]


def _numbered(numbers: dict[str, np.ndarray], phases: Sequence[str], where: str) -> Table:
    tokens, expert = numbers["token"], numbers["expert"]
    names, row = np.unique(numbers["layer"], return_inverse=True)
    T = int(tokens.max()) + 1
    if tokens.min() < 0 or len(tokens) < T:
        raise InputError(f"{where}: tokens must be numbered from 0 on, without gaps.")
    order = np.lexsort((numbers.get("rank", np.arange(len(tokens))), row, tokens))
    place = (tokens * len(names) + row)[order]  # of a token's layer, in one row
    slot = np.arange(len(place)) - np.searchsorted(place, place)
    _refuse_gaps(T * len(names) * (int(slot.max()) + 1), len(place), where)
    routes = np.full((T * len(names), int(slot.max()) + 1), -1, np.int64)
    routes[place, slot] = expert[order]
    if len(np.unique(tokens)) < T:
        raise InputError(f"{where}: tokens must be numbered from 0 on, without gaps.")
    written = {int(t) for t, phase in zip(tokens, phases, strict=False) if phase != "prefill"}
    routes = routes.reshape(T, len(names), -1)
    return Table(routes, tuple(names.tolist()), len(written))


def _in_order(layer: np.ndarray, expert: np.ndarray, where: str, experts: int, k: int) -> Table:
    """Rows of one layer after the other, pass after pass."""
    starts = np.flatnonzero(np.diff(layer, prepend=-1))
    runs = np.split(expert, starts[1:])
    numbers = layer[starts]
    if k < 1 or any(len(run) % k for run in runs):
        raise InputError(
            f"{where}: k={k} does not divide the rows of a layer, "
            f"{next((len(run) for run in runs if k < 1 or len(run) % k), 0):,} in one pass."
        )
    names = tuple(np.unique(numbers).tolist())
    # A pass begins where layers start again.
    firsts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] + 1) <= 0)
    spans = list(zip(firsts, [*firsts[1:], len(runs)], strict=True))
    cells = sum(len(names) * max(len(run) for run in runs[a:b]) for a, b in spans)
    _refuse_gaps(cells, len(layer), where)
    passes, blocks = [], []
    for first, after in spans:
        heard = {int(numbers[n]): runs[n].reshape(-1, k) for n in range(first, after)}
        T = max(len(block) for block in heard.values())
        out = np.full((T, len(names), k), -1, np.int64)
        for number, block in heard.items():
            if len(block) not in (1, T):
                raise InputError(
                    f"{where}: layer {number} has {len(block)} tokens in a pass of {T}: which ones "
                    "cannot be told. Record with a moe-trace that numbers the tokens."
                )
            out[T - len(block) :, names.index(number)] = block
            blocks.append(block)
        passes.append(out)
    _refuse_misread(blocks, where, experts, k)
    return Table(np.concatenate(passes), names, 0)


def _refuse_gaps(cells: int, rows: int, where: str) -> None:
    """Raise `InputError` where tokens, layers and k leave more open than one layer can."""
    if cells > 4 * rows:
        raise InputError(
            f"{where}: {rows:,} rows leave most of {cells:,} choices open, those of all its tokens "
            "in all its layers. Is it whole, and of one prompt?"
        )


def _refuse_misread(blocks: Sequence[np.ndarray], where: str, experts: int, k: int) -> None:
    """Raise `InputError` for ids of a moe-trace that read past each token's k experts.

    Its first versions took a token's whole ranking of the experts, k after k, for the choices of
    the tokens that follow. In such a file no expert comes twice until all have come.
    """
    several = [block for block in blocks if len(block) > 1]
    if 2 * k > experts or not several:
        return
    if any(len(np.unique(row)) < len(row) for row in (b.ravel()[:experts] for b in several)):
        return
    # That two neighbours share no expert, for routers that choose by chance.
    apart = comb(experts - k, k) / comb(experts, k)
    if prod([apart] * sum(min(len(b), experts // k) - 1 for b in several)) < 1e-6:
        raise InputError(
            f"{where}: in every layer no expert is chosen a second time before all were chosen "
            "once. This is a ranking of the experts, which early versions of moe-trace wrote for "
            "choices. Record it again with one that reads row by row."
        )
