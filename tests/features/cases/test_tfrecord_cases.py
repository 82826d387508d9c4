"""Tests of records.py and external.py: pictures and cases from Kaggle's TFRecord files."""

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from features.cases.case_table import read_cases
from features.cases.summary import describe_cases
from features.cases.without_table.records import index_records
from features.folder.layout import Request
from features.pictures.read import read_picture
from runtime.errors import Faults, InputFault
from tests.features.cases.record_sets import KAGGLE, TRAIN, jpeg, record, write_set
from tests.features.pictures.tfrecord_files import write_records
from tests.features.small_clinic import write_external

FOLDERS = ("tfrecords", ".")


@pytest.mark.parametrize("subfolder", FOLDERS)
def test_records_provide_the_pictures_for_the_cases_of_a_csv(data: Path, subfolder: str) -> None:
    (data / "jpeg").rename(data / "elsewhere")
    write_set(data / subfolder, TRAIN, ("t2", "t1"), **KAGGLE)
    cases = read_cases(Request(data, folds=2))
    assert cases.index.tolist() == ["a1", "a2", "b1", "b2", "t1", "t2"]
    assert cases.loc["a2", "patient_id"] == "p1"
    assert cases.loc["a1", "sex"] == "male"
    for name in ("a2", "t1"):
        np.testing.assert_array_equal(
            read_picture(data / cases.loc[name, "picture"]),
            np.asarray(read_picture_of(jpeg(crc32(name.encode())))),
        )
    assert cases["width"].tolist() == [16] * 6
    assert cases.loc["a1", "file_bytes"] == len(jpeg(crc32(b"a1")))


def read_picture_of(content: bytes) -> np.ndarray:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_picture_folder_has_priority_over_records(data: Path) -> None:
    write_set(data / "tfrecords", TRAIN, ("t1", "t2"))
    assert read_cases(Request(data, folds=2)).loc["a1", "picture"] == "jpeg/train/a1.jpg"


def test_the_original_size_comes_from_the_record_or_the_table_of_sizes(data: Path) -> None:
    (data / "jpeg").rename(data / "elsewhere")
    write_set(data / "tfrecords", TRAIN, ("t1", "t2"))
    (data / "train_sizes.csv").write_text("image_name,width,height\na1,600,400\n")
    cases = read_cases(Request(data, folds=2))
    assert cases.loc[["a1", "a2"], "width"].tolist() == [600, 16]
    write_set(data / "tfrecords", TRAIN, ("t1", "t2"), width=6000, height=4000)
    cases = read_cases(Request(data, folds=2))
    assert cases.loc[["a1", "a2"], "height"].tolist() == [4000, 4000]


def test_the_number_of_the_file_is_the_official_group(data: Path) -> None:
    (data / "jpeg").rename(data / "elsewhere")
    write_set(data / "tfrecords", {"a1": 0, "a2": 1, "b1": 1, "b2": 0}, ("t1", "t2"))
    cases = read_cases(Request(data, folds=2, official=True))
    assert cases["fold"].nunique() == 3
    assert cases["fold"].groupby(cases["patient_id"]).nunique().max() == 1


def test_records_without_a_csv_are_a_data_folder_and_codes_are_missing_values(tmp_path: Path) -> None:
    write_set(tmp_path, TRAIN, ("t1", "t2"), **(KAGGLE | {"patient_id": -1}))
    notes: list[str] = []
    cases = read_cases(Request(tmp_path, folds=2), notes)
    assert cases["role"].tolist() == ["train"] * 4 + ["test"] * 2
    assert cases["target"].tolist()[:4] == [0, 1, 1, 0]
    assert cases["patient_id"].tolist() == ["a1", "b1", "a2", "b2", "t1", "t2"]
    assert cases["sex"].isna().all()
    assert cases["age_approx"].tolist()[:4] == [45] * 4
    assert notes == [
        "train: target: counted as 1: 2; as 0: 2",
        "train: sex, anatom_site_general_challenge, diagnosis are codes without a key in these records; "
        "their values are treated as missing",
    ]
    assert describe_cases(cases)[0].startswith(
        "train: 4 cases, 2 malignant, 4 patients, 4 with a picture (4 TFRecord); missing values: sex 4"
    )


