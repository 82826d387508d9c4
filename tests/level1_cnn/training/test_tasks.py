"""Tests of folds as tasks: in this process or on a cluster of separate processes, the same tables to the byte."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from level1_cnn.training.checkpoint import STATE
from runtime.files import read_json
from runtime.run_folder import Run
from tests.level1_cnn.drawn_run import FINETUNE_TOML, MODELS, TABLES, make_run, train_alone, write_model
from tests.runtime.cluster.local_cluster import cluster, kill_a_busy_worker

# With 30 epochs there is time to kill a worker between two of them.
SLOW_MODELS = MODELS | {"finetuned": FINETUNE_TOML.replace("epochs = 2", "epochs = 30")}
pytestmark = pytest.mark.full  # clusters of separate processes, each of which starts TensorFlow


def tables(run: Run) -> dict[tuple[str, str], bytes]:
    return {(name, table): (run.level1 / name / table).read_bytes() for name in MODELS for table in TABLES}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run with a fine-tuned and a frozen model, trained in deterministic mode on this machine alone."""
    folder = tmp_path_factory.mktemp("local")
    run = make_run(folder, folds=2)
    train_alone(run, [write_model(folder, name, text) for name, text in SLOW_MODELS.items()])
    return run


def test_a_cluster_of_two_workers_writes_the_same_tables_to_the_byte(local: Run, tmp_path: Path) -> None:
    """In deterministic mode, for a fine-tuned and for a frozen model; workers are separate processes."""
    remote = make_run(tmp_path, folds=2)
    models = [write_model(tmp_path, name, text) for name, text in SLOW_MODELS.items()]
    with cluster() as (address, _):
        output = train_alone(remote, models, "--cluster", address)
    assert all(f"{name}: fold {fold} finished" in output for name in MODELS for fold in range(2))
    assert tables(remote) == tables(local)
    mark = read_json(remote.level1 / "frozen" / "run.json")
    assert [fold["deterministic"] for fold in mark["folds"]] == [True, True]


def test_the_tables_are_the_same_to_the_byte_when_a_worker_is_killed_in_a_fold(local: Run, tmp_path: Path) -> None:
    """The fold continues after its last finished epoch, on another worker."""
    remote = make_run(tmp_path, folds=2)
    models = [write_model(tmp_path, "finetuned", SLOW_MODELS["finetuned"])]
    with cluster() as (address, _), ThreadPoolExecutor() as thread:
        states = f"finetuned/fold_*/{STATE}"
        killer = thread.submit(kill_a_busy_worker, address, lambda: any(remote.level1.glob(states)))
        train_alone(remote, models, "--cluster", address)
        assert "run_on_worker" in killer.result()
    contents = [[(run.level1 / "finetuned" / table).read_bytes() for table in TABLES[:2]] for run in (local, remote)]
    assert contents[0] == contents[1]
