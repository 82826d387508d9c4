"""Tests of the labelled cases of a validation: any layout, rows without a target left out, folders without targets."""

from pathlib import Path
from shutil import move, rmtree

import pytest

from features.cases.labelled_cases import LabelledCases, names_tone, read_labelled_cases
from features.folder.data_folder import DataFolder
from runtime.errors import InputFault
from tests.features.small_clinic import draw_picture, edit_file

METADATA = ("sex", "age_approx", "anatom_site_general_challenge")


def read(folder: Path) -> tuple[LabelledCases, list[str]]:
    data = DataFolder.open(folder)
    return read_labelled_cases(data, METADATA), data.notes


def test_the_training_cases_of_a_folder_in_the_contests_layout_are_read(data: Path) -> None:
    cases, _ = read(data)
    assert cases.table["target"].to_dict() == {"a1": 0, "a2": 1, "b1": 1, "b2": 0}
    assert cases.rows == 4
    assert cases.has_patients
    assert set(METADATA) <= set(cases.table)
    assert (data / cases.table.loc["a1", "picture"]).is_file()


def test_rows_without_a_target_are_left_out_and_counted(data: Path) -> None:
    lines = (data / "train.csv").read_text().splitlines()
    place = lines[0].split(",").index("target")
    fields = lines[1].split(",")
    fields[place] = ""
    (data / "train.csv").write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]) + "\n")
    cases, notes = read(data)
    assert cases.table.index.tolist() == ["a2", "b1", "b2"]
    assert cases.rows == 4
    assert any("missing 1" in note for note in notes)


def test_a_test_table_with_targets_is_read_where_there_is_no_other(data: Path) -> None:
    (data / "train.csv").rename(data / "test.csv")
    rmtree(data / "jpeg" / "test")
    move(data / "jpeg" / "train", data / "jpeg" / "test")
    cases, _ = read(data)
    assert cases.table["target"].sum() == 2
    assert cases.table["picture"].str.startswith("jpeg/test/").all()


def test_one_table_beside_the_pictures_is_read_whatever_its_name(tmp_path: Path) -> None:
    for name in ("x1", "x2", "x3"):
        draw_picture(tmp_path / f"{name}.jpg")
    (tmp_path / "truth.csv").write_text("image_name,target\nx1,1\nx2,0\nx3,0\n")
    cases, notes = read(tmp_path)
    assert cases.table["target"].tolist() == [1, 0, 0]
    assert not cases.has_patients
    assert any("missing in these cases" in note for note in notes)


def test_columns_of_a_mapping_get_the_names_that_the_bundle_needs(data: Path) -> None:
    edit_file("age_approx", "age")(data)
    (data / "cases.toml").write_text('[columns]\nmetadata = ["sex", "age"]\n')
    cases, notes = read(data)
    assert "age_approx" in cases.table
    assert any("read age as age_approx" in note for note in notes)


def test_a_column_with_the_skin_tone_is_kept(data: Path) -> None:
    lines = (data / "train.csv").read_text().splitlines()
    tones = ["Fitzpatrick skin type", "I", "II", "V", "VI"]
    (data / "train.csv").write_text("\n".join(f"{line},{tone}" for line, tone in zip(lines, tones, strict=True)))
    cases, _ = read(data)
    assert cases.tones == ("Fitzpatrick skin type",)
    assert cases.table["Fitzpatrick skin type"].tolist() == tones[1:]


@pytest.mark.parametrize(
    ("name", "is_tone"),
    [
        ("fitzpatrick_skin_type", True),
        ("Skin-Tone", True),
        ("fitspatrick", True),
        ("monk_scale", True),
        ("tone", False),
    ],
)
def test_names_of_columns_with_the_skin_tone(name: str, is_tone: bool) -> None:
    assert names_tone(name) == is_tone


def test_a_folder_without_targets_says_how_to_name_them(data: Path) -> None:
    (data / "train.csv").write_text("image_name,patient_id,sex\na1,p1,male\na2,p1,male\n")
    with pytest.raises(InputFault, match=r"no column target, so nothing can be compared.*cases\.toml"):
        read(data)


def test_classes_in_folders_are_offered_and_not_guessed(tmp_path: Path) -> None:
    for name in ("benign", "malignant"):
        (tmp_path / "train" / name).mkdir(parents=True)
        draw_picture(tmp_path / "train" / name / f"{name}.jpg")
    with pytest.raises(InputFault, match=r'positive = \["malignant"\]'):
        read(tmp_path)
    (tmp_path / "cases.toml").write_text(
        'train = ""\ntest = ""\ntrain_pictures = "train"\npositive = ["malignant"]\nnegative = ["benign"]\n'
    )
    cases, _ = read(tmp_path)
    assert cases.table["target"].to_dict() == {"benign": 0, "malignant": 1}
