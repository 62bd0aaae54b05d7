# SPDX-License-Identifier: Apache-2.0
"""How often an accelerator and the host look at each other.

In every layer the host looks at the device once, to learn how many tokens each expert gets
(dispatch.py), and with it whether the layer's numbers are finite; no other look depends on the
number of layers. What the head gives is looked at once in a pass, and so is the last layer's
routing where nothing follows it. Token ids and lengths come from the host, so checking them costs
nothing there; ids that lie on the device are looked at once more. To the device go the token ids
and the four vectors of a TokenIndex.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import moe_viz as mv
from moe_viz.routing import TokenIndex
from tests.conftest import random_model, small_config

from .agreement import LENGTHS
from .copies import WatchCopies

L = small_config().layers
IDS, INDEX, HEAD = 1, 4, 1


def count(run) -> tuple[int, int]:
    """Copies to the device, and to the host."""
    with torch.inference_mode(), WatchCopies() as copies:
        run()
    return copies.to_device, copies.to_host


def test_a_pass_copies_once_a_layer_to_the_host(there, ids):
    assert count(lambda: there(ids, LENGTHS, "none")) == (IDS + INDEX, L)
    assert count(lambda: there(ids, LENGTHS, "all")) == (IDS + INDEX, L + HEAD)
    # Where each prompt ends is sent along.
    assert count(lambda: there(ids, LENGTHS, "last")) == (IDS + INDEX + 1, L + HEAD)


def test_ids_on_the_device_are_checked_with_one_copy_more(there, device, ids):
    on_device = ids.to(device)
    assert count(lambda: there(on_device, LENGTHS, "none")) == (INDEX, L + 1)


def test_an_index_on_the_device_is_not_sent_again(there, device, ids):
    index = TokenIndex.of_prompts(LENGTHS).to(device)
    assert count(lambda: there(ids, LENGTHS, "none", index=index)) == (IDS, L)


def test_each_chunk_copies_once_a_layer(device, ids):
    model = random_model().to(device)
    model.chunk = 10  # 57 tokens: six chunks
    assert count(lambda: model(ids, LENGTHS, "none")) == (IDS + INDEX, 6 * L)


def test_recording_adds_no_copy_per_layer(there, prompts, monkeypatch):
    monkeypatch.setattr("moe_viz.recording.recording.LOSS_TOKENS", 10)  # six pieces
    kept = 3  # at the end: logits, experts, gates
    # In the last layer experts are left out, and only whether its numbers are finite is looked at.
    assert count(lambda: mv.record(there, prompts)) == (IDS + INDEX, L - 1 + 1 + kept)
    # The loss: its targets go there, its values come back.
    assert count(lambda: mv.record(there, prompts, loss=True)) == (IDS + INDEX + 1, L + kept + 1)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_generating_adds_two_copies_a_token(temperature, there, prompts):
    n, kept = 6, 3
    # The prompt; the index of all steps, sent once; then for each new token: its choice comes to
    # the host, its id goes back, and where logits are asked for (not after the last), its end, and
    # whether they are finite.
    prompt, steps = IDS + INDEX + 1, INDEX + n * IDS + (n - 1)
    found = count(lambda: mv.generate(there, prompts[0], n, temperature=temperature))
    assert found == (prompt + steps, L + HEAD + n * (L + 1) + (n - 1) * HEAD + kept)


def test_a_hook_that_changes_a_decision_costs_one_look_at_it(there, ids):
    with there.router_hooks(lambda routing: None):
        assert count(lambda: there(ids, LENGTHS, "none")) == (IDS + INDEX, L)
    with there.router_hooks(replace):
        assert count(lambda: there(ids, LENGTHS, "none")) == (IDS + INDEX, 2 * L)
