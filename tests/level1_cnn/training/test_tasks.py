"""Tests of folds as tasks: one after another or on a cluster of separate processes, the same tables to the byte."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.training.checkpoint import STATE
from melstack import level1_commands as command
from runtime.errors import InputFault
from runtime.files import read_json
from runtime.run_folder import Run
from tests.runtime.cluster.test_scheduler import ROOT, cluster, kill_a_busy_worker

HEADER = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge"
TINY = 'backbone = "tiny"\nvariant = "tiny"\nweights = "none"\nimage_size = 32\nviews = ["identity", "mirror"]\n'
FROZEN = TINY + '[training]\nmethod = "frozen"\nregularisation = 0.01\n'
FINETUNE = TINY + '[training]\nmethod = "finetune"\nepochs = 2\nbatch_size = 8\nlearning_rate = 0.01\n'
MODELS = {"finetuned": FINETUNE, "frozen": FROZEN}
TABLES = ("predictions.parquet", "views.parquet", "embeddings.parquet")


def draw(path: Path, malignant: bool, rng: np.random.Generator) -> None:
    """Draw a blob of its own shape on light skin; a malignant one is bluish."""
    rows, columns = np.mgrid[:40, :40]
    middle, axes = rng.uniform(14, 26, 2), rng.uniform(5, 13, 2)
    blob = ((rows - middle[0]) / axes[0]) ** 2 + ((columns - middle[1]) / axes[1]) ** 2 < 1
    picture = np.full((40, 40, 3), 200.0)
    picture[blob] = (60, 60, 160) if malignant else (150, 90, 60)
    picture += rng.normal(0, 12, picture.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=95)


def make_run(folder: Path, *, patients: int = 24, folds: int = 3) -> Run:
    """Return a run of drawn pictures: four of each patient, every third malignant, a quarter of the patients tests."""
    rng = np.random.default_rng(4)
    tables = {"train": [f"{HEADER},target"], "test": [HEADER]}
    for number in range(patients * 4):
        role = "train" if number // 4 < patients * 3 // 4 else "test"
        target = f",{int(number % 3 == 0)}" if role == "train" else ""
        tables[role].append(f"c{number:03d},p{number // 4},male,50,torso{target}")
        draw(folder / "data" / "jpeg" / role / f"c{number:03d}.jpg", number % 3 == 0, rng)
    for role, lines in tables.items():
        (folder / "data" / f"{role}.csv").write_text("\n".join(lines) + "\n")
    run = Run(folder / "run")
    freeze_cases(run, Request(folder / "data", folds=folds))
    return run


def write_model(folder: Path, name: str, text: str) -> str:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


def train(run: Run, models: list[str], *options: str) -> str:
    """Return what the command says in a process of its own: the deterministic mode lasts as long as the process."""
    command = [sys.executable, "-m", "melstack", "oof", "--run", str(run.folder), "--models", " ".join(models)]
    command += ["--deterministic", "--devices", "cpu", *options]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def tables(run: Run) -> dict[tuple[str, str], bytes]:
    return {(name, table): (run.level1 / name / table).read_bytes() for name in MODELS for table in TABLES}


@pytest.mark.full
def test_a_cluster_of_two_workers_makes_the_same_tables_to_the_byte(tmp_path: Path) -> None:
    """In deterministic mode, for a trained and for a frozen model; workers are processes of their own."""
    here, there = make_run(tmp_path / "here"), make_run(tmp_path / "there")
    models = [write_model(tmp_path, name, text) for name, text in MODELS.items()]
    train(here, models)
    with cluster() as (address, _):
        said = train(there, models, "--cluster", address)
    assert all(f"{name}: fold {fold} finished" in said for name in MODELS for fold in range(3))
    assert tables(there) == tables(here)


@pytest.mark.full
def test_a_worker_killed_in_the_middle_of_a_fold_changes_no_byte(tmp_path: Path) -> None:
    """The fold goes on from its last finished epoch, on another worker."""
    here, there = make_run(tmp_path / "here"), make_run(tmp_path / "there")
    models = [write_model(tmp_path, "finetuned", FINETUNE.replace("epochs = 2", "epochs = 30"))]
    train(here, models)
    with cluster() as (address, _), ThreadPoolExecutor() as beside:
        states = f"finetuned/fold_*/{STATE}"
        killed = beside.submit(kill_a_busy_worker, address, lambda: any(there.level1.glob(states)))
        train(there, models, "--cluster", address)
        assert "at_worker" in killed.result()
    made = [[(run.level1 / "finetuned" / table).read_bytes() for table in TABLES[:2]] for run in (here, there)]
    assert made[0] == made[1]


def test_an_unreachable_cluster_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.CONNECT_SECONDS", 0.5)
    run = make_run(tmp_path)
    with pytest.raises(InputFault, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 "):
        command.oof(run.folder, models=write_model(tmp_path, "frozen", FROZEN), cluster="tcp://127.0.0.1:9")
    assert not list(run.level1.glob("*/fold_*"))


def test_a_networks_mark_remembers_in_which_mode_each_fold_was_made(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    train(run, [write_model(tmp_path, "frozen", FROZEN)])
    mark = read_json(run.level1 / "frozen" / "run.json")
    assert [fold["deterministic"] for fold in mark["folds"]] == [True, True, True]
