"""Tests of the drift of input columns and of the precision that a wished-for interval takes."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from melstack.bundle.reference import summarise_column
from melstack.validation.drift import column_distance, drift_table, unusual_share
from melstack.validation.precision import precision_table


def distance(first: pd.Series, second: pd.Series) -> float:
    return column_distance(summarise_column(first), summarise_column(second))


def test_the_distance_of_numbers_is_that_of_kolmogorov_and_smirnov() -> None:
    random = np.random.default_rng(0)
    for shift in (0.0, 0.3, 2.0):
        first, second = pd.Series(random.normal(size=4000)), pd.Series(random.normal(shift, 1, 3000))
        assert distance(first, second) == pytest.approx(ks_2samp(first, second).statistic, abs=0.015)


def test_whole_numbers_and_constants_have_an_exact_distance() -> None:
    one_to_four = pd.Series([1.0, 2.0, 3.0, 4.0] * 200)
    assert distance(one_to_four, one_to_four) == pytest.approx(0, abs=0.02)
    assert distance(one_to_four, pd.Series([4.0] * 300)) == pytest.approx(0.75, abs=0.02)
    assert distance(pd.Series([512.0] * 9), pd.Series([144.0] * 5)) == 1
    assert distance(pd.Series([512.0] * 9), pd.Series([512.0] * 5)) == 0


def test_missing_values_are_a_value_of_their_own() -> None:
    full, half = pd.Series(["a"] * 10), pd.Series(["a", None] * 5)
    assert distance(full, half) == pytest.approx(0.5)
    numbers = pd.Series([1.0, 2.0] * 10)
    assert distance(numbers, pd.Series([np.nan] * 20)) == 1


def test_the_distance_of_texts_is_the_total_variation() -> None:
    first, second = pd.Series(["a"] * 6 + ["b"] * 4), pd.Series(["a"] * 2 + ["c"] * 8)
    assert distance(first, second) == pytest.approx((0.4 + 0.4 + 0.8) / 2)


def test_columns_that_did_not_change_are_not_marked_and_the_changed_one_comes_first() -> None:
    random = np.random.default_rng(1)
    training = pd.DataFrame(random.normal(size=(2000, 3)), columns=["pictures.a", "pictures.b", "metadata.c"])
    here = pd.DataFrame(random.normal(size=(800, 3)), columns=training.columns)
    here["pictures.b"] += 1
    columns = {str(name): summarise_column(values) for name, values in training.items()}
    table = drift_table(columns, len(training), here)
    assert table["column"].tolist()[0] == "b"
    assert table["drifts"].tolist() == [True, False, False]


def test_the_share_of_unusual_pictures_is_unknown_without_a_network() -> None:
    assert unusual_share(pd.Series([0.99, 0.5, 0.97, 0.2])) == 0.5
    assert np.isnan(unusual_share(pd.Series([np.nan, np.nan])))


def test_a_width_that_is_smaller_takes_the_square_of_cases() -> None:
    measures = pd.DataFrame(
        {"metric": ["auc", "observed_expected"], "value": [0.8, 2.0], "low": [0.75, 1.6], "high": [1.0, 2.4]}
    )
    table = precision_table(measures, 100, 20).set_index("metric")
    assert table.loc["auc", ["cases_needed", "malignant_needed"]].tolist() == [625, 125]
    assert table.loc["observed_expected", "width"] == pytest.approx(0.4)  # relative to its value
    assert pd.isna(table.loc["slope", "cases_needed"])
    assert precision_table(measures, 100, 20, auc_width=0.25).set_index("metric").loc["auc", "cases_needed"] == 100
