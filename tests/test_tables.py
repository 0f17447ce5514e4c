"""Numbers and tables as readers see them."""

import numpy as np
import pytest

from magan_jax.seeds import over_seeds
from magan_jax.tables import interval, markdown_table, mean_and_std, number


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234567, "1,234,567"),
        (np.int64(12), "12"),
        (0.12345, "0.123"),
        (np.float32(2.0), "2.000"),
        (None, "–"),
        (np.nan, "–"),
        (np.inf, "–"),
    ],
)
def test_a_number_has_its_digits_and_nothing_else_is_one(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(
    ("pair", "shown"),
    [
        ((0.5, 1.25), "[0.50, 1.25]"),
        ((-1, np.nan), "[-1.00, …"),
        ((0.5, None), "[0.50, …"),
        ((None, 1.0), ""),
        ((np.nan, np.nan), ""),
        (None, ""),
        ((), ""),
    ],
)
def test_an_interval_is_shown_as_far_as_it_is_known(pair, shown):
    assert interval(pair, 2) == shown


def test_a_number_over_seeds_has_a_deviation_where_there_are_two():
    assert mean_and_std(over_seeds([1.0, 2.0]), 2) == "1.50 ± 0.71"
    assert mean_and_std(over_seeds([1.0]), 1) == "1.0"
    assert mean_and_std(over_seeds([np.nan, np.nan])) == "–"
    assert mean_and_std(7) == "7"


def test_a_table_in_markdown():
    table = markdown_table(["a", "b", "c"], [["1", "|x|", "two\nlines"], ["short"]])
    assert table.splitlines() == [
        "| a | b | c |",
        "|---|---|---|",
        "| 1 | \\|x\\| | two lines |",
        "| short |  |  |",
    ]
    assert table.endswith("|\n")
