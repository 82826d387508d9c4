"""Tests for ugly_ducklings.py: who stands apart, and who has nobody to stand apart from."""

import numpy as np
import pandas as pd

from features.ugly_ducklings import duckling_distance, ugly_ducklings, ugly_limit


def many() -> tuple[pd.Series, pd.Series]:
    names = [f"c{i}" for i in range(202)]
    distance = pd.Series(np.linspace(0.5, 2.0, 202), index=names)
    return distance, pd.Series([f"p{i // 10}" for i in range(200)] + ["pair", "pair"], index=names)


def test_ugly_ducklings_are_five_percent_of_those_with_others_to_compare():
    distance, patients = many()
    found = ugly_ducklings(distance, patients, ugly_limit(distance, patients))
    assert found.sum() == 10
    assert not found[["c200", "c201"]].any()  # the farthest of all, but of a patient with two pictures


def test_the_limit_of_a_run_holds_for_new_patients():
    limit = ugly_limit(*many())
    new = pd.Series([0.9, 1.0, 1.95], index=["a", "b", "c"])
    assert ugly_ducklings(new, pd.Series("new", index=new.index), limit).to_list() == [False, False, True]
    assert not ugly_ducklings(new[1:], pd.Series("new", index=new.index), limit).any()


def test_where_all_lesions_are_alike_none_is_ugly():
    distance = pd.Series(1.0, index=["a", "b", "c"])
    patients = pd.Series("p", index=distance.index)
    assert ugly_limit(distance, patients) == 1.0
    assert not ugly_ducklings(distance, patients, 1.0).any()


def test_without_anybody_to_compare_with_there_is_no_limit_and_none_is_ugly():
    distance = pd.Series([1.0, 3.0], index=["a", "b"])
    patients = pd.Series("p", index=distance.index)
    assert np.isnan(ugly_limit(distance, patients))
    assert not ugly_ducklings(distance, patients, np.nan).any()


def test_the_distance_is_the_mean_of_the_networks_ratios():
    block = pd.DataFrame({"a_distance_ratio": [1.0, 2.0], "b_distance_ratio": [3.0, 4.0], "a_cosine_distance": 9.0})
    assert duckling_distance(block).to_list() == [2.0, 3.0]
