"""Tests of case_table.py and layout.py: one checked case table, and all faults of the input listed together."""

from pathlib import Path
from shutil import rmtree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features.cases.case_table import read_cases
from features.folder.layout import Request
from features.pictures.read import read_picture
from runtime.errors import InputFault
from tests.features.pictures.dicom_files import write_dicom
from tests.features.small_clinic import draw_picture, edit_file


def test_a_folder_in_the_contests_layout_gives_a_case_table(data: Path) -> None:
    cases = read_cases(Request(data, folds=2))
    assert cases.index.tolist() == ["a1", "a2", "b1", "b2", "t1", "t2"]
    assert cases["role"].tolist() == ["train"] * 4 + ["test"] * 2
    assert cases["target"].tolist()[:4] == [0, 1, 1, 0]
    assert cases["target"][4:].isna().all()
    assert cases.loc["t1", ["picture", "width", "height"]].tolist() == ["jpeg/test/t1.png", 48, 32]
    assert cases.loc["a1", "file_bytes"] == (data / "jpeg/train/a1.jpg").stat().st_size
    assert sorted(cases["fold"].unique()) == [-1, 0, 1]
    assert cases["fold"].groupby(cases["patient_id"]).nunique().max() == 1


def test_missing_sex_age_and_site_are_accepted(data: Path) -> None:
    edit_file("female", "")(data)
    cases = read_cases(Request(data, folds=2))
    assert cases["sex"].isna().sum() == 2
    assert cases["age_approx"].isna().sum() == 1
    assert cases["anatom_site_general_challenge"].isna().sum() == 2


def test_without_picture_folders_there_are_no_pictures_and_sizes_come_from_the_table(data: Path) -> None:
    rmtree(data / "jpeg")
    (data / "train_sizes.csv").write_text("image_name,tfrecord,width,height\na1,0,600,400\nb1,1,640,480\n")
    cases = read_cases(Request(data, folds=2))
    assert "picture" not in cases or cases["picture"].isna().all()
    assert cases.loc["b1", "width"] == 640
    assert np.isnan(cases.loc["a2", "width"])


def test_official_groups_are_used_on_request(data: Path) -> None:
    (data / "train_sizes.csv").write_text("image_name,tfrecord,width,height\na1,3,6,4\na2,-1,6,4\nb1,2,6,4\nb2,2,6,4\n")
    cases = read_cases(Request(data, folds=2, official=True))
    assert cases["fold"].tolist() == [1, 1, 0, 0, -1, -1]


def test_official_folds_without_the_column_are_refused(data: Path) -> None:
    with pytest.raises(InputFault, match="official folds need a column with the official groups"):
        read_cases(Request(data, folds=2, official=True))


def test_a_case_in_train_and_test_is_named(data: Path) -> None:
    edit_file("t1,q1", "a1,q1", "test.csv")(data)
    with pytest.raises(InputFault, match=r"an image_name must not be in both train and test; found 1 \(a1\)"):
        read_cases(Request(data, folds=2))


def test_all_faults_are_listed_together(data: Path) -> None:
    edit_file("q1", "p2", "test.csv")(data)
    edit_file("t2", "t9", "sample_submission.csv")(data)
    (data / "jpeg/train/b1.jpg").unlink()
    with pytest.raises(InputFault) as error:
        read_cases(Request(data, folds=2))
    assert "3 faults" in str(error.value)


