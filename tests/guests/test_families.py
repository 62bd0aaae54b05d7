# SPDX-License-Identifier: Apache-2.0
"""Every family of transformers through the seam: what is stored is what was executed.

A dozen families in each run of the tests, one of each kind; all of them in `make test-slow`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import moe_viz as mv
from moe_viz.errors import InputError
from moe_viz.guests.families import FAMILIES
from moe_viz.guests.guest import Guest
from moe_viz.trace.rule import gates_of, ranking_of

from . import tiny
from .each import FAST, LENGTHS, but, families, guest, prompts, recorded


def test_every_mixture_of_transformers_works_or_is_refused_by_name():
    assert set(tiny.TINY) == set(FAMILIES)
    assert len(FAMILIES) >= 65
    assert set(FAST) <= set(tiny.TINY)


@families
def test_a_ragged_batch_is_each_prompt_alone(name):
    whole = recorded(name)
    assert [p.stop - p.start for p in whole.prompts] == list(LENGTHS)
    assert whole.token_ids.tolist() == [n for ids in prompts() for n in ids]
    for n, ids in enumerate(prompts()):
        alone: Any = mv.record(guest(name), [list(ids)], loss=True)
        part = whole.select(prompt=n)
        assert np.array_equal(np.sort(part.experts), np.sort(alone.experts))
        for mine, own in ((part.router_logits, alone.router_logits), (part.gates, alone.gates),
                          (part.loss, alone.loss)):  # fmt: skip
            np.testing.assert_allclose(mine, own, atol=5e-5, rtol=1e-4)


@families
def test_the_loss_is_that_of_the_model(name):
    for n, ids in enumerate(prompts()[:3]):
        row = torch.tensor([ids])
        with torch.inference_mode():
            out: Any = guest(name).hf(input_ids=row, attention_mask=torch.ones_like(row))
        scores = out.logits[0, :-1].float().log_softmax(-1)
        theirs = -scores.gather(1, row[0, 1:, None])[:, 0].numpy()
        mine = recorded(name).select(prompt=n).loss
        assert mine is not None
        assert np.isnan(mine[0])
        np.testing.assert_allclose(mine[1:], theirs, atol=5e-5, rtol=1e-4)


@but("jetmoe", "llama4_text")  # which are told in another way: see test_seams.py
def test_the_experts_output_follows_from_what_is_stored(name):
    """A plain loop over experts, each asked by itself with weight 1; the gates are the trace's."""
    one = guest(name)
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def keep(layer: int) -> Any:
        def hook(_module: Any, args: Any, output: Any) -> None:
            seen[layer] = (args[0], output)

        return hook

    handles = [m.place.register_forward_hook(keep(m.layer)) for m in one.mixtures]
    ids = list(prompts()[4])
    trace = mv.record(one, [ids])
    for handle in handles:
        handle.remove()
    for row, mixture in enumerate(one.mixtures):
        hidden, output = (x.reshape(len(ids), -1) for x in seen[mixture.layer])
        made = torch.zeros_like(output)
        with torch.inference_mode():
            for e in range(mixture.width):
                tokens, slots = np.nonzero(trace.experts[row] == e)
                if not len(tokens):
                    continue
                # A second slot with weight 0: some loops take no single one.
                index = torch.tensor([[e, 0 if e else 1]]).expand(len(tokens), 2)
                weights = torch.tensor([[1.0, 0.0]]).expand(len(tokens), 2)
                given = hidden[tokens]
                if seen[mixture.layer][0].ndim == 3:
                    given = given[None]
                own = mixture.place(given, index, weights).reshape(len(tokens), -1)
                gates = torch.tensor(trace.gates[row, tokens, slots])[:, None]
                made.index_add_(0, torch.tensor(tokens), own * gates)
        torch.testing.assert_close(made, output, atol=1e-5, rtol=1e-4)


