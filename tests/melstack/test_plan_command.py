"""Tests of the forecast end to end: drawn pictures, tiny models, in processes of its own as a user starts it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from level1_cnn.experiment import read_experiment
from level1_cnn.forecast.work import count_work
from level1_cnn.job import Job
from runtime.forecasts import HOUR
from runtime.run_folder import Run
from tests.level1_cnn.drawn_run import FINETUNE, FROZEN, MODELS, make_run, train_alone, write_model
from tests.workshop import ROOT


def plan(run: Run, command: str, *options: str) -> tuple[int, str]:
    """Return the exit code of a command `plan` and what it says."""
    line = [sys.executable, "-m", "melstack", command, "--run", str(run.folder), *options]
    ended = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


def parts(run: Run) -> dict[str, dict]:
    return {part["name"]: part for part in json.loads((run.folder / "plan.json").read_text())["parts"]}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str], str]:
    """Return a run of which both levels were forecast, its models, and what was said."""
    folder = tmp_path_factory.mktemp("planned")
    run = make_run(folder)
    models = [write_model(folder, name, text) for name, text in MODELS.items()]
    code, said = plan(run, "plan", "--models", " ".join(models), "--devices", "cpu")
    assert code == 0, said
    code, more = plan(run, "plan-stack")
    assert code == 0, more
    return run, models, said + more


@pytest.mark.full
def test_a_plan_holds_every_part_with_ranges_and_writes_nothing_else(planned) -> None:
    run, _, said = planned
    found = parts(run)
    assert list(found) == ["decoding", "finetuned", "frozen", "default"]
    assert found["decoding"]["seconds"]["decoding"]["low"] > 0
    for name in ("finetuned", "frozen"):
        assert set(found[name]["seconds"]) == {"training", "prediction", "bundle"}
        assert all(0 < span["low"] <= span["high"] for span in found[name]["seconds"].values())
        assert found[name]["memory"] > 300e6
    assert "6 steps of 8 pictures" in found["finetuned"]["how"]
    assert "3 of 3 folds left" in said
    together = json.loads((run.folder / "plan.json").read_text())["together"]
    highs = [span["high"] for part in found.values() for span in part["seconds"].values()]
    assert together["hours"][1] == pytest.approx(sum(highs) / HOUR)
    assert not list(run.level1.glob("*"))
    assert not (run.folder.parent / "pictures").exists()


@pytest.mark.full
def test_what_is_finished_counts_as_done_and_the_forecast_of_its_disk_was_near(planned) -> None:
    run, models, _ = planned
    forecast = parts(run)
    train_alone(run, models)
    code, said = plan(run, "plan", "--models", " ".join(models), "--devices", "cpu")
    assert code == 0, said
    assert all(not part["seconds"] for part in parts(run).values())
    kept = sum(path.stat().st_size for path in (run.level1 / "frozen").rglob("*.npy"))
    assert kept == pytest.approx(forecast["frozen"]["disk"]["embeddings"], rel=0.5)


@pytest.mark.full
def test_limits_that_nothing_fits_end_with_code_2_and_say_what_would_fit(tmp_path: Path) -> None:
    run = make_run(tmp_path, patients=12)
    large = FINETUNE.replace("image_size = 32", "image_size = 512").replace("batch_size = 8", "batch_size = 64")
    model = write_model(tmp_path, "large", large)
    options = ["--models", model, "--devices", "cpu", "--memory", "1"]
    code, said = plan(run, "plan", *options, "--disk", "0.001")
    assert code == 2
    assert "large: training on 64 picture(s) of 512 px at once takes" in said
    assert "batch_size = 64 with accumulation = " in said
    assert "of disk, and 1 MB are free there" in said
    assert "ESTIMATED" in said


@pytest.mark.full
def test_a_training_shorter_than_what_is_measured_is_forecast_all_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path, patients=12)
    short = FINETUNE.replace("batch_size = 8", "batch_size = 64")
    code, said = plan(run, "plan", "--models", write_model(tmp_path, "short", short), "--devices", "cpu")
    assert code == 0, said
    assert "6 steps of 64 pictures" in parts(run)["short"]["how"]


def test_nothing_to_stack_is_refused(tmp_path: Path) -> None:
    code, said = plan(make_run(tmp_path, patients=12), "plan-stack")
    assert code == 2
    assert "there will be no network to stack" in said


def test_a_limit_that_is_no_number_is_refused(tmp_path: Path) -> None:
    code, said = plan(Run(tmp_path), "plan-stack", "--memory", "plenty")
    assert code == 2
    assert "'plenty' is not a number of GB" in said


def test_the_work_of_a_model_is_counted_from_the_cases(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    finetune, frozen = (read_experiment(Path(write_model(tmp_path, "m", text))) for text in (FINETUNE, FROZEN))
    work = count_work(Job(run, "m", finetune, "{}"), 8)
    # 18 training patients of four pictures in three folds; six test patients.
    assert (work.folds, work.pending, work.cases, work.asked) == (3, 3, 96, 24 + 24)
    assert (work.epochs, work.steps, work.rows, work.embedded) == (2, 6, 72, 0)
    work = count_work(Job(run, "m", frozen, "{}"), 0)
    assert (work.embedded, work.rows, work.shown, work.steps) == (96, 96, 48, 0)
