# SPDX-License-Identifier: Apache-2.0
"""Every field of a recorded and of a generated trace, against tokenizer, torch hooks and loops."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.trace import Trace, TracePrompt
from tests.conftest import random_model

from .handmade import ARRAYS, losses

TEXTS = ["Zoë sees 漢字.", "a\n\tb", "one"]
LENGTHS, PROMPTS = [3, 1, 4], [[5, 6, 7], [8], [5, 9, 100, 0]]


@pytest.fixture(scope="module")
def embedded():
    return mv.load("8x7m")


@pytest.fixture(scope="module")
def trace(embedded) -> Trace:
    return mv.record(embedded, TEXTS, labels=["x", "y", "x"])


def check_types(trace: Trace) -> None:
    for name, dtype in ARRAYS.items():
        array = getattr(trace, name)
        if array is None:
            assert name == "loss"
        else:
            assert array.dtype == dtype, name


def test_tokens_are_the_tokenizer_s_prompt_after_prompt(embedded, trace):
    check_types(trace)
    encodings = [embedded.tokenizer.encode(text) for text in TEXTS]
    assert trace.token_ids.tolist() == [i for e in encodings for i in e.ids]
    assert list(trace.tokens) == [piece for e in encodings for piece in e.pieces]
    assert trace.special.tolist() == [flag for e in encodings for flag in e.special]
    assert trace.spans.tolist() == [list(span) for e in encodings for span in e.spans]
    assert not trace.generated.any()
    assert trace.loss is None
    ends = np.cumsum([0, *(len(e.ids) for e in encodings)]).tolist()
    assert trace.prompts == tuple(
        TracePrompt(text, label, start, stop)
        for text, label, start, stop in zip(TEXTS, "xyx", ends, ends[1:], strict=False)
    )
    assert trace.labels == ("x", "y")
    assert trace.layers == tuple(range(6))


def test_spans_are_characters_of_their_own_prompt(trace):
    for prompt in trace.prompts:
        rows = range(prompt.start, prompt.stop)
        assert trace.special[rows].tolist() == [True] + [False] * (len(rows) - 1)
        shown = [prompt.text[a:b] for a, b in trace.spans[rows]]
        assert all(piece == "␣" or text for piece, text in zip(trace.tokens[rows.start + 1 :
               rows.stop], shown[1:], strict=True))  # fmt: skip
        assert trace.spans[rows].max() == len(prompt.text)


def test_where_it_comes_from(embedded, trace):
    made = trace.provenance
    assert (made.model, made.dtype, made.weights) == ("8x7m", "float32", "trained")
    assert made.fingerprint == embedded.provenance.fingerprint != ""
    assert (made.device, made.placement, made.quantisation) == ("cpu", "resident", "none")
    assert made.versions["torch"] == torch.__version__
    assert made.interventions == ()
    date = datetime.fromisoformat(made.date)
    assert date.utcoffset() == timedelta(0)
    assert timedelta(0) <= datetime.now(UTC) - date < timedelta(hours=1)
    assert embedded.provenance.date != made.date  # the model's own is not touched


def test_labels_as_text_and_none_at_all(model):
    assert mv.record(model, PROMPTS, labels=cast(list[str], [1, 2, 1])).labels == ("1", "2")
    assert [p.label for p in mv.record(model, PROMPTS).prompts] == ["", "", ""]


def test_ids_are_run_as_they_are_and_shown_as_numbers_without_a_tokenizer(model):
    trace = mv.record(model, PROMPTS)
    check_types(trace)
    assert trace.token_ids.tolist() == [5, 6, 7, 8, 5, 9, 100, 0]
    assert [p.text for p in trace.prompts] == ["5 6 7 ", "8 ", "5 9 100 0 "]
    assert list(trace.tokens) == ["5␣", "6␣", "7␣", "8␣", "5␣", "9␣", "100␣", "0␣"]
    assert trace.spans.tolist() == [
        [0, 2], [2, 4], [4, 6], [0, 2], [0, 2], [2, 4], [4, 8], [8, 10],
    ]  # fmt: skip
    assert not trace.special.any()
    assert mv.record(model, [5, 6, 7]).prompts == trace.prompts[:1]


@contextmanager
def said_by_routers(model):
    """What each router module returns, by layer: torch's own hooks."""
    said: list[list[torch.Tensor]] = [[] for _ in model.layers]
    handles = [
        layer.moe.router.register_forward_hook(lambda m, args, out, n=n: said[n].append(out))
        for n, layer in enumerate(model.layers)
    ]
    yield said
    for handle in handles:
        handle.remove()


