"""Tests of Table 1: counts, shares and spreads of every group of cases, and standardised differences."""

import numpy as np
import pandas as pd
import pytest

from melstack.report.paper.baseline import baseline_table, standardised_difference
from tests.melstack.report.written_runs import cases_of


@pytest.fixture
def cases() -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = cases_of(
        80,
        20,
        sex=np.where(np.arange(100) % 3 == 0, "female", "male"),
        age_approx=random.normal(50, 12, 100).round(),
        width=600.0,
        diagnosis="nevus",
    )
    table.loc[table.index[:4], "age_approx"] = np.nan
    table.loc[table.index[:2], "sex"] = None
    return table


def cell(cases: pd.DataFrame, row: str, column: str) -> str:
    table = baseline_table(cases)
    names = [each[0].strip() for each in table.rows]
    return table.rows[names.index(row)][list(table.head).index(column)]


def test_counts_shares_and_means_are_those_of_the_cases(cases: pd.DataFrame) -> None:
    train, test = cases[:80], cases[80:]
    assert cell(cases, "Pictures", "Training") == "80"
    assert cell(cases, "Patients", "Test") == str(test["patient_id"].nunique())
    assert cell(cases, "Malignant pictures", "Training") == "20 (25.0 %)"
    assert cell(cases, "Malignant pictures", "Test") == "not known"
    female = int((train["sex"] == "female").sum())
    assert cell(cases, "female", "Training") == f"{female} ({100 * female / 80:.1f} %)"
    age = test["age_approx"]
    assert cell(cases, "Age, years, mean (SD)", "Test") == f"{age.mean():.1f} ({age.std():.1f})"
    assert cell(cases, "missing", "Training") == "2 (2.50 %)"  # of sex, the first column


def test_the_values_have_a_row_per_group_and_level_and_add_up(cases: pd.DataFrame) -> None:
    values = baseline_table(cases).values
    sex = values[values["characteristic"] == "sex"]
    assert sex.groupby("group")["count"].sum().to_dict() == {
        "Training": 80,
        "Training, benign": 60,
        "Training, malignant": 20,
        "Test": 20,
    }
    assert sex.groupby("group")["share"].sum().to_numpy() == pytest.approx(1, abs=1e-12)


def test_sizes_of_files_are_no_characteristic_and_the_diagnosis_is_the_last(cases: pd.DataFrame) -> None:
    names = [row[0] for row in baseline_table(cases).rows]
    assert "Picture width" not in names
    assert names.index("Diagnosis") > names.index("Sex")


def test_a_run_without_test_cases_has_no_column_for_them(cases: pd.DataFrame) -> None:
    assert list(baseline_table(cases[:80]).head) == ["", "Training", "Training, benign", "Training, malignant"]


def test_external_cases_have_a_column_per_source(cases: pd.DataFrame) -> None:
    external = cases[:10].assign(role="extra", source="ham10000").rename(index=lambda name: f"x{name}")
    head = baseline_table(pd.concat([cases, external])).head
    assert "External, ham10000" in head


def test_the_difference_of_numbers_is_cohens_d_with_the_mean_variance() -> None:
    a, b = pd.Series([1.0, 2.0, 3.0, np.nan]), pd.Series([4.0, 6.0, 8.0])
    assert standardised_difference(a, b) == pytest.approx((2 - 6) / np.sqrt((1 + 4) / 2), abs=1e-12)


def test_the_difference_of_two_categories_is_the_one_of_a_share() -> None:
    a, b = pd.Series(["x"] * 30 + ["y"] * 70), pd.Series(["x"] * 50 + ["y"] * 50)
    expected = abs(0.3 - 0.5) / np.sqrt((0.3 * 0.7 + 0.5 * 0.5) / 2)
    assert standardised_difference(a, b) == pytest.approx(expected, abs=1e-12)


def test_the_difference_of_three_categories_does_not_depend_on_their_order() -> None:
    a, b = pd.Series(list("xxxyyz")), pd.Series(list("xyyyzz"))
    other_names = [part.map({"x": "c", "y": "a", "z": "b"}) for part in (a, b)]
    assert standardised_difference(a, b) == pytest.approx(standardised_difference(*other_names), abs=1e-12)
    assert standardised_difference(a, a) == pytest.approx(0, abs=1e-12)


def test_columns_without_spread_or_values_have_no_difference() -> None:
    assert np.isnan(standardised_difference(pd.Series([1.0, 1.0]), pd.Series([2.0, 2.0])))
    assert np.isnan(standardised_difference(pd.Series([np.nan]), pd.Series([2.0])))