@families
def test_the_rule_explains_choice_and_gates(name):
    trace, one = recorded(name), guest(name)
    assert trace.router_logits is not None
    assert not one.astray
    assert (np.diff(trace.gates, axis=2) <= 0).all()  # strongest first
    if trace.rule.sums_to_one:
        np.testing.assert_allclose(trace.gates.sum(axis=2), 1, atol=1e-5)
    for row, mixture in enumerate(one.mixtures):
        logits, experts = trace.router_logits[row], trace.experts[row].astype(int)
        if mixture.scored:
            bias = None if trace.bias is None else trace.bias[row]
            ranking = ranking_of(trace.rule, logits, bias)
            best = np.argsort(-ranking, axis=1, kind="stable")[:, : experts.shape[1]]
            if mixture.skips:
                best = np.where(best == logits.shape[1] - 1, -1, best)
            assert np.array_equal(np.sort(best), np.sort(experts))
        if trace.rule.gates:
            own = mixture.scoring.per_expert
            gates = gates_of(trace.rule, logits, experts)
            if own is not None:
                gates = gates * own.numpy()[experts]
            np.testing.assert_allclose(gates, trace.gates[row], atol=2e-5, rtol=1e-4)
        else:
            assert trace.rule.note


@families
def test_what_changes_nothing_changes_nothing_bit_for_bit(name):
    before = recorded(name)
    with guest(name).router_hooks(lambda routing: replace(routing, gates=routing.gates.clone())):
        after = mv.record(guest(name), [list(ids) for ids in prompts()], loss=True)
    for field in ("router_logits", "experts", "gates", "loss"):
        mine, own = getattr(after, field), getattr(before, field)
        assert np.array_equal(mine, own, equal_nan=True), field


@families
def test_an_expert_that_is_switched_off_is_not_used_and_the_rest_stands(name):
    one, before = guest(name), recorded(name)
    layer, row = one.mixtures[-1].layer, len(one.mixtures) - 1
    used = np.bincount(before.experts[row][before.experts[row] >= 0].ravel())
    expert = int(used.argmax())
    texts = [list(ids) for ids in prompts()]
    with mv.intervene(one, ablate=[(layer, expert)], instead="nothing"):
        emptied: Any = mv.record(one, texts, loss=True)
    hit = (before.experts[row] == expert).any(axis=1)
    assert not (emptied.experts[row] == expert).any()
    assert (emptied.experts[row][hit] == -1).sum() == hit.sum() + (
        before.experts[row][hit] == -1
    ).sum()
    assert np.array_equal(emptied.experts[row][~hit], before.experts[row][~hit])
    assert np.nanmax(abs(emptied.loss - before.loss)) > 1e-4
    assert emptied.provenance.interventions == (f"ablated {layer}/{expert} (nothing instead)",)
    rule = before.rule
    if not rule.gates or not one.mixtures[-1].scored or one.mixtures[-1].skips:
        with pytest.raises(InputError, match="cannot be done rightly with this family's routers"):
            mv.intervene(one, ablate=[(layer, expert)]).__enter__()
        return
    with mv.intervene(one, ablate=[(layer, expert)]):
        replaced = mv.record(one, texts)
    assert not (replaced.experts[row] == expert).any()
    assert np.array_equal(replaced.experts[row][~hit], before.experts[row][~hit])
    again: Any = mv.record(one, texts, loss=True)
    assert np.array_equal(again.experts, before.experts)  # nothing stayed attached
    np.testing.assert_allclose(again.loss, before.loss, atol=1e-6)


@contextmanager
def one_more(one: Guest, mixture: Any) -> Iterator[None]:
    """The family's own router with another k: its attribute, or in Gemma 4 its configuration's."""
    modules: list[Any] = list(one.hf.modules())
    inside = [m for m in modules if any(x is mixture.speaker for x in m.modules())]
    router = next((m for m in reversed(inside) if hasattr(m, "top_k")), None)
    if router is not None:
        router.top_k += 1
        yield
        router.top_k -= 1
    else:  # a configuration that all layers share: this one's router gets its own
        router = inside[-2]
        shared, router.config = router.config, deepcopy(router.config)
        router.config.top_k_experts += 1
        yield
        router.config = shared


