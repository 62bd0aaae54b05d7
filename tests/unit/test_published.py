# SPDX-License-Identifier: Apache-2.0
"""Published numbers stay as they were entered, and agree where two sources give the same figure.

The sums below are of the tables as they stand, not taken from the paper: they notice a digit that
is changed by accident, not one that was wrong from the start. A changed digit changes a column's
sum, and a swap of two rows the sum weighted by the row's number.
"""

from __future__ import annotations

import numpy as np
import pytest

from moe_viz.analysis import published

TABLES = {
    "Table 5, first choice": [first for first, _ in published.REPETITION.values()],
    "Table 5, either": [either for _, either in published.REPETITION.values()],
    "Table 2": list(published.BENCHMARKS.values()),
    "Table 3": list(published.WITH_GPT.values()),
    "Table 4": [scores for model in published.LANGUAGES.values() for scores in model.values()],
    "BOLD": [(*llama, *mixtral) for llama, mixtral in published.BOLD.values()],
}
SUMS = {
    "Table 5, first choice": ([112.7, 211.2, 181.4], [506.1, 926.7, 836.5]),
    "Table 5, either": ([384.3, 509.5, 407.3], [1745.9, 2277.5, 1855.2]),
    "Table 2": ([764.4, 715.6], [4539.3, 4061.3]),
    "Table 3": ([435.56, 439.92, 451.7], [1450.82, 1484.84, 1538.2]),
    "Table 4": ([586.8, 856.3, 745.3], [4022.0, 5710.5, 5191.1]),
    "BOLD": ([1.08, 0.468, 1.128, 0.419], [3.049, 1.423, 3.145, 1.33]),
}


@pytest.mark.parametrize("name", TABLES)
def test_no_digit_has_changed_since_the_tables_were_entered(name):
    table = np.array(TABLES[name])
    plain, by_row = SUMS[name]
    np.testing.assert_allclose(table.sum(0), plain, atol=1e-6)
    np.testing.assert_allclose(np.arange(1, len(table) + 1) @ table, by_row, atol=1e-6)


def test_what_two_tables_print_is_the_same():
    for name in ("MMLU", "MBPP"):
        llama, _, mixtral = published.WITH_GPT[name]
        assert published.BENCHMARKS[name] == (mixtral, llama)


def test_the_rest_as_printed():
    assert published.BBQ == (51.5, 56.0)
    assert published.TRUTHFULQA_NOT_CONFIRMED == (73.9, 50.2)
    assert published.REPETITION_LAYERS == (0, 15, 31)
    # 80 layers of width 8192: 64 heads, 8 for keys and values; experts' size 28672; 32,000 pieces.
    layer = 2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28672 + 2 * 8192
    assert 80 * layer + 2 * 32000 * 8192 + 8192 == published.LLAMA_2_70B
