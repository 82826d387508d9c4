"""Tests of sbatch and part: scripts for job arrays, their limits from a plan, and parts that make the same run."""

import os
import subprocess
from pathlib import Path

import pytest

from melstack.batch.scripts import BatchPlan, write_scripts
from runtime.cluster.queue_settings import QueueSettings
from runtime.forecasts import Forecast, Span
from tests.command_line import run_melstack
from tests.features.small_clinic import small_clinic
from tests.tiny_project import MODELS

QUEUE = QueueSettings(walltime="10:00:00", memory="16GB", queue="gpu", gpus=1, jobs=3, environment=["module load cuda"])
# Stand in for SLURM: write down what is submitted, and print the number of the job.
SBATCH = '#!/bin/bash\necho "$@" >> "$LIST"\nwc -l < "$LIST"\n'


def forecast(name: str, hours: float, memory: int) -> Forecast:
    span = Span(low=hours * 1800, high=hours * 3600)
    return Forecast(level="one", name=name, seconds={"training": span}, memory=memory, how="measured")


def plan(folder: Path) -> BatchPlan:
    forecasts = {"b4": forecast("b4", hours=5, memory=4 << 30), "b0": forecast("b0", hours=1, memory=1 << 30)}
    return BatchPlan(folder, QUEUE, forecasts)


def test_an_array_has_a_task_for_every_model_and_fold_with_the_limits_of_the_plan(tmp_path: Path) -> None:
    batches = plan(tmp_path).batches([["b4", "b0"]], folds=5, verb="submission")
    assert [batch.name for batch in batches] == ["prepare", "shared_1", "folds_1", "rest"]
    text = plan(tmp_path).text(batches[2])
    for line in (
        "#SBATCH --array=0-9%3",
        "#SBATCH --time=2:10:00",  # twice the longest fold, and ten minutes to start
        "#SBATCH --mem=5376M",  # a quarter more than the forecast, and the program
        "#SBATCH --signal=B:TERM@120",
        "#SBATCH --requeue",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --partition=gpu",
        "module load cuda",
    ):
        assert line in text.splitlines()
    assert text.count("melstack part") == 10


def test_a_model_without_a_forecast_gets_what_the_file_says(tmp_path: Path) -> None:
    batch = plan(tmp_path).batches([["b7"]], folds=5, verb="oof")[2]
    assert (batch.seconds, batch.memory) == (36_000, 16 * 10**9)


def test_every_script_waits_for_the_one_before(tmp_path: Path) -> None:
    script = write_scripts(plan(tmp_path), plan(tmp_path).batches([["b4"], ["b0"]], folds=2, verb="oof"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(SBATCH)
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "LIST": str(tmp_path / "list")}
    subprocess.run(["bash", script], env=environment, check=True, capture_output=True)
    lines = (tmp_path / "list").read_text().splitlines()
    assert len(lines) == 6
    assert "dependency" not in lines[0]
    assert all(f"--dependency=afterok:{number} " in line for number, line in enumerate(lines[1:], start=1))
    for path in script.parent.glob("*.sh"):
        subprocess.run(["bash", "-n", path], check=True)


def test_sbatch_writes_the_settings_that_its_jobs_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_clinic(tmp_path / "data")
    (tmp_path / "frozen.toml").write_text(MODELS["frozen"])
    (tmp_path / "cluster.toml").write_text('walltime = "1:00:00"\nmemory = "2GB"\n')
    words = ["--data", "data", "--run", "run", "--folds", 2, "--models", "frozen.toml"]
    output = run_melstack("sbatch", *words)
    assert output.code == 0, output.err
    assert "bash " in output.out
    assert "folds = 2" in (tmp_path / "run" / "run.toml").read_text()
    assert run_melstack("sbatch", *words, "--queue", "nope.toml").code == 2


def test_a_fold_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "has no effect without --model" in run_melstack("part", "--data", tmp_path, "--fold", 1).err


@pytest.mark.full
def test_parts_make_the_run_of_one_command(tmp_path: Path) -> None:
    """Every part in turn, as array jobs do them; then `oof` finds nothing to train."""
    from features.clinic.folder import draw_clinic

    draw_clinic(tmp_path / "data", train=60, test=20)
    (tmp_path / "frozen.toml").write_text(MODELS["frozen"])
    run = ["--run", tmp_path / "run"]
    words = [*run, "--data", tmp_path / "data", "--folds", 3, "--models", tmp_path / "frozen.toml", "--devices", "cpu"]
    assert run_melstack("part", *words).code == 0
    for extra in ([], ["--fold", 0], ["--fold", 1], ["--fold", 2], ["--fold", 2]):
        output = run_melstack("part", *run, "--model", "frozen", *extra)
        assert output.code == 0, output.err
    assert "finished already" in output.out
    assert run_melstack("oof", *run).code == 0
    assert (tmp_path / "run" / "level1" / "frozen" / "predictions.parquet").is_file()