# Left out: k lies outside the router, or is fixed (dbrx, jetmoe, phimoe), or it is refused.
@but("dbrx", "inkling_text", "jetmoe", "phimoe", "zaya")
def test_instead_of_an_expert_comes_what_the_family_s_router_takes_next(name):
    """Its own router, asked for one expert more, tells which is next, and their gates' ratios."""
    one, before = guest(name), recorded(name)
    mixture, row = one.mixtures[-1], len(one.mixtures) - 1
    texts = [list(ids) for ids in prompts()]
    with one_more(one, mixture):
        more = mv.record(one, texts)
    expert = int(np.bincount(before.experts[row].ravel()).argmax())
    with mv.intervene(one, ablate=[(mixture.layer, expert)]):
        found = mv.record(one, texts)
    hit = np.flatnonzero((before.experts[row] == expert).any(axis=1))
    assert len(hit)
    own = mixture.scoring.per_expert
    for t in hit:
        left = [(e, g) for e, g in zip(more.experts[row, t], more.gates[row, t], strict=True)
                if e != expert]  # fmt: skip
        wanted, got = {int(e) for e, _ in left}, {int(e) for e in found.experts[row, t]}
        if wanted != got:  # all outside the kept groups are worth the same: any may be taken
            ranking = found.ranking(row)[t]
            assert before.rule.outside_zero
            assert all(ranking[e] == 0 for e in wanted ^ got)
            continue
        raw = {e: g / (1 if own is None else float(own[e])) for e, g in left}
        whole = sum(raw.values()) / before.rule.scale if before.rule.normalised else 1
        expected = [g / whole for _, g in left]
        np.testing.assert_allclose(sorted(found.gates[row, t]), sorted(expected), rtol=2e-4)


@families
def test_a_trace_is_saved_explored_and_surveyed(name, tmp_path):
    trace = recorded(name)
    back = mv.Trace.load(trace.save(tmp_path / "t.safetensors"))
    assert (back.rule, back.layers, back.mixtures) == (trace.rule, trace.layers, trace.mixtures)
    assert np.array_equal(back.router_logits, trace.router_logits)
    page = mv.save_page(back, tmp_path / "page.html").read_text(encoding="utf-8")
    assert trace.provenance.model in page
    found = mv.report(back)
    assert "load" in found.findings
    assert found.save(tmp_path / "report")


@but("mixtral")  # which is no guest when it is loaded
def test_a_folder_of_shards_is_loaded(name, tmp_path):
    """As save_pretrained writes it, the models that also see among them."""
    one, ids = guest(name), [list(prompts()[4])]
    if name == "zaya":  # transformers puts this number into every model that it loads
        one = Guest(tiny.build(name))
        for mixture in one.mixtures:
            bias: Any = mixture.scoring.bias
            bias[-1] = -1
    hf: Any = one.hf
    hf.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    mine, own = (mv.record(model, ids, loss=True) for model in (mv.load(tmp_path), one))
    for field in ("router_logits", "experts", "gates", "loss"):
        assert np.array_equal(getattr(mine, field), getattr(own, field), equal_nan=True), field
    assert mine.rule == own.rule


@families
def test_what_is_generated_is_what_recording_the_same_ids_gives(name):
    one, ids = guest(name), list(prompts()[5])
    out = mv.generate(one, ids, max_new_tokens=6, ignore_eos=True)
    assert out.trace.generated.sum() == 6
    whole: Any = mv.record(one, [ids + out.token_ids])
    assert whole.token_ids.tolist() == out.trace.token_ids.tolist()
    assert np.array_equal(np.sort(whole.experts), np.sort(out.trace.experts))
    np.testing.assert_allclose(whole.router_logits, out.trace.router_logits, atol=1e-4, rtol=1e-3)
    assert FAMILIES[name].cached == (name != "minimax")  # which differs in transformers itself
    again = mv.generate(one, ids, max_new_tokens=6, ignore_eos=True, temperature=1.0, seed=3)
    other = mv.generate(one, ids, max_new_tokens=6, ignore_eos=True, temperature=1.0, seed=3)
    assert again.token_ids == other.token_ids


def test_the_table_in_the_documentation_is_this():
    from tools.families import page

    committed = Path(__file__).parents[2] / "docs/families.md"
    assert committed.read_text(encoding="utf-8") == page()
