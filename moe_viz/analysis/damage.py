# SPDX-License-Identifier: Apache-2.0
"""How much the loss changes under interventions, label by label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import InputError
from ..trace import Trace
from .documents import Documents
from .finding import Finding, columns_of
from .statistics import (
    REPEATS,
    by_unit,
    corrected,
    interval,
    ratio,
    resamples,
    standardised_flips,
)


def damage(
    trace: Trace,
    losses: Mapping[str, np.ndarray],
    alone: Mapping[str, tuple[int, int]] | None = None,
    seed: int = 0,
) -> Finding:
    """Change of the loss of a trace's tokens under each of several interventions, nats per token.

    `trace` was recorded with its loss; `losses` are the same tokens' losses under each
    intervention, (T,) each; `alone` names layer and expert for those that ablate one expert and
    nothing else. The mean is over all tokens but each document's first, special ones left out. For
    the columns see `moe_viz.effects`, which runs these passes.

    Raises `InputError` where no token has one before it, or the trace has no loss.

    One document of four tokens; the intervention adds 0.5 nats to each:

    >>> from dataclasses import replace
    >>> from moe_viz.analysis.examples import example
    >>> plain = replace(example([[0, 1]] * 4), loss=np.array([1.0, 2.0, 3.0, 4.0], np.float32))
    >>> found = damage(plain, {"changed": plain.loss + 0.5})
    >>> float(found["loss"][0]), float(found["change"][0]), int(found["tokens"][0])
    (2.5, 0.5, 4)
    """
    if trace.loss is None:
        raise InputError("The trace has no loss: record it with loss=True.")
    docs, alone = Documents(trace), alone or {}
    starts = [prompt.start for prompt in trace.prompts]
    unknown = ~np.isfinite(trace.loss)
    unknown[starts] = False  # a first token has no loss
    if unknown.any():
        raise InputError(
            f"{unknown.sum():,} tokens have a loss that is NaN or infinite. Record them again with "
            "this version, which says where that comes from."
        )
    counted = ~np.isnan(trace.loss) & (docs.document >= 0)
    document, N = docs.document[counted], len(docs)
    n = np.bincount(document, minlength=N).astype(np.float64)  # (N,) tokens
    before = np.bincount(document, trace.loss[counted], N)
    after = np.array([np.bincount(document, loss[counted], N) for loss in losses.values()])
    rng = np.random.default_rng(seed)
    rows = []
    for label, name in enumerate(docs.names):
        members = np.flatnonzero((docs.labels == label) & (n > 0))
        if not len(members):
            continue
        difference = (after - before)[:, members].T  # (n, interventions)
        size, units = n[members], docs.units[members]
        drawn = resamples(units, rng)
        values = ratio(drawn @ difference, (drawn @ size)[:, None])
        low, high = interval(values, docs.independent_of(members))
        together = by_unit(difference, units)
        signs = rng.choice((-1.0, 1.0), (REPEATS, len(together)))
        p = corrected(*standardised_flips(together, signs))
        for i, intervention in enumerate(losses):
            layer, expert = alone.get(intervention, (-1, -1))
            rows.append(
                (intervention, layer, expert, name, before[members].sum() / size.sum(),
                 difference[:, i].sum() / size.sum(), low[i], high[i], p[i], int(size.sum()),
                 len(members))
            )  # fmt: skip
    if not rows:
        raise InputError("No token of these texts has one before it: there is no loss to compare.")
    names = ("intervention", "layer", "expert", "label", "loss", "change", "low", "high", "p",
             "tokens", "documents")  # fmt: skip
    columns = columns_of(names, rows)
    few = docs.few(int(columns["documents"].min()))
    title = trace.provenance.title
    return Finding("effects of interventions", title, "tokens after the first", columns, few)
