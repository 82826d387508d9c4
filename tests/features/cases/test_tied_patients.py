"""Tests for tied_patients.py: who is tied to whom, and what the official list may look like."""

from pathlib import Path

import pandas as pd
import pytest

from features.cases.folds import assign_folds
from features.cases.tied_patients import group_tied_patients, official_pairs, tied_case_groups
from features.folder.data_folder import DataFolder
from runtime.errors import InputFault

PATIENTS = pd.Series({"a1": "A", "a2": "A", "b1": "B", "c1": "C", "d1": "D", "d2": "D"}, name="patient_id").rename_axis(
    "image_name"
)


def pairs(*names: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(names, columns=["first", "second"], dtype=object)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pairs(), "AABCDD"),
        (pairs(("a1", "a2")), "AABCDD"),
        (pairs(("b1", "a2")), "AAACDD"),
        (pairs(("d2", "c1"), ("c1", "b1")), "AABBBB"),
        (pairs(("a1", "x"), ("x", "y"), ("y", "d1")), "AABCAA"),  # over external pictures
        (pairs(("A", "b1")), "AABCDD"),  # an external picture under a patient's name is not that patient
    ],
)
def test_patients_whose_pictures_show_the_same_get_one_name(found: pd.DataFrame, expected: str) -> None:
    tied = group_tied_patients(PATIENTS, found)
    assert "".join(tied) == expected
    assert tied.index.equals(PATIENTS.index)


def test_tied_patients_land_in_one_fold() -> None:
    patients = pd.Series({f"p{number}": f"P{number:02}" for number in range(40)})
    target = pd.Series([number % 2 for number in range(40)], index=patients.index)
    chain = pairs(*((f"p{number}", f"p{number + 13}") for number in range(0, 26, 13)))
    apart = assign_folds(patients, target, count=5, seed=0)
    together = assign_folds(group_tied_patients(patients, chain), target, count=5, seed=0)
    assert apart[["p0", "p13", "p26"]].nunique() > 1
    assert together[["p0", "p13", "p26"]].nunique() == 1


def test_groups_name_the_training_cases_of_several_patients() -> None:
    cases = PATIENTS.to_frame().assign(role=["train"] * 5 + ["test"])
    assert tied_case_groups(cases, pairs(("b1", "a2"), ("c1", "x"))) == [["a1", "a2", "b1"]]


@pytest.mark.parametrize("header", ["image_name_1,image_name_2", "ISIC_id,ISIC_id_paired,partition"])
def test_the_official_list_is_read_under_either_header(tmp_path: Path, header: str) -> None:
    more = ",train" * header.count("partition")
    rows = [f"{row}{more}" for row in ("a1,b1", "a1,unknown", "c1,c1", "a1,b1")]
    (tmp_path / "duplicates.csv").write_text("\n".join([header, *rows]) + "\n")
    assert official_pairs(DataFolder.open(tmp_path), PATIENTS.index).to_numpy().tolist() == [["a1", "b1"]]


def test_a_list_of_other_columns_is_refused_and_none_is_none(tmp_path: Path) -> None:
    assert official_pairs(DataFolder.open(tmp_path), PATIENTS.index).empty
    (tmp_path / "duplicates.csv").write_text("one,two\na,b\n")
    with pytest.raises(InputFault, match="image_name_1 and image_name_2 or ISIC_id and ISIC_id_paired"):
        official_pairs(DataFolder.open(tmp_path), PATIENTS.index)
