# SPDX-License-Identifier: Apache-2.0
"""Tables for whatever reads Arrow; of a trace, one row for each layer and token.

In: arrays of equal length by name, or a trace's fields. Out: an Arrow table, or files of several.
pyarrow is imported here, and only when a table is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingDependencyError, OutputError
from ..files import atomic_path

if TYPE_CHECKING:
    import pyarrow


def arrow_table(
    columns: Mapping[str, Any], about: Mapping[str, str] | None = None
) -> pyarrow.Table:
    """The table, with `about` in its schema's metadata.

    Raises `MissingDependencyError` where pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError(
            "A table needs the package pyarrow: pip install 'moe-viz[arrow]'."
        ) from error
    table = pyarrow.table(dict(columns))
    return table if about is None else table.replace_schema_metadata(dict(about))


def table_of(
    fields: Mapping[str, Any], margins: np.ndarray | None, about: Mapping[str, str] | None = None
) -> pyarrow.Table:
    """The table of a trace, from its fields and its margins (L, T); see `Trace.table`."""
    L, T, _ = fields["experts"].shape
    _, labels, starts, stops, documents, parts = zip(*fields["prompts"], strict=True)
    lengths = [stop - start for start, stop in zip(starts, stops, strict=True)]
    per_token = {
        "prompt": np.repeat(np.arange(len(lengths)), lengths),
        "label": np.repeat(labels, lengths),
        "position": np.concatenate([np.arange(n) for n in lengths]),
        "token_id": fields["token_ids"],
        "token": np.asarray(fields["tokens"], dtype=object),
        "special": fields["special"],
        "generated": fields["generated"],
    }
    if any(documents):
        per_token["document"] = np.repeat(documents, lengths)
        per_token["part"] = np.repeat(parts, lengths)
    if fields["loss"] is not None:
        per_token["loss"] = fields["loss"]
    columns = {name: np.tile(values, L) for name, values in per_token.items()}
    columns["layer"] = np.repeat(fields["layers"], T)
    if margins is not None:
        columns["margin"] = margins.reshape(-1)
    for slot in range(fields["experts"].shape[2]):
        columns[f"expert_{slot}"] = fields["experts"][:, :, slot].reshape(-1)
        columns[f"gate_{slot}"] = fields["gates"][:, :, slot].reshape(-1)
    if (logits := fields["router_logits"]) is not None:
        for e in range(logits.shape[2]):
            columns[f"logit_{e}"] = logits[:, :, e].reshape(-1)
    return arrow_table(columns, about)


def write_tables(folder: Path, names: list[str], traces: Iterable[Any]) -> list[Path]:
    """A Parquet file for each trace, under these names: prompts count through all of them.

    A file of a trace that is None is removed: an earlier call has written it. Raises `OutputError`
    where the folder holds other Parquet files, which would be read as part of the same table.
    """
    if others := sorted({p.name for p in folder.glob("*.parquet")} - set(names)):
        raise OutputError(
            f"{folder}: holds other Parquet files, {others[0]} for one, which would be read "
            "with these. Choose an empty folder."
        )
    written, prompts = [], 0
    for trace, name in zip(traces, names, strict=True):
        if trace is None:
            (folder / name).unlink(missing_ok=True)
            continue
        table = trace.table()  # which says so where pyarrow is missing
        import pyarrow
        import pyarrow.parquet as parquet

        number = table.column("prompt").to_numpy() + prompts
        at = table.schema.get_field_index("prompt")
        table = table.set_column(at, "prompt", pyarrow.array(number))
        with atomic_path(folder / name) as temporary:
            parquet.write_table(table, temporary)
        written.append(folder / name)
        prompts += len(trace.prompts)
    return written
