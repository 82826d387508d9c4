"""Tests of freeze_cases.py: the case table is frozen once, and a later change of its input is refused."""

from pathlib import Path

import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from runtime.errors import InputFault
from runtime.run_folder import Run
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
    with pytest.raises(InputFault, match=rf"pictures\.{key}\.tfrec: .*"):
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
