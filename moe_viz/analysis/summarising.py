# SPDX-License-Identifier: Apache-2.0
"""Which counts of a shard are kept where its decisions are not: a survey's and an atlas's.

In: a trace. Out: a file of counts, far smaller than the trace, of which `report` and `atlas` are
made. What depends on all documents together (a shuffle within groups, a cache, steps of a
histogram) cannot be known when a shard is counted, and is left out of them.
"""

from __future__ import annotations

from pathlib import Path

from ..trace import Trace
from .atlas.atlas import counts_of_atlas
from .atlas.contexts import words_around
from .atlas.tables import SOME
from .coactivation import pair_sums
from .counting import Request
from .documents import Documents, any_used, probability_sums
from .summary import save_summary
from .sums import BY_SUMS, by_sums
from .survey import counts_of
from .transitions import move_sums
from .vocabulary import first_pieces, shuffled_choices


class _Shard(Documents):
    """Documents of which pairs are counted as a corpus of summaries asks for them."""

    @property
    def summarised(self) -> bool:
        """See `Documents`."""
        return True


def summarise(trace: Trace, number: int, path: Path) -> int:
    """Count a shard whose first document has this number, and write what was counted: bytes."""
    docs = _Shard(trace, start=number)
    return save_summary(docs, _requests(docs), path)


def _requests(docs: Documents) -> list[Request]:
    L, E, k = docs.shape
    found = [request for request in counts_of(docs) if request[1] is not shuffled_choices]
    found += [*counts_of_atlas(docs), ("gathered", any_used, ())]
    found.append(("gathered", first_pieces, ()))
    found += [("gathered", words_around, (n, SOME, None)) for n in range(L)]
    if docs.has_probabilities and not docs.paired:  # others may be paired with these
        found.append(("laid", probability_sums, ()))
    if by_sums(docs) and E <= BY_SUMS:
        found += [("summed", pair_sums, (n, None, None)) for n in range(L) if k > 1]
        found += [("summed", move_sums, (n, None, None)) for n in range(L - 1)]
    return found
