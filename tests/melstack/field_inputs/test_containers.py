"""Tests of the section "DICOM and TFRecord files" of docs/field_inputs.md."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from features.pictures.read import encode_jpeg
from runtime.run_folder import Run
from tests.features.pictures.dicom_files import write_dicom
from tests.features.pictures.tfrecord_files import write_records
from tests.features.small_clinic import edit_file, small_clinic
from tests.melstack.field_inputs.situation import Situation, check

TARGETS = {"a1": 0, "b1": 1, "a2": 1, "b2": 0}
COLUMNS = '[columns]\nimage = "image/encoded"\nimage_name = "image_id"\ntarget = "label"\n'
PEOPLE = {"a1": "045Y", "a2": "045Y", "b1": "006M", "b2": "030Y"}


def cases(data: Path, run: Path) -> list[object]:
    return ["cases", "--data", data, "--run", run, "--folds", 2]


def as_dicom(name: str = "{}.dcm", **tags: object) -> Callable[[Path], None]:
    """Return a function that writes the clinic with its training pictures as DICOM files."""

    def write(data: Path) -> None:
        small_clinic(data)
        (data / "dicom/train").mkdir(parents=True)
        for path in sorted((data / "jpeg/train").iterdir()):
            own: dict[str, Any] = {"PatientAge": PEOPLE[path.stem], "PatientID": path.stem[0], "PatientSex": "F"}
            pixels = np.asarray(Image.open(path)).tobytes()
            target = data / "dicom/train" / name.format(path.stem)
            write_dicom(target, pixels, Rows=32, Columns=48, **{**own, **tags})
            path.unlink()

    return write


def without_preamble(data: Path) -> None:
    as_dicom(PatientAge="", PatientSex="", PatientID="")(data)
    for path in (data / "dicom/train").iterdir():
        dataset = dcmread(path)
        del dataset.file_meta
        dataset.save_as(path, implicit_vr=path.stem[0] == "a", little_endian=True, enforce_file_format=False)


def into_classes(data: Path) -> None:
    for path in sorted((data / "dicom/train").iterdir()):
        folder = data / "all" / ("benign", "malignant")[TARGETS[path.stem]]
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)


def edit(write: Callable[[Path], object], *edits: Callable[[Path], object]) -> Situation:
    return Situation(lambda data: [step(data) for step in (write, *edits)], cases)


def records(*names: str, features: Callable[[str], dict[str, bytes | int]], mapping: str = "") -> Situation:
    """Return the situation of four training records in the first file of ``names`` and two test records in the last."""

    def write(data: Path) -> None:
        write_records(data / names[0], [features(name) for name in TARGETS])
        test = [features(name) for name in ("t1", "t2")]
        write_records(
            data / names[-1], [{k: v for k, v in row.items() if k not in ("target", "label")} for row in test]
        )
        if mapping:
            (data / "cases.toml").write_text(mapping)

    return Situation(write, cases)


def kaggle(name: str) -> dict[str, bytes | int]:
    return {
        "image": encode_jpeg(np.random.default_rng(list(name.encode())).integers(0, 255, (24, 32, 3), dtype=np.uint8)),
        "image_name": name.encode(),
        "target": TARGETS.get(name, 0),
    }


def other(name: str) -> dict[str, bytes | int]:
    return {"image/encoded": kaggle(name)["image"], "image_id": name.encode(), "label": TARGETS.get(name, 0)}


def in_words(name: str) -> dict[str, bytes | int]:
    return other(name) | {"label": (b"nevus", b"melanoma")[TARGETS.get(name, 0)], "subject": name[0].encode()}


SITUATIONS = {
    "dicom_suffix_dicom": Situation(as_dicom("{}.dicom"), cases),
    "dicom_suffix_upper_case": Situation(as_dicom("{}.DCM"), cases),
    "dicom_without_suffix": Situation(as_dicom("{}"), cases),
    "dicom_without_preamble": Situation(without_preamble, cases),
    "dicom_tags_for_missing_values": edit(as_dicom(), edit_file("b1,p2,female,50", "b1,,,")),
    "dicom_tags_for_missing_columns": edit(as_dicom(), edit_file("patient_id,sex", "who,gone")),
    "dicom_tags_not_needed": Situation(as_dicom(), cases),
    "dicom_tags_in_class_folders": edit(
        as_dicom(),
        into_classes,
        lambda data: (data / "cases.toml").write_text(
            'train = ""\ntest = ""\ntrain_pictures = "all"\nsample = ""\npositive = ["malignant"]\n'
        ),
    ),
    "records_tfrecord": records("train.tfrecord", "test.tfrecord", features=kaggle),
    "records_tfrecords": records("tfrecords/train.tfrecords", "tfrecords/test.tfrecords", features=kaggle),
    "records_of_shards": records(
        "isic_train-00000-of-00001.tfrecord", "isic_test-00000-of-00001.tfrecord", features=kaggle
    ),
    "records_upper_case": records("ISIC_TRAIN.TFRECORD", "ISIC_TEST.TFRECORD", features=kaggle),
    "records_other_features": records("train.tfrecord", "test.tfrecord", features=other),
    "records_features_named": records("train.tfrecord", "test.tfrecord", features=other, mapping=COLUMNS),
    "records_words": records(
        "train.tfrecord",
        "test.tfrecord",
        features=in_words,
        mapping=f'positive = ["melanoma"]\nnegative = ["nevus"]\n{COLUMNS}patient_id = "subject"\n',
    ),
    "records_without_picture": records(
        "train.tfrec", "test.tfrec", features=lambda name: {"image_name": name.encode(), "target": TARGETS.get(name, 0)}
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_container_is_read_as_it_was_meant(name: str, tmp_path: Path) -> None:
    output = check(name, SITUATIONS, tmp_path)
    if output.code == 0:
        train = Run(tmp_path / "run").read_cases().query("role == 'train'")
        assert train["picture"].notna().all()
        assert train["target"].to_dict() == {name: float(target) for name, target in TARGETS.items()}


def test_the_tags_of_dicom_files_fill_what_the_table_lacks(tmp_path: Path) -> None:
    check("dicom_tags_for_missing_values", SITUATIONS, tmp_path)
    table = Run(tmp_path / "run").read_cases()
    rows = table[["patient_id", "sex", "age_approx"]].T.to_dict("list")
    assert rows["b1"] == ["b", "female", 0.5]
    assert rows["b2"] == ["p2", "female", 50.0]
