# SPDX-License-Identifier: Apache-2.0
"""Expert ids that servers hand out, as traces.

In: a response of vLLM or SGLang, or a file of them or of llama.cpp's; and what such a record does
not say. Out: a `Trace`. They tell which experts were chosen, no logits and no gates: a trace of
theirs has choices, and says what it lacks.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import small_text
from ..tokenization import Tokenizer
from ..trace import Trace
from .foreign import foreign_trace
from .llamacpp import Table, is_table, read_table

_TYPES = {"int32": "<i4", "uint16": "<u2", "uint8": "u1", "int16": "<i2"}


def import_routes(
    record: Any,
    experts: int,
    layers: Sequence[int] | None = None,
    k: int | None = None,
    ids: Sequence[int] | Sequence[Sequence[int]] | None = None,
    tokenizer: Tokenizer | None = None,
    labels: Sequence[str] | None = None,
    model: str = "",
) -> Trace:
    """A trace from what another program recorded.

    `record` is a response of vLLM (`--enable-return-routed-experts`) or SGLang
    (`return_routed_experts`), as a dictionary, a list of them, or a file of JSON or JSON lines; the
    CSV file of llama.cpp's `moe-trace`; or arrays of expert ids (tokens, layers, k), one for each
    prompt. `experts` is how many there are in a layer, which no record says. `layers` are the
    model's numbers of those with experts (default: 0, 1, …, or what the CSV says). `k` and the
    number of layers must be said for SGLang, whose records are flat: `layers` tells the latter; `k`
    for a CSV that does not number its tokens, which does not say either where an answer begins:
    nothing in its trace counts as generated.

    `ids` are the token ids of each prompt with what was generated, where the record does not hold
    them (vLLM's does if it was asked for `return_token_ids`). `tokenizer` spells them.

    The last token that a model writes is never run, and so is not in the trace.

    Raises `InputError` where something is missing or does not fit, and says what.

    >>> routes = np.array([[[0, 3]], [[1, 2]]])  # 2 tokens, 1 layer, 2 of 4 experts
    >>> trace = import_routes([routes], experts=4, ids=[[17, 5]])
    >>> trace.experts.tolist(), trace.router_logits
    ([[[0, 3], [1, 2]]], None)
    """
    if not isinstance(experts, int) or not 0 < experts < 2**15:
        raise InputError(
            f"experts= says how many experts a layer has, found {experts!r}. The model's config "
            "tells (num_experts, n_routed_experts, num_local_experts)."
        )
    source = _read(Path(record), experts, k) if isinstance(record, str | Path) else record
    if isinstance(source, Table):
        layers = source.layers if layers is None else layers
        found: list[Any] = [(source.routes, None, source.generated)]
    else:
        found = list(_routes(source, None if layers is None else len(layers), k))
    if not found:
        raise InputError("The record holds no routing: was the server started with it?")
    given = _ids(ids, len(found))
    parts = []
    for n, (routes, own, generated) in enumerate(found):
        tokens = own if given is None else given[n]
        if tokens is None:
            raise InputError(
                f"Prompt {n}: the record does not hold its token ids. Ask vLLM for them "
                "(return_token_ids), or give ids=, those of prompt and answer together."
            )
        parts.append((routes, *_aligned(n, routes, tokens), generated))
    return foreign_trace(parts, experts, layers, tokenizer, labels, model)


# ---- What programs write ---------------------------------------------------------------------


def _routes(
    record: Any, L: int | None, k: int | None
) -> Iterable[tuple[np.ndarray, list[int] | None, int]]:
    """Expert ids (T, L, k), token ids if they are there, and how many tokens were generated."""
    if isinstance(record, Mapping):
        yield from _response(record, L, k)
    elif isinstance(record, np.ndarray) and record.ndim == 3:
        yield record, None, 0
    elif isinstance(record, Sequence) and not isinstance(record, str | bytes):
        for one in record:
            yield from _routes(np.asarray(one) if hasattr(one, "shape") else one, L, k)
    else:
        raise InputError(
            "import_routes takes a response of vLLM or SGLang, a list or a file of them, or "
            f"arrays of expert ids (tokens, layers, k); found {type(record).__name__}."
        )


def _read(path: Path, experts: int, k: int | None) -> Any:
    try:
        text = small_text(path)
        if is_table(text):
            return read_table(text, str(path), experts, k)
        try:
            return json.loads(text)
        except ValueError:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is no JSON, no lines of JSON, and no CSV with columns layer and expert "
            f"({error!s:.120}). Save the program's records as they are."
        ) from error


def _response(
    said: Mapping[str, Any], L: int | None, k: int | None
) -> Iterable[tuple[np.ndarray, list[int] | None, int]]:
    if isinstance(said.get("meta_info"), Mapping):  # SGLang's own interface
        meta = said["meta_info"]
        written = said.get("output_ids") or meta.get("output_ids")
        routes = _flat(meta.get("routed_experts"), meta.get("routed_experts_dtype"), L, k)
        yield routes, None, max(0, len(written or ()) - 1)
        return
    before = said.get("prompt_routed_experts")
    for choice in said.get("choices") or ():
        prompt, written = choice.get("prompt_token_ids"), choice.get("token_ids")
        prompt = said.get("prompt_token_ids") if prompt is None else prompt
        tokens = None if prompt is None or written is None else [*prompt, *written]
        extra = choice.get("sgl_ext")
        if isinstance(extra, Mapping):
            routes = _flat(extra.get("routed_experts"), extra.get("routed_experts_dtype"), L, k)
        else:
            routes = _whole(choice.get("routed_experts"))
            if before is not None:  # vLLM 0.21 tells them apart
                routes = np.concatenate([_whole(before), routes])
        yield routes, tokens, max(0, len(written or ()) - 1)


def _whole(said: Any) -> np.ndarray:
    """Expert ids (T, L, k): nested lists, or an array file in base64."""
    if said is None:
        raise InputError(
            "A choice holds no routed_experts: start vLLM with --enable-return-routed-experts."
        )
    try:
        if isinstance(said, str):
            data = io.BytesIO(base64.b64decode(said, validate=True))
            found = np.load(data, allow_pickle=False)
        else:
            found = np.asarray(said)
        if found.ndim != 3 or found.dtype.kind not in "iu":
            raise ValueError(f"{found.dtype} of shape {found.shape}")
    except (ValueError, binascii.Error, EOFError, OverflowError) as error:
        raise InputError(
            f"routed_experts are no whole numbers of shape (tokens, layers, k): {error!s:.120}."
        ) from error
    return found


def _flat(said: Any, dtype: Any, L: int | None, k: int | None) -> np.ndarray:
    """Expert ids (T, L, k) of SGLang's, which come as a row."""
    if not isinstance(said, str):
        raise InputError(
            "The response holds no routed_experts: start SGLang with "
            "--enable-return-routed-experts, and ask with return_routed_experts."
        )
    if L is None or k is None:
        raise InputError(
            "SGLang's expert ids come as one row: say layers=, the numbers of the layers with "
            "experts, and k=, the experts of a token."
        )
    kind = _TYPES.get(str(dtype or "int32"))
    try:
        row = np.frombuffer(base64.b64decode(said, validate=True), kind or "<i4")
        return row.reshape(-1, L, k)
    except (ValueError, binascii.Error) as error:
        raise InputError(
            f"{len(said):,} characters of routed_experts are no ids of {L} layers and {k} experts "
            f"({error!s:.80}). Are layers= and k= right?"
        ) from error


# ---- What the caller says --------------------------------------------------------------------


def _ids(ids: Any, prompts: int) -> list[list[int]] | None:
    if ids is None:
        return None
    rows = [[int(n) for n in ids]] if len(ids) and np.isscalar(ids[0]) else [
        [int(n) for n in row] for row in ids
    ]  # fmt: skip
    if len(rows) != prompts:
        raise InputError(f"ids= must hold a list for each of {prompts} prompts, found {len(rows)}.")
    return rows


def _aligned(n: int, routes: np.ndarray, tokens: list[int]) -> tuple[list[int]]:
    """The ids that were run: all, or all but the last, which was only written."""
    if len(tokens) - len(routes) not in (0, 1):
        raise InputError(
            f"Prompt {n}: the record has {len(routes):,} rows for {len(tokens):,} token ids. "
            "Expected as many, or one fewer: prompt and answer together, from the first token on."
        )
    return (tokens[: len(routes)],)
