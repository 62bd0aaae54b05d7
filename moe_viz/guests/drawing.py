# SPDX-License-Identifier: Apache-2.0
"""A layer of any mixture, drawn: of a model, a config, a preset or a folder.

In: what `ledger` takes, and perhaps a trace. Out: a `Diagram`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..costs import Blocks, GuestLedger
from ..errors import InputError, TraceError
from ..trace import Rule, Trace
from ..trace.rule import MIXTRAL
from ..view.diagram.diagram import Diagram
from ..view.explorer.explorer import check_scale
from .ledger import ledger

if TYPE_CHECKING:
    from ..config import MixtralConfig
    from ..model import Mixtral
    from .guest import Guest


def diagram(
    model: Mixtral | Guest | MixtralConfig | str | Path | Any,
    trace: Trace | None = None,
    *,
    layer: int | None = None,
    prompt: int = 0,
    token: int | None = None,
    scale: float = 1.0,
) -> Diagram:
    """One decoder layer of this model, drawn: what a token passes, and how few experts it uses.

    `model` is what `ledger` takes: a model, a config, a preset's name, a folder. `layer` is the
    model's number (default: the first with experts). With a `trace` of it the scores are those of a
    token, counted within its prompt (default: the first that is not special); without one they are
    made up, and the drawing says so. `scale` multiplies all type.

    Six steps can be walked through, and one score can be changed, to see the last place change
    hands.

    Raises `InputError` for a trace that is not of such a model, or that has no logits.

    >>> diagram("mixtral-8x7b").steps[3]
    ('run', 'Only 2 of 8 feed-forward blocks are computed: 352 M of 1.41 B parameters.')
    """
    check_scale(scale)
    books = ledger(model)
    if layer is None and trace is not None:
        layer = trace.layers[0]
    blocks = books.blocks(layer)
    if trace is None:
        rule = _rule(model) if isinstance(books, GuestLedger) else MIXTRAL
        bias = np.zeros(blocks.experts) if rule.bias else None
        return Diagram(books.name, blocks, rule, bias=bias, scale=scale)
    return _of_token(books.name, blocks, trace, prompt, token, scale)


def _of_token(
    name: str, blocks: Blocks, trace: Trace, prompt: int, token: int | None, scale: float
) -> Diagram:
    """The drawing with one token's numbers."""
    if (trace.expert_count, trace.experts.shape[2]) != (blocks.experts, blocks.chosen):
        raise InputError(
            f"diagram: {name} chooses {blocks.chosen} of {blocks.experts} experts, and this trace "
            f"of {trace.provenance.model} {trace.experts.shape[2]} of {trace.expert_count}. Give "
            "the model that it was recorded from."
        )
    if blocks.layer not in trace.layers:
        raise InputError(f"layer {blocks.layer} was not recorded: the trace has {trace.layers}.")
    row = trace.layers.index(blocks.layer)
    if prompt not in range(len(trace.prompts)):
        raise InputError(f"prompt must be one of 0 … {len(trace.prompts) - 1}, found {prompt!r}.")
    where = trace.prompts[prompt]
    if token is None:
        plain = np.flatnonzero(~trace.special[where.start : where.stop])
        token = int(plain[0]) if len(plain) else 0
    if token not in range(where.stop - where.start):
        raise InputError(
            f"token must be one of 0 … {where.stop - where.start - 1}, found {token!r}."
        )
    at = where.start + token
    if trace.router_logits is None or trace.rule.choice != "scores":
        raise InputError(
            "diagram: this trace does not hold the logits that its choices went by, so no token's "
            "numbers can be drawn. Without a trace: diagram(model)."
        )
    try:
        trace.ranking(row, slice(at, at + 1))
    except TraceError as error:
        raise InputError(f"diagram: {error}") from error
    return Diagram(
        trace.provenance.title, blocks, trace.rule,
        np.asarray(trace.router_logits[row, at], np.float64),
        None if trace.bias is None else np.asarray(trace.bias[row], np.float64),
        f"‘{trace.tokens[at]}’, token {token} of its prompt", scale,
    )  # fmt: skip


def _rule(model: Any) -> Rule:
    """The rule of another family's routers."""
    from .ledger import without_data
    from .source import configuration

    mixtures = getattr(model, "mixtures", None)
    if mixtures is None:
        config = configuration(Path(model)) if isinstance(model, str | Path) else model
        mixtures = without_data(getattr(config, "config", config))[1]
    return mixtures[0].scoring.rule
