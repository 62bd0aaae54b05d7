"""A trace as a table, for whatever reads Arrow: one row for each layer and token.

In: a trace. Out: an Arrow table; see `Trace.table` for its columns. Needs pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import MissingDependencyError

if TYPE_CHECKING:
    import pyarrow

    from .trace import Trace


def table_of(trace: Trace) -> pyarrow.Table:
    """The table; raises `MissingDependencyError` where pyarrow is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError(
            "Trace.table() needs the package pyarrow: pip install 'moe-viz[arrow]'."
        ) from error
    L, T, E = trace.router_logits.shape
    lengths = [p.stop - p.start for p in trace.prompts]
    per_token = {
        "prompt": np.repeat(np.arange(len(lengths)), lengths),
        "label": np.repeat([p.label for p in trace.prompts], lengths),
        "position": np.concatenate([np.arange(n) for n in lengths]),
        "token_id": trace.token_ids,
        "token": np.asarray(trace.tokens, dtype=object),
        "special": trace.special,
        "generated": trace.generated,
    }
    if trace.loss is not None:
        per_token["loss"] = trace.loss
    columns = {name: np.tile(values, L) for name, values in per_token.items()}
    columns["layer"] = np.repeat(trace.layers, T)
    columns["margin"] = trace.margins.reshape(-1)
    for slot in range(trace.experts.shape[2]):
        columns[f"expert_{slot}"] = trace.experts[:, :, slot].reshape(-1)
        columns[f"gate_{slot}"] = trace.gates[:, :, slot].reshape(-1)
    for e in range(E):
        columns[f"logit_{e}"] = trace.router_logits[:, :, e].reshape(-1)
    return pyarrow.table(columns)