def check_decisions(trace: Trace, said: list[list[torch.Tensor]]) -> None:
    logits = torch.stack([torch.cat(parts) for parts in said]).numpy()
    assert np.array_equal(trace.router_logits, logits)
    for row, chosen, gates in zip(
        logits.reshape(-1, 8), trace.experts.reshape(-1, 2), trace.gates.reshape(-1, 2), strict=True
    ):
        assert chosen.tolist() == sorted(range(8), key=lambda e: -row[e])[:2]
        weights = np.exp(row[chosen].astype(float) - row.max())
        assert gates == pytest.approx(weights / weights.sum(), abs=1e-6)


def test_decisions_are_those_of_the_router_modules(model):
    with said_by_routers(model) as said:
        trace = mv.record(model, PROMPTS)
    check_decisions(trace, said)


@pytest.mark.parametrize("loss", [False, True])
def test_batches_land_in_their_own_rows(monkeypatch, model, loss):
    whole = mv.record(model, PROMPTS, loss=True)
    monkeypatch.setattr("moe_viz.recording.recording.BATCH_TOKENS", 4)
    with said_by_routers(model) as said:
        trace = mv.record(model, PROMPTS, loss=loss)
    assert [len(parts) for parts in said] == [2, 2, 2]
    check_decisions(trace, said)
    assert np.isnan(losses(whole)).nonzero()[0].tolist() == [0, 3, 4]
    assert (trace.loss is None) is not loss
    if loss:
        assert np.allclose(losses(trace), losses(whole), atol=1e-4, equal_nan=True)


def test_every_field_of_a_generated_trace(embedded):
    with said_by_routers(embedded) as said:
        out = mv.generate(embedded, "Zoë sees", max_new_tokens=6, ignore_eos=True)
    trace, given = out.trace, embedded.tokenizer.encode("Zoë sees")
    check_types(trace)
    check_decisions(trace, said)
    n = len(given.ids)
    assert trace.token_ids.tolist() == [*given.ids, *out.token_ids]
    assert len(out.token_ids) == 6
    assert trace.generated.tolist() == [False] * n + [True] * 6
    assert list(trace.tokens[:n]) == given.pieces
    assert trace.special.tolist()[:n] == given.special
    text, described = embedded.tokenizer.describe([*given.ids, *out.token_ids])
    assert list(trace.tokens) == described.pieces
    assert trace.spans.tolist() == [list(span) for span in described.spans]
    assert trace.prompts == (TracePrompt(text, "", 0, n + 6),)
    assert text == "Zoë sees" + out.text
    assert (trace.loss, trace.layers) == (None, tuple(range(6)))
    assert trace.provenance.model == "8x7m"
    assert trace.provenance.date


def test_generating_without_a_tokenizer(model):
    out = mv.generate(model, [5, 100], max_new_tokens=2)
    assert out.text == "".join(f"{i} " for i in out.token_ids)
    assert out.trace.prompts[0].text == "5 100 " + out.text


def test_a_model_of_random_weights_says_so_in_its_traces():
    made = mv.record(random_model(seed=4), [[1]]).provenance
    assert made.synthetic
    assert made.title == "small · float32 · random weights, seed 4"


