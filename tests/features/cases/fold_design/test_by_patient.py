"""Tests of by_patient.py: no patient in two folds, and folds that are similar."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cases.fold_design.by_patient import assign_folds, official_folds
from runtime.errors import InputFault


def cohort(patients: int, seed: int, prevalence: float = 0.2) -> tuple[pd.Series, pd.Series]:
    rng = np.random.default_rng(seed)
    sizes = 1 + rng.geometric(0.15, patients)
    owner = np.repeat([f"p{i}" for i in range(patients)], sizes)
    index = pd.Index([f"c{i}" for i in range(len(owner))], name="image_name")
    target = pd.Series((rng.random(len(owner)) < prevalence).astype(float), index=index)
    return pd.Series(owner, index=index), target


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 6))
def test_no_patient_spans_two_folds_and_every_case_has_one(seed: int, count: int) -> None:
    patients, target = cohort(80, seed)
    folds = assign_folds(patients, target, count=count, seed=seed)
    assert folds.groupby(patients).nunique().max() == 1
    assert sorted(folds.unique()) == list(range(count))
    assert folds.index.equals(patients.index)


def test_malignant_cases_cases_and_patients_are_spread_evenly() -> None:
    patients, target = cohort(400, 1, prevalence=0.05)
    folds = assign_folds(patients, target, count=5, seed=0)
    table = pd.DataFrame({"fold": folds, "target": target, "patient": patients}).groupby("fold")
    assert np.ptp(table["target"].sum()) <= 2
    assert np.ptp(table.size()) <= 0.02 * len(target)
    assert np.ptp(table["patient"].nunique()) <= 4


def test_pictures_per_patient_have_a_similar_distribution_in_every_fold() -> None:
    patients, target = cohort(400, 2)
    folds = assign_folds(patients, target, count=5, seed=0)
    per_patient = pd.DataFrame({"size": patients.groupby(patients).size(), "fold": folds.groupby(patients).first()})
    medians = per_patient.groupby("fold")["size"].median()
    assert np.ptp(medians) <= 1


def test_the_order_of_the_rows_does_not_matter() -> None:
    patients, target = cohort(60, 3)
    permutation = patients.sample(frac=1, random_state=0)
    folds = assign_folds(patients, target, count=4, seed=7)
    again = assign_folds(permutation, target[permutation.index], count=4, seed=7)
    pd.testing.assert_series_equal(again[folds.index], folds)


def test_too_few_malignant_patients_are_refused() -> None:
    index = pd.Index(list("abcd"), name="image_name")
    patients, target = pd.Series(list("wxyz"), index=index), pd.Series([1.0, 0, 0, 0], index=index)
    with pytest.raises(InputFault, match="3 folds need 3 patients with a malignant picture; found 1"):
        assign_folds(patients, target, count=3, seed=0)


def test_folds_follow_official_groups_and_dropped_duplicates_follow_their_patient() -> None:
    index = pd.Index(list("abcdefgh"), name="image_name")
    patients = pd.Series(["p", "p", "q", "q", "r", "r", "s", "s"], index=index)
    target = pd.Series([1.0, 0, 1, 0, 1, 0, 1, 0], index=index)
    groups = pd.Series([0, -1, 1, 1, 2, 2, 3, 3], index=index)
    folds = official_folds(groups, patients, target, count=2, seed=0)
    assert folds.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


def test_a_patient_in_two_official_groups_is_refused_by_name() -> None:
    index = pd.Index(list("ab"), name="image_name")
    patients, target = pd.Series(["p", "p"], index=index), pd.Series([1.0, 0], index=index)
    with pytest.raises(InputFault, match=r"every patient must be in one group; in two are 1 \(p\)"):
        official_folds(pd.Series([0, 1], index=index), patients, target, count=2, seed=0)
