# SPDX-License-Identifier: Apache-2.0
"""Recording a corpus: planned into shards, made by an engine, resumed by calling again.

In: a model, a source of documents, a folder. Out: a `TraceDataset`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ...errors import InputError, TraceError
from ...files import check_writable, remove_left
from ...guests.guest import Recordable
from ...progress import progress_bar, tell
from ...trace import TraceDataset
from ...trace.shards import PLAN, Shard, read_about, read_plan, write_plan
from .engines import engine_named
from .plan import TOKENS, Tally, first_rows, planned
from .rows import Columns, Row
from .sources import Source, sources_in
from .work import KEEP, Described, Recorder, Sample, Task

#: The sample by which a corpus is estimated: rows, and bytes of text.
SAMPLE = (64, 16_384)


@dataclass(frozen=True)
class Estimate:
    """What recording a corpus would take, from a sample of it."""

    title: str
    shards: int
    documents: int
    text_bytes: int
    tokens: int
    trace_bytes: int
    hours: float
    workers: int
    made: int  # shards that are there already
    kept: str  # "traces", or "summaries": these grow less than their texts
    left_out: str = ""

    def __str__(self) -> str:
        most = "up to " if self.kept == "summaries" else ""
        return (
            f"{self.documents:,} documents, {self.text_bytes / 1e6:,.1f} MB of text; estimated: "
            f"{self.tokens:,} tokens, {most}{self.trace_bytes / 1e6:,.1f} MB of {self.kept} in "
            f"{self.shards:,} shards ({self.made:,} are there), {_lasting(self.hours)} with "
            f"{self.title} on {self.workers} worker{'s' * (self.workers > 1)}."
            f"{' ' * bool(self.left_out)}{self.left_out}"
        )


def record_corpus(
    model: Recordable | str | Path,
    source: Any,
    out: str | Path,
    engine: str = "auto",
    *,
    text: str = "text",
    label: str | None = None,
    id: str | None = None,
    keep: str = "logits",
    loss: bool = False,
    context: int | None = None,
    workers: int | None = None,
    address: str | None = None,
    gpus: float = 0,
    shard_tokens: int = TOKENS,
    **loading: Any,
) -> TraceDataset:
    """Record every document of a corpus, in shards that are made once: a folder of traces.

    `model` is what `moe_viz.load` takes (`loading` goes to it: device, dtype, placement …), or a
    model in memory, which runs in this process alone. `source` is a Parquet or JSON-lines file, a
    text file, a folder of these (of text files, each is a document, labelled by its folder), a list
    of texts, of `Prompt`s, or of mappings, or a dataset of Hugging Face's. `text`, `label` and `id`
    name columns; the last two are looked for under their own names, and may be missing.

    `keep` is "logits" (everything), "choices" (experts and gates alone), or "summaries" (what
    `report` and `atlas` count, without the decisions; a document that comes or goes makes all
    shards behind it anew). With `loss` each token's loss is kept too. Documents longer than the
    context (or `context` tokens) are cut; their parts are one document in every statistic.

    `engine` is "inline" (this process), "processes" (`workers` of them on this machine, by default
    one for each core), "ray" (`pip install 'moe-viz[scale]'`; `address` of a cluster that runs, or
    processes of its own on this machine; `gpus` for each worker; all machines see the model, the
    source and `out` under the same paths), or "auto". Shards of about `shard_tokens` tokens are
    written whole or not at all. The same call after a crash, or with more documents in the source,
    makes what is missing, and nothing twice.

    Raises `InputError` for sources and settings that cannot be used, before a model is loaded.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     texts = [{"text": "Good morning.", "label": "en"}, {"text": "Bonjour.", "label": "fr"}]
    ...     data = record_corpus("8x7m", texts, folder, engine="inline")
    ...     data.labels, data.documents
    (('en', 'fr'), 2)
    """
    columns = Columns(text, label, id)
    corpus = Corpus(
        model, source, out, engine, columns, keep, loss, context, workers, address, gpus,
        shard_tokens, loading,
    )  # fmt: skip
    return corpus.record()


@dataclass
class Corpus:
    """The arguments of `record_corpus`, checked, and what is done with them."""

    model: Any
    source: Any
    out: str | Path
    engine: str = "auto"
    columns: Columns = field(default_factory=Columns)
    keep: str = "logits"
    loss: bool = False
    context: int | None = None
    workers: int | None = None
    address: str | None = None
    gpus: float = 0
    shard_tokens: int = TOKENS
    loading: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise InputError(f"keep must be one of {', '.join(KEEP)}, found {self.keep!r}.")
        if self.shard_tokens < 1 or (self.context is not None and self.context < 16):
            raise InputError(
                "Expected shard_tokens of at least 1 and a context of at least 16 tokens, found "
                f"{self.shard_tokens} and {self.context}."
            )
        if self.loss and self.keep == "summaries":
            raise InputError("A loss belongs to a token, and summaries keep none: leave out loss.")
        alone = not isinstance(self.model, str | Path)
        if alone and self.loading:
            raise InputError(
                f"The model is loaded already: {', '.join(self.loading)} cannot be asked for. Give "
                "its name or folder instead."
            )
        self._engine = engine_named(self.engine, self.workers, alone, self.address, self.gpus)
        self._folder = Path(self.out).expanduser().absolute()
        self._sources = sources_in(self.source, self.columns)
        self._sample = Sample(tuple(first_rows(self._sources, *SAMPLE)))
        if not self._sample.rows:
            raise InputError("No row of the source holds a text: there is nothing to record.")
        self._recorder = Recorder(
            self.model, self.loading, self._folder, self.keep, self.loss, self.context
        )

    def estimate(self) -> Estimate:
        """What recording it would take. Nothing is written; the sample is recorded in memory."""
        described, tally = self._recorder(self._sample), Tally()
        assert isinstance(described, Described)
        shards = list(self._planned(described, self._size(described), tally))
        return self._estimate(described, tally, sum(self._is_there(shard) for shard in shards))

    def record(self) -> TraceDataset:
        """Make what is missing, and open it all."""
        check_writable(self._folder / PLAN)
        with self._engine.started(self._recorder) as run:
            described, tally = next(iter(run([self._sample]))), Tally()
            size = self._size(described)
            shards = self._planned(described, size, tally)
            with progress_bar("planning", 0, unit="shards") as bar:
                write_plan(self._folder, _watched(shards, bar), lambda: {
                    "model": described.title, "made_of": described.identity,
                    "shard_tokens": self.shard_tokens, "shard_bytes": size,
                    "documents": tally.documents, "text_bytes": tally.size,
                    "left_out": tally.empty, "sources": [s.name for s in self._sources],
                })  # fmt: skip
            for folder in self._folder.glob("shards/*"):
                remove_left(folder)
            missing = [shard for shard in read_plan(self._folder) if not self._is_there(shard)]
            if missing:
                tell(str(self._estimate(described, tally, tally.shards - len(missing))))
            total = round(sum(shard.size for shard in missing) / described.bytes_per_token)
            with progress_bar("corpus", total, unit="tok") as bar:
                for done in run(self._tasks(missing, described.key)):
                    bar.update(done.tokens)
        return TraceDataset.load(self._folder)

    def _planned(self, described: Described, size: int, tally: Tally) -> Iterator[Shard]:
        numbered = self.keep == "summaries"  # halves and shuffles go by a document's number
        return planned(self._sources, described.key, size, tally, numbered)

    def _size(self, described: Described) -> int:
        """Bytes of text of a shard: as before, where this corpus was planned before.

        A source that has grown would be measured anew, and all shards would end elsewhere.
        """
        with suppress(TraceError):
            about = read_about(self._folder)
            as_now = (described.identity, self.shard_tokens)
            if (about.get("made_of"), about.get("shard_tokens")) == as_now:
                return int(about["shard_bytes"])
        return max(1, round(self.shard_tokens * described.bytes_per_token))

    def _is_there(self, shard: Shard) -> bool:
        return (self._folder / shard.file).is_file()

    def _tasks(self, missing: Sequence[Shard], key: str) -> Iterator[Task]:
        """A task for each of these shards, once for those that hold the same."""
        sources = {source.name: source for source in self._sources}
        reading: dict[str, _Reading] = {}
        begun = set[str]()
        for shard in missing:
            if shard.name in begun:
                continue
            begun.add(shard.name)
            source = sources[shard.source].portion(shard.first, shard.rows)
            if source is not None:
                yield Task(shard, key, source)
            else:
                open_ = reading.setdefault(shard.source, _Reading(sources[shard.source]))
                yield Task(shard, key, None, open_.rows(shard.first, shard.rows))

    def _estimate(self, described: Described, tally: Tally, made: int) -> Estimate:
        tokens = round(tally.size / described.bytes_per_token)
        workers = self._engine.workers
        return Estimate(
            described.title, tally.shards, tally.documents, tally.size, tokens,
            round(tokens * described.bytes_kept), tokens * described.seconds / 3600 / workers,
            workers, made, "summaries" if self.keep == "summaries" else "traces",
            tally.left_out_note,
        )  # fmt: skip


class _Reading:
    """A source that is read once, from its beginning to its end, for those who cannot."""

    def __init__(self, source: Source) -> None:
        self._rows, self._at = source.rows(), 0

    def rows(self, first: int, count: int) -> tuple[Row, ...]:
        """So many rows from this number; what lies before is passed over."""
        start, self._at = first - self._at, first + count
        return tuple(row for _, row in islice(self._rows, start, start + count))


def _watched(shards: Iterable[Shard], bar: Any) -> Iterator[Shard]:
    for shard in shards:
        bar.update()
        yield shard


def _lasting(hours: float) -> str:
    """A duration in words.

    >>> _lasting(0.001), _lasting(0.5), _lasting(30)
    ('about 4 s', 'about 30 min', 'about 30.0 h')
    """
    seconds = hours * 3600
    if seconds < 100:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if hours < 2 else f"about {hours:,.1f} h"
