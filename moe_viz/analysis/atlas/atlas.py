# SPDX-License-Identifier: Apache-2.0
"""The atlas of a corpus: one entry for each expert of each layer.

In: the documents of a corpus or a trace, and those of its untrained twin. Out: an `Atlas` of
tables, each of which says what was found of an expert and how sure that is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...errors import InputError, TraceError
from ...progress import progress_bar
from ..corpus import CorpusDocuments
from ..counting import Request
from ..documents import Documents
from ..finding import Finding
from .contexts import contexts_of, strongest
from .counts import (
    gates_by_expert,
    margins_by_expert,
    pieces_by_expert,
    place_counts,
    tokens_by_half,
)
from .pieces import favourites_of, pieces_in
from .tables import (
    SOME,
    gates_table,
    kinds_table,
    labels_table,
    load_table,
    moves_tables,
    neighbours_table,
    partners_table,
    pieces_table,
    places_table,
)


@dataclass(frozen=True, eq=False)
class Atlas:
    """What each expert of a corpus takes; tables by layer and expert.

    `pieces` (share, count, the same piece's largest share in the twin, q, found), `kinds` and
    `labels` and `places` (share beside what is compared with, q, found), `load` by label,
    `neighbours`, `partners`, `moves`, `origins`, `gates`, `contexts`, and `effects` where they were
    given.
    `found` is true where the rate of false discoveries is at most 5 % over all that was tested
    together, and each half of the documents shows it by itself.
    """

    title: str
    synthetic: bool
    layers: tuple[int, ...]
    experts: int
    choices: int
    documents: int
    tokens: int
    control: str  # the twin's title; "" without one
    minimum: int
    tables: dict[str, Finding]
    spelled: list[str]  # the pieces that occur often enough, the most frequent first
    counts: np.ndarray  # (V,) their occurrences
    shares: list[np.ndarray] = field(repr=False)  # of each layer (V, E) float32
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Finding:
        if name not in self.tables:
            why = self.left_out.get(name, f"it has {', '.join(self.tables)}")
            raise InputError(f"This atlas has no table {name!r}: {why}.")
        return self.tables[name]

    def __repr__(self) -> str:
        return (
            f"<Atlas of {self.title}: {len(self.layers)} layers of {self.experts} experts, "
            f"{self.documents:,} documents, {self.tokens:,} tokens>"
        )


def atlas_of(
    docs: Documents,
    control: Documents | None = None,
    effects: Finding | None = None,
    contexts: Documents | None = None,
    minimum: int = 20,
) -> Atlas:
    """The atlas of these documents, beside the untrained twin's of the same texts.

    `contexts` are the documents from which examples are taken, if not from these; `minimum` is how
    often a piece must occur. Raises `InputError` where none does.

    >>> from moe_viz.analysis.examples import example
    >>> rng = np.random.default_rng(0)
    >>> ids = rng.integers(0, 6, 2000)
    >>> made = example((ids % 4)[:, None], [50] * 40, ["a", "b"] * 20, experts=4, token_ids=ids)
    >>> atlas = atlas_of(Documents(made))
    >>> sorted(atlas["pieces"].where(expert=1)["piece"]), sorted(set(atlas["contexts"]["token"]))
    (['1', '5'], ['0', '1', '2', '3', '4', '5'])
    """
    L, E, k = docs.shape
    for one in (docs, control):
        if isinstance(one, CorpusDocuments):
            one.prepare(counts_of_atlas(one))
    pieces = pieces_in(docs, minimum, control)
    numbers, title = docs.trace.layers, docs.trace.provenance.title
    counts, twins, favourites = [], [], []
    with progress_bar("atlas", L) as bar:
        for row in range(L):
            counts.append(pieces.at(docs, row))
            twin = None if control is None else pieces.at(control, row)
            twins += [] if twin is None else [twin]
            favourites.append(favourites_of(pieces, counts[-1], twin))
            bar.update()
    tables, left_out = {}, {}
    tables["pieces"] = pieces_table(docs, pieces, counts, favourites)
    tables["kinds"] = kinds_table(docs, pieces, counts, twins)
    tables["labels"], tables["places"] = labels_table(docs, control), places_table(docs, control)
    tables["load"] = load_table(docs)
    tables["neighbours"] = neighbours_table(docs, pieces)
    tables["gates"] = gates_table(docs)
    tables["contexts"] = contexts_of(contexts or docs, SOME)
    try:
        tables["partners"] = partners_table(docs)
    except (InputError, TraceError) as error:
        left_out["partners"] = str(error)
    try:
        tables["moves"], tables["origins"] = moves_tables(docs)
    except (InputError, TraceError) as error:
        left_out["moves"] = str(error)
    if effects is not None:
        tables["effects"] = effects
    return Atlas(
        title, docs.trace.provenance.synthetic, numbers, E, k, docs.documents,
        int(docs.tokens.sum()),
        "" if control is None else control.trace.provenance.title, minimum, tables,
        pieces.spelled, pieces.total, [f.share.astype(np.float32) for f in favourites], left_out,
        docs.few(docs.independent),
    )  # fmt: skip


def counts_of_atlas(docs: Documents) -> list[Request]:
    """All that is counted in each shard, so that shards are opened once."""
    found: list[Request] = [("tallied", tokens_by_half, ())]
    for n in range(docs.shape[0]):
        found += [("tallied", pieces_by_expert, (n, step)) for step in (0, -1, 1)]
        found += [("tallied", gates_by_expert, (n,)), ("tallied", margins_by_expert, (n,))]
        found += [("laid", place_counts, (n,)), ("gathered", strongest, (n, SOME))]
    return found
