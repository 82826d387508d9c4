"""Tests for the order of training rows: pure functions of seed and step, every row once before any twice."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.faults import InputFault
from level1_cnn.order import BENIGN, MALIGNANT, Order

MALIGNANT_ROWS = np.arange(10) % 5 == 0  # rows 0 and 5


@given(st.floats(0, 0.99), st.integers(1, 7), st.integers(0, 30), st.integers(1, 9), st.integers(0, 2**40))
def test_any_step_is_the_same_wherever_one_starts(share: float, batch: int, first: int, steps: int, seed: int) -> None:
    order = Order(MALIGNANT_ROWS, share, batch, seed)
    np.testing.assert_array_equal(order.rows(0, first + steps)[first:], order.rows(first, steps))


@given(st.floats(0.001, 0.99), st.integers(1, 16), st.integers(1, 60))
def test_the_count_of_malignant_rows_is_right_to_half_a_picture(share: float, batch: int, steps: int) -> None:
    shown = MALIGNANT_ROWS[Order(MALIGNANT_ROWS, share, batch, 1).rows(0, steps)].sum()
    assert abs(shown - share * batch * steps) <= 0.5 + 1e-6


@pytest.mark.parametrize(("share", "members"), [(0.0, range(10)), (0.4, [1, 2, 3, 4, 6, 7, 8, 9])])
def test_a_class_is_run_through_in_permutations(share: float, members: list[int]) -> None:
    order = Order(MALIGNANT_ROWS, share, 4, 7)
    runs = [order.run(BENIGN, epoch * len(members), len(members)).tolist() for epoch in range(3)]
    assert all(Counter(run) == Counter(members) for run in runs)
    assert runs[0] != runs[1] != runs[2]


def test_malignant_places_move_within_the_batch() -> None:
    classes = Order(MALIGNANT_ROWS, 0.5, 8, 0).classes(0, 20)
    assert (classes.sum(axis=1) == 4).all()
    assert len(np.unique(classes, axis=0)) > 10


def test_seeds_give_different_orders() -> None:
    first, second = (Order(MALIGNANT_ROWS, 0.0, 10, seed).rows(0, 1)[0].tolist() for seed in (0, 1))
    assert first != second


def test_without_a_share_all_rows_are_one_class() -> None:
    order = Order(MALIGNANT_ROWS, 0.0, 4, 0)
    assert order.members(BENIGN).tolist() == list(range(10))
    assert order.shown(MALIGNANT, 100) == 0


@pytest.mark.parametrize(
    ("malignant", "share", "text"),
    [
        ([False, False], 0.5, "malignant_share = 0.5, but there is no malignant row among the 2 of this fit"),
        ([True, True], 0.5, "malignant_share = 0.5, but there is no benign row among the 2 of this fit"),
        ([], 0.0, "there is no training row among the 0 of this fit"),
    ],
)
def test_a_fit_without_rows_of_a_class_is_refused(malignant: list[bool], share: float, text: str) -> None:
    with pytest.raises(InputFault, match=text):
        Order(np.array(malignant, bool), share, 4, 0)
