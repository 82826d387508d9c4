"""Tests of folds as tasks: one after another or on a cluster of separate processes, the same tables to the byte."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from level1_cnn.training.checkpoint import STATE
from runtime.files import read_json
from runtime.run_folder import Run
from tests.level1_cnn.drawn_run import FINETUNE, MODELS, TABLES, make_run, train_alone, write_model
from tests.runtime.cluster.local_cluster import cluster, kill_a_busy_worker

pytestmark = pytest.mark.full  # clusters of separate processes, each of which starts TensorFlow


def tables(run: Run) -> dict[tuple[str, str], bytes]:
    return {(name, table): (run.level1 / name / table).read_bytes() for name in MODELS for table in TABLES}


def test_a_cluster_of_two_workers_makes_the_same_tables_to_the_byte(tmp_path: Path) -> None:
    """In deterministic mode, for a trained and for a frozen model; workers are processes of their own."""
    here, there = (make_run(tmp_path / place, folds=2) for place in ("here", "there"))
    models = [write_model(tmp_path, name, text) for name, text in MODELS.items()]
    train_alone(here, models)
    with cluster() as (address, _):
        said = train_alone(there, models, "--cluster", address)
    assert all(f"{name}: fold {fold} finished" in said for name in MODELS for fold in range(2))
    assert tables(there) == tables(here)
    mark = read_json(there.level1 / "frozen" / "run.json")
    assert [fold["deterministic"] for fold in mark["folds"]] == [True, True]


def test_a_worker_killed_in_the_middle_of_a_fold_changes_no_byte(tmp_path: Path) -> None:
    """The fold goes on from its last finished epoch, on another worker."""
    here, there = (make_run(tmp_path / place, folds=2) for place in ("here", "there"))
    models = [write_model(tmp_path, "finetuned", FINETUNE.replace("epochs = 2", "epochs = 30"))]
    train_alone(here, models)
    with cluster() as (address, _), ThreadPoolExecutor() as beside:
        states = f"finetuned/fold_*/{STATE}"
        killed = beside.submit(kill_a_busy_worker, address, lambda: any(there.level1.glob(states)))
        train_alone(there, models, "--cluster", address)
        assert "run_on_worker" in killed.result()
    made = [[(run.level1 / "finetuned" / table).read_bytes() for table in TABLES[:2]] for run in (here, there)]
    assert made[0] == made[1]
