# SPDX-License-Identifier: Apache-2.0
"""A corpus of recordings: shards of one model, each a mapped trace, never joined in memory.

In: a folder that `record_corpus` has written. Out: its traces one after the other, parts of it, and
tables for programs that read Parquet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, TraceError
from .file import read_shape
from .pattern import Pattern
from .provenance import Provenance
from .shards import Shard, read_about, read_plan
from .summaryfile import summary_header
from .table import write_tables
from .trace import Trace

if TYPE_CHECKING:
    from .rule import Rule

_Labels = str | Iterable[str] | None
_Layers = int | Iterable[int] | None


@dataclass(frozen=True)
class Part:
    """One shard of a dataset, as it can be sent to another process: opened where it is needed."""

    folder: Path
    shard: Shard
    labels: tuple[str, ...] | None = None
    documents: tuple[str, ...] | None = None
    layers: tuple[int, ...] | None = None

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / self.shard.file

    def open(self) -> Trace | None:
        """Its trace, with a name for each document; None where nothing of it was asked for."""
        trace = named(Trace.load(self.path), self.shard)
        wanted = [
            n
            for n, prompt in enumerate(trace.prompts)
            if (self.labels is None or prompt.label in self.labels)
            and (self.documents is None or prompt.document in self.documents)
        ]
        if not wanted:
            return None
        some = None if len(wanted) == len(trace.prompts) else wanted
        if some is None and self.layers is None:
            return trace
        return trace.select(prompt=some, layers=self.layers)


def named(trace: Trace, shard: Shard) -> Trace:
    """A shard's trace with a name for each document: its id, else source and row."""
    prompts, rows, document = [], shard.rows_of_documents, -1
    for prompt in trace.prompts:
        document += prompt.part == 0
        name = prompt.document or f"{shard.source}:{rows[document]}"
        prompts.append(replace(prompt, document=name))
    return trace.with_prompts(tuple(prompts))