# ---- Everything is checked before anything is computed -------------------------------------------

IMPOSSIBLE = {
    "no text": {"texts": ""},
    "nothing": {"texts": []},
    "an empty one": {"texts": ["a", ""]},
    "no texts": {"texts": 7},
    "labels": {"texts": ["a", "b"], "labels": ["x"]},
    "a label": {"texts": ["a"], "labels": ["\ud800"]},
    "too long": {"texts": ["a", "word " * 4000]},
    "ids": {"texts": [[1, 2], [1, 8192]]},
    "no ids": {"texts": [[1], []]},
    "a number": {"texts": [3.5]},
    "a file": {"texts": "a", "resume": "notes"},
}


@pytest.fixture
def watched(monkeypatch, embedded):
    """A model whose embedding, layers and routers must not run."""
    modules = [embedded.embedding, *embedded.layers, *(x.moe.router for x in embedded.layers)]
    handles = [
        module.register_forward_pre_hook(lambda m, args: pytest.fail(f"{type(m).__name__} ran"))
        for module in modules
    ]
    monkeypatch.setattr(embedded, "sweep", lambda *a, **k: pytest.fail("sweep was called"))
    yield embedded
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("asked", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_nothing_is_computed_for_what_is_refused(watched, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("not a recording")
    with pytest.raises(InputError):
        mv.record(watched, **asked)


SETTINGS = {
    "no tokens": ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, found 0"),
    "below 0": ({"temperature": -1.0}, "temperature must be 0 .* found -1.0"),
    "too cold": ({"temperature": 0.009}, "at least 0.01, found 0.009"),
    "no temperature": ({"temperature": float("nan")}, "found nan"),
    "nothing inside": ({"top_p": 0.0}, "top_p must lie between 0.000001 and 1, found 0.0"),
    "more than all": ({"top_p": 1.01}, "top_p must .* found 1.01"),
    "seed": ({"seed": -1}, "seed must lie between 0 and 2.*found -1"),
    "large seed": ({"seed": 2**63}, "seed must"),
    "no text": ({"text": ""}, "empty"),
    "full": ({"text": [1] * 2048}, "fills the context of 2,048"),
    "id": ({"text": [8192]}, "0 … 8191"),
}


@pytest.mark.parametrize(("asked", "message"), SETTINGS.values(), ids=SETTINGS.keys())
def test_nothing_is_generated_for_what_is_refused(watched, asked, message):
    with pytest.raises(InputError, match=message):
        mv.generate(watched, **{"text": "a", **asked})


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.01}, {"top_p": 1e-6, "temperature": 1.0}, {"seed": 2**63 - 1}]
)
def test_the_settings_at_the_edge_are_accepted(model, settings):
    assert len(mv.generate(model, [1], max_new_tokens=1, **settings).token_ids) == 1


@pytest.mark.parametrize("ids", [[1, 101], [-1], [0, 10**6]])
def test_ids_are_checked_also_where_no_tokenizer_could(monkeypatch, model, ids):
    monkeypatch.setattr(model, "sweep", lambda *a, **k: pytest.fail("sweep was called"))
    message = f"Prompt 1: token ids must lie in 0 … 100, found {min(ids)} … {max(ids)}. Were they"
    with pytest.raises(InputError, match=message):
        mv.record(model, [[0, 100], ids])


def test_slots_that_only_one_layer_uses_stay_empty_in_the_others(model):
    wide = lambda r: r.with_experts(r.logits.topk(4).indices) if r.layer == 1 else None  # noqa: E731
    with model.router_hooks(wide):
        trace = mv.record(model, PROMPTS)
    assert trace.experts.shape == (3, 8, 4)
    assert (trace.experts[[0, 2], :, 2:] == -1).all()
    assert (trace.gates[[0, 2], :, 2:] == 0).all()
    assert (trace.experts[1] >= 0).all()
