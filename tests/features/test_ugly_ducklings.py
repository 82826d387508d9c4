"""Tests of ugly_ducklings.py: which lesions are ugly ducklings, and which cannot be compared."""

import numpy as np
import pandas as pd

from features.ugly_ducklings import duckling_distance, ugly_ducklings, ugly_limit


def distances_and_patients() -> tuple[pd.Series, pd.Series]:
    names = [f"c{i}" for i in range(202)]
    distance = pd.Series(np.linspace(0.5, 2.0, 202), index=names)
    return distance, pd.Series([f"p{i // 10}" for i in range(200)] + ["pair", "pair"], index=names)


def test_ugly_ducklings_are_five_percent_of_the_comparable_lesions():
    distance, patients = distances_and_patients()
    is_ugly = ugly_ducklings(distance, patients, ugly_limit(distance, patients))
    assert is_ugly.sum() == 10
    assert not is_ugly[["c200", "c201"]].any()  # the farthest of all, but their patient has only two pictures


def test_the_limit_of_a_run_applies_to_new_patients():
    limit = ugly_limit(*distances_and_patients())
    new = pd.Series([0.9, 1.0, 1.95], index=["a", "b", "c"])
    assert ugly_ducklings(new, pd.Series("new", index=new.index), limit).to_list() == [False, False, True]
    assert not ugly_ducklings(new[1:], pd.Series("new", index=new.index), limit).any()


def test_equal_lesions_have_no_ugly_duckling():
    distance = pd.Series(1.0, index=["a", "b", "c"])
    patients = pd.Series("p", index=distance.index)
    assert ugly_limit(distance, patients) == 1.0
    assert not ugly_ducklings(distance, patients, 1.0).any()


def test_without_comparable_lesions_the_limit_is_nan_and_none_is_ugly():
    distance = pd.Series([1.0, 3.0], index=["a", "b"])
    patients = pd.Series("p", index=distance.index)
    assert np.isnan(ugly_limit(distance, patients))
    assert not ugly_ducklings(distance, patients, np.nan).any()


def test_the_distance_is_the_mean_of_the_networks_ratios():
    block = pd.DataFrame({"a_distance_ratio": [1.0, 2.0], "b_distance_ratio": [3.0, 4.0], "a_cosine_distance": 9.0})
    assert duckling_distance(block).to_list() == [2.0, 3.0]
