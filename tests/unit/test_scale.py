# SPDX-License-Identifier: Apache-2.0
"""The page on corpora says what its arithmetic gives, and what the code does."""

from __future__ import annotations

import re

import moe_viz as mv
from moe_viz.analysis.atlas.counts import PLACES
from moe_viz.analysis.atlas.kinds import SETS
from moe_viz.analysis.corpus import BUNDLES, MOST
from moe_viz.analysis.survey import ANALYSES
from moe_viz.recording.corpora.engines.naming import ENGINES
from moe_viz.recording.corpora.plan import TOKENS
from moe_viz.recording.corpora.work import BATCH
from tools import scale


def test_the_table_is_what_the_arithmetic_gives():
    page = scale.PAGE.read_text(encoding="utf-8")
    inside = page.split(scale.BEGIN)[1].split(scale.END)[0]
    assert inside.strip() == scale.table()


def test_a_row_by_hand():
    """FACTS: 12.88 billion parameters are active; 10⁹ tokens of 8 experts in 32 layers."""
    row = scale.row("mixtral-8x7b", 10**9)
    rate = float(row[2].replace(",", ""))
    books = mv.ledger("mixtral-8x7b")
    assert abs(rate * books.flops_per_token() / (989e12 * 0.4) - 1) < 1e-3  # type: ignore[union-attr]
    assert row[4] == "15,259"
    per_token = 32 * (8 * 4 + 2 * 6) + 32
    assert row[5] == f"{per_token / 1000:.3g} TB"


def test_the_page_names_the_numbers_of_the_code():
    page = scale.PAGE.read_text(encoding="utf-8")
    assert f"about {TOKENS:,} tokens" in page
    assert f"Beyond {MOST:,} documents" in page
    assert f"about {BUNDLES:,} bundles" in page
    assert f"{SETS:,} times" in page
    assert f"tokens of {BATCH:,}" in page or f"of {BATCH:,} tokens" in page
    assert {name for name in ENGINES if name != "auto"} <= set(re.findall(r"`(\w+)`", page))
    assert len(ANALYSES) == 15
    assert "all fifteen analyses" in page
    assert PLACES == (4, 16, 64, 256, 1024)
