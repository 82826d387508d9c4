"""Tests for the order of training rows: it depends only on seed and step, and no row repeats before all came once."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level1_cnn.data.order import BENIGN, EXTERNAL, GROUPS, MALIGNANT, Order
from runtime.errors import InputFault

MALIGNANT_ROWS = np.arange(10) % 5 == 0  # rows 0 and 5
EXTERNAL_ROWS = np.arange(10) >= 4  # one malignant of four own rows, one of six external ones


@given(st.floats(0, 0.99), st.integers(1, 7), st.integers(0, 30), st.integers(1, 9), st.integers(0, 2**40))
def test_a_step_does_not_depend_on_the_first_step(share: float, batch: int, first: int, steps: int, seed: int) -> None:
    order = Order(MALIGNANT_ROWS, share, batch, seed)
    np.testing.assert_array_equal(order.rows(0, first + steps)[first:], order.rows(first, steps))


@given(st.floats(0.001, 0.99), st.integers(1, 16), st.integers(1, 60))
def test_the_count_of_malignant_rows_is_within_half_a_picture(share: float, batch: int, steps: int) -> None:
    count = MALIGNANT_ROWS[Order(MALIGNANT_ROWS, share, batch, 1).rows(0, steps)].sum()
    assert abs(count - share * batch * steps) <= 0.5 + 1e-6


@pytest.mark.parametrize(("share", "members"), [(0.0, range(10)), (0.4, [1, 2, 3, 4, 6, 7, 8, 9])])
def test_each_epoch_of_a_class_is_a_permutation(share: float, members: list[int]) -> None:
    order = Order(MALIGNANT_ROWS, share, 4, 7)
    epochs = [order.sequence(BENIGN, epoch * len(members), len(members)).tolist() for epoch in range(3)]
    assert all(Counter(rows) == Counter(members) for rows in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@given(st.floats(0, 0.9), st.floats(0.05, 0.9), st.integers(1, 16), st.integers(1, 60))
def test_every_group_has_its_share_of_any_number_of_steps(
    malignant: float, external: float, batch: int, steps: int
) -> None:
    order = Order(MALIGNANT_ROWS, malignant, batch, 1, EXTERNAL_ROWS, external)
    rows = order.rows(0, steps)
    np.testing.assert_array_equal(rows[1:], order.rows(1, steps - 1) if steps > 1 else rows[1:])
    external_count = EXTERNAL_ROWS[rows].sum()
    assert abs(external_count - external * batch * steps) <= 0.5 + 1e-6
    if malignant:
        for origin, count in ((EXTERNAL_ROWS, external_count), (~EXTERNAL_ROWS, rows.size - external_count)):
            assert abs((origin & MALIGNANT_ROWS)[rows].sum() - malignant * count) <= 0.5 + 1e-6


@pytest.mark.parametrize(("malignant", "external", "groups"), [(0, 0, 1), (0.5, 0, 2), (0, 0.5, 2), (0.5, 0.5, 4)])
def test_every_row_is_in_one_group(malignant: float, external: float, groups: int) -> None:
    order = Order(MALIGNANT_ROWS, malignant, 4, 0, EXTERNAL_ROWS, external)
    members = {group: order.members(group).tolist() for group in GROUPS}
    assert sorted(chain.from_iterable(members.values())) == list(range(10))
    assert sum(map(bool, members.values())) == groups
    if groups == 4:
        assert members[MALIGNANT + EXTERNAL] == [5]


def test_the_positions_of_malignant_rows_differ_between_batches() -> None:
    classes = Order(MALIGNANT_ROWS, 0.5, 8, 0).groups(0, 20)
    assert (classes.sum(axis=1) == 4).all()
    assert len(np.unique(classes, axis=0)) > 10


def test_seeds_give_different_orders() -> None:
    first, second = (Order(MALIGNANT_ROWS, 0.0, 10, seed).rows(0, 1)[0].tolist() for seed in (0, 1))
    assert first != second


def test_without_a_share_all_rows_count_as_benign() -> None:
    order = Order(MALIGNANT_ROWS, 0.0, 4, 0)
    assert order.members(BENIGN).tolist() == list(range(10))
    assert order.count_before(MALIGNANT, 100) == 0


@pytest.mark.parametrize(
    ("malignant", "share", "text"),
    [
        ([False, False], 0.5, "malignant_share = 0.5, but this fit has no malignant row among its 2 rows"),
        ([True, True], 0.5, "malignant_share = 0.5, but this fit has no benign row among its 2 rows"),
        ([], 0.0, "this fit has no training row among its 0 rows"),
    ],
)
def test_a_fit_without_rows_of_a_class_is_refused(malignant: list[bool], share: float, text: str) -> None:
    with pytest.raises(InputFault, match=text):
        Order(np.array(malignant, bool), share, 4, 0)


def test_an_external_share_without_external_rows_is_refused() -> None:
    text = "external_share = 0.25, but this fit has no external row among its 10 rows"
    with pytest.raises(InputFault, match=text):
        Order(MALIGNANT_ROWS, 0.0, 4, 0, np.zeros(10, bool), 0.25)
    text = "malignant_share = 0.5, external_share = 0.25, but this fit has no own malignant row among"
    with pytest.raises(InputFault, match=text):
        Order(MALIGNANT_ROWS & EXTERNAL_ROWS, 0.5, 4, 0, EXTERNAL_ROWS, 0.25)
