# SPDX-License-Identifier: Apache-2.0
"""A few hundred changed files of each format, always the same; `make fuzz` opens 200,000 of each.

And the campaign itself: it must notice a crash, an error that is not ours, and a file without end.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz import misbehaving
from tests.fuzz.campaign import run
from tests.fuzz.formats import FORMATS as REAL
from tests.fuzz.mutation import changed, changed_json

RUNS = 1000


@pytest.mark.parametrize("name", REAL)
def test_a_changed_file_is_used_or_refused(name, tmp_path):
    if name in ("notebooks", "tokenizer.json"):
        pytest.importorskip("sphinx_revealjs")
    count = round(RUNS * REAL[name].share)
    result = run(name, count, tmp_path, patience=60.0)
    assert result.faults == {}
    assert result.runs == count
    assert result.accepted, "nothing was opened: is the good file one?"
    assert result.refused or name == "routes", "everything was opened: is it changed?"


def test_a_campaign_notices_what_is_not_right_and_goes_on(tmp_path):
    result = run("misbehaving", 30, tmp_path, formats=misbehaving.__name__, patience=1.0)
    numbers = [Random(f"misbehaving {n}") for n in range(30)]
    kinds = [(random.choice([b""]), random.randrange(10))[1] for random in numbers]
    assert {n for n, kind in enumerate(kinds) if kind in (1, 2, 3, 4)} == set(result.faults)
    assert result.refused == sum(kind > 6 for kind in kinds)
    assert result.accepted == sum(kind in (0, 5, 6) for kind in kinds)
    said = {1: "the process ended (-6)", 2: "KeyError: 'not ours'", 3: "no end within 1 s"}
    for number, what in result.faults.items():
        assert said.get(kinds[number], "SystemExit: 0") in what


def test_a_change_is_one_and_always_the_same():
    data, document = bytes(range(200)), {"a": [1, {"b": "c"}], "d": None}
    for seed in range(300):
        first = changed(data, Random(seed))
        assert first == changed(data, Random(seed))
        assert len(first) > 0
        assert changed_json(document, Random(seed)) == changed_json(document, Random(seed))
    assert sum(changed(data, Random(seed)) != data for seed in range(300)) > 280
    assert document == {"a": [1, {"b": "c"}], "d": None}
