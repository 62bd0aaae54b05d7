# SPDX-License-Identifier: Apache-2.0
"""Caches, committees and agreement against simulations and sets; then what all analyses promise."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_viz import analysis
from moe_viz.analysis import Documents, Finding
from moe_viz.analysis.examples import example
from moe_viz.trace import Trace
from tests.unit.test_analysis import checked, chosen, counted, first, same, tokens_of, traces

#: Of one trace; columns that tell rows apart come first.
KEYS = (
    "label",
    "other",
    "layer",
    "expert",
    "next",
    "what",
    "policy",
    "size",
    "path",
    "token",
    "start",
)
ALL = {
    "load": analysis.load,
    "repetition": analysis.repetition,
    "coactivation": analysis.coactivation,
    "vocabulary": partial(analysis.vocabulary, minimum=1),
    "favourites": partial(analysis.favourites, layer=0, minimum=1),
    "label_divergence": analysis.label_divergence,
    "language_divergence": partial(analysis.language_divergence, reference="a"),
    "certainty": analysis.certainty,
    "margin_histogram": analysis.margin_histogram,
    "transitions": analysis.transitions,
    "paths": partial(analysis.paths, top=1000),
    "expert_cache": analysis.expert_cache,
    "committee": analysis.committee,
    "committee_overlap": analysis.committee_overlap,
}
every = pytest.mark.parametrize("name", ALL)


def parallel(seed: int, L: int = 3, E: int = 4, k: int = 2, documents: int = 6) -> Documents:
    """Documents of topics that labels a and b both have, some tokens special; layers 0 …"""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 9, documents)
    logits = rng.normal(size=(L, lengths.sum(), E))
    trace = example(
        np.argsort(-logits)[:, :, :k], lengths.tolist(), ["a", "b"] * (documents // 2), E,
        rng.integers(0, 3, lengths.sum()), logits,
    )  # fmt: skip
    special = rng.random(len(trace)) < 0.2
    special[np.cumsum(lengths) - 1] = False
    return topical(replace(trace, special=special))


def topical(trace: Trace) -> Documents:
    return Documents(trace, [f"topic {n // 2}" for n in range(len(trace.prompts))])


def table(found: Finding, columns: tuple[str, ...]) -> dict[tuple, list]:
    """These columns of each row, by what tells rows apart."""
    keys, there = (
        [c for c in KEYS if c in found.columns],
        [c for c in columns if c in found.columns],
    )
    return {tuple(row[c] for c in keys): [row[c] for c in there] for row in found.rows()}


def alike(a: dict, b: dict, but: str = "") -> None:
    """The same rows, with the same numbers; those with `but` in what tells them apart left out."""
    assert a.keys() == b.keys()
    for key, values in a.items():
        if but and but in key:
            continue
        np.testing.assert_allclose(values, b[key], atol=1e-9, err_msg=str(key))


#: What does not hang on random numbers.
EXACT = ("share", "hit", "divergence", "within", "mean", "size", "mass", "overlap", "matched",
         "uniform", "random", "independent", "count", "pairs", "assignments", "tokens", "accesses",
         "documents")  # fmt: skip


# ---- caches, committees, agreement ---------------------------------------------------------------


def hits(requests: list[int], size: int, rule: str) -> int:
    """A cache as one would write it for one layer and one document."""
    held, used, found = OrderedDict(), Counter(), 0
    for e in requests:
        if e in held:
            found += 1
            held.move_to_end(e)
        else:
            if len(held) == size:
                least = min(held, key=lambda x: used[x]) if rule == "LFU" else next(iter(held))
                del held[least]  # of equals, min() takes the first, which was not used for longest
            held[e] = True
        used[e] += 1
    return found


@checked
@given(traces())
def test_a_cache_hits_as_often_as_one_simulated_alone(trace):
    found = analysis.expert_cache(trace)
    assert set(found["size"]) <= set(range(1, trace.expert_count + 1))
    assert found["size"].max() == trace.expert_count
    for layer in trace.layers:
        documents = [[e for t in d for e in chosen(trace, layer, t)] for d in counted(trace)]
        total = sum(map(len, documents))
        for rule in ("LRU", "LFU"):
            own = found.where(policy=rule, layer=layer)
            same(
                own["hit"], [sum(hits(d, s, rule) for d in documents) / total for s in own["size"]]
            )
            assert set(own["accesses"]) == {total}
        at_random = found.where(policy="random", layer=layer)["hit"]
        assert at_random[0] == found.where(policy="LRU", layer=layer, size=1)["hit"]
        assert at_random[-1] == pytest.approx(1 - sum(len(set(d)) for d in documents) / total)


def test_lfu_keeps_what_is_used_often_and_lru_what_was_used_last():
    trace = example([[e] for e in (0, 0, 1, 2, 0, 2)], experts=4)
    found = analysis.expert_cache(trace).where(size=2)
    assert found.where(policy="LRU")["hit"] == 2 / 6  # 0, and 2 at the end: 2 pushed 0 out
    assert found.where(policy="LFU")["hit"] == 3 / 6  # 0 stays


@checked
@given(traces([(4, 1), (4, 3), (8, 2)]))
def test_a_committee_is_the_smallest_set_with_half_of_the_gates(trace):
    E = trace.router_logits.shape[2]
    for row in analysis.committee(trace).rows():
        mass = np.zeros(E)
        for t in tokens_of(trace, row["label"]):
            for e, gate in zip(
                trace.experts[row["layer"], t], trace.gates[row["layer"], t], strict=True
            ):
                mass[e] += gate if e >= 0 else 0
        sets = [s for n in range(E + 1) for s in combinations(range(E), n)]
        enough = [s for s in sets if mass[list(s)].sum() >= mass.sum() / 2 - 1e-9]
        least = min(map(len, enough))
        best = max(mass[list(s)].sum() for s in enough if len(s) == least) / mass.sum()
        assert (row["size"], row["uniform"]) == (least, -(-E // 2))
        assert row["mass"] == pytest.approx(best)
        assert len(row["experts"].split()) == least


def test_where_no_expert_works_nobody_is_in_the_committee():
    idle = example(
        [[[0, 1], [0, 2], [1, 3]], [[-1, -1]] * 3], [1, 1, 1], ["a", "a", "b"], experts=4
    )
    found = analysis.committee(idle).where(layer=1)
    assert [(r["size"], r["experts"], r["mass"]) for r in found.rows()] == [(0, "", 0)] * 2
    shared = analysis.committee_overlap(idle).where(layer=1)
    assert (shared["overlap"], shared["random"]) == (0, 0)


def test_committees_overlap_as_their_sets_do():
    docs = parallel(5, E=4)
    members = {
        (r["label"], r["layer"]): set(r["experts"].split()) for r in analysis.committee(docs).rows()
    }
    for row in analysis.committee_overlap(docs).rows():
        a, b = members["a", row["layer"]], members["b", row["layer"]]
        assert row["overlap"] == len(a & b) / len(a | b)
        pairs = product(combinations("0123", len(a)), combinations("0123", len(b)))
        random = [len({*x} & {*y}) / len({*x} | {*y}) for x, y in pairs]
        assert row["random"] == pytest.approx(np.mean(random))


@checked
@given(traces(), st.integers(0, 99))
def test_agreement_is_what_counting_gives(a, seed):
    order = np.random.default_rng(seed).permutation(a.experts.shape[1])
    b = replace(a, experts=a.experts[:, order], gates=a.gates[:, order])
    found = analysis.compare(a, b)
    for layer in a.layers:
        pairs = [(set(chosen(a, layer, t)), set(chosen(b, layer, t))) for t in tokens_of(a)]
        firsts = [first(a, layer, t) == first(b, layer, t) for t in tokens_of(a)]
        shared = [len(x & y) / max(len(x), len(y), 1) for x, y in pairs]
        same(
            found.where(layer=layer)["share"],
            [np.mean(shared), np.mean([x == y for x, y in pairs]), np.mean(firsts)],
        )
        # By chance: any token of the one run beside any token of the other.
        anyhow = list(product(*zip(*pairs, strict=True)))
        starts = product(*([first(trace, layer, t) for t in tokens_of(a)] for trace in (a, b)))
        slots = max(np.mean([max(len(x), len(y)) for x, y in pairs]), 1)
        same(
            found.where(layer=layer)["chance"],
            [
                np.mean([len(x & y) for x, y in anyhow]) / slots,
                np.mean([x == y for x, y in anyhow]),
                np.mean([x == y for x, y in starts]),
            ],
        )


# ---- what all of them promise --------------------------------------------------------------------


@every
def test_what_stands_at_special_tokens_does_not_matter(name):
    docs = parallel(1)
    trace, rng = docs.trace, np.random.default_rng(2)
    experts, logits = trace.experts.copy(), trace.router_logits.copy()
    experts[:, trace.special] = [3, 1]
    logits[:, trace.special] = rng.normal(size=logits[:, trace.special].shape) * 9
    ids = np.where(trace.special, 2, trace.token_ids).astype(np.int32)
    other = replace(trace, experts=experts, router_logits=logits, token_ids=ids)
    a, b = ALL[name](docs), ALL[name](topical(other))
    exact = table(a, EXACT)
    assert exact
    alike(exact, table(b, EXACT))
    alike(table(a, ("low", "high", "p")), table(b, ("low", "high", "p")))


@every
def test_the_order_of_prompts_does_not_matter(name):
    docs = parallel(3)
    order = [0, 5, 2, 1, 4, 3]
    parts = [docs.trace.prompts[n] for n in order]
    rows = np.concatenate([np.arange(p.start, p.stop) for p in parts])
    ends = np.cumsum([0, *(p.stop - p.start for p in parts)]).tolist()
    t = docs.trace
    moved = replace(
        t,
        router_logits=t.router_logits[:, rows],
        experts=t.experts[:, rows],
        gates=t.gates[:, rows],
        token_ids=t.token_ids[rows],
        tokens=[t.tokens[n] for n in rows],
        special=t.special[rows],
        prompts=tuple(
            replace(p, start=start, stop=stop)
            for p, (start, stop) in zip(parts, pairwise(ends), strict=True)
        ),
    )
    found = ALL[name](Documents(moved, [docs.topics[n] for n in order]))
    alike(table(ALL[name](docs), EXACT), table(found, EXACT), but="random")


@every
def test_experts_of_two_layers_are_never_pooled(name):
    docs, to = parallel(4), np.array([2, 0, 3, 1])  # expert e of layer 1 gets the number to[e]
    t = docs.trace
    experts, logits = t.experts.copy(), t.router_logits.copy()
    experts[1] = to[t.experts[1]]
    logits[1][:, to] = t.router_logits[1]
    a = table(ALL[name](docs), EXACT)
    b = table(ALL[name](topical(replace(t, experts=experts, router_logits=logits))), EXACT)
    columns = [c for c in KEYS if c in ALL[name](docs).columns]

    def renamed(key: tuple) -> tuple:
        row = dict(zip(columns, key, strict=True))
        for column, layer in (("expert", 0), ("other", 0), ("next", 1)):
            if row.get("layer") == 1 - layer and not isinstance(row.get(column, ""), str):
                row[column] = int(to[row[column]])
        if "path" in row:
            way = row["path"].split()
            row["path"] = " ".join([way[0], str(to[int(way[1])]), way[2]])
        return tuple(row.values())

    alike({renamed(key): row for key, row in a.items()}, b, but="random")


@every
def test_a_trace_of_some_layers_gives_their_rows(name):
    docs = parallel(6, L=4)
    if name in ("paths", "favourites"):
        return  # a path is through all layers; favourites ask for one
    whole, part = ALL[name](docs), ALL[name](topical(docs.trace.select(layers=[2, 3])))
    own = (2,) if name == "transitions" else (2, 3)
    alike(table(whole.where(layer=own), EXACT), table(part, EXACT), but="random")


COUNTS = {  # share and out of how many
    "load": ("share", "assignments"), "repetition": ("share", "pairs"),
    "coactivation": ("share", "tokens"), "transitions": ("share", "tokens"),
    "expert_cache": ("hit", "accesses"), "certainty": ("mean", "tokens"),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
@checked
@given(trace=traces([(4, 2), (16, 3)], labels=" "))
def test_documents_are_never_joined(name, trace):
    if name == "transitions" and len(trace.layers) < 2:
        return
    share, total = COUNTS[name]
    apart = Counter()
    for n, rows in enumerate(counted(trace)):
        if rows:
            for key, (value, of) in table(
                ALL[name](trace.select(prompt=n)), (share, total)
            ).items():
                apart[key] += (0 if of == 0 else value) * of
    for key, (value, of) in table(ALL[name](trace), (share, total)).items():
        if "random" not in key and of:
            assert value * of == pytest.approx(apart[key], abs=1e-6), key
