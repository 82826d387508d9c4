"""Tests for patient_boards.py: which patients have a board, the order of its lesions, and the marks on it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melstack.report.galleries.patient_boards import check_patients, choose_patients, make_boards
from melstack.report.galleries.tiles import CaseResults
from runtime.errors import InputFault
from runtime.files import write_text
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import INDEX, write_table

SIZES = {"ill": 5, "sick": 4, "well": 6, "small": 2, "new": 4, "newer": 4}
TEST = ("new", "newer")
FIRST_RISK = {"ill": 0.6, "sick": 0.9, "well": 0.99, "small": 0.95, "new": 0.3, "newer": 0.5}


def cases_and_risk() -> tuple[pd.DataFrame, pd.Series]:
    patients = np.repeat(list(SIZES), list(SIZES.values()))
    names = pd.Index([f"{patient}_{number}" for number, patient in enumerate(patients)], name=INDEX)
    cases = pd.DataFrame({"patient_id": patients, "picture": "one.png"}, index=names)
    first = ~cases["patient_id"].duplicated()
    cases["target"] = (first & cases["patient_id"].isin(["ill", "sick", "small"])).astype(float)
    cases.loc[cases["patient_id"].isin(TEST), "target"] = np.nan
    cases["role"] = np.where(cases["patient_id"].isin(TEST), "test", "train")
    cases["fold"] = np.where(cases["role"] == "test", -1, 0).astype(np.int8)
    risk = pd.Series(np.linspace(0.1, 0.2, len(cases)), index=names)
    risk[first] = cases["patient_id"][first].map(FIRST_RISK)
    return cases, risk


@pytest.fixture
def results(tmp_path: Path) -> CaseResults:
    run, (cases, risk) = Run(tmp_path / "run"), cases_and_risk()
    Image.fromarray(np.full((300, 400, 3), 128, np.uint8)).save(tmp_path / "one.png")
    write_table(run.cases, cases)
    write_mark(run.cases_mark, {}, data=str(tmp_path))
    write_table(run.level2 / "default" / "predictions.parquet", risk.to_frame("probability"))
    write_text(run.level2 / "default" / "leaderboard.csv", "name,kind\n")
    return CaseResults(run, "default")


def test_patients_with_a_melanoma_and_test_patients_are_chosen_by_their_highest_risk():
    cases, risk = cases_and_risk()
    assert choose_patients(cases, risk) == ["sick", "ill", "newer", "new"]
    assert choose_patients(cases, risk, train=1, test=1) == ["sick", "newer"]


def test_a_board_shows_all_lesions_of_its_patient_from_the_highest_risk_down(results: CaseResults, tmp_path: Path):
    (board,) = make_boards(results, tmp_path / "out", ["ill"])
    assert board["title"] == "Patient ill: 5 lesions, sorted by risk"
    assert [item["image_name"] for item in board["items"]] == ["ill_0", "ill_4", "ill_3", "ill_2", "ill_1"]
    assert [item["malignant"] for item in board["items"]] == [True, False, False, False, False]
    with Image.open(tmp_path / "out" / board["items"][0]["picture"]) as tile:
        assert tile.size == (192, 144)


def test_a_test_case_has_no_label_and_no_ugly_duckling_mark_without_the_block(results: CaseResults, tmp_path: Path):
    (board,) = make_boards(results, tmp_path / "out", ["new"])
    assert {item["malignant"] for item in board["items"]} == {None}
    assert {item["ugly"] for item in board["items"]} == {item["distance"] for item in board["items"]} == {None}


def test_an_ugly_duckling_is_marked_on_its_board(results: CaseResults, tmp_path: Path):
    near = pd.Series(1.0, index=results.cases.index)
    near["well_11"] = 2.4
    table = pd.DataFrame({"a_distance_ratio": near, "b_distance_ratio": near + 0.2, "a_distance_rank": 0.5})
    write_table(results.run.blocks / "ugly_duckling.parquet", table)
    (board,) = make_boards(results, tmp_path / "out", ["well"])
    assert [item["image_name"] for item in board["items"] if item["ugly"]] == ["well_11"]
    assert next(item["distance"] for item in board["items"] if item["ugly"]) == pytest.approx(2.5)


def test_all_unknown_patients_are_named(results: CaseResults):
    with pytest.raises(InputFault, match=r"not in the run: 2 \(sik, nul\); its patients are 6 \(ill, new"):
        check_patients(results.cases, ["sik", "ill", "nul"])
