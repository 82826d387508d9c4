"""Tests of freeze_cases.py: the case table is frozen once, and a later change of its input is refused."""

import os
from pathlib import Path

import pandas as pd
import pytest

from features.clinic.folder import draw_clinic
from features.folder.data_folder import CaseFolders
from features.folder.layout import FIRST_COLUMNS, FIRST_SETTINGS, Columns, Layout, Request
from features.freeze_cases import case_ingredients, freeze_cases
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.provenance import MARK_KEYS, write_mark
from runtime.run_folder import Run
from tests.command_line import run_melstack
from tests.features.cases.record_sets import TRAIN, record, write_set
from tests.features.pictures.tfrecord_files import write_records
from tests.features.small_clinic import edit_file, write_external


def test_a_frozen_table_is_not_written_again(data: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert freeze_cases(run, Request(data, folds=2))
    content = run.cases.read_bytes()
    assert not freeze_cases(run, Request(data, folds=2))
    assert run.cases.read_bytes() == content
    assert run.facts()["sample"] == "sample_submission.csv"


@pytest.mark.parametrize(
    ("name", "old", "new"), [("train.csv", "male,45", "male,50"), ("sample_submission.csv", "t1,0", "t1,1")]
)
def test_changed_data_under_the_same_run_are_refused_by_name(
    data: Path, tmp_path: Path, name: str, old: str, new: str
) -> None:
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=2))
    edit_file(old, new, name)(data)
    with pytest.raises(InputFault, match=rf"files\.{name}: .*"):
        freeze_cases(run, Request(data, folds=2))


def test_another_seed_of_the_folds_is_refused(data: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=2))
    with pytest.raises(InputFault, match="seed: 0 -> 1"):
        freeze_cases(run, Request(data, folds=2, seed=1))


def test_a_run_without_a_case_table_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=r"`(make|melstack) cases` makes it"):
        Run(tmp_path).read_cases()


@pytest.mark.parametrize(("subfolder", "key"), [("tfrecords", r"tfrecords/train\*"), (".", r"clinic/train\*")])
def test_changed_records_under_the_same_run_are_refused_by_name(
    data: Path, tmp_path: Path, subfolder: str, key: str
) -> None:
    (data / "jpeg").rename(data / "elsewhere")
    write_set(data / subfolder, TRAIN, ("t1", "t2"))
    run = Run(tmp_path / "run")
    assert freeze_cases(run, Request(data, folds=2))
    assert not freeze_cases(run, Request(data, folds=2))
    write_records(data / subfolder / "train02-1.tfrec", [record("new")])
    with pytest.raises(InputFault, match=rf"contents\.{key}\.tfrec: .*"):
        freeze_cases(run, Request(data, folds=2))


def test_other_external_folders_under_the_same_run_are_refused_by_name(data: Path, tmp_path: Path) -> None:
    first, second = write_external(tmp_path / "ham", ("e1",)), write_external(tmp_path / "bcn", ("e1", "e2"))
    run = Run(tmp_path / "run")
    assert freeze_cases(run, Request(data, folds=2, extra=(first, second)))
    assert "extra bcn: left out because an earlier external folder has the same names: 1 (e1)" in run.facts()["summary"]
    assert not freeze_cases(run, Request(data, folds=2, extra=(first, second)))
    with pytest.raises(InputFault, match=r"extra\.bcn\.files\.train\.csv: .* -> 'absent'"):
        freeze_cases(run, Request(data, folds=2, extra=(first,)))


def test_another_order_of_external_folders_is_refused(data: Path, tmp_path: Path) -> None:
    first, second = write_external(tmp_path / "ham", ("e1",)), write_external(tmp_path / "bcn", ("e1", "e2"))
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=2, extra=(first, second)))
    with pytest.raises(InputFault, match="extra_order"):
        freeze_cases(run, Request(data, folds=2, extra=(second, first)))


