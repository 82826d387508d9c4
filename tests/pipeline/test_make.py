"""Tests of the whole pipeline through the Makefile, on a tiny project: the commands of a user and their results."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from runtime.command_record import NAME as COMMANDS
from runtime.command_record import read_commands
from runtime.progress import LOG
from runtime.run_folder import Run
from runtime.tables import read_table
from tests.sources import ROOT
from tests.tiny_project import MODELS, RECIPE, TEST, FinishedRun, TinyProject


def test_one_command_makes_a_submission_in_the_order_of_the_sample(
    finished_run: FinishedRun, project: TinyProject
) -> None:
    run = finished_run.run
    submission = pd.read_csv(run.submission)
    sample = pd.read_csv(project.data / "sample_submission.csv")
    assert submission.columns.tolist() == ["image_name", "target"]
    assert submission["image_name"].tolist() == sample["image_name"].tolist()
    assert submission["target"].between(0, 1).all()
    assert submission["target"].nunique() > 10


def test_the_auc_on_the_hidden_test_labels_and_that_of_the_true_risk_are_printed(finished_run: FinishedRun) -> None:
    assert "on the hidden test labels: AUC of " in finished_run.output
    assert "the AUC of the true risk" in finished_run.output


def test_a_command_of_make_is_recorded_as_melstack_takes_it(finished_run: FinishedRun, project: TinyProject) -> None:
    (record,) = read_commands(finished_run.run.folder)
    assert record.command.startswith(f"melstack submission --data={project.data} --run={finished_run.run.folder} ")
    assert "--prevalence=0.05" in record.command.split()
    assert record.end == ""


def test_every_table_of_a_run_has_one_row_per_train_and_test_case(finished_run: FinishedRun) -> None:
    run = finished_run.run
    cases = run.read_cases()
    tables = [
        *run.blocks.glob("*.parquet"),
        *run.level1.glob("*/predictions.parquet"),
        *(run.level2 / "quick").glob("*.parquet"),
    ]
    assert len(tables) == 5 + 2 + 3
    for path in tables:
        assert sorted(read_table(path).index) == sorted(cases.index), path
    for path in run.folder.rglob("predictions.parquet"):
        if "fold_" not in path.parent.name:
            assert {"probability", "spread", "fold"} <= set(read_table(path).columns)


def modification_times(run: Run) -> dict[Path, int]:
    """Return the time of every file of a run except the record of commands, which every command extends."""
    files = [path for path in run.folder.rglob("*") if path.is_file() and path.name not in (COMMANDS, LOG)]
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.full
def test_a_second_run_changes_nothing_and_reports_everything_as_fresh(
    finished_run: FinishedRun, project: TinyProject
) -> None:
    run = finished_run.run
    before = modification_times(run)
    lines = project.make("submission", run).stdout.splitlines()
    assert before == modification_times(run)
    for part in ("cases", "level one", "blocks", "level two: quick", "submission"):
        of_part = [line for line in lines if line.startswith(part)]
        assert any("fresh" in line for line in of_part), part


@pytest.mark.full
def test_a_run_that_is_killed_and_continued_ends_with_the_same_submission(
    finished_run: FinishedRun, project: TinyProject, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    process = subprocess.Popen(
        project.command("submission", run),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(run.folder.glob("level1/*/fold_1/done.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not run.submission.exists()
    assert project.make("submission", run).returncode == 0
    assert run.submission.read_bytes() == finished_run.run.submission.read_bytes()


@pytest.mark.full
def test_returning_to_an_earlier_recipe_writes_its_submission_again(
    finished_run: FinishedRun, project: TinyProject, tmp_path: Path
) -> None:
    run = finished_run.copy_to(tmp_path)
    first = run.submission.read_bytes()
    other = tmp_path / "other.toml"
    other.write_text(RECIPE.replace('blend = ["lgbm", "xgb", "ridge"]', 'blend = ["logistic"]'))
    assert project.make("submission", run, RECIPE=str(other)).returncode == 0
    assert run.submission.read_bytes() != first
    assert project.make("submission", run).returncode == 0
    assert run.submission.read_bytes() == first


@pytest.mark.full
def test_foreign_predictions_are_stacked_without_any_picture(
    project: TinyProject, finished_run: FinishedRun, tmp_path: Path
) -> None:
    own = finished_run.run
    cases = own.read_cases()
    data, foreign = tmp_path / "tables", tmp_path / "foreign"
    shutil.copytree(project.data, data, ignore=shutil.ignore_patterns("jpeg", "clinic.json", "truth.csv"))
    for name in MODELS:
        table = read_table(own.level1 / name / "predictions.parquet").join(cases["role"])
        (foreign / f"net_{name}").mkdir(parents=True)
        for role, file in (("train", "oof.csv"), ("test", "test.csv")):
            rows = table[table["role"] == role].rename(columns={"probability": "pred"})
            rows[["fold", "pred"] if role == "train" else ["pred"]].to_csv(foreign / f"net_{name}" / file)
    run = Run(tmp_path / "run")
    result = project.make("submission", run, DATA=str(data), FOREIGN=str(foreign))
    assert result.returncode == 0, result.stderr
    assert "no network is trained" in result.stdout
    assert "they are this run's folds" in (run.folder / LOG).read_text()
    assert "they are this run's folds" not in result.stdout
    assert len(pd.read_csv(run.submission)) == TEST


@pytest.mark.full
def test_make_alone_prints_help_and_changes_nothing() -> None:
    result = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory"], capture_output=True, text=True, check=True
    )
    for target in ("oof", "stack", "submission", "test", "lint", "clean"):
        assert f"  {target} " in result.stdout
