"""Tests of the forecast end to end: the tiny clinic and its models, in a process of its own as a user starts it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.experiment import read_experiment
from level1_cnn.forecast.work import count_work
from level1_cnn.job import Job
from melstack.commands.plan import plan_level2
from melstack.options import StackOptions
from runtime.errors import InputFault
from runtime.forecasts import HOUR
from runtime.machine.resources import this_machine
from runtime.run_folder import Run
from tests.command_line import run_melstack
from tests.sources import ROOT
from tests.tiny_project import MODELS, FinishedRun, TinyProject


def plan_models(run: Run, *models: Path, **limits: object) -> tuple[int, str]:
    """Return the exit code of `melstack plan` and its output."""
    options = [part for name, value in limits.items() for part in (f"--free-{name}", str(value))]
    options += ["--models", " ".join(map(str, models)), "--devices", "cpu"]
    line = [sys.executable, "-m", "melstack", "plan", "--run", str(run.folder), *options]
    process = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, text=True)
    return process.returncode, process.stdout + process.stderr


def frozen_cases(project: TinyProject, folder: Path) -> Run:
    """Return a run with its cases and nothing else."""
    run = Run(folder / "run")
    freeze_cases(run, Request(project.data, folds=3))
    return run


def write_variant(folder: Path, name: str, old: str, new: str) -> Path:
    """Write the tuned model with another setting."""
    path = folder / f"{name}.toml"
    assert old in MODELS["tuned"]
    path.write_text(MODELS["tuned"].replace(old, new))
    return path


def parts(run: Run) -> dict[str, dict]:
    return {part["name"]: part for part in json.loads((run.folder / "plan.json").read_text())["parts"]}


@pytest.fixture(scope="module")
def forecast(project: TinyProject, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """Return a run with a forecast of both levels, and the output of the command.

    The model `short` has fewer steps than the forecast measures.
    """
    run = frozen_cases(project, tmp_path_factory.mktemp("forecast"))
    short = write_variant(run.folder.parent, "short", "batch_size = 16", "batch_size = 64")
    code, output = plan_models(run, *project.models, short)
    assert code == 0, output
    return run, output


@pytest.mark.full
def test_a_plan_holds_every_part_with_ranges_and_writes_nothing_else(forecast: tuple[Run, str]) -> None:
    run, output = forecast
    by_name = parts(run)
    assert list(by_name) == ["decoding", *MODELS, "short", "default"]
    assert by_name["decoding"]["seconds"]["decoding"]["low"] > 0
    for name in MODELS:
        assert set(by_name[name]["seconds"]) == {"training", "prediction", "bundle"}
        assert all(0 < span["low"] <= span["high"] for span in by_name[name]["seconds"].values())
        assert by_name[name]["memory"] > 300e6
    assert "6 steps of 16 pictures" in by_name["tuned"]["how"]
    assert "6 steps of 64 pictures" in by_name["short"]["how"]
    assert "3 of 3 folds left" in output
    together = json.loads((run.folder / "plan.json").read_text())["together"]
    highs = [span["high"] for part in by_name.values() for span in part["seconds"].values()]
    assert together["hours"][1] == pytest.approx(sum(highs) / HOUR)
    assert not list(run.level1.glob("*"))
    assert not (run.folder.parent / "pictures").exists()


@pytest.mark.full
def test_what_is_finished_counts_as_done_and_the_forecast_of_its_disk_was_near(
    forecast: tuple[Run, str], finished_run: FinishedRun, tmp_path: Path
) -> None:
    run = finished_run.copy_to(tmp_path)
    code, output = plan_models(run, *finished_run.project.models)
    assert code == 0, output
    assert not any(parts(run)[name]["seconds"] for name in MODELS)
    embeddings = sum(path.stat().st_size for path in (run.level1 / "frozen").rglob("*.npy"))
    assert embeddings == pytest.approx(parts(forecast[0])["frozen"]["disk"]["embeddings"], rel=0.5)


@pytest.mark.full
def test_limits_that_nothing_fits_end_with_code_2_and_say_what_would_fit(project: TinyProject, tmp_path: Path) -> None:
    large = write_variant(tmp_path, "large", "batch_size = 16", "batch_size = 64")
    large.write_text(large.read_text().replace("image_size = 32", "image_size = 512"))
    code, output = plan_models(frozen_cases(project, tmp_path), large, memory=1, disk=0.001)
    assert code == 2
    assert "large: training on 64 pictures of 512 px at once takes" in output
    assert "batch_size = 64 with accumulation = " in output
    assert "of disk, and 1 MB are free there" in output
    assert "ESTIMATED" in output


def test_a_run_without_networks_is_refused(finished_run: FinishedRun, tmp_path: Path) -> None:
    run = finished_run.copy_to(tmp_path)
    shutil.rmtree(run.level1)
    with pytest.raises(InputFault, match="the stack will have no network"):
        plan_level2(run, StackOptions(), this_machine(run.folder))


def test_a_limit_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    refused = run_melstack("plan", "--run", tmp_path, "--free-memory", "plenty")
    assert refused.code == 2
    assert "unable to parse string as a number" in " ".join(refused.err.replace("│", " ").split())


def test_the_work_of_a_model_is_counted_from_the_cases(finished_run: FinishedRun) -> None:
    embedding, training = (read_experiment(path) for path in finished_run.project.models)
    work = count_work(Job(finished_run.run, "new", training, "{}"), 8)
    # 120 training pictures in three folds of 40; 30 test pictures.
    assert (work.folds, work.pending, work.cases, work.predictions) == (3, 3, 150, 40 + 30)
    assert (work.epochs, work.steps, work.rows, work.embeddings_left) == (1, 10, 120, 0)
    assert (work.sides, work.pixels) == (1, 1.0)
    half = training.image_size // 2
    rising = training.training.model_copy(update={"epochs": 4, "progressive_sides": (half,)})
    work = count_work(Job(finished_run.run, "new", training.model_copy(update={"training": rising}), "{}"), 8)
    assert (work.sides, work.pixels) == (2, (2 * 0.25 + 2) / 4)
    work = count_work(Job(finished_run.run, "new", embedding, "{}"), 0)
    assert (work.embeddings_left, work.rows, work.head_pictures, work.steps) == (150, 150, 80, 0)
