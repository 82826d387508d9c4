"""Tests of the section "Folds" of docs/field_inputs.md: columns that are to make the folds."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from tests.melstack.field_inputs.situation import Situation, check
from tests.melstack.field_inputs.small_tables import TRAIN, write_tables

HOSPITALS = ["Basel"] * 3 + ["Vienna"] * 3 + ["Athens"] * 6
PATIENTS = TRAIN["patient_id"]


def folds(
    values: Sequence[object], patients: Sequence[object] = PATIENTS, way: str = "by", option: str = "hospital"
) -> Situation:
    """Return tables with a column ``hospital``, and the command that makes folds by the column ``option``."""
    return Situation(
        lambda folder: write_tables(folder, {"hospital": values, "patient_id": patients}),
        lambda data, run: ["cases", "--data", data, "--run", run, f"--folds-{way}", option],
    )


SITUATIONS = {
    "folds_by_hospital": folds(HOSPITALS),
    "folds_by_spellings": folds(["Basel", "BASEL", " basel ", *HOSPITALS[3:]]),
    "folds_by_patient_in_two": folds(HOSPITALS, ["IP_001", *PATIENTS[1:3], "IP_001", *PATIENTS[4:]]),
    "folds_by_patients_in_all": folds(
        HOSPITALS, ["IP_001", "IP_002", "IP_003", "IP_001", "IP_002", "IP_005", "IP_002", *PATIENTS[7:]]
    ),
    "folds_by_missing": folds([None, "unknown", *HOSPITALS[2:]]),
    "folds_by_one_value": folds(["Basel"] * 12),
    "folds_by_many_values": folds([f"h{number}" for number in range(12)]),
    "folds_by_no_column": folds(HOSPITALS, option="hospitl"),
    "folds_by_no_malignant": folds(["Athens", "Basel", "Basel", *HOSPITALS[3:]]),
    "folds_by_time_years": folds([2017] * 3 + [2018] * 3 + [2019] * 6, way="by-time"),
    "folds_by_time_words": folds(["spring", *["2018"] * 5, *["2019"] * 6], way="by-time"),
    "folds_by_time_one": folds([2017] * 12, way="by-time"),
}
EXPECTED = {
    "folds_by_hospital": [1] * 3 + [2] * 3 + [0] * 6,
    "folds_by_spellings": [1] * 3 + [2] * 3 + [0] * 6,
    "folds_by_patient_in_two": [1] * 6 + [0] * 6,
    "folds_by_time_years": [0] * 3 + [1] * 3 + [2] * 6,
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_column_makes_the_folds_or_is_refused(name: str, tmp_path: Path) -> None:
    if check(name, SITUATIONS, tmp_path).code:
        assert not (tmp_path / "run" / "cases.json").exists()
        return
    cases = pd.read_parquet(tmp_path / "run" / "cases.parquet")
    assert cases["fold"].tolist() == [*EXPECTED[name], -1, -1]
