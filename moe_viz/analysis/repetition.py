# SPDX-License-Identifier: Apache-2.0
"""Do consecutive tokens go to the same expert? (The Mixtral paper's Table 5 and Figure 10.)"""

from __future__ import annotations

from math import comb

import numpy as np

from .corpus import Countable, documents_of
from .documents import BLOCK, Documents
from .finding import Finding, columns_of
from .statistics import by_unit, holm, interval, ratio, resamples, shares, sign_flips
from .tallies import Tally, label_codes, places, scrambled, tally

WHAT = ("first choice", "first or second choice")
#: Shuffles of each document's tokens whose mean is the baseline; the number of different sets above
#: which the matched baseline of overlaps comes from a sample of tokens.
SHUFFLES, SETS = 8, 4096


def repetition(trace: Countable, seed: int = 0) -> Finding:
    """How often the next token of a document repeats an expert, by label and layer.

    Two questions: is the first choice the same, P(e1_t = e1_t+1), and do the sets of chosen experts
    have a member in common, P(S_t ∩ S_t+1 ≠ ∅). Three baselines: `uniform`, 1/E and
    1 − C(E−k, k)/C(E, k); `matched`, independent tokens with this label's choices; `shuffled`, the
    same document's tokens in another order. `p` (sign flips over documents, Holm-corrected over
    layers) compares with `shuffled`. Columns: label, layer, what, share, low, high, uniform,
    matched, shuffled, p, pairs, documents.

    First choices 0 0 1 1 1 repeat in 3 of 4 neighbours; shuffled, in (1 + 3) of 10 pairs:

    >>> from moe_viz.analysis.examples import example
    >>> found = repetition(example([[0], [0], [1], [1], [1]], experts=8))
    >>> found["share"][0], found["uniform"][0], round(found["matched"][0], 2)
    (np.float64(0.75), np.float64(0.125), np.float64(0.52))
    >>> abs(found["shuffled"][0] - 0.4) < 0.15
    np.True_
    """
    docs, rng = documents_of(trace), np.random.default_rng(seed)
    L, E, k = docs.shape
    observed, counted, expected = docs.laid(repeats, seed).transpose(1, 2, 0, 3)  # (2, N, L) each
    matched = np.stack([_matched(docs, layer, rng) for layer in range(L)], axis=-1)
    uniform = (1 / E, 1 - comb(E - k, k) / comb(E, k))
    rows = []
    for label, name in enumerate(docs.names):
        members = docs.members(label)
        if not len(members):
            continue
        drawn, rests = resamples(docs.units[members], rng), docs.independent_of(members)
        for what in range(2):
            o, n, x = (a[what][members] for a in (observed, counted, expected))  # (documents, L)
            low, high = interval(ratio(drawn @ o, drawn @ n), rests)
            p = holm(sign_flips(by_unit(o - x, docs.units[members]), rng))
            share, shuffled = ratio(o.sum(0), n.sum(0)), ratio(x.sum(0), n.sum(0))
            rows += [
                (name, number, WHAT[what] if k == 2 or not what else "any choice", share[i], low[i],
                 high[i], uniform[what], matched[what, label, i], shuffled[i], p[i],
                 int(n[:, i].sum()), len(members))
                for i, number in enumerate(docs.trace.layers)
            ]  # fmt: skip
    names = ("label", "layer", "what", "share", "low", "high", "uniform", "matched", "shuffled",
             "p", "pairs", "documents")  # fmt: skip
    columns = columns_of(names, rows)
    few = docs.few(min(columns["documents"]))
    title = docs.trace.provenance.title
    return Finding("repetition", title, "neighbouring tokens of one document", columns, few)


def _neighbours(docs: Documents) -> np.ndarray:
    """Whether token t and t + 1 both count and belong to one document: (T − 1,)."""
    return (docs.document[:-1] >= 0) & (docs.document[:-1] == docs.document[1:])


def shuffled_within(docs: Documents, seed: int, turn: int = 0) -> np.ndarray:
    """Rows of the tokens, shuffled within each document; documents keep their places.

    A document's number decides how, so that it does not matter what is counted beside it.
    """
    kept = np.flatnonzero(docs.document >= 0)
    document = docs.document[kept]
    bits = scrambled(seed, turn, docs.number[document], places(document, len(docs)))
    order = np.arange(len(docs.document))
    order[kept] = kept[np.lexsort((bits, document))]
    return order