class TraceDataset(Sequence[Trace]):
    """Shards of one model's recordings, in the order of their corpus.

    A sequence of traces: each is opened when it is asked for. What holds for all of them
    (`provenance`, `layers`, `rule`, `expert_count`) is read from the first. Analyses take a dataset
    where they take a trace.

    >>> import moe_viz as mv, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = mv.record_corpus("8x7m", ["Good morning.", "Guten Morgen."], folder)
    ...     len(data), data.documents, data[0].prompts[1].text, data.tokens == len(data[0])
    (1, 2, 'Guten Morgen.', True)
    """

    def __init__(self, parts: Sequence[Part], about: dict[str, Any] | None = None) -> None:
        if not parts:
            raise TraceError("There is no shard here: nothing was recorded, or nothing was chosen.")
        self.parts: Sequence[Part] = parts
        self.about: dict[str, Any] = about or {}

    @staticmethod
    def load(folder: str | Path, partial: bool = False) -> TraceDataset:
        """Open what `record_corpus` has written; nothing is read before it is asked for.

        With `partial`, of a corpus that is not finished the shards that are there.

        Raises `TraceError` where the folder holds no corpus, or shards are missing.
        """
        folder = Path(folder).expanduser()
        about = read_about(folder)
        planned = [Part(folder, shard) for shard in read_plan(folder)]
        there = [part for part in planned if part.path.is_file()]
        if len(there) < len(planned) and not partial:
            raise TraceError(
                f"{folder}: {len(planned) - len(there)} of {len(planned)} shards are not there "
                "yet. Call record_corpus again, which makes the missing ones; or open what there "
                "is with TraceDataset.load(folder, partial=True)."
            )
        return TraceDataset(there, about)

    def __len__(self) -> int:
        """Number of shards."""
        return len(self.parts)

    def __getitem__(self, index: Any) -> Any:
        """A shard's trace; of a slice, the dataset of these shards."""
        if isinstance(index, slice):
            return TraceDataset(self.parts[index], self.about)
        if (trace := self.parts[index].open()) is None:
            raise TraceError(f"Shard {index} holds nothing of what was selected.")
        return trace

    def __iter__(self) -> Iterator[Trace]:
        """The traces of all shards that hold something of what was selected."""
        for part in self.parts:
            if (trace := part.open()) is not None:
                yield trace

    def __repr__(self) -> str:
        chosen = self._chosen
        if chosen and next(iter(self), None) is None:
            return f"<TraceDataset: {len(self)} shards, nothing of {chosen}>"
        of = f"; of these {chosen}" if chosen else ""
        return (
            f"<TraceDataset of {self.provenance.title}: {len(self)} shards"
            f"{'' if chosen else f', {self.documents:,} documents, {self.tokens:,} tokens'}, "
            f"{len(self.layers)} layers, {self.expert_count} experts{of}>"
        )

    @property
    def _chosen(self) -> str:
        part = self.parts[0]
        said = [f"labels {', '.join(part.labels)}"] if part.labels else []
        said += [f"{len(part.documents)} documents"] if part.documents else []
        return " and ".join(said)

    @cached_property
    def pattern(self) -> Pattern:
        """What holds for all shards: model, layers, rule."""
        if (header := self._summaries) is not None:
            return Pattern.from_json(header["pattern"])
        if (trace := next(iter(self), None)) is None:
            raise TraceError(f"No shard holds anything of what was selected: {self._chosen}.")
        return Pattern.of(trace)

    @cached_property
    def _summaries(self) -> dict[str, Any] | None:
        """Of a corpus that was kept as summaries, what the first says; None of one of traces."""
        return summary_header(self.parts[0].path)

    @property
    def summarised(self) -> bool:
        """Whether counts were kept in place of traces: `record_corpus(keep="summaries")`."""
        return self._summaries is not None

    @property
    def provenance(self) -> Provenance:
        """The model behind it, and how it was run."""
        return self.pattern.provenance

    @property
    def layers(self) -> tuple[int, ...]:
        """The model's layer number of each of the L."""
        return self.pattern.layers

    @property
    def rule(self) -> Rule:
        """How choice and gates follow from the logits."""
        return self.pattern.rule

    @property
    def expert_count(self) -> int:
        """Experts of a layer, E."""
        return self.pattern.expert_count

    @property
    def documents(self) -> int:
        """Number of documents of these shards, selected or not."""
        return sum(part.shard.documents for part in self.parts)

    @cached_property
    def tokens(self) -> int:
        """Number of tokens of these shards, selected or not; from their headers."""
        if self.summarised:
            return sum(int(header["tokens"]) for header in self._headers())
        return sum(read_shape(part.path)["token_ids"][0] for part in self.parts)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, in the order of their first document; opens every shard."""
        if self.summarised:
            return tuple(dict.fromkeys(name for said in self._headers() for name in said["labels"]))
        return tuple(dict.fromkeys(label for trace in self for label in trace.labels))

    def _headers(self) -> Iterator[dict[str, Any]]:
        for part in self.parts:
            if (header := summary_header(part.path)) is None:
                raise TraceError(
                    f"{part.path}: is a trace among summaries. Call record_corpus again."
                )
            yield header

    def select(
        self, label: _Labels = None, document: _Labels = None, layers: _Layers = None
    ) -> TraceDataset:
        """The part with these labels, documents (by id, else `source:row`) and layers.

        Nothing is read here. A label or document that no shard has makes an empty iteration; a
        layer that is not there raises `TraceError`, as in `Trace.select`, when a shard is opened.
        Raises `InputError` for summaries, which were counted whole.
        """
        if self.summarised:
            raise InputError(
                "This corpus was kept as summaries, each counted over all labels, documents and "
                "layers: nothing can be selected of it. Record it with keep='choices' for that."
            )
        asked = {
            "labels": _several(label),
            "documents": _several(document),
            "layers": _several(layers),
        }
        changes: dict[str, Any] = {}
        for name, wanted in asked.items():
            before = getattr(self.parts[0], name)
            if wanted is not None:
                among = wanted if before is None else [one for one in wanted if one in before]
                changes[name] = tuple(among)
        return TraceDataset([replace(part, **changes) for part in self.parts], self.about)

    def sample(self, documents: int, seed: int = 0) -> Trace:
        """Some documents drawn at random, without replacement, as one trace in memory.

        Documents that are recorded in parts come whole. Raises `InputError` for more than there
        are.
        """
        of = np.array([self._held(part) for part in self.parts])
        ends = of.cumsum()
        if not 0 < documents <= ends[-1]:
            raise InputError(f"documents must be 1 … {ends[-1]}, found {documents}.")
        drawn = np.sort(np.random.default_rng(seed).choice(ends[-1], documents, replace=False))
        where, found = np.searchsorted(ends, drawn, side="right"), []
        for n in np.unique(where):
            trace = self[int(n)]
            number = np.cumsum([prompt.part == 0 for prompt in trace.prompts]) - 1
            wanted = drawn[where == n] - (ends[n] - of[n])
            found.append(trace.select(prompt=np.flatnonzero(np.isin(number, wanted)).tolist()))
        return Trace.join(found)

    @staticmethod
    def _held(part: Part) -> int:
        """Number of documents of a shard that were selected."""
        if part.labels is None and part.documents is None:
            return part.shard.documents
        trace = part.open()
        return 0 if trace is None else sum(prompt.part == 0 for prompt in trace.prompts)

    def to_parquet(self, folder: str | Path) -> list[Path]:
        """One Parquet file for each shard, with the columns of `Trace.table`; needs pyarrow.

        For DuckDB, Polars, pandas and Arrow, which read a folder of them as one table: `prompt`
        counts through all of them, and `document` names each. Raises `OutputError` where the folder
        holds other Parquet files, which they would read as well.
        """
        names = [f"{n:06}-{part.shard.name[:16]}.parquet" for n, part in enumerate(self.parts)]
        return write_tables(Path(folder), names, (part.open() for part in self.parts))


def _several(wanted: Any) -> tuple[Any, ...] | None:
    if wanted is None:
        return None
    return (wanted,) if isinstance(wanted, str | int | np.integer) else tuple(wanted)
