"""Tests of by_value.py: each fold is one value of a column or several, and no patient or value is in two folds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cases.fold_design.by_value import NamedFolds, check_values, folds_by_value
from runtime.errors import InputFault

HOSPITALS = ("Vienna", "Basel", "Athens")


def clinic(
    hospitals: tuple[object, ...] = HOSPITALS, patients: int = 6, name: str = "hospital"
) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return hospital, patient and target of two cases, benign and malignant, of each patient of each hospital."""
    rows = [(h, f"{h}-{p}", float(t)) for h in hospitals for p in range(patients) for t in (0, 1)]
    table = pd.DataFrame(rows, columns=[name, "patient", "target"])
    table.index = pd.Index([f"c{number}" for number in range(len(table))])
    return table[name].astype(object), table["patient"], table["target"]


def divide(values: pd.Series, patients: pd.Series, target: pd.Series, count: int = 5) -> NamedFolds:
    return folds_by_value(values, patients, target, count=count, seed=0)


def test_every_hospital_is_a_fold_with_its_name() -> None:
    values, patients, target = clinic()
    division = divide(values, patients, target)
    assert division.names == ("Athens", "Basel", "Vienna")
    assert [division.names[number] for number in division.fold] == values.tolist()
    assert division.fold.dtype == np.int8
    assert division.notes == ("folds by hospital (cases/malignant): 0: Athens 12/6; 1: Basel 12/6; 2: Vienna 12/6",)


def test_spellings_of_a_hospital_are_one_value() -> None:
    values, patients, target = clinic()
    values = values.where(~values.index.isin(["c0", "c3"]), " VIENNA ")
    assert divide(values, patients, target).fold.nunique() == 3
    numbers, patients, target = clinic((10, 9, 2))
    division = divide(numbers.where(numbers.index != "c0", "10.0"), patients, target)
    assert division.names == ("2", "9", "10.0")


def test_more_hospitals_than_folds_are_joined_and_the_option_for_one_each_is_named() -> None:
    division = divide(*clinic(tuple(f"h{number}" for number in range(7))), count=3)
    assert division.fold.nunique() == 3
    assert sorted(" and ".join(division.names).split(" and ")) == [f"h{number}" for number in range(7)]
    assert division.notes[1] == "folds by hospital: 7 values in 3 folds; --folds 7 leaves out one at a time"


def test_hospitals_of_one_patient_share_a_fold_and_the_patient_is_named() -> None:
    values, patients, target = clinic()
    patients = patients.replace({"Basel-0": "Vienna-0"})
    division = divide(values, patients, target)
    assert division.names == ("Athens", "Basel and Vienna")
    assert division.fold.groupby(patients).nunique().max() == 1
    assert division.notes[1] == (
        "warning: folds by hospital: patients with cases of several values: 1 (Vienna-0); values that share a fold "
        "because of them: Basel and Vienna"
    )


def test_patients_who_connect_all_hospitals_are_refused_by_name() -> None:
    values, patients, target = clinic()
    patients = patients.replace({"Basel-0": "Vienna-0", "Athens-1": "Vienna-1"})
    with pytest.raises(InputFault, match=r"several values: 2 \(Vienna-0, Vienna-1\); they connect all 3 values"):
        divide(values, patients, target)


@pytest.mark.parametrize(
    ("hospitals", "patients", "message"),
    [
        (("Vienna",), 6, "hospital has 1 value; folds need at least 2"),
        (HOSPITALS, 1, "hospital has 3 values for 3 patients: these would be folds by patient, which are the default"),
        ((*HOSPITALS, "unknown"), 6, r"hospital is missing in training cases: 12 \(c36, .*\) of 48; fill it in"),
        ((*HOSPITALS, None), 6, r"hospital is missing in training cases: 12 \(c36, .*\) of 48"),
    ],
)
def test_a_column_that_cannot_make_folds_is_refused(hospitals: tuple[object, ...], patients: int, message: str) -> None:
    values, people, _ = clinic(hospitals, patients)
    with pytest.raises(InputFault, match=message):
        check_values(values, people)


@pytest.mark.parametrize(("label", "word"), [(0.0, "malignant"), (1.0, "benign")])
def test_a_hospital_that_lacks_a_class_is_refused_by_name(label: float, word: str) -> None:
    values, patients, target = clinic()
    target = target.where(values != "Basel", label)
    with pytest.raises(InputFault, match=f"(?s)use fewer folds.*Basel has no {word} case among 12"):
        divide(values, patients, target)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 6))
def test_no_patient_and_no_hospital_spans_two_folds(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    home = rng.integers(0, 12, 100)  # the hospital of every patient
    owner = rng.integers(0, 100, 600)
    hospital = np.where(rng.random(600) < 0.003, rng.integers(0, 12, 600), home[owner])
    patients, values = pd.Series(owner), pd.Series(hospital, name="hospital", dtype=object)
    try:
        division = divide(values, patients, pd.Series((rng.random(600) < 0.4).astype(float)), count)
    except InputFault:  # a fold lacks a class, or patients connect everything
        return
    assert division.fold.groupby(patients).nunique().max() == 1
    assert division.fold.groupby(values.astype(str)).nunique().max() == 1
    assert sorted(division.fold.unique()) == list(range(len(division.names)))
    assert len(division.names) <= count
