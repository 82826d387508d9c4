"""Tests of the pictures block: sizes, statistics, and z-scores within the patient."""

import numpy as np
import pandas as pd
import pytest

from features.blocks import Sources, build_block


def cases(**columns: list) -> pd.DataFrame:
    n = len(columns["patient_id"])
    return pd.DataFrame(columns, index=pd.Index([f"c{number}" for number in range(n)], name="image_name"))


def test_sizes_give_area_aspect_and_bytes_per_pixel():
    table = cases(patient_id=["p", "q"], width=[2000.0, np.nan], height=[1000.0, 10.0], file_bytes=[4e6, 5.0])
    frame = build_block("pictures", table, Sources())

    assert frame.loc["c0"].to_dict() == {
        "width": 2000,
        "height": 1000,
        "file_bytes": 4e6,
        "megapixels": 2,
        "aspect": 2,
        "bytes_per_pixel": 2,
    }
    assert frame.loc["c1"].isna().tolist() == [True, False, False, True, True, True]


def test_without_file_sizes_their_columns_are_left_out():
    table = cases(patient_id=["p"], width=[20.0], height=[10.0], file_bytes=[np.nan])

    assert build_block("pictures", table, Sources()).columns.tolist() == ["width", "height", "megapixels", "aspect"]


def test_a_size_of_zero_gives_no_infinite_value():
    table = cases(patient_id=["p", "p"], width=[20.0, 20.0], height=[0.0, 10.0], file_bytes=[9.0, 9.0])

    assert build_block("pictures", table, Sources())["bytes_per_pixel"].isna().tolist() == [True, False]


@pytest.mark.parametrize("columns", [{}, {"width": [np.nan] * 2, "height": [np.nan] * 2, "file_bytes": [np.nan] * 2}])
def test_without_sizes_and_statistics_the_block_has_rows_but_no_columns(columns: dict):
    assert build_block("pictures", cases(patient_id=["p", "q"], **columns), Sources()).shape == (2, 0)


def test_key_statistics_are_compared_within_the_patient():
    table = cases(patient_id=["p", "p", "q", "r", "r"])
    statistics = pd.DataFrame(
        {"lab_l_mean": [40.0, 60, 55, 70.0, 70.2], "entropy": [1.0, 2, 3, 4, 5]}, index=table.index
    )
    frame = build_block("pictures", table, Sources(statistics.iloc[::-1]))

    assert frame.columns.tolist() == ["lab_l_mean", "entropy", "lab_l_mean_z"]
    # r's pictures differ by less than the floor of 1.0, so their z-scores stay small; q has one picture.
    assert frame["lab_l_mean_z"].tolist() == pytest.approx([-1, 1, 0, -0.1, 0.1])


def test_a_picture_without_statistics_has_nan_and_does_not_affect_others():
    table = cases(patient_id=["p", "p", "p"])
    statistics = pd.DataFrame({"contrast": [0.1, 0.3]}, index=["c0", "c2"])
    frame = build_block("pictures", table, Sources(statistics))

    assert frame["contrast_z"].fillna(9).tolist() == pytest.approx([-1, 9, 1])
