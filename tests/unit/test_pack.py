# SPDX-License-Identifier: Apache-2.0
"""What travels to the page is the trace, field by field, at every precision."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import moe_viz as mv
from moe_viz.prompts import curated
from moe_viz.trace import Trace, TracePrompt
from moe_viz.trace.provenance import Provenance
from moe_viz.view.explorer.fit import NOTEBOOK, PAGE, fitting, precision
from moe_viz.view.explorer.pack import pack
from tests.packed import around, data_in, packed_in
from tests.unit.room import limit_for

TYPES = {"piece": "<u4", "spans": "<u4", "flags": "u1"}
DEEPEST = 20.0


def made(E=8, k=2, lengths=(7, 5, 9), L=3, seed=0, **changes) -> Trace:
    rng, T = np.random.default_rng(seed), sum(lengths)
    logits = rng.normal(0, 3, (L, T, E)).astype(np.float32)
    experts = np.argsort(-logits, axis=2)[:, :, :k].astype(np.int16)
    gates = rng.dirichlet(np.ones(k), (L, T)).astype(np.float32)
    experts[:, 3, -1], experts[1, 4] = -1, -1
    ends = np.cumsum([0, *lengths]).tolist()
    texts, labels = ["one <b>", "two\u2028", curated()[0].text], ["en", "", "<i>"]
    prompts = tuple(map(TracePrompt, texts, labels, ends, ends[1:]))
    return Trace(**{
        "router_logits": logits, "experts": experts, "gates": gates,
        "token_ids": np.arange(T, dtype=np.int32), "tokens": [f"<{t % 6}>" for t in range(T)],
        "spans": rng.integers(0, 500, (T, 2)).astype(np.int32), "special": rng.random(T) < 0.3,
        "generated": rng.random(T) < 0.3, "prompts": prompts, "layers": (2, 5, 9)[:L],
        "provenance": Provenance("m", dtype="float16", quantisation="Q8_0", date="2026-11-28"),
    } | changes)  # fmt: skip


def opened(text: str) -> tuple[dict, dict[str, np.ndarray]]:
    """The data of a page and its arrays, read as the format says."""
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    L, T, E, k = data["shape"]
    whole, how = ("<i2" if data["wide"] else "i1"), data["precision"]
    number = "<f2" if how == "half" else "u1"
    scores = "<f2" if how == "top" else number
    types = TYPES | {"experts": whole, "others": whole, "nearest": whole, "gates": number,
                     "logits": scores}  # fmt: skip
    known, more = (k + data["more"] if how == "top" else E), data["more"]
    shapes = {"piece": (T,), "flags": (T,), "spans": (T, 2), "logits": (L, T, known),
              "nearest": (L, T, more)}  # fmt: skip
    arrays = {name: np.frombuffer(base64.b64decode(packed), types[name]).reshape(
        shapes.get(name, (L, T, k))) for name, packed in data["arrays"].items()}  # fmt: skip
    return data, arrays


SHAPES = [(8, 2), (12, 3), (8, 1), (127, 4), (128, 4), (200, 4), (300, 2)]


@pytest.mark.parametrize(
    ("E", "k", "how"),
    [(*shape, how) for shape in SHAPES for how in ("half", "byte", "none")
     if (shape, how) != ((8, 2), "none")],  # in pairs: a form of its own
)  # fmt: skip
def test_each_field_arrives_at_its_precision(E, k, how):
    trace = made(E, k)
    data, arrays = opened(pack(trace, {"prompt": 0}, limit_for(trace, how)))
    assert data["precision"] == how
    assert data["shape"] == [3, 21, E, k]
    assert not data["paired"]
    assert arrays["experts"].tolist() == trace.experts.tolist()  # −1 and all
    assert arrays["spans"].tolist() == trace.spans.tolist()
    flags = [int(s) + 2 * int(g) for s, g in zip(trace.special, trace.generated, strict=True)]
    assert arrays["flags"].tolist() == flags
    assert [data["pieces"][n] for n in arrays["piece"]] == list(trace.tokens)
    assert len(set(data["pieces"])) == len(data["pieces"]) == 6
    if how == "half":
        assert arrays["gates"].tolist() == trace.gates.astype(np.float16).tolist()
    else:
        assert np.abs(arrays["gates"] / 255 - trace.gates).max() <= 0.5 / 255 + 1e-6
    if how == "none":
        assert "logits" not in arrays
        return
    below = trace.router_logits - trace.router_logits.max(axis=2, keepdims=True)
    if how == "half":
        assert arrays["logits"].tolist() == below.astype(np.float16).tolist()
    else:  # a byte is the square root of how far below, of 20
        assert data["deepest"] == DEEPEST
        shown = -((arrays["logits"] / 254) ** 2) * DEEPEST
        expected = np.maximum(below, -DEEPEST)
        step = DEEPEST * ((np.sqrt(-expected / DEEPEST) + 0.5 / 254) ** 2) + expected
        assert (np.abs(shown - expected) <= step + 1e-5).all()


def test_what_is_no_number_or_infinite_stays_apart_from_numbers():
    trace = made()
    logits = trace.router_logits.copy()
    logits[0, 0, 3], logits[0, 1], logits[1, 2, 5] = -np.inf, np.nan, np.inf
    logits[2, 2, 4] = -1e9
    broken = replace(trace, router_logits=logits)
    half = opened(pack(broken, {}))[1]["logits"].astype(float)
    byte = opened(pack(broken, {}, limit_for(trace, "byte")))[1]["logits"]
    assert (half[0, 0, 3], byte[0, 0, 3]) == (-np.inf, 255)
    assert (half[0, 1] == 0).all() | np.isneginf(half[0, 1]).all()  # all alike
    assert half[1, 2, 5] == 0
    assert np.isneginf(np.delete(half[1, 2], 5)).all()
    assert (np.delete(byte[1, 2], 5) == 255).all()
    assert byte[2, 2, 4] == 254  # at the end of the scale, and not −∞
    assert not np.isnan(half).any()


def test_titles_prompts_topics_and_state_arrive():
    trace, state = made(), {"prompt": 1, "layer": 2, "mode": "margin"}
    data, _ = opened(pack(trace, state, left_out=4))
    assert (data["title"], data["model"], data["date"]) == ("m · float16 · Q8_0", "m", "2026-11-28")
    assert (data["synthetic"], data["other"], data["leftOut"]) == ("", "", 4)
    assert (data["layers"], data["state"]) == ([2, 5, 9], state)
    topics = ["", "", curated()[0].topic]
    assert topics[2]
    assert data["prompts"] == [
        [p.label, p.text, p.start, p.stop, topic]
        for p, topic in zip(trace.prompts, topics, strict=True)
    ]
    random = replace(trace.provenance, weights="random weights, seed 3")
    data, _ = opened(pack(replace(trace, provenance=random), {}))
    assert data["synthetic"] == "random weights, seed 3"
    assert data["title"] == "m · float16 · Q8_0 · random weights, seed 3"


@pytest.mark.parametrize("k", [1, 2, 3])
def test_of_another_run_the_choices_and_the_title_arrive(k):
    trace, other = made(k=2), made(k=k, seed=1, provenance=Provenance("m", dtype="bfloat16"))
    data, arrays = opened(pack(trace, {}, other=other))
    assert data["other"] == "m · bfloat16"
    theirs = arrays["others"].tolist()
    for row, (found, own) in enumerate(zip(theirs, other.experts.tolist(), strict=True)):
        for t, (a, b) in enumerate(zip(found, own, strict=True)):
            assert a == [*b, -1][:2], (row, t)
    assert "others" not in opened(pack(trace, {}))[1]


def test_nothing_in_it_can_end_the_element_it_stands_in():
    text = pack(made(), {"mode": "</script>"}, other=made())
    assert "<" not in text
    assert "\u2028" not in text
    data, _ = opened(text)
    assert data["prompts"][0][1] == "one <b>"
    assert data["prompts"][1][1] == "two\u2028"


def test_a_smaller_room_takes_a_lesser_precision_and_then_fewer_prompts():
    trace = made(lengths=(700, 500, 900))
    limits = range(1_000, 300_000, 500)
    order = [precision(trace, n) for n in limits]
    assert list(dict.fromkeys(order)) == ["none", "byte", "half"]
    for how in ("half", "byte", "none"):
        limit = limit_for(trace, how)
        assert len(pack(trace, {}, limit).encode()) <= limit
    assert fitting(trace, [2], 1) == [2]  # the wanted one, whatever its size
    kept = [fitting(trace, [1, 2], n) for n in range(1000, 200_000, 1000)]
    assert list(dict.fromkeys(map(tuple, kept))) == [(1,), (1, 2), (0, 1, 2)]


@pytest.mark.parametrize("how", ["half", "byte", "none"])
@pytest.mark.parametrize("made_of", ["plain", "markup", "Chinese"])
def test_what_is_said_to_fit_fits(how, made_of):
    text = {"plain": "a b ", "markup": "<i>\u2028", "Chinese": "路由"}[made_of] * 3000
    trace = made(lengths=(70, 50, 90))
    prompts = tuple(replace(p, text=text, label=text[:40]) for p in trace.prompts)
    trace = replace(trace, prompts=prompts, tokens=[f"{text[:9]}{n}" for n in range(210)])
    limit = limit_for(trace, how)
    size = len(pack(trace, {}, limit).encode())
    assert size <= limit
    assert how == "none" or size > 0.9 * limit
    assert fitting(trace, [], limit) == [0, 1, 2]
    part = fitting(trace, [], limit / 2)
    assert 1 <= len(part) < 3
    small = len(pack(trace.select(prompt=part), {}, limit / 2).encode())
    assert small <= limit / 2 or part == [0]


def test_a_notebook_s_output_is_no_larger_than_its_limit(monkeypatch):
    trace = mv.record(mv.load("8x7m"), curated()[:10])
    base = around(mv.explore(trace).to_html())
    for room in (base + 30_000, base + 45_000, base + 75_000, base + 170_000):
        monkeypatch.setattr("moe_viz.view.explorer.explorer.NOTEBOOK", room)
        assert 0.6 * room < len(mv.explore(trace).to_html().encode()) <= room


def test_where_a_slot_was_left_empty_the_first_gate_does_not_tell_the_second():
    """An expert ablated in favour of nothing: [−1, 4] with gates [0, 0.385]."""
    trace = made(lengths=(4, 2))
    experts, gates = trace.experts.copy(), np.full_like(trace.gates, 0.5)
    experts[:] = [1, 4]
    plain = replace(trace, experts=experts, gates=gates)
    data = json.loads(pack(plain, {}, 1))
    assert (data["precision"], data["paired"]) == ("none", True)
    experts, gates = experts.copy(), gates.copy()
    experts[0, 1], gates[0, 1] = [-1, 4], [0, 0.385]
    data, arrays = opened(pack(replace(plain, experts=experts, gates=gates), {}, 1))
    assert not data["paired"]
    assert arrays["experts"][0, 1].tolist() == [-1, 4]
    assert np.abs(arrays["gates"][0, 1] / 255 - [0, 0.385]).max() < 0.5 / 255


def test_a_decision_made_of_nan_is_a_gap_and_says_so():
    trace = made()
    logits, gates = trace.router_logits.copy(), trace.gates.copy()
    logits[0, 1, 3], logits[1, 2], gates[2, 5, 0] = np.nan, np.inf, np.nan
    broken = replace(trace, router_logits=logits, gates=gates)
    data, arrays = opened(pack(broken, {}))
    assert data["gaps"] == 3
    gap = (arrays["experts"] == -2).all(axis=2)
    assert [tuple(x) for x in np.argwhere(gap).tolist()] == [(0, 1), (1, 2), (2, 5)]
    assert np.isfinite(arrays["gates"].astype(float)).all()
    other = opened(pack(trace, {}, other=broken))[1]["others"]
    assert other[0, 1].tolist() == [-1, -1]
    html = mv.explore(broken).to_html()
    assert "3 of 21 decisions are gaps: their router logits or gates are NaN or infinite." in html
    assert "gaps:" not in mv.explore(trace).to_html().split("<script")[0]
    assert opened(pack(trace, {}))[0]["gaps"] == 0


def test_experts_that_were_switched_off_are_told_apart_by_layer():
    stamps = (
        "ablated 2/5, 5/1 (nothing instead), uniform gates",
        "ablated 9/0 (next best instead) in tokens 0, 1",
        "ablated 5/2, 9/3 (next best instead) in layers 9",
    )
    trace = made(provenance=Provenance("m", interventions=stamps))
    data, _ = opened(pack(trace, {}))
    assert data["off"] == [[5], [1], [3]]
    assert data["partlyOff"] == [[], [], [0]]


def test_the_page_holds_every_logit_and_a_notebook_output_what_fits():
    trace = made()
    for page in (True, False):
        data, arrays = opened(packed_in(mv.explore(trace).to_html(page=page)))
        assert data["precision"] == "half"
        assert arrays["experts"].tolist() == trace.experts.tolist()
        assert data["state"]["page"] == page


def test_long_data_lies_in_many_elements_of_at_most_64_kb(monkeypatch):
    """WebKit takes quadratic time for a long script element."""
    text = "naïve 中 😀 </script> \u2028 " * 4000
    trace = made(lengths=(900, 5, 9))
    first = replace(trace.prompts[0], text=text)
    trace = replace(trace, prompts=(first, *trace.prompts[1:]))
    html = mv.explore(trace).to_html(page=True)
    parts = re.findall(r'<script type="application/json" id="(\S+?)">(.*?)</script>', html, re.S)
    assert len(parts) > 4
    assert max(len(part.encode("utf-16-le")) // 2 for _, part in parts) <= 65_536
    names = [name for name, _ in parts]
    assert names == [names[0], *(f"{names[0]}-{n}" for n in range(1, len(names)))]
    data, arrays = opened("".join(part for _, part in parts))
    assert data["prompts"][0][1] == text
    assert arrays["experts"].tolist() == trace.experts.tolist()
    sizes = [len(mv.explore(trace).to_html().encode())]
    for room in (400_000, 420_000, 500_000):
        monkeypatch.setattr("moe_viz.view.explorer.explorer.NOTEBOOK", room)
        sizes.append(len(mv.explore(trace).to_html().encode()))
        assert sizes[-1] <= room


def test_a_page_has_a_bound_within_which_scores_travel_as_finely_as_they_can(monkeypatch):
    trace = made(256, 8, lengths=(300, 20, 30))
    found = []
    for limit in (4_000_000, 700_000, 400_000, 230_000, 1):
        monkeypatch.setattr("moe_viz.view.explorer.explorer.PAGE", limit)
        html = mv.explore(trace).to_html(page=True)
        data = data_in(html)
        found.append(data["precision"])
        assert len(data["prompts"]) == 3, "a page leaves out no prompt"
        assert len(html.encode()) <= limit or data["precision"] == "none"
    assert found == ["half", "byte", "top", "none", "none"]
    assert NOTEBOOK == 4_000_000
    assert PAGE == 45_000_000


def test_layers_without_experts_are_told():
    trace = made()
    assert opened(pack(trace, {}))[0]["dense"] == []
    dense = replace(trace, layers=(2, 5, 9), mixtures=(2, 3, 5, 9), model_layers=11)
    assert opened(pack(dense, {}))[0]["dense"] == [0, 1, 4, 6, 7, 8, 10]


def test_an_untrained_run_beside_a_trained_one_is_its_twin():
    trained, random = made(), made(provenance=Provenance("m", weights="random weights, seed 3"))
    twins = [(trained, random), (trained, trained), (random, random), (random, trained)]
    found = [opened(pack(trace, {}, other=other))[0]["twin"] for trace, other in twins]
    assert found == [True, False, False, False]
    assert not opened(pack(trained, {}))[0]["twin"]
