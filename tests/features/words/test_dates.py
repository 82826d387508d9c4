"""Tests of dates.py and of dates in metadata: numbers of days, or refused, never texts."""

import pandas as pd
import pytest

from features.cases.metadata_values import repair_values
from features.words.dates import days_of, is_date
from runtime.errors import Faults


@pytest.mark.parametrize(
    "text",
    [
        "2019-12-31",
        "2019/12/31",
        "2019-12-31 10:22",
        "2019-12-31T10:22:00Z",
        "31/12/2019",
        "12/31/2019",
        "31.12.2019",
        "31-Dec-2019",
        "31 December 2019",
        "Dec 31, 2019",
    ],
)
def test_a_date_is_the_days_since_1970(text: str) -> None:
    assert days_of(text) == (pd.Timestamp("2019-12-31") - pd.Timestamp("1970-01-01")).days


@pytest.mark.parametrize("text", ["05/06/2019", "5-6-2019", "31/12/19", "2019-02-30", "2019-13-01"])
def test_a_date_with_two_meanings_or_none_is_refused(text: str) -> None:
    assert is_date(text)
    with pytest.raises(ValueError, match="a date such as 2019-12-31; write the year first"):
        days_of(text)


@pytest.mark.parametrize("text", ["2019", "torso", "1.5", "45-50", "10:22"])
def test_other_texts_are_no_dates(text: str) -> None:
    assert not is_date(text)


@pytest.mark.parametrize(
    "values",
    [["2019-12-31", None], [20191231.0, None], [pd.Timestamp("2019-12-31"), pd.NaT], ["31/12/2019", "unknown"]],
)
def test_a_column_of_dates_is_a_column_of_days(values: list[object]) -> None:
    notes: list[str] = []
    days = repair_values(pd.Series(values, index=["a", "b"]), "acquisition_date", "train.csv", Faults(), notes)
    assert days["a"] == 18261
    assert pd.isna(days["b"])
    assert "train.csv: acquisition_date: 1 date read as days since 1970-01-01" in notes[0]


def test_a_column_with_dates_and_texts_is_refused() -> None:
    faults = Faults()
    repair_values(pd.Series(["2019-12-31", "never"], index=["a", "b"]), "last_visit", "train.csv", faults, [])
    assert faults


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("85+", 85),
        (">85", 85),
        ("≥ 90", 90),
        ("90 and over", 90),
        ("80 years and older", 80),
        ("over 89", 89),
        ("40-45", 42.5),
        ("40 to 45", 42.5),
        ("[40, 44)", 42),
    ],
)
def test_a_top_coded_age_and_a_range_are_read_with_a_sentence(text: str, age: float) -> None:
    notes: list[str] = []
    assert repair_values(pd.Series([text, "50"], index=["a", "b"]), "age", "t", Faults(), notes).tolist() == [age, 50]
    assert f"t: age: read {text!r} as {float(age)!r} in 1 (a)" in notes
