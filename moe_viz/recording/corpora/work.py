# SPDX-License-Identifier: Apache-2.0
"""What a worker does: it loads the model once, and makes shards, each whole or not at all.

In: a task, which any worker can do again. Out: what was done. Nothing here knows which engine runs
it, or how many others there are.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...analysis.summarising import summarise
from ...errors import InputError, MoeVizError
from ...guests.guest import Recordable
from ...guests.loading import load
from ...progress import quiet
from ...prompts import curated
from ...trace import Trace, TracePrompt
from ...trace.dataset import named
from ...trace.shards import Shard
from ..recording import bytes_of_trace, record
from .cutting import parts_of
from .plan import changed, check_rows
from .rows import Row
from .sources import Source

KEEP = ("logits", "choices", "summaries")
#: Tokens that run together: enough to keep the processor busy, few enough for its caches.
BATCH = 16_384


@dataclass(frozen=True)
class Sample:
    """Some rows by which a corpus is estimated."""

    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Task:
    """A shard to be made, and where its rows are read; or the rows themselves."""

    shard: Shard
    identity: str  # what its name rests on beside the rows
    source: Source | None
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Described:
    """What a worker says of the model, and of a sample of the corpus."""

    title: str
    identity: dict[str, Any]  # what a trace depends on beside the texts
    workers_device: str
    bytes_per_token: float  # of text
    bytes_kept: float  # a token's, in a file
    seconds: float  # a token's

    @property
    def key(self) -> str:
        """What the names of shards rest on beside their rows."""
        return json.dumps(self.identity, sort_keys=True)


@dataclass(frozen=True)
class Done:
    """A shard that is there now."""

    name: str
    documents: int
    tokens: int
    seconds: float


@dataclass
class Recorder:
    """Makes the shards of one corpus with one model, here or in another process."""

    model: Any  # a model, or the source of one
    loading: Mapping[str, Any]
    folder: Path
    keep: str
    loss: bool
    context: int | None = None
    _loaded: Recordable | None = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Another process loads the model itself."""
        return {**vars(self), "_loaded": None}

    def __call__(self, task: Sample | Task) -> Described | Done:
        """Do one task."""
        with quiet():
            return self._described(task) if isinstance(task, Sample) else self._made(task)

    def loaded(self) -> Recordable:
        """The model, loaded when it is first needed and kept."""
        if not isinstance(self.model, str | Path):
            return self.model
        if self._loaded is None:
            self._loaded = load(self.model, **self.loading)
        return self._loaded

    def _context(self, model: Recordable) -> int:
        return min(self.context or model.config.context, model.config.context)

    def _made(self, task: Task) -> Done:
        began, shard = time.perf_counter(), task.shard
        path = self.folder / shard.file
        rows = task.rows if task.source is None else _read(task.source, shard)
        check_rows(shard, rows, task.identity)
        try:
            trace = self._recorded([row for row in rows if not row.empty])
        except MoeVizError as error:
            where = f"{shard.source}, rows {shard.first} to {shard.first + shard.rows - 1}"
            raise type(error)(f"{where}: {error}") from error
        if shard.number is None:
            trace.save(path)
        else:
            summarise(named(trace, shard), shard.number, path)
        return Done(shard.name, shard.documents, len(trace), time.perf_counter() - began)

    def _recorded(self, rows: Sequence[Row]) -> Trace:
        model = self.loaded()
        if model.tokenizer is None:
            raise InputError(
                f"{model.config.name} has no tokenizer, and a corpus is texts. {model.unread}"
            )
        context = self._context(model)
        texts, said = [], []
        for row in rows:
            assert row.text is not None  # empty rows were left out
            for number, part in enumerate(parts_of(row.text, model.tokenizer, context)):
                texts.append(part)
                said.append((row.label, row.document, number))
        traces, at = [], 0
        for some in _batches(texts):
            trace = record(model, texts[some], loss=self.loss)
            prompts = tuple(
                TracePrompt(p.text, label, p.start, p.stop, document, number)
                for p, (label, document, number) in zip(trace.prompts, said[some], strict=True)
            )
            traces.append(kept(replace(trace, prompts=prompts), self.keep))
            at = some.stop
        assert at == len(texts)
        return Trace.join(traces)

    def _described(self, sample: Sample) -> Described:
        model = self.loaded()
        rows = [row for row in sample.rows if not row.empty]
        if not rows:
            raise InputError("No row of the source holds a text: there is nothing to record.")
        if model.tokenizer is None:
            raise InputError(
                f"{model.config.name} has no tokenizer, and a corpus is texts. {model.unread}"
            )
        began = time.perf_counter()
        trace = self._recorded(rows)
        seconds = time.perf_counter() - began
        p = model.provenance
        known = [model.tokenizer.encode(prompt.text).ids for prompt in curated()]
        identity = {
            "model": p.model,
            "fingerprint": fingerprint_of(model),
            "weights": p.weights,
            "dtype": p.dtype,
            "quantisation": p.quantisation,
            "interventions": list(p.interventions),
            # A tokenizer is known by what it makes of five languages and code.
            "tokenizer": hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16],
            "context": self._context(model),
            "keep": self.keep,
            "loss": self.loss,
        }
        return Described(
            title=p.title,
            identity=identity,
            workers_device=p.device,
            bytes_per_token=sum(row.size for row in rows) / len(trace),
            bytes_kept=self._bytes_kept(trace, model) / len(trace),
            seconds=seconds / len(trace),
        )

    def _bytes_kept(self, trace: Trace, model: Recordable) -> float:
        """Bytes of the file that is kept of a trace; a summary's of a larger one grow less."""
        if self.keep == "summaries":
            with TemporaryDirectory() as folder:
                return summarise(trace, 0, Path(folder) / "summary.safetensors")
        logits = 4 * model.config.experts * len(model.config.mixtures) * len(trace)
        return bytes_of_trace(model.config, len(trace)) - logits * (self.keep == "choices")


def kept(trace: Trace, keep: str) -> Trace:
    """The trace as it is kept: whole, or without the numbers that choices were made from."""
    if keep != "choices":  # summaries are of whole traces
        return trace
    rule = trace.rule
    if rule.choice == "stored":
        rule = replace(rule, choice="unknown", note=f"{rule.note} Scores were not kept.".strip())
    return replace(trace, router_logits=None, choice_scores=None, bias=None, rule=rule)


def _read(source: Source, shard: Shard) -> list[Row]:
    try:
        return [row for _, row in islice(source.rows(shard.first, shard.mark), shard.rows)]
    except InputError as error:  # it was read when it was planned
        raise changed(shard, str(error)) from error


def fingerprint_of(model: Recordable) -> str:
    """The fingerprint of a model's checkpoint; of one that came from none, of all its weights."""
    if known := model.provenance.fingerprint:
        return known
    digest = hashlib.sha256(repr(replace(model.config, name="")).encode())
    module = model if isinstance(model, torch.nn.Module) else getattr(model, "hf", None)
    for name, tensor in module.state_dict().items() if module is not None else ():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _batches(texts: Sequence[str]) -> list[slice]:
    """Neighbouring texts of about BATCH tokens, at four bytes a token."""
    found, start, size = [], 0, 0
    for number, text in enumerate(texts):
        size += len(text.encode())
        if size >= 4 * BATCH or number == len(texts) - 1:
            found.append(slice(start, number + 1))
            start, size = number + 1, 0
    return found
