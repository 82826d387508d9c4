"""Tests of the section "Pictures to predict" of docs/field_inputs.md: folders that `melstack predict` gets."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.features.pictures.dicom_files import PICTURE, write_dicom
from tests.features.small_clinic import draw_picture
from tests.melstack.field_inputs.situation import Situation, check
from tests.tiny_project import FinishedRun

NAMES = ("x1", "x2", "x3")
ARCHIVE = "isic_id,patient_id,sex,age_approx,anatom_site_general\n"
ROWS = ("p1,female,50,torso", "p1,female,50,torso", "p2,male,70,torso")


def pictures(*names: str) -> Callable[[Path], object]:
    return lambda data: [draw_picture(data / name, (96, 64), seed) for seed, name in enumerate(names)]


def table(name: str, ids: tuple[str, ...], header: str = ARCHIVE) -> Callable[[Path], object]:
    lines = [f"{case},{row}\n" for case, row in zip(ids, ROWS, strict=True)]
    return lambda data: (data / name).write_text(header + "".join(lines))


def dicom(*names: str) -> Callable[[Path], object]:
    return lambda data: [write_dicom(data / name, np.ascontiguousarray(PICTURE).tobytes()) for name in names]


def folder(*steps: Callable[[Path], object]) -> Situation:
    """Return the situation that ``steps`` write; its command needs a bundle, which the test gives it."""
    return Situation(lambda data: [step(data) for step in steps])


FLAT = pictures(*(f"{name}.jpg" for name in NAMES))
SITUATIONS = {
    "new_superpixels": folder(FLAT, pictures(*(f"{name}_superpixels.png" for name in NAMES))),
    "new_segmentations": folder(FLAT, pictures("x1_segmentation.png", "x2_mask.png")),
    "new_mac_files": folder(FLAT, lambda data: (data / "._x1.jpg").write_bytes(b"\x00\x05\x16\x07")),
    "new_windows_files": folder(FLAT, lambda data: (data / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")),
    "new_metadata": folder(FLAT, table("metadata.csv", NAMES)),
    "new_metadata_with_suffixes": folder(FLAT, table("patients.csv", ("x1.jpg", "x2.jpg", "x3.jpg"))),
    "new_metadata_of_some": folder(FLAT, table("metadata.csv", ("x1", "x2", "y3"))),
    "new_metadata_of_others": folder(FLAT, table("metadata.csv", ("y1", "y2", "y3"))),
    "new_two_tables": folder(FLAT, table("a.csv", NAMES), table("b.csv", NAMES)),
    "new_deeper": folder(pictures(*(f"export/{name}.jpg" for name in NAMES))),
    "new_deeper_several": folder(pictures("a/x1.jpg", "b/x2.jpg", "c/x3.jpg")),
    "new_subfolders": folder(
        pictures("a/x1.jpg", "b/x2.jpg", "c/x3.jpg"),
        lambda data: (data / "cases.toml").write_text('test_pictures = "."\nsubfolders = true\n'),
    ),
    "new_none": folder(lambda data: (data / "notes.txt").write_text("nothing")),
    "new_without_suffix": folder(FLAT, lambda data: [(data / f"{name}.jpg").rename(data / name) for name in NAMES]),
    "new_dicom": folder(dicom("IM000001", "x1.DCM", "x2.dicom")),
    "new_dicom_numbers": folder(dicom("1.2.840.1", "1.2.840.2", "1.2.840.3")),
    "new_ids_with_suffix": folder(FLAT, table("test.csv", ("x1.jpg", "x2.jpg", "x3.jpg"))),
    "new_ids_with_path": folder(
        pictures(*(f"jpeg/test/{name}.jpg" for name in NAMES)),
        table("test.csv", tuple(f"test/{name}.jpg" for name in NAMES)),
    ),
    "new_ids_in_other_case": folder(FLAT, table("test.csv", ("X1", "X2", "X3"))),
}
IDS = {
    "new_ids_with_suffix": ["x1.jpg", "x2.jpg", "x3.jpg"],
    "new_ids_with_path": ["test/x1.jpg", "test/x2.jpg", "test/x3.jpg"],
    "new_ids_in_other_case": ["X1", "X2", "X3"],
    "new_dicom": ["IM000001", "x1", "x2"],
    "new_dicom_numbers": ["1.2.840.1", "1.2.840.2", "1.2.840.3"],
    "new_metadata_with_suffixes": ["x1.jpg", "x2.jpg", "x3.jpg"],
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_new_pictures_are_read_as_they_were_meant(name: str, finished_run: FinishedRun, tmp_path: Path) -> None:
    bundle = finished_run.run.folder / "bundle"

    def words(data: Path, run: Path) -> list[object]:
        return ["predict", "--data", data, "--bundle", bundle, "--out", run]

    output = check(name, {name: replace(SITUATIONS[name], words=words)}, tmp_path)
    if output.code == 0:
        ids = pd.read_csv(tmp_path / "run" / "submission.csv", dtype=str)["image_name"].tolist()
        assert ids == IDS.get(name, list(NAMES))
