"""Tests for data_folder.py: on its way a user's folder is entered once, and nothing of it is read again."""

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

from features.cases.new_cases import check_new_cases, read_new_cases
from features.folder.data_folder import DataFolder
from features.folder.layout import Request, read_layout
from features.folder.picture_locations import find_location
from features.freeze_cases import freeze_cases
from melstack.report.data_page.contact_sheet import contact_sheet
from runtime.errors import InputFault
from runtime.run_folder import Run
from tests.features.small_clinic import external

ROOT = Path(__file__).resolve().parents[3]
METADATA = ("sex", "age_approx", "anatom_site_general_challenge")
FOLDERS = ("clinic/jpeg/train", "clinic/jpeg/test", "ham/jpeg")
TABLES = ("clinic/train.csv", "clinic/test.csv", "clinic/sample_submission.csv", "ham/train.csv")


@contextmanager
def watched(root: Path) -> Iterator[Counter[str]]:
    """Count how often every table below ``root`` is opened and every folder listed, and the layout and places asked."""
    counts, awake = Counter[str](), True
    asked = {read_layout.__code__: "read_layout", find_location.__code__: "find_place"}

    def on_audit(event: str, arguments: tuple[object, ...]) -> None:
        if awake and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | os.PathLike):
            path = Path(arguments[0])
            if path.is_relative_to(root) and (event != "open" or path.suffix == ".csv"):
                counts[path.relative_to(root).as_posix()] += 1

    def on_call(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in asked:
            counts[asked[frame.f_code]] += 1

    sys.addaudithook(on_audit)  # nothing takes it away again: it sleeps once the block is left
    sys.setprofile(on_call)
    try:
        yield counts
    finally:
        sys.setprofile(None)
        awake = False


def test_freezing_opens_every_table_once_and_looks_once_for_layout_and_places(data: Path, tmp_path: Path) -> None:
    request, run = Request(data, folds=2, extra=(external(tmp_path / "ham", ("e1", "e2")),)), Run(tmp_path / "run")
    for made in (True, False):  # False: what is fresh is seen by digests alone
        with watched(tmp_path) as counts:
            assert freeze_cases(run, request) is made
        assert {name: counts[name] for name in (*TABLES, *FOLDERS)} == dict.fromkeys((*TABLES, *FOLDERS), 1)
        assert (counts["read_layout"], counts["find_place"]) == (2, 3)


def test_that_a_run_is_fresh_is_seen_without_reading_a_table(data: Path, tmp_path: Path) -> None:
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


def test_nobody_else_looks_for_a_folder_s_layout_or_the_places_of_its_pictures() -> None:
    doors = {"read_layout", "find_place"}
    packages = ("features", "level1_cnn", "level2_stack", "bundle")
    modules = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    importing = {
        path.stem
        for path in modules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and doors & {alias.name for alias in node.names}
    }
    assert importing == {"data_folder"}


def test_new_cases_are_read_by_entering_their_folder_once(data: Path, tmp_path: Path) -> None:
    with watched(tmp_path) as counts:
        assert read_new_cases(DataFolder.open(data)).index.tolist() == ["t1", "t2"]
    assert (counts["clinic/test.csv"], counts["clinic/jpeg/test"], counts["read_layout"]) == (1, 1, 1)


@pytest.mark.parametrize("table", ["image_name\nt1\nt2\n", "image_name,sex\nt1,F\nt2,male\n"])
def test_cases_without_a_patient_are_patients_of_their_own_which_is_said(data: Path, table: str) -> None:
    (data / "test.csv").write_text(table)
    folder = DataFolder.open(data)
    cases = read_new_cases(folder)
    assert cases["patient_id"].tolist() == ["t1", "t2"]
    assert set(METADATA) <= set(cases.columns)
    assert cases["age_approx"].isna().all()
    said = "test.csv: no column patient_id: taken as not known, so every case is a patient of its own"
    assert said in folder.notes
    assert "test.csv: no column age_approx: taken as not known" in folder.notes


def test_a_table_in_memory_is_checked_as_one_in_a_file(data: Path) -> None:
    columns = {"patient_id": ["q1", None], "sex": ["F", "male"], "age_approx": ["30 years", 85], "site": ["x", "y"]}
    given = pd.DataFrame(columns, index=["t1", "t2"])
    given.rename_axis("image_name").to_csv(data / "test.csv")
    folder, notes = DataFolder.open(data), list[str]()
    read = read_new_cases(folder)
    pictures = {str(name): data / str(picture) for name, picture in read["picture"].items()}
    checked = check_new_cases(given, METADATA, pictures, notes)
    pd.testing.assert_frame_equal(checked.drop(columns="picture"), read[[*checked.columns.drop("picture")]])
    assert notes == [note.replace("test.csv: ", "cases: ") for note in folder.notes]
    assert checked["patient_id"].tolist() == ["q1", "t2"]


def test_every_fault_of_a_table_in_memory_is_told_together(data: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    given = pd.DataFrame({"sex": ["male", "female", 1], "age_approx": [200, 5, np.inf]}, index=["t1", "t1", "a/b"])
    with pytest.raises(InputFault) as refused:
        check_new_cases(given, METADATA, {"t1": tmp_path / "broken.jpg"}, [])
    for said in (
        "cases: image_name that is a path, not the name of a file alone: 1 (a/b)",
        "cases: image_name given more than once: 1 (t1); their rows differ",
        "sex must be female or male, not a code",
        "from 0 to 130; of a range write the middle; found 200, inf in 2 (t1, a/b)",
        "pictures: no picture for 1 (a/b)",
        "pictures: unreadable pictures: 1 (t1)",
    ):
        assert said in str(refused.value)


def test_a_contact_sheet_is_made_of_a_folder_that_its_mapping_describes(data: Path, tmp_path: Path) -> None:
    (data / "train.csv").rename(data / "cases.csv")
    (data / "jpeg/train").rename(data / "pictures")
    (data / "cases.toml").write_text(
        'train = "cases.csv"\ntrain_pictures = "pictures"\npositive = ["melanoma"]\n[columns]\ntarget = "diagnosis"\n'
    )
    sheet = contact_sheet(DataFolder.open(data), tmp_path / "sheet.png", columns=4, rows=1)
    with Image.open(sheet) as opened:
        corners = [opened.convert("RGB").getpixel((column * 164 + 3, 3)) for column in range(4)]
    assert [corner == (220, 30, 30) for corner in corners] == [False, False, True, True]