def repeats(docs: Documents, seed: int) -> np.ndarray:
    """Repetitions in each document by first choice and by any, out of how many neighbours, and how
    many there would be in another order: (N, 3, 2, L).
    """
    L, E, _ = docs.shape
    pairs = _neighbours(docs)
    orders = [shuffled_within(docs, seed, turn) for turn in range(SHUFFLES)]
    found = np.zeros((3, 2, len(docs), L))
    for layer in range(L):
        first = np.asarray(docs.trace.experts[layer, :, 0])
        sets = _sets(docs.trace.experts[layer], E)
        found[0, :, :, layer], found[1, :, :, layer] = _repeats(docs, first, sets, pairs)
        for order in orders:
            again, n = _repeats(docs, first[order], sets[order], pairs)
            found[2, :, :, layer] += ratio(again, n) / SHUFFLES
    found[2] = np.nan_to_num(found[2]) * found[1]
    return found.transpose(2, 0, 1, 3)


def _sets(experts: np.ndarray, E: int) -> np.ndarray:
    """Each token's set of experts as bits: (T, k) → (T, ⌈E/64⌉) uint64."""
    words = -(-E // 64)
    bits = np.zeros((len(experts), words), np.uint64)
    for choice in range(experts.shape[1]):
        e = np.asarray(experts[:, choice])
        for word in range(words):
            here = (e >= 64 * word) & (e < 64 * (word + 1))
            bits[here, word] |= np.uint64(1) << (e[here] - 64 * word).astype(np.uint64)
    return bits


def _repeats(
    docs: Documents, first: np.ndarray, sets: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Repetitions in each document, by first choice and by any, and out of how many: (2, N)."""
    N = len(docs)
    found, out_of = np.zeros((2, N)), np.zeros((2, N))
    for start in range(0, len(pairs), BLOCK):
        a, b = slice(start, min(start + BLOCK, len(pairs))), slice(start + 1, start + BLOCK + 1)
        b = slice(b.start, a.stop + 1)
        document = docs.document[a]
        there = pairs[a] & (first[a] >= 0) & (first[b] >= 0)  # −1: no expert was left
        same = (first[a] == first[b], (sets[a] & sets[b]).any(axis=1))
        for what in range(2):
            found[what] += np.bincount(document[there & same[what]], minlength=N)
            out_of[what] += np.bincount(document[there], minlength=N)
    return found, out_of


def sets_by_label(docs: Documents, layer: int) -> Tally:
    """How often each set of experts was chosen under each label: its code, then the set's bits."""
    kept = docs.document >= 0
    sets = _sets(docs.trace.experts[layer], docs.shape[1])[kept].view(np.int64)
    codes = label_codes(docs.names)[docs.labels[docs.document[kept]]]
    return tally(np.concatenate([codes[:, None], sets], axis=1))


def _matched(docs: Documents, layer: int, rng: np.random.Generator) -> np.ndarray:
    """Σ_e (f¹_e)² and 1 − Σ P(S)P(S′)[S ∩ S′ = ∅] of each label: (2, labels)."""
    result = np.full((2, len(docs.names)), np.nan)
    keys, counts = docs.tallied(sets_by_label, layer)
    for label, code in enumerate(label_codes(docs.names)):
        members = docs.members(label)
        if not len(members):
            continue
        result[0, label] = (shares(docs.first[members, layer].sum(0)) ** 2).sum()
        mine = keys[:, 0] == code
        different, p = keys[mine, 1:].view(np.uint64), counts[mine] / counts[mine].sum()
        if len(different) > SETS:
            different, p = different[rng.choice(len(p), SETS, p=p)], np.full(SETS, 1 / SETS)
        apart = 0.0
        for some in range(0, len(different), 256):  # all by all would be large
            rows = slice(some, some + 256)
            meets = np.zeros((len(different[rows]), len(different)), bool)
            for word in different.T:
                meets |= (word[rows, None] & word) != 0
            apart += float(p[rows] @ ~meets @ p)
        result[1, label] = 1 - apart
    return result
