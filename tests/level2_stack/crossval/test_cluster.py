"""Level two on a real Dask cluster of separate processes: the same tables to the byte, even if a worker is killed."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")

from distributed import Client

from level2_stack.crossval.cluster import ClusterWorkers, open_workers
from level2_stack.crossval.fits import build_table
from level2_stack.explain.fits import members_of, score_folds, tasks_of
from level2_stack.finished import OUTPUTS
from runtime.errors import InputFault
from runtime.run_folder import Run
from tests.level2_stack.foreign_run import make_run
from tests.level2_stack.small_designs import make_design, recipe
from tests.runtime.cluster.local_cluster import cluster, kill_a_busy_worker
from tests.sources import ROOT

pytestmark = pytest.mark.full

BOOSTERS = ["lgbm", "xgb"]


def stack(run: Run, *options: str) -> str:
    """Run the command in a process of its own and return its output."""
    folder = run.folder.parent
    command = [sys.executable, "-m", "melstack", "stack", "--run", str(run.folder), *options]
    command += ["--recipe", str(folder / "quick.toml"), "--foreign", str(folder / "foreign"), "--trust", "good poor"]
    process = subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


def tables(run: Run) -> dict[str, bytes]:
    names = [*OUTPUTS, "ablation.csv"]
    return {name: (run.level2 / "quick" / name).read_bytes() for name in names}


@pytest.mark.full
def test_a_stack_on_a_cluster_equals_that_of_one_machine_although_a_busy_worker_is_killed(
    tmp_path: Path,
) -> None:
    """Tuning, nested cross-validation and ablation; another worker repeats the fit of the killed one."""
    here, there = make_run(tmp_path / "here"), make_run(tmp_path / "there")
    stack(here)
    with cluster() as (address, _), ThreadPoolExecutor() as pool:
        call_stack = pool.submit(kill_a_busy_worker, address, lambda: (there.level2 / "quick" / "tuning").is_dir())
        stack(there, "--cluster", address)
        assert "run_on_worker" in call_stack.result()
    assert "level two: fitting" in (there.folder / "log.txt").read_text()
    assert [name for name, table in tables(here).items() if tables(there)[name] != table] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    (path / "cases.parquet").write_bytes(b"the same for all")
    return path


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster(workers=3) as (scheduler, _):
        yield scheduler


@contextmanager
def connect(address: str, folder: Path) -> Iterator[ClusterWorkers]:
    with open_workers(address, folder) as workers:
        assert workers is not None
        yield workers


def test_the_workers_are_those_of_the_scheduler_even_while_the_client_refreshes_its_own_list(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask's client refreshes its list every two seconds, and that list then has no workers.

    Here a refresh always comes between a request and its answer; on a busy machine this happens sometimes.
    """
    refresh = Client._update_scheduler_info

    async def twice(client: Client, n_workers: int = 0) -> None:
        await refresh(client, n_workers)
        await refresh(client)

    with connect(address, folder) as workers:
        monkeypatch.setattr(Client, "_update_scheduler_info", twice)
        assert len(workers.cluster.worker_addresses()) == 3


def test_contributions_are_bitwise_equal_on_a_cluster_and_on_one_machine(address: str, folder: Path) -> None:
    table, quick_recipe = build_table(make_design(120, 12)), recipe("lgbm", "logistic")
    members = members_of(quick_recipe, ["lgbm", "logistic"], {})
    tasks = tasks_of(members, quick_recipe, {}, 4)
    with connect(address, folder) as workers:
        there = list(score_folds(tasks, members, table, workers))
    here = list(score_folds(tasks, members, table, 1))
    assert [each[:2] for each in there] == [each[:2] for each in here]
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(one[2].score, other[2].score)
        np.testing.assert_array_equal(one[2].split.parts, other[2].split.parts)


def test_workers_without_the_boosters_of_this_machine_are_refused(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.cluster.workers.version", lambda name: "9.9" if name == "lightgbm" else "1.0")
    with pytest.raises(InputFault, match=r"lightgbm is [\d.]+ there, 9\.9 here"), connect(address, folder):
        pass
