"""Tests of patients.py and patient_groups.py: which rows are one patient, in train, test and external folders."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.cases.case_table import read_cases
from features.cases.new_cases import read_new_cases
from features.cases.patient_groups import large_patients
from features.cases.patients import patient_keys
from features.folder.data_folder import DataFolder
from features.folder.layout import Request
from runtime.errors import InputFault
from tests.features.small_clinic import HEADER, draw_picture, edit_file

Row = tuple[str, str, int]  # image_name, patient_id, target


def write_folder(folder: Path, rows: list[Row], lesions: dict[str, str] | None = None, name: str = "train.csv") -> Path:
    """Write a table, and a picture per case, into ``folder``; ``lesions`` adds the column lesion_id."""
    folder.mkdir(exist_ok=True)
    header = HEADER if lesions is None else f"{HEADER},lesion_id"
    lines = [f'{case},"{patient}",male,45,torso,,,{target}' for case, patient, target in rows]
    if lesions is not None:
        lines = [f"{line},{lesions.get(case, '')}" for line, (case, *_) in zip(lines, rows, strict=True)]
    (folder / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder


def tables_only(folder: Path, train: list[Row], test: list[Row], lesions: dict[str, str] | None = None) -> Path:
    write_folder(folder, train, lesions)
    return write_folder(folder, test, lesions, "test.csv")


OTHERS: list[Row] = [("o1", "IP_8", 1), ("o2", "IP_8", 0), ("o3", "IP_9", 1), ("o4", "IP_9", 0)]
TEST: list[Row] = [("t1", "IQ_1", 0)]


def patients_of(data: Path, notes: list[str] | None = None, extra: tuple[Path, ...] = ()) -> dict[str, str]:
    cases = read_cases(Request(data, folds=2, extra=extra), notes)
    assert cases.loc[cases["role"] == "train"].groupby("patient_id")["fold"].nunique().max() == 1
    return dict(cases["patient_id"])


def test_ids_of_several_types_have_one_key() -> None:
    values = [1, 1.0, "1", " 1.0 ", "IP_1", "ip_1", "e\u0301", "\u00e9", "\uff11", "01", "IP-1"]
    assert patient_keys(values).tolist() == ["1"] * 4 + ["ip_1"] * 2 + ["\u00e9"] * 2 + ["1", "01", "ip-1"]


def test_words_for_a_missing_patient_have_no_key() -> None:
    words = [None, np.nan, "", " ", "unknown", "N.A.", "?", "-1", -1, -1.0, "NaN", "none", "NULL", "-"]
    assert patient_keys(words).tolist() == [None] * len(words)


@pytest.mark.parametrize("other", ["ip_7", "IP_7 ", "\uff29P_7"])
def test_spellings_of_one_id_are_one_patient_under_the_first_spelling(tmp_path: Path, other: str) -> None:
    rows: list[Row] = [("a", "IP_7", 1), ("b", other, 0)]
    notes: list[str] = []
    patients = patients_of(tables_only(tmp_path, rows + OTHERS, TEST), notes)
    assert patients["a"] == patients["b"] == "IP_7"
    assert any("several spellings" in note or "blanks around patient_id" in note for note in notes)


def test_a_number_and_the_same_with_a_point_are_one_patient(tmp_path: Path) -> None:
    rows: list[Row] = [("a", "1.0", 1), ("b", "1", 0), ("c", "2.0", 1), ("d", "2.0", 0)]
    notes: list[str] = []
    patients = patients_of(tables_only(tmp_path, rows, TEST), notes)
    assert patients == {"a": "1.0", "b": "1.0", "c": "2.0", "d": "2.0", "t1": "IQ_1"}
    assert "patient_id: 1 patient in several spellings, each read as one patient, in 2 rows: '1.0' and '1'" in notes


def test_a_patient_of_train_and_test_is_named_in_both_spellings(tmp_path: Path) -> None:
    rows: list[Row] = [("a", "0.0", 1), ("b", "0.0", 0), ("c", "1.0", 1), ("d", "1.0", 0)]
    with pytest.raises(InputFault, match=r"both train and test; found 2 \('0.0' in train, '0' in test, '1.0' in train"):
        patients_of(tables_only(tmp_path, rows, [("t1", "0", 0), ("t2", "1", 0)]))


@pytest.mark.parametrize(("one", "other"), [("01", "1"), ("IP-1", "IP_1"), ("IP 1", "IP1"), ("p.01", "p.1")])
def test_zeros_and_punctuation_keep_patients_apart_with_a_warning(tmp_path: Path, one: str, other: str) -> None:
    notes: list[str] = []
    patients = patients_of(tables_only(tmp_path, [("a", one, 1), ("b", other, 0), *OTHERS], TEST), notes)
    assert (patients["a"], patients["b"]) == (one, other)
    rule = "differ only in leading zeros or punctuation are different patients"
    assert any(note.startswith("warning: ") and rule in note and f"'{one}' and '{other}'" in note for note in notes)


def test_ids_that_differ_in_more_than_punctuation_are_no_twins(tmp_path: Path) -> None:
    notes: list[str] = []
    patients_of(tables_only(tmp_path, [("a", "1-2", 1), ("b", "12", 0), *OTHERS], TEST), notes)
    assert not [note for note in notes if "leading zeros" in note]


@pytest.mark.parametrize("word", ["unknown", "n.a.", "?", "-1", "-1.0", "none", "null", "-", "", "Unknown "])
def test_cases_without_a_patient_are_patients_of_their_own(tmp_path: Path, word: str) -> None:
    notes: list[str] = []
    patients = patients_of(tables_only(tmp_path, [("a", word, 1), ("b", word, 0), *OTHERS], TEST), notes)
    assert (patients["a"], patients["b"]) == ("a", "b")
    assert any("train.csv: patient_id is missing in 2 rows" in note for note in notes)


def test_zero_is_a_filler_among_words_and_a_patient_among_numbers(tmp_path: Path) -> None:
    notes: list[str] = []
    patients = patients_of(tables_only(tmp_path, [("a", "0", 1), ("b", "0", 0), *OTHERS], TEST), notes)
    assert (patients["a"], patients["b"]) == ("a", "b")
    assert any("patient_id '0' in 2 rows is a filler, not a patient" in note for note in notes)
    rows: list[Row] = [("a", "0", 1), ("b", "0", 0), ("c", "1", 1), ("d", "2", 0)]
    assert patients_of(tables_only(tmp_path, rows, [("t1", "3", 0)]))["b"] == "0"


def test_zero_with_far_more_rows_than_any_other_number_is_a_filler(tmp_path: Path) -> None:
    rows: list[Row] = [(f"z{number}", "0", number % 2) for number in range(20)]
    rows += [("c", "1", 1), ("d", "1", 0), ("e", "2", 1), ("f", "2", 0)]
    patients = patients_of(tables_only(tmp_path, rows, [("t1", "3", 0)]))
    assert patients["z0"] == "z0"
    assert patients["c"] == "1"


def test_cases_without_a_patient_are_grouped_by_lesion(tmp_path: Path) -> None:
    rows: list[Row] = [("a", "", 1), ("b", "", 1), ("c", "", 0), ("d", "", 0), ("e", "IP_7", 0)]
    lesions = {"a": "L1", "b": "l1", "d": "L2", "e": "L2"}
    notes: list[str] = []
    patients = patients_of(tables_only(tmp_path, rows + OTHERS, TEST, lesions), notes)
    assert [patients[case] for case in "abcde"] == ["L1", "L1", "c", "IP_7", "IP_7"]
    assert any("these cases are grouped by lesion_id instead" in note for note in notes)


def test_a_lesion_with_the_id_of_a_patient_is_not_that_patient(tmp_path: Path) -> None:
    rows: list[Row] = [("a", "", 1), ("b", "", 0)]
    patients = patients_of(tables_only(tmp_path, rows + OTHERS, TEST, {"a": "IP_8", "b": "IP_8"}))
    assert patients["a"] == patients["b"] == "lesion:IP_8"


def test_a_lesion_in_train_and_test_is_refused(tmp_path: Path) -> None:
    data = tables_only(tmp_path, [("a", "", 1), *OTHERS], [("t1", "", 0)], {"a": "L1", "t1": "L1"})
    with pytest.raises(InputFault, match=r"must not be in both train and test; found 1 \(L1\)"):
        patients_of(data)


def test_new_cases_are_grouped_by_the_same_rule(data: Path) -> None:
    edit_file("t1,q1", "t1,Q1 ", "test.csv")(data)
    assert read_new_cases(DataFolder.open(data))["patient_id"].tolist() == ["Q1", "Q1"]
    edit_file("q1", "unknown", "test.csv")(data)
    edit_file("Q1 ", "-1", "test.csv")(data)
    assert read_new_cases(DataFolder.open(data))["patient_id"].tolist() == ["t1", "t2"]


def with_pictures(folder: Path, rows: list[Row], seed: int = 100) -> Path:
    for number, (case, *_) in enumerate(rows):
        draw_picture(folder / "jpeg" / f"{case}.jpg", seed=seed + number)
    return write_folder(folder, rows)


def test_external_cases_follow_the_fold_of_a_training_patient_or_are_left_out(data: Path, tmp_path: Path) -> None:
    rows: list[Row] = [("e1", "P1", 1), ("e2", "p2 ", 0), ("e3", "q1", 0), ("e4", "X", 1), ("e5", "-1", 0)]
    ham, bcn = with_pictures(tmp_path / "ham", rows), with_pictures(tmp_path / "bcn", [("f1", "x", 1)], 200)
    notes: list[str] = []
    cases = read_cases(Request(data, folds=2, extra=(ham, bcn)), notes)
    assert "e3" not in cases.index
    extra = cases[cases["role"] == "extra"]
    assert dict(extra["patient_id"]) == {"e1": "p1", "e2": "p2", "e4": "extra:X", "e5": "extra:e5", "f1": "extra:X"}
    assert extra["fold"].tolist() == [cases.loc["a1", "fold"], cases.loc["b1", "fold"], -1, -1, -1]
    text = "\n".join(notes)
    assert "extra: 2 cases of 2 patients of train, left out of the training of the fold" in text
    assert "extra: 1 case of 1 patient of test, left out because their patient is predicted: 1 (e3)" in text


def test_a_patient_with_many_rows_is_named() -> None:
    patients = ["big"] * 6 + [f"p{number}" for number in range(9)]
    cases = pd.DataFrame({"role": "train", "patient_id": patients, "fold": [0] * 6 + [1] * 9})
    (sentence,) = large_patients(cases)
    assert sentence.startswith("warning: patients with many rows: 'big' holds 40% of the rows of train")
    assert large_patients(cases.assign(patient_id=[f"p{number // 3}" for number in range(15)])) == []


def test_the_message_says_when_patients_are_one_because_of_their_pictures(data: Path) -> None:
    pairs = pd.DataFrame({"first": ["a1"], "second": ["b1"]})
    with pytest.raises(
        InputFault, match=r"found 1; 2 patients in 1 group share a fold because .* same lesion; use fewer"
    ):
        read_cases(Request(data, folds=2), pairs_of=lambda cases: pairs)
