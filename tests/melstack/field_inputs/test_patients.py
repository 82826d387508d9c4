"""Tests of the section "Patients" of docs/field_inputs.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from tests.melstack.field_inputs.situation import Situation, check
from tests.melstack.field_inputs.small_tables import TRAIN, write_external, write_tables


def patients(
    changes: Mapping[int, str], test: Sequence[str] | None = None, lesions: Mapping[int, str] | None = None
) -> Situation:
    """Return tables in which the rows ``changes`` have other patients, and perhaps lesions."""
    train = {"patient_id": _with(TRAIN["patient_id"], changes)}
    if lesions is not None:
        train["lesion_id"] = _with([None] * 12, lesions)
    return Situation(
        lambda folder: write_tables(folder, train, {"patient_id": test} if test else None),
        lambda data, run: ["cases", "--data", data, "--run", run, "--folds", 2],
    )


def _with(values: Sequence[object], changes: Mapping[int, str]) -> list[object]:
    return [changes.get(row, value) for row, value in enumerate(values)]


def numbers(*first: str, test: Sequence[str] = ("90", "91")) -> Situation:
    """Return tables whose patients are ``first`` and then numbers."""
    return patients({row: (*first, *map(str, range(20, 32)))[row] for row in range(12)}, test)


def external(*folders: Sequence[str]) -> Situation:
    def write(data: Path) -> None:
        write_tables(data)
        for number, ids in enumerate(folders):
            write_external(data.parent / f"set{number}", ids, "ef"[number])

    def words(data: Path, run: Path) -> list[object]:
        names = " ".join(str(data.parent / f"set{number}") for number in range(len(folders)))
        return ["cases", "--data", data, "--run", run, "--folds", 2, "--extra", names]

    return Situation(write, words)


SITUATIONS = {
    "patient_other_case": patients({0: "IP_050", 1: "ip_050"}),
    "patient_blanks": patients({0: "IP_050", 1: " IP_050 "}),
    "patient_unicode": patients({0: "Andr\u00e9 1", 1: "Andre\u0301 1", 2: "\uff21ndr\u00e9 1"}),
    "patient_number_with_point": numbers("7", "7.0"),
    "patient_float_in_train_int_in_test": numbers("1.0", "2.0", test=("1", "2")),
    "patient_case_in_train_and_test": patients({0: "IP_050"}, ["ip_050", "IQ_002"]),
    "patient_leading_zero_twins": numbers("01", "1"),
    "patient_thousands": numbers("1,000", "1000", "1"),
    "patient_punctuation_twins": patients({0: "IP-1", 1: "IP_1", 2: "IP1"}),
    "patient_twins_in_train_and_test": patients({0: "IP-50"}, ["IP_50", "IQ_002"]),
    "patient_unknown": patients(dict.fromkeys(range(6), "unknown")),
    "patient_na": patients({0: "n.a.", 1: "N.A."}),
    "patient_not_recorded": patients({0: "not recorded", 1: "No patient"}),
    "patient_question_mark": patients({0: "?", 1: "?"}),
    "patient_minus_one": patients({0: "-1", 1: "-1"}),
    "patient_empty": patients({0: "", 1: ""}),
    "patient_zero_among_words": patients({0: "0", 1: "0", 2: "0"}),
    "patient_zero_among_numbers": numbers("0", "1", "2", "3"),
    "patient_missing_lesion": patients({0: "", 1: "", 2: ""}, lesions={0: "L1", 1: "L1"}),
    "patient_large": patients(dict.fromkeys(range(5), "IP_000")),
    "patient_constant": patients(dict.fromkeys(range(12), "clinic")),
    "external_patient_of_train": external(["IP_003", "ip_003", "X1"]),
    "external_patient_of_test": external(["IQ_001", "X1"]),
    "external_minus_one": external(["-1", "-1"]),
    "external_patient_in_two_folders": external(["X1", "X2"], ["x1"]),
}
# Situation -> the patients of the first training cases and of all external ones.
PATIENTS = {
    "patient_other_case": ["IP_050", "IP_050"],
    "patient_blanks": ["IP_050", "IP_050"],
    "patient_unicode": ["Andr\u00e9 1"] * 3,
    "patient_number_with_point": ["7", "7"],
    "patient_leading_zero_twins": ["01", "1"],
    "patient_punctuation_twins": ["IP-1", "IP_1", "IP1"],
    "patient_unknown": ["a00", "a01"],
    "patient_minus_one": ["a00", "a01"],
    "patient_zero_among_words": ["a00", "a01", "a02"],
    "patient_zero_among_numbers": ["0", "1"],
    "patient_missing_lesion": ["L1", "L1", "a02"],
}
EXTERNAL = {
    "external_patient_of_train": ["IP_003", "IP_003", "extra:X1"],
    "external_patient_of_test": ["extra:X1"],
    "external_minus_one": ["extra:e0", "extra:e1"],
    "external_patient_in_two_folders": ["extra:X1", "extra:X2", "extra:X1"],
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_patients_are_told_apart_by_one_rule(name: str, tmp_path: Path) -> None:
    if check(name, SITUATIONS, tmp_path).code:
        return
    cases = pd.read_parquet(tmp_path / "run" / "cases.parquet")
    expected = PATIENTS.get(name, [])
    assert cases["patient_id"].tolist()[: len(expected)] == expected
    assert cases.loc[cases["role"] == "extra", "patient_id"].tolist() == EXTERNAL.get(name, [])
    assert cases[cases["role"] != "test"].groupby("patient_id")["fold"].nunique().max() == 1
