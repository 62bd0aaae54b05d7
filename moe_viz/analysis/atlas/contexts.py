# SPDX-License-Identifier: Apache-2.0
"""The strongest decisions for each expert, each from another document, with the words around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..documents import Documents, Once
from ..finding import Finding, columns_of
from ..tallies import places, scrambled

#: By document and row of its shard: words before, itself, words after, label, document.
Words: TypeAlias = dict[tuple[int, int], tuple[str, ...]]

#: Tokens shown before and after the one that was decided on.
BEFORE, AFTER = 6, 5


@dataclass(frozen=True, eq=False)
class Wanted(Once):
    """Tokens of which the words around are asked for: their documents' numbers, and their rows."""

    numbers: np.ndarray
    rows: np.ndarray

    def among(self, kept: Words) -> Words:
        """See `Once`."""
        asked = set(zip(self.numbers.tolist(), self.rows.tolist(), strict=True))
        return {key: words for key, words in kept.items() if key in asked}


class Strongest(NamedTuple):
    """For each expert of a layer the tokens with the largest gates, at most one of a document."""

    expert: np.ndarray
    gate: np.ndarray
    lot: np.ndarray  # decides between equal gates
    number: np.ndarray  # of the document
    row: np.ndarray  # of the shard

    def best(self, most: int) -> Strongest:
        """The first `most` of each expert."""
        order = np.lexsort((self.lot, -self.gate, self.expert))
        expert = self.expert[order]
        begins = np.searchsorted(expert, expert)
        kept = order[np.arange(len(order)) - begins < most]
        return Strongest(*(array[kept] for array in self))

    @staticmethod
    def joined(parts: list[Strongest]) -> Strongest:
        """Those of all shards."""
        return Strongest(*map(np.concatenate, zip(*parts, strict=True)))


def strongest(docs: Documents, layer: int, most: int) -> Strongest:
    """The strongest decisions of one shard; see `Strongest`."""
    kept = np.flatnonzero(docs.document >= 0)
    experts = np.asarray(docs.trace.experts[layer])[kept].astype(np.int64)
    gates = np.asarray(docs.trace.gates[layer])[kept]
    used = experts >= 0
    row, place = (
        np.broadcast_to(array[:, None], experts.shape)[used]
        for array in (kept, places(docs.document[kept], len(docs)))
    )
    expert, gate, document = experts[used], gates[used], docs.document[row]
    lot = scrambled(3, docs.number[document], place)
    order = np.lexsort((lot, -gate, document, expert))
    new = np.ones(len(order), bool)  # the first of its expert and document
    same = (np.diff(expert[order]) == 0) & (np.diff(document[order]) == 0)
    new[1:] = ~same
    one = order[new]
    found = Strongest(expert[one], gate[one], lot[one], docs.number[document[one]], row[one])
    return found.best(most)


def words_around(docs: Documents, layer: int, most: int, wanted: Wanted | None = None) -> Words:
    """Of each wanted token of this shard: words before, itself, words after, label, document.

    Nothing wanted are all that could be: this shard's strongest decisions of the layer.
    """
    if wanted is None:
        best = strongest(docs, layer, most)
        wanted = Wanted(best.number, best.row)
    first, last = docs.number[0], docs.number[-1]
    found = {}
    for number, row in zip(wanted.numbers.tolist(), wanted.rows.tolist(), strict=True):
        if first <= number <= last and docs.document[row] == number - first:
            found[number, row] = _around(docs.trace, row)
    return found


def _around(trace: Any, row: int) -> tuple[str, ...]:
    prompt = next(p for p in trace.prompts if p.start <= row < p.stop)
    a, b = max(prompt.start, row - BEFORE), min(prompt.stop, row + AFTER + 1)
    spans = trace.spans
    begin, end = int(spans[row, 0]), int(spans[row, 1])
    start, stop = int(spans[a, 0]), int(spans[b - 1, 1])
    text = prompt.text
    token = text[begin:end] or trace.tokens[row]
    return text[start:begin], token, text[end:stop], prompt.label, prompt.document


def contexts_of(docs: Documents, most: int) -> Finding:
    """The contexts of every expert: columns layer, expert, gate, before, token, after, label,
    document.
    """
    rows = []
    for row, layer in enumerate(docs.trace.layers):
        best = Strongest.joined(docs.gathered(strongest, row, most)).best(most)
        around: Words = {}
        for some in docs.gathered(words_around, row, most, Wanted(best.number, best.row)):
            around.update(some)
        for e, gate, number, at in zip(best.expert, best.gate, best.number, best.row, strict=True):
            rows.append((layer, int(e), float(gate), *around[int(number), int(at)]))
    names = ("layer", "expert", "gate", "before", "token", "after", "label", "document")
    columns = columns_of(names, rows)
    for name in names[3:]:
        columns[name] = columns[name].astype(object)
    counted = "the largest gates, each of another document"
    return Finding("contexts", docs.trace.provenance.title, counted, columns)
