"""Tests for run_folder.py: the case table is frozen once, and a change below it is refused."""

from pathlib import Path

import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from runtime.errors import InputFault
from runtime.run_folder import Run
from tests.features.cases.record_sets import TRAIN, record, write_set
from tests.features.pictures.tfrecord_files import write_records
from tests.features.small_clinic import edited, external


def test_a_frozen_table_is_left_alone(data: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert freeze_cases(run, Request(data, folds=2))
    written = run.cases.read_bytes()
    assert not freeze_cases(run, Request(data, folds=2))
    assert run.cases.read_bytes() == written
    assert run.facts()["sample"] == "sample_submission.csv"


@pytest.mark.parametrize(
    ("name", "old", "new"), [("train.csv", "male,45", "male,50"), ("sample_submission.csv", "t1,0", "t1,1")]
)
def test_other_data_under_the_same_run_are_refused_by_name(
    data: Path, tmp_path: Path, name: str, old: str, new: str
) -> None:
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=2))
    edited(old, new, name)(data)
    with pytest.raises(InputFault, match=rf"files\.{name}: .*"):
        freeze_cases(run, Request(data, folds=2))


def test_another_number_of_folds_is_refused(data: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=2))
    with pytest.raises(InputFault, match="seed: 0 -> 1"):
        freeze_cases(run, Request(data, folds=2, seed=1))


def test_a_run_without_a_case_table_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputFault, match="`make cases` makes it"):
        Run(tmp_path).read_cases()


@pytest.mark.parametrize(("place", "key"), [("tfrecords", r"tfrecords/train\*"), (".", r"clinic/train\*")])
def test_other_records_under_the_same_run_are_refused_by_name(data: Path, tmp_path: Path, place: str, key: str) -> None:
    (data / "jpeg").rename(data / "elsewhere")
    write_set(data / place, TRAIN, ("t1", "t2"))
    run = Run(tmp_path / "run")
    assert freeze_cases(run, Request(data, folds=2))
    assert not freeze_cases(run, Request(data, folds=2))
    write_records(data / place / "train02-1.tfrec", [record("new")])
    with pytest.raises(InputFault, match=rf"pictures\.{key}\.tfrec: .*"):
        freeze_cases(run, Request(data, folds=2))


def test_other_external_folders_under_the_same_run_are_refused_by_name(data: Path, tmp_path: Path) -> None:
    first, second = external(tmp_path / "ham", ("e1",)), external(tmp_path / "bcn", ("e1", "e2"))
    run = Run(tmp_path / "run")
    assert freeze_cases(run, Request(data, folds=2, extra=(first, second)))
    assert "extra bcn: left out, since an earlier external folder has them: 1 (e1)" in run.facts()["summary"]
    assert not freeze_cases(run, Request(data, folds=2, extra=(first, second)))
    with pytest.raises(InputFault, match=r"extra\.bcn\.files\.train\.csv: .* -> 'absent'"):
        freeze_cases(run, Request(data, folds=2, extra=(first,)))


def test_the_order_of_external_folders_is_part_of_what_was_asked_for(data: Path, tmp_path: Path) -> None:
    first, second = external(tmp_path / "ham", ("e1",)), external(tmp_path / "bcn", ("e1", "e2"))
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=2, extra=(first, second)))
    with pytest.raises(InputFault, match="extra_order"):
        freeze_cases(run, Request(data, folds=2, extra=(second, first)))
