"""Tests of tied_patients.py: which patients are tied, and the forms of the official list."""

from pathlib import Path

import pandas as pd
import pytest

from features.cases.fold_design.by_patient import assign_folds
from features.cases.tied_patients import group_tied_patients, official_pairs, tied_case_groups
from features.folder.data_folder import DataFolder
from runtime.errors import InputFault

PATIENTS = pd.Series({"a1": "A", "a2": "A", "b1": "B", "c1": "C", "d1": "D", "d2": "D"}, name="patient_id").rename_axis(
    "image_name"
)


def pairs(*names: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(names, columns=["first", "second"], dtype=object)


@pytest.mark.parametrize(
    ("lookalikes", "expected"),
    [
        (pairs(), "AABCDD"),
        (pairs(("a1", "a2")), "AABCDD"),
        (pairs(("b1", "a2")), "AAACDD"),
        (pairs(("d2", "c1"), ("c1", "b1")), "AABBBB"),
        (pairs(("a1", "x"), ("x", "y"), ("y", "d1")), "AABCAA"),  # connected through external pictures
        (pairs(("A", "b1")), "AABCDD"),  # an external picture with a patient's name is not that patient
    ],
)
def test_patients_with_pictures_of_the_same_lesion_get_one_name(lookalikes: pd.DataFrame, expected: str) -> None:
    groups = group_tied_patients(PATIENTS, lookalikes)
    assert "".join(groups) == expected
    assert groups.index.equals(PATIENTS.index)


def test_tied_patients_share_a_fold() -> None:
    patients = pd.Series({f"p{number}": f"P{number:02}" for number in range(40)})
    target = pd.Series([number % 2 for number in range(40)], index=patients.index)
    chain = pairs(*((f"p{number}", f"p{number + 13}") for number in range(0, 26, 13)))
    untied_folds = assign_folds(patients, target, count=5, seed=0)
    tied_folds = assign_folds(group_tied_patients(patients, chain), target, count=5, seed=0)
    assert untied_folds[["p0", "p13", "p26"]].nunique() > 1
    assert tied_folds[["p0", "p13", "p26"]].nunique() == 1


def test_groups_list_the_training_cases_of_several_patients() -> None:
    cases = PATIENTS.to_frame().assign(role=["train"] * 5 + ["test"])
    assert tied_case_groups(cases, pairs(("b1", "a2"), ("c1", "x"))) == [["a1", "a2", "b1"]]


@pytest.mark.parametrize("header", ["image_name_1,image_name_2", "ISIC_id,ISIC_id_paired,partition"])
def test_the_official_list_is_read_with_either_header(tmp_path: Path, header: str) -> None:
    more = ",train" * header.count("partition")
    rows = [f"{row}{more}" for row in ("a1,b1", "a1,unknown", "c1,c1", "a1,b1")]
    (tmp_path / "duplicates.csv").write_text("\n".join([header, *rows]) + "\n")
    assert official_pairs(DataFolder.open(tmp_path), PATIENTS.index).to_numpy().tolist() == [["a1", "b1"]]


def test_a_list_with_other_columns_is_refused_and_a_missing_list_is_empty(tmp_path: Path) -> None:
    assert official_pairs(DataFolder.open(tmp_path), PATIENTS.index).empty
    (tmp_path / "duplicates.csv").write_text("one,two\na,b\n")
    with pytest.raises(InputFault, match="image_name_1 and image_name_2 or ISIC_id and ISIC_id_paired"):
        official_pairs(DataFolder.open(tmp_path), PATIENTS.index)