def test_a_patient_number_groups_the_cases_of_one_role_and_unknown_ages_are_missing(tmp_path: Path) -> None:
    write_set(tmp_path, TRAIN, **(KAGGLE | {"age_approx": -1}))
    other = [record("c1", target=1, patient_id=8), record("c2", target=0, patient_id=8)]
    write_records(tmp_path / "train09-2.tfrec", other)
    write_records(tmp_path / "test00-1.tfrec", [record("t1", patient_id=7)])
    cases = read_cases(Request(tmp_path, folds=2))
    assert cases.loc[["a1", "b2", "c1", "t1"], "patient_id"].tolist() == ["train:7", "train:7", "train:8", "test:7"]
    assert cases["age_approx"].isna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "train01-2.tfrec").unlink(), r"no picture for 2 \(a2, b2\)"),
        (
            lambda folder: write_records(folder / "train00-2.tfrec", [record("a1", target=1), record("b1", target=1)]),
            r"the target in the record differs from the CSV in 1 \(a1\)",
        ),
    ],
)
def test_records_that_contradict_their_csv_are_listed(data: Path, change, message: str) -> None:
    (data / "jpeg").rename(data / "elsewhere")
    write_set(data / "tfrecords", TRAIN, ("t1", "t2"))
    change(data / "tfrecords")
    with pytest.raises(InputFault, match=message):
        read_cases(Request(data, folds=2))


def test_every_picture_of_an_index_can_be_read_at_its_path(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(5)]
    files = [write_records(tmp_path / "any.tfrec", [record(name) for name in names])]
    faults = Faults()
    table = index_records(files, "any", faults)
    faults.raise_if_any("index")
    for name, path in table["picture"].items():
        np.testing.assert_array_equal(read_picture(Path(path)), read_picture_of(jpeg(crc32(str(name).encode()))))


def test_an_external_set_of_records_needs_no_csv(data: Path, tmp_path: Path) -> None:
    extra = tmp_path / "isic2019"
    write_set(extra, {"e1": 1, "e2": 0}, **KAGGLE)
    write_records(extra / "train09-2.tfrec", [record("e3", target=0, patient_id=-1, sex=b"male"), record("a1")])
    notes: list[str] = []
    cases = read_cases(Request(data, extra=(extra,), folds=2), notes)
    rows = cases[cases["role"] == "extra"]
    assert rows.index.tolist() == ["e1", "e2", "e3"]
    assert rows["patient_id"].tolist() == ["extra:isic2019:7", "extra:isic2019:7", "extra:e3"]
    assert rows["sex"].tolist() == [None, None, "male"]
    assert rows["target"].tolist() == [1, 0, 0]
    assert rows["picture"].tolist()[0] == f"{(extra / 'train00-2.tfrec').resolve()}@0"
    assert rows["fold"].tolist() == [-1] * 3
    assert "extra isic2019: left out because they are train or test cases: 1 (a1)" in notes
    assert "isic2019: target: counted as 1: 1; as 0: 2" in notes
    assert any("sex, anatom_site_general_challenge, diagnosis are codes without a key" in note for note in notes)


def test_an_external_case_in_two_folders_is_taken_from_the_first(data: Path, tmp_path: Path) -> None:
    first, second = write_external(tmp_path / "ham", ("e1", "e2")), write_external(tmp_path / "bcn", ("e2", "e3"))
    notes: list[str] = []
    cases = read_cases(Request(data, extra=(first, second), folds=2), notes)
    assert cases["source"].dropna().to_dict() == {"e1": "ham", "e2": "ham", "e3": "bcn"}
    assert cases.loc["e3", "diagnosis"] == "nevus"
    assert "extra bcn: left out because an earlier external folder has the same names: 1 (e2)" in notes
    lines = describe_cases(cases)
    assert lines[2].startswith("extra ham: 2 cases, 0 malignant, 1 patient, 2 with a picture (2 JPEG)")
    assert lines[3].startswith("extra bcn: 1 case,")


def test_external_folders_with_the_same_name_are_refused(data: Path, tmp_path: Path) -> None:
    folders = (write_external(tmp_path / "x" / "ham", ("e1",)), write_external(tmp_path / "y" / "ham", ("e2",)))
    with pytest.raises(InputFault, match=r"external folders must have different names, .* found ham, ham"):
        read_cases(Request(data, extra=folders, folds=2))


def test_an_external_folder_without_pictures_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "ham").mkdir()
    with pytest.raises(InputFault, match=r"external cases need pictures in jpeg/train, jpeg, .*\*\.tfrec; none found"):
        read_cases(Request(data, extra=(tmp_path / "ham",), folds=2))