def replace_bytes(path: Path, content: bytes) -> None:
    """Write ``content``, of the old size, to ``path``, and give the file its old times."""
    status = path.stat()
    assert len(content) == status.st_size
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_touched_picture_is_the_same_and_a_replaced_one_of_the_same_size_and_time_is_named(tmp_path: Path) -> None:
    data = draw_clinic(tmp_path / "drawn", train=60, test=20, seed=0)
    request, run, pictures = Request(data, folds=3), Run(tmp_path / "run"), sorted((data / "jpeg" / "train").iterdir())
    freeze_cases(run, request)
    for path in pictures:
        path.touch()
    assert not freeze_cases(run, request)
    content = bytearray(pictures[3].read_bytes())
    content[-100:-2] = content[-100:-2][::-1]
    replace_bytes(pictures[3], bytes(content))
    with pytest.raises(InputFault, match=r"(?s)contents\.jpeg/train: .*pictures that changed: 1 \(" + pictures[3].stem):
        freeze_cases(run, request)


def test_a_change_outside_the_pieces_of_the_fingerprint_is_found_by_verify(tmp_path: Path) -> None:
    data = draw_clinic(tmp_path / "drawn", train=60, test=20, seed=0)
    picture = sorted((data / "jpeg" / "test").iterdir())[0]
    picture.write_bytes(picture.read_bytes() + bytes(20_000))  # JPEG readers ignore what is behind the end
    run, request = Run(tmp_path / "run"), Request(data, folds=3)
    freeze_cases(run, request)
    assert run_melstack("verify", "--run", run.folder).code == 0
    content = bytearray(picture.read_bytes())
    content[1000] ^= 1
    replace_bytes(picture, bytes(content))
    assert not freeze_cases(run, request)
    output = run_melstack("verify", "--run", run.folder)
    assert (output.code, f"changed since they were read: 1 ({picture.stem})" in output.out) == (4, True)
    run.pairs.write_text("[]\n\n")
    assert run_melstack("verify", "--run", run.folder).code == 3


def test_a_run_whose_mark_has_sizes_only_gets_the_contents_and_keeps_its_table(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, request = Run(tmp_path / "run"), Request(data, folds=2)
    freeze_cases(run, request)
    mark, table = read_json(run.cases_mark), run.cases.read_bytes()
    made_from = case_ingredients(CaseFolders.open(request), by_size=True)
    facts = {key: value for key, value in mark.items() if key not in MARK_KEYS}
    write_mark(run.cases_mark, made_from, [run.cases, run.pairs], **facts)
    assert not freeze_cases(run, request)
    assert "from now on the contents of the pictures are compared" in capsys.readouterr().out
    assert read_json(run.cases_mark) == mark
    assert run.cases.read_bytes() == table


def test_settings_that_the_first_versions_did_not_have_leave_a_run_fresh(data: Path) -> None:
    values = Layout().as_ingredient()
    assert set(values) == FIRST_SETTINGS
    assert set(values["columns"]) == FIRST_COLUMNS
    assert Layout(subfolders=True).as_ingredient()["subfolders"] is True
    assert Layout(columns=Columns(lesion_id="l")).as_ingredient()["columns"]["lesion_id"] == "l"


def test_a_changed_joined_table_is_another_input(data: Path, tmp_path: Path) -> None:
    table = pd.read_csv(data / "train.csv")
    table[["image_name", "sex"]].to_csv(data / "people.csv", index=False)
    table.drop(columns="sex").to_csv(data / "train.csv", index=False)
    run = Run(tmp_path / "run")
    assert freeze_cases(run, Request(data, folds=2))
    assert not freeze_cases(run, Request(data, folds=2))
    (data / "people.csv").write_text((data / "people.csv").read_text().replace("female", "male"))
    with pytest.raises(InputFault, match=r"people\.csv"):
        freeze_cases(run, Request(data, folds=2))
