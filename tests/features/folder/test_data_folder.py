"""Tests of data_folder.py: everything in a user's folder is opened only once."""

import ast
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features.cases.case_table import read_cases
from features.cases.new_cases import check_new_cases, read_new_cases
from features.folder.data_folder import DataFolder
from features.folder.folder_layout import read_layout
from features.folder.layout import Request
from features.folder.picture_search.location import find_location
from features.freeze_cases import freeze_cases
from melstack.report.data_page.contact_sheet import contact_sheet
from runtime.errors import InputFault
from runtime.run_folder import Run
from tests.features.small_clinic import write_external

ROOT = Path(__file__).resolve().parents[3]
METADATA = ("sex", "age_approx", "anatom_site_general_challenge")
FOLDERS = ("clinic/jpeg/train", "clinic/jpeg/test", "ham/jpeg")
TABLES = ("clinic/train.csv", "clinic/test.csv", "clinic/sample_submission.csv", "ham/train.csv")


@contextmanager
def count_accesses(root: Path) -> Iterator[Counter[str]]:
    """Count how often tables below ``root`` are opened, folders listed, and the layout and locations searched."""
    counts, is_active = Counter[str](), True
    searches = {read_layout.__code__: "read_layout", find_location.__code__: "find_location"}

    def on_audit(event: str, arguments: tuple[object, ...]) -> None:
        if is_active and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | os.PathLike):
            path = Path(arguments[0])
            if path.is_relative_to(root) and (event != "open" or path.suffix == ".csv"):
                counts[path.relative_to(root).as_posix()] += 1

    def on_call(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in searches:
            counts[searches[frame.f_code]] += 1

    sys.addaudithook(on_audit)  # Python cannot remove it; it is inactive after the block
    sys.setprofile(on_call)
    try:
        yield counts
    finally:
        sys.setprofile(None)
        is_active = False


def test_freezing_opens_every_table_once_and_searches_layout_and_pictures_once(data: Path, tmp_path: Path) -> None:
    request, run = (
        Request(data, folds=2, extra=(write_external(tmp_path / "ham", ("e1", "e2")),)),
        Run(tmp_path / "run"),
    )
    for is_new in (True, False):  # False: digests alone show that the run is fresh
        with count_accesses(tmp_path) as counts:
            assert freeze_cases(run, request) is is_new
        assert {name: counts[name] for name in (*TABLES, *FOLDERS)} == dict.fromkeys((*TABLES, *FOLDERS), 1)
        assert (counts["read_layout"], counts["find_location"]) == (2, 3)


def test_a_fresh_run_is_recognised_without_reading_a_table(data: Path, tmp_path: Path) -> None:
    run, request = Run(tmp_path / "run"), Request(data, folds=2)
    freeze_cases(run, request)
    code = (
        "import sys; from pathlib import Path; from features.freeze_cases import freeze_cases; "
        "from runtime.run_folder import Run; from features.folder.layout import Request; "
        "data, run = map(Path, sys.argv[1:]); "
        "print(freeze_cases(Run(run), Request(data, folds=2)), 'pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(data), str(run.folder)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split() == ["False"] * 2


def test_only_data_folder_searches_the_layout_and_the_pictures_of_a_folder() -> None:
    searches = {"read_layout", "find_location"}
    packages = ("features", "level1_cnn", "level2_stack", "melstack")
    modules = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    importing = {
        path.stem
        for path in modules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and searches & {alias.name for alias in node.names}
    }
    assert importing == {"data_folder"}


def test_new_cases_are_read_with_one_access_to_table_and_pictures(data: Path, tmp_path: Path) -> None:
    with count_accesses(tmp_path) as counts:
        assert read_new_cases(DataFolder.open(data)).index.tolist() == ["t1", "t2"]
    assert (counts["clinic/test.csv"], counts["clinic/jpeg/test"], counts["read_layout"]) == (1, 1, 1)


@pytest.mark.parametrize("table", ["image_name\nt1\nt2\n", "image_name,sex\nt1,F\nt2,male\n"])
def test_cases_without_a_patient_are_patients_of_their_own_with_a_note(data: Path, table: str) -> None:
    (data / "test.csv").write_text(table)
    folder = DataFolder.open(data)
    cases = read_new_cases(folder)
    assert cases["patient_id"].tolist() == ["t1", "t2"]
    assert set(METADATA) <= set(cases.columns)
    assert cases["age_approx"].isna().all()

    assert "test.csv: column patient_id is missing; every case is a patient of its own" in folder.notes
    assert "test.csv: column age_approx is missing; its values are treated as missing" in folder.notes


def test_a_table_in_memory_is_checked_like_one_in_a_file(data: Path) -> None:
    columns = {"patient_id": ["q1", None], "sex": ["F", "male"], "age_approx": ["30 years", 85], "site": ["x", "y"]}
    table = pd.DataFrame(columns, index=["t1", "t2"])
    table.rename_axis("image_name").to_csv(data / "test.csv")
    folder, notes = DataFolder.open(data), list[str]()
    cases = read_new_cases(folder)
    pictures = {str(name): data / str(picture) for name, picture in cases["picture"].items()}
    checked_cases = check_new_cases(table, METADATA, pictures, notes)
    pd.testing.assert_frame_equal(
        checked_cases.drop(columns="picture"), cases[[*checked_cases.columns.drop("picture")]]
    )
    assert notes == [note.replace("test.csv: ", "cases: ") for note in folder.notes]
    assert checked_cases["patient_id"].tolist() == ["q1", "t2"]


def test_all_faults_of_a_table_in_memory_are_listed_together(data: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.jpg").write_bytes(b"no picture")
    table = pd.DataFrame({"sex": ["male", "female", 1], "age_approx": [200, 5, np.inf]}, index=["t1", "t1", "a/b"])
    with pytest.raises(InputFault) as refused:
        check_new_cases(table, METADATA, {"t1": tmp_path / "damaged.jpg"}, [])
    for message in (
        "cases: image_name must not contain a path; found 1 (a/b)",
        "cases: the same image_name in rows that differ: 1 (t1); keep one row",
        "sex must be female or male; replace codes by these words",
        "from 0 to 130; found 200, inf in 2 (t1, a/b)",
        "pictures: no picture for 1 (a/b)",
        "pictures: unreadable pictures: 1 (t1)",
    ):
        assert message in str(refused.value)


def test_a_contact_sheet_is_made_from_a_folder_with_a_mapping(data: Path, tmp_path: Path) -> None:
    (data / "train.csv").rename(data / "cases.csv")
    (data / "jpeg/train").rename(data / "pictures")
    (data / "cases.toml").write_text(
        'train = "cases.csv"\ntrain_pictures = "pictures"\npositive = ["melanoma"]\n[columns]\ntarget = "diagnosis"\n'
    )
    sheet = contact_sheet(read_cases(Request(data, folds=2)), data, tmp_path / "sheet.png", columns=4, rows=1)
    with Image.open(sheet) as image:
        corners = [image.convert("RGB").getpixel((column * 164 + 3, 3)) for column in range(4)]
    assert [corner == (220, 30, 30) for corner in corners] == [False, False, True, True]
