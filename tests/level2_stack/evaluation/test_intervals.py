"""Tests for intervals.py against a published table and another implementation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from level2_stack.evaluation.intervals import wilson


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_agree_with_the_table_of_newcombe_1998(hits: int, count: int, low: float, high: float) -> None:
    assert wilson(hits / count, count) == pytest.approx((low, high), abs=5e-5)


def test_intervals_agree_with_scipy() -> None:
    pairs = [(hits, count) for count in (1, 2, 7, 50, 1000) for hits in {0, 1, count // 3, count}]
    hits, count = np.array(pairs).T
    expected = [binomtest(*pair).proportion_ci(method="wilson") for pair in pairs]
    np.testing.assert_allclose(np.stack(wilson(hits / count, count), axis=1), expected, atol=1e-12)


def test_without_rows_the_interval_is_0_to_1() -> None:
    assert wilson(np.nan, 0) == (0.0, 1.0)
