"""Level two on a real Dask cluster of separate processes: the same tables to the byte, whoever dies."""

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
    """Return what the command says in a process of its own."""
    place = run.folder.parent
    command = [sys.executable, "-m", "melstack", "stack", "--run", str(run.folder), *options]
    command += ["--recipe", str(place / "quick.toml"), "--foreign", str(place / "foreign"), "--trust", "good poor"]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def tables(run: Run) -> dict[str, bytes]:
    names = [*OUTPUTS, "ablation.csv"]
    return {name: (run.level2 / "quick" / name).read_bytes() for name in names}


@pytest.mark.full
def test_a_stack_on_a_cluster_is_that_of_one_machine_to_the_byte_although_a_busy_worker_is_killed(
    tmp_path: Path,
) -> None:
    """Tuning, nested cross-validation and ablation; the killed worker was at a fit, which another one does again."""
    here, there = make_run(tmp_path / "here"), make_run(tmp_path / "there")
    stack(here)
    with cluster() as (address, _), ThreadPoolExecutor() as beside:
        killed = beside.submit(kill_a_busy_worker, address, lambda: (there.level2 / "quick" / "tuning").is_dir())
        said = stack(there, "--cluster", address)
        assert "run_on_worker" in killed.result()
    assert "level two: fitting" in said
    assert [name for name, table in tables(here).items() if tables(there)[name] != table] == []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "cases.parquet").write_bytes(b"the same for all")
    return folder


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster(workers=3) as (found, _):
        yield found


@contextmanager
def machines(address: str, place: Path) -> Iterator[ClusterWorkers]:
    with open_workers(address, place) as found:
        assert found is not None
        yield found


def test_who_is_there_is_asked_of_the_scheduler_whatever_the_client_has_just_asked_for_itself(
    address: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Dask's client remembers lacks the workers after each of its own refreshes, every two seconds.

    Here such a refresh always comes between a question and its answer; on a busy machine it sometimes does.
    """
    refresh = Client._update_scheduler_info

    async def twice(client: Client, n_workers: int = 0) -> None:
        await refresh(client, n_workers)
        await refresh(client)

    with machines(address, place) as found:
        monkeypatch.setattr(Client, "_update_scheduler_info", twice)
        assert len(found.cluster.worker_addresses()) == 3


def test_what_a_stack_leans_on_is_the_same_to_the_bit_wherever_its_fits_are_made_again(
    address: str, place: Path
) -> None:
    table, made = build_table(make_design(120, 12)), recipe("lgbm", "logistic")
    members = members_of(made, ["lgbm", "logistic"], {})
    tasks = tasks_of(members, made, {}, 4)
    with machines(address, place) as found:
        there = list(score_folds(tasks, members, table, found))
    here = list(score_folds(tasks, members, table, 1))
    assert [each[:2] for each in there] == [each[:2] for each in here]
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(one[2].score, other[2].score)
        np.testing.assert_array_equal(one[2].split.parts, other[2].split.parts)


def test_workers_without_the_boosters_of_this_machine_are_refused(
    address: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.cluster.workers.version", lambda name: "9.9" if name == "lightgbm" else "1.0")
    with pytest.raises(InputFault, match=r"lightgbm is [\d.]+ there, 9\.9 here"), machines(address, place):
        pass
