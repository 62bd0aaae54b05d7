# SPDX-License-Identifier: Apache-2.0
"""What files of tests share: models, a corpus in shards, and one of which counts are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from moe_viz.analysis.summarising import summarise
from moe_viz.trace import Trace, TraceDataset
from moe_viz.trace.dataset import Part, named
from moe_viz.trace.shards import Shard
from tests.unit.test_corpus_analysis import LABELS
from tests.unit.varied import varied

from .made import inline, reading_model, rows

#: Documents of a few tokens, one without a text, two the same, and one that is cut in parts.
GIVEN = [*rows(20), {"text": ""}, *rows(9, 20), rows(9, 20)[-1], {"text": "long words " * 80}]
DOCUMENTS = [row for row in GIVEN if row["text"]]


def documents(traces) -> list[str]:
    return [prompt.document for trace in traces for prompt in trace.prompts if prompt.part == 0]


def summarised(trace: Trace, folder: Path, sizes: list[int]) -> TraceDataset:
    """A trace's prompts in shards of these sizes, of which counts are kept."""
    parts, at = [], 0
    for n, size in enumerate(sizes):
        part = Part(folder, Shard(f"{n:032x}", "made", at, size, size, 0, number=at))
        part.path.parent.mkdir(parents=True, exist_ok=True)
        some = trace.select(prompt=list(range(at, at + size)))
        summarise(named(some, part.shard), at, part.path)
        parts.append(part)
        at += size
    return TraceDataset(parts)


@pytest.fixture(scope="module")
def model():
    return reading_model()


@pytest.fixture(scope="module")
def short():
    """A model of a short context."""
    return reading_model(context=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def data(short, folder) -> TraceDataset:
    return inline(GIVEN, folder, short, shard_tokens=50)


@pytest.fixture(scope="module")
def joined(data) -> Trace:
    return Trace.join(list(data))


@pytest.fixture(scope="module")
def whole() -> Trace:
    return varied(LABELS, L=3, E=5)


@pytest.fixture(scope="module")
def counts(whole, tmp_path_factory) -> TraceDataset:
    return summarised(whole, tmp_path_factory.mktemp("counts"), [1, 20, 3, 21])
