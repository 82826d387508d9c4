"""Tests of by_time.py: folds are blocks of time, no time is divided, and what trains for the last block is earlier."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.cases.fold_design.by_time import folds_by_time
from runtime.errors import InputFault


def visits(times: list[object], name: str = "visit") -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return time, patient and target of two cases, benign and malignant, of a patient at each time."""
    index = pd.Index([f"c{number}" for number in range(2 * len(times))])
    patients = pd.Series(np.repeat([f"p{number}" for number in range(len(times))], 2), index=index)
    values = pd.Series(np.repeat(np.array(times, dtype=object), 2), index=index, name=name)
    return values, patients, pd.Series([0.0, 1.0] * len(times), index=index)


def test_years_are_blocks_from_the_earliest_to_the_latest() -> None:
    division = folds_by_time(*visits([2019, 2017, "2018", 2017.0]), count=5)
    assert division.names == ("2017", "2018", "2019")
    assert division.fold.tolist() == [2, 2, 0, 0, 1, 1, 0, 0]
    assert division.notes == (
        "folds by time, visit (cases/malignant): 0: 2017 4/2; 1: 2018 2/1; 2: 2019 2/1",
        "only the last block, 2019, is predicted by models of earlier cases alone; every other block is predicted by "
        "models of earlier and later cases",
    )


def test_many_dates_give_blocks_of_similar_size() -> None:
    dates = [f"2019-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 26)]
    division = folds_by_time(*visits(list(dates)), count=5)
    assert division.fold.value_counts().tolist() == [120] * 5
    assert division.names[0] == "2019-01-01 to 2019-03-10"


def test_all_cases_of_a_patient_are_in_the_block_of_the_latest() -> None:
    values, patients, target = visits([2017, 2018, 2019, 2017])
    values["c0"] = 2019
    division = folds_by_time(values, patients, target, count=3)
    assert division.fold[patients == "p0"].tolist() == [2, 2]
    assert division.names == ("2017", "2018", "2019")
    assert division.notes[-1].startswith("folds by time: patients with cases in several blocks: 1 (p0); all cases")


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 6))
def test_what_trains_for_the_last_block_is_earlier_than_its_start(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    patients = pd.Series(rng.integers(0, 60, 400))
    values = pd.Series(rng.integers(1990, 2020, 400), name="year")
    try:
        fold = folds_by_time(values, patients, pd.Series((rng.random(400) < 0.5).astype(float)), count=count).fold
    except InputFault:  # a block lacks a class
        return
    last = fold == fold.max()
    start = values.groupby(patients).max()[patients[last]].min()
    assert values[~last].max() < start
    assert fold.groupby(patients).nunique().max() == 1


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([2019, 2019], "visit has one time for all patients"),
        ([2019, None, "unknown"], r"visit is missing in training cases: 4 \(c2, c3, c4, c5\) of 6"),
        ([2019, "spring", 57], r"must be a date such as 2019-12-31; .*; found 2 \(spring, 57\)"),
        (["05/06/2019", "2018"], r"found 1 \(05/06/2019\)"),
    ],
)
def test_times_that_cannot_make_folds_are_refused(times: list[object], message: str) -> None:
    with pytest.raises(InputFault, match=message):
        folds_by_time(*visits(times), count=3)


def test_a_block_without_a_malignant_case_is_refused_with_its_time() -> None:
    values, patients, target = visits([2017, 2018, 2019])
    with pytest.raises(InputFault, match="2018 has no malignant case among 2"):
        folds_by_time(values, patients, target.where(values != 2018, 0.0), count=3)
