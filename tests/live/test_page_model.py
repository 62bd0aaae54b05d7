# SPDX-License-Identifier: Apache-2.0
"""The model of a page decides and predicts as the model in Python does."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.view.live.weights import weights_of
from tests.hardtexts import hard_texts
from tests.live.node import ask, unpacked

L, E, V = 6, 8, 8192
NOTHING: dict[str, Any] = {
    "off": [[]] * L, "empty": False, "forced": [[]] * L, "k": 2, "temperature": 1, "uniform": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return mv.load("8x7m")


@pytest.fixture(scope="module")
def exact(model):
    return weights_of(model, exact=True)


def run(folder, weights, prompts: list[dict], engine: str = "WebAssembly") -> list[list[dict]]:
    """What the page records of each prompt, part by part."""
    (folder / "weights.bin").write_bytes(weights.block)
    asked = {"does": "runs", "engine": engine, "manifest": weights.manifest, "tokens": 700}
    answers, at = ask(folder, asked | {"prompts": prompts}), 0
    next_ = np.memmap(folder / "next.bin", np.float32).reshape(-1, V)
    for prompt, parts in zip(prompts, answers, strict=True):
        for ids, part in zip(prompt["parts"], parts, strict=True):
            T, k = len(ids), prompt["changes"]["k"]
            part["logits"] = unpacked(part["logits"], np.float32).reshape(L, T, E)
            part["experts"] = unpacked(part["experts"], np.int16).reshape(L, T, k)
            part["gates"] = unpacked(part["gates"], np.float32).reshape(L, T, k)
            stop = at + -(-T // prompt["predict"])
            part["next"], at = next_[at:stop], stop
    assert at == len(next_)
    return answers


def asked(ids, predict: int = 1, **changes) -> dict:
    """A prompt in one part, and what comes next at each token, or at each eighth."""
    return {"parts": [ids], "changes": NOTHING | changes, "predict": predict}


def agrees(found: dict, trace, closest: float = 1e-5) -> None:
    """Scores alike, and the same experts wherever they lie further apart than that."""
    scores = np.asarray(trace.router_logits)
    assert np.abs(found["logits"] - scores).max() <= closest
    k = found["experts"].shape[2]
    ranked = -np.sort(-scores, axis=2)
    clear = np.diff(-ranked[:, :, : k + 1], axis=2).min(axis=2) > closest if k < E else True
    same = (found["experts"] == trace.experts).all(axis=2)
    assert (same | ~np.asarray(clear)).all()
    assert np.abs(found["gates"] - trace.gates)[same].max() <= closest


def order_agrees(found: np.ndarray, expected: np.ndarray) -> None:
    """The same next tokens in the same order, wherever neighbours are clearly apart.

    Of the eight that are shown, by 1e-5. Of all 8,192, by 3e-5: float32 is no finer, torch's own
    logits differ by 2e-5 from those of the same weights in float64.
    """
    by = np.argsort(-found, axis=1)
    steps = np.diff(np.take_along_axis(expected, by, axis=1), axis=1)
    assert (steps[:, :8] <= 1e-5).all()
    assert (steps <= 3e-5).all()


def texts() -> list[str]:
    """Two hundred: those that come with the library, and hostile ones."""
    curated = mv.prompts.curated().texts
    return [*curated, *hard_texts(200 - len(curated))]


@pytest.mark.long
def test_two_hundred_texts_are_routed_and_continued_alike(model, exact, tmp_path):
    ids = [model.tokenizer.encode(text).ids for text in texts()]
    ids = [some[:600] for some in ids]
    assert len(ids) == 200
    found = run(tmp_path, exact, [asked(some, predict=8) for some in ids])
    with torch.inference_mode():
        for some, (part,) in zip(ids, found, strict=True):
            agrees(part, mv.record(model, [some]))
            order_agrees(part["next"], model(torch.tensor(some)).numpy()[::8])


def test_plain_javascript_does_the_same(model, exact, tmp_path):
    ids = [model.tokenizer.encode(text).ids[:60] for text in texts()[::40]]
    for some, (part,) in zip(
        ids, run(tmp_path, exact, [asked(some) for some in ids], "JavaScript"), strict=True
    ):
        agrees(part, mv.record(model, [some]))
        with torch.inference_mode():
            order_agrees(part["next"], model(torch.tensor(some)).numpy())


def test_tokens_behind_a_cache_are_those_of_the_whole(model, exact, tmp_path):
    ids = model.tokenizer.encode(mv.prompts.curated().texts[0]).ids
    parts = [ids[:1], ids[1:40], ids[40:41], ids[41:]]
    ((*found,),) = run(tmp_path, exact, [{"parts": parts, "changes": NOTHING, "predict": 1}])
    trace = mv.record(model, [ids])
    joined = {
        name: np.concatenate([part[name] for part in found], axis=axis)
        for name, axis in (("logits", 1), ("experts", 1), ("gates", 1), ("next", 0))
    }
    agrees(joined, trace)
    with torch.inference_mode():
        order_agrees(joined["next"], model(torch.tensor(ids)).numpy())


#: What the page offers to change: in its words, and in those of `mv.intervene`.
CHANGES: dict[str, tuple[dict, dict]] = {
    "off": ({"off": [[], [3], [], [1, 6], [], [5]]}, {"ablate": [(1, 3), (3, 1), (3, 6), (5, 5)]}),
    "empty": ({"empty": True}, {"instead": "nothing"}),
    "forced": ({"forced": [[2], [], [], [4], [0, 7], []]},
               {"force": [(0, 2), (3, 4), (4, 0), (4, 7)]}),
    "one": ({"k": 1}, {"top_k": 1}),
    "four": ({"k": 4}, {"top_k": 4}),
    "cold": ({"temperature": 0.25}, {"temperature": 0.25}),
    "hot": ({"temperature": 3}, {"temperature": 3}),
    "uniform": ({"uniform": True}, {"uniform_gates": True}),
}  # fmt: skip


def pairs() -> list[tuple[str, ...]]:
    """Alone and in pairs, and without those that exclude each other."""
    apart = {frozenset({"one", "four"}), frozenset({"cold", "hot"}), frozenset({"forced", "one"})}
    both = [pair for pair in combinations(CHANGES, 2) if frozenset(pair) not in apart]
    return [(name,) for name in CHANGES] + both


@pytest.mark.parametrize("engine", ["WebAssembly", "JavaScript"])
def test_every_change_and_every_two_do_what_intervene_does(model, exact, tmp_path, engine):
    prompts = mv.prompts.curated().texts
    length = 60 if engine == "WebAssembly" else 12
    ids = [model.tokenizer.encode(prompts[n]).ids[:length] for n in (0, 70, 165)]
    chosen = pairs()
    page = [asked(some, **{k: v for name in names for k, v in CHANGES[name][0].items()})
            for names in chosen for some in ids]  # fmt: skip
    found, close = run(tmp_path, exact, page, engine), 0
    for n, names in enumerate(chosen):
        said = {k: v for name in names for k, v in CHANGES[name][1].items()}
        with mv.intervene(model, **said), torch.inference_mode():
            for m, some in enumerate(ids):
                (part,) = found[n * len(ids) + m]
                trace = mv.record(model, [some])
                k = part["experts"].shape[2]
                assert (trace.experts[:, :, k:] == -1).all()  # room that a trace keeps for more
                same = (part["experts"] == trace.experts[:, :, :k]).all(axis=2)
                assert same.mean() > 0.99, names
                # Where two were too close to call, all that comes after may differ.
                until = L if same.all() else int((~same).any(axis=1).argmax())
                scores = np.asarray(trace.router_logits)
                assert np.abs(part["logits"] - scores)[: until + 1].max() <= 2e-5, names
                assert np.abs(part["gates"] - trace.gates[:, :, :k])[:until].max() <= 1e-4, names
                if until < L:
                    ranked = -np.sort(-scores[until][~same[until]], axis=1)
                    assert (-np.diff(ranked[:, : k + 1], axis=1)).min(axis=1).max() <= 2e-5, names
                    close += 1
                    continue
                expected = model(torch.tensor(some)).numpy()
                assert np.abs(part["next"] - expected).max() <= 5e-4, names
    assert close <= 2


@pytest.mark.long
def test_a_byte_a_weight_changes_little(model, tmp_path):
    """As large as the promise on the page: sets, first choices, and bits a byte."""
    passages = mv.prompts.curated().texts[::3]
    ids = [model.tokenizer.encode(text).ids for text in passages]
    found = run(tmp_path, weights_of(model), [asked(some) for some in ids])
    sets, firsts, losses = [], [], []
    with torch.inference_mode():
        for some, (part,) in zip(ids, found, strict=True):
            trace = mv.record(model, [some])
            sets.append((np.sort(part["experts"]) == np.sort(trace.experts)).all(axis=2).ravel())
            firsts.append((part["experts"][:, :, 0] == trace.experts[:, :, 0]).ravel())
            logits = torch.stack([torch.from_numpy(part["next"].copy()), model(torch.tensor(some))])
            right = logits.log_softmax(-1)[:, range(len(some) - 1), some[1:]]
            losses.append(-right.sum(1))
    size = sum(len(text.encode()) for text in passages)
    page, python = (torch.stack(losses).sum(0) / np.log(2) / size).tolist()
    assert np.concatenate(sets).mean() >= 0.988
    assert np.concatenate(firsts).mean() >= 0.995
    assert abs(page - python) <= 0.001