def test_a_mapping_sets_the_names_of_files_and_columns(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("id,who,label,tone\nx1,1,mel,2.5\nx2,1,nv,\nx3,2,mel,1\nx4,2,nv,3\n")
    (tmp_path / "cases.toml").write_text(
        'train = "mine.csv"\ntest = ""\nsample = ""\ntrain_pictures = "img"\npositive = ["mel"]\n'
        '[columns]\nimage_name = "id"\npatient_id = "who"\ntarget = "label"\nmetadata = ["tone"]\n'
    )
    for name in ("x1", "x2", "x3", "x4"):
        draw_picture(tmp_path / "img" / f"{name}.jpeg")
    cases = read_cases(Request(tmp_path, folds=2))
    assert cases["target"].tolist() == [1, 0, 1, 0]
    assert cases["patient_id"].tolist() == ["1", "1", "2", "2"]
    assert cases["tone"].tolist()[0] == 2.5
    assert cases.loc["x4", "picture"] == "img/x4.jpeg"


def test_external_cases_are_in_no_fold_and_need_no_patient(data: Path, tmp_path: Path) -> None:
    extra = tmp_path / "ham"
    for name in ("e1", "e2"):
        draw_picture(extra / "jpeg" / f"{name}.jpg")
    (extra / "train.csv").write_text(
        "image_name,lesion_id,sex,age_approx,anatom_site_general_challenge,target\ne1,L1,male,50,torso,1\ne2,L1,male,50,,0\n"
    )
    cases = read_cases(Request(data, extra=(extra,), folds=2))
    rows = cases[cases["role"] == "extra"]
    assert rows["fold"].tolist() == [-1, -1]
    assert rows["patient_id"].tolist() == ["extra:L1", "extra:L1"]
    assert rows["target"].tolist() == [1, 0]
    assert rows["source"].tolist() == ["ham", "ham"]
    assert cases.loc[cases["role"] != "extra", "source"].isna().all()
    assert Path(rows["picture"].iloc[0]) == (extra / "jpeg/e1.jpg").resolve()


def test_an_external_case_with_the_name_of_a_train_case_is_refused(data: Path, tmp_path: Path) -> None:
    extra = tmp_path / "ham"
    draw_picture(extra / "jpeg" / "a1.jpg")
    (extra / "train.csv").write_text(
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,target\na1,P,,,,1\n"
    )
    with pytest.raises(InputFault, match=r"with the name of a train or test case: 1 \(a1\)"):
        read_cases(Request(data, extra=(extra,), folds=2))


def test_without_external_cases_there_is_no_source(data: Path) -> None:
    assert "source" not in read_cases(Request(data, folds=2))


@pytest.mark.parametrize("folder", ["dicom/{role}", "{role}"])
def test_dicom_folders_are_read_like_jpeg_folders(data: Path, folder: str) -> None:
    jpeg, first = read_cases(Request(data, folds=2)), read_picture(data / "jpeg/train/a1.jpg")
    for path in [*data.glob("jpeg/*/*.jpg"), *data.glob("jpeg/*/*.png")]:
        dicom = data / folder.format(role=path.parent.name) / f"{path.stem}.dcm"
        dicom.parent.mkdir(parents=True, exist_ok=True)
        write_dicom(dicom, np.asarray(Image.open(path)).tobytes(), Rows=32, Columns=48)
        path.unlink()
    cases = read_cases(Request(data, folds=2))
    assert cases.loc["t1", "picture"] == f"{folder.format(role='test')}/t1.dcm"
    assert cases[["width", "height", "fold", "target"]].equals(jpeg[["width", "height", "fold", "target"]])
    assert np.array_equal(read_picture(data / cases.loc["a1", "picture"]), first)


def test_pictures_next_to_the_csvs_are_not_used_as_the_data_set(data: Path) -> None:
    rmtree(data / "jpeg")
    draw_picture(data / "sheet.png")
    assert "picture" not in read_cases(Request(data, folds=2))


@pytest.fixture
def hospitals(data: Path) -> Path:
    """Return the clinic with four patients in two hospitals, each with a malignant and a benign picture."""
    lines = (data / "train.csv").read_text().splitlines()
    more = [line.replace("a", "c", 1).replace("b", "d", 1) for line in lines[1:]]
    more = [line.replace(",p1,", ",p3,").replace(",p2,", ",p4,") for line in more]
    values = ["hospital", *["Basel"] * 2, *["Vienna"] * 2, *["Basel"] * 2, *["Vienna"] * 2]
    rows = [f"{line},{value}" for line, value in zip([*lines, *more], values, strict=True)]
    (data / "train.csv").write_text("\n".join(rows) + "\n")
    for number, name in enumerate(("c1", "c2", "d1", "d2")):
        draw_picture(data / "jpeg" / "train" / f"{name}.jpg", seed=10 + number)
    return data


@pytest.mark.parametrize("mapping", ["", '[columns]\nmetadata = ["*"]\n'])
def test_a_column_makes_the_folds_and_is_no_feature(hospitals: Path, mapping: str) -> None:
    if mapping:
        (hospitals / "cases.toml").write_text(mapping)
    notes: list[str] = []
    cases = read_cases(Request(hospitals, by="hospital"), notes)
    assert cases["fold"].tolist() == [0, 0, 1, 1, 0, 0, 1, 1, -1, -1]
    assert not {"hospital", "fold_by"} & set(cases)
    assert "hospital makes the folds and is not used as a feature" in notes


def test_a_column_that_makes_the_folds_and_is_metadata_is_a_warning(hospitals: Path) -> None:
    data = hospitals
    (data / "test.csv").write_text("image_name,patient_id,hospital\nt1,q1,Basel\nt2,q1,Basel\n")
    (data / "cases.toml").write_text('[columns]\nmetadata = ["hospital"]\n')
    notes: list[str] = []
    cases = read_cases(Request(data, by="hospital"), notes)
    assert cases["hospital"].tolist()[:4] == ["Basel", "Basel", "Vienna", "Vienna"]
    assert any(note.startswith("warning: hospital makes the folds and is a feature too") for note in notes)


def test_pictures_of_one_lesion_in_two_hospitals_join_the_hospitals(hospitals: Path) -> None:
    pair = pd.DataFrame({"first": ["a1"], "second": ["b1"]})
    with pytest.raises(InputFault, match="connect all 2 values"):
        read_cases(Request(hospitals, by="hospital"), pairs_of=lambda cases: pair)


def test_a_folder_without_the_column_or_without_a_table_is_refused(data: Path) -> None:
    with pytest.raises(InputFault, match="column 'sit', by which folds are to be made, is missing; known are: image"):
        read_cases(Request(data, by="sit"))
    for name in ("a1", "a2"):
        draw_picture(data / "classes" / "mel" / f"{name}.png")
        draw_picture(data / "classes" / "nv" / f"{name}.png")
    (data / "cases.toml").write_text(
        'train = ""\ntest = ""\ntrain_pictures = "classes"\npositive = ["mel"]\nnegative = ["nv"]\n'
    )
    with pytest.raises(InputFault, match="hospital"):
        read_cases(Request(data, by="hospital"))


def test_folds_are_made_in_one_way(data: Path) -> None:
    with pytest.raises(InputFault, match="found official_folds and folds_by; keep one of them"):
        Request(data, official=True, by="hospital")


def test_a_request_by_a_column_survives_its_json_and_others_are_as_before(data: Path) -> None:
    for request in (Request(data, by="hospital"), Request(data, by_time="visit", folds=3)):
        assert Request.from_json(request.as_json()) == request
    assert set(Request(data).as_json()) == {"data", "mapping", "extra", "folds", "official", "seed"}
