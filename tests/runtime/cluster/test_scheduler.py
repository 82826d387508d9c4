"""Tests of tasks on a Dask cluster: errors, and with separate processes also dead workers and a lost scheduler."""

import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, get_worker

from level1_cnn.training.cluster import run_on_cluster, worker_requirements
from runtime.cluster.scheduler import connect_cluster
from runtime.cluster.workers import worker_faults
from runtime.errors import InputFault
from tests.runtime.cluster.local_cluster import cluster, cluster_of_threads

FACTS = {"run": "abc", "code": "123", "python": "3.11.7"}
WORKER = {**FACTS, "threads": "1", "host": "h", "gpu": ""}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster_of_threads() as address:
        yield address


@pytest.fixture(scope="module")
def address_of_processes() -> Iterator[str]:
    with cluster() as (address, _):
        yield address


def run(address: str, folder: Path, *stages: list[Any]) -> None:
    (folder / "cases.parquet").write_bytes(b"the same for all")
    run_on_cluster(address, folder, stages)


def mark(folder: Path, name: str, seconds: float = 0.0) -> str:
    time.sleep(seconds)
    (folder / name).write_text(get_worker().address)
    return f"{name} finished"


def count_marks(folder: Path) -> str:
    return f"there are {len(list(folder.glob('mark*')))} marks"


def refuse(text: str) -> str:
    raise InputFault(text)


class TwoPartError(Exception):
    """An error that cannot be pickled: it is built from two arguments but stores one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def raise_two_part_error() -> str:
    raise TwoPartError("half", " and half")


def die_once(folder: Path) -> str:
    if not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived the second time"


def die() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never returned"


def test_all_workers_get_tasks_and_a_stage_waits_for_the_previous_one(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [(mark, (tmp_path, f"mark{i}", 0.3)) for i in range(4)]
    run(address, tmp_path, first, [(count_marks, (tmp_path,))])
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines[:4]) == [f"mark{i} finished" for i in range(4)]
    assert lines[4] == "there are 4 marks"
    workers = {(tmp_path / f"mark{i}").read_text() for i in range(4)}
    assert len(workers) == 2


def test_a_tasks_error_is_raised_here_with_the_workers_traceback(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=r"^the picture is torn\n") as error:
        run(address, tmp_path, [(refuse, ("the picture is torn",))])
    assert str(error.value) == "the picture is torn"
    assert "on the worker tcp://" in error.value.__notes__[0]


def test_an_error_that_cannot_be_pickled_is_raised_as_a_runtime_error(address: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="TwoPartError: half and half"):
        run(address, tmp_path, [(raise_two_part_error, ())])


@pytest.mark.full
def test_a_worker_that_dies_loses_only_its_task(
    address_of_processes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(address_of_processes, tmp_path, [(die_once, (tmp_path,)), *((mark, (tmp_path, f"mark{i}")) for i in range(3))])
    output = capsys.readouterr().out
    assert "survived the second time" in output
    assert all(f"mark{i} finished" in output for i in range(3))


def die_once_with(folder: Path, value: str) -> str:
    die_once(folder)
    return value


@pytest.mark.full
def test_a_shared_value_survives_the_only_worker_that_had_it(tmp_path: Path) -> None:
    (tmp_path / "cases.parquet").write_bytes(b"the same for all")
    with cluster(workers=1) as (address, _), connect_cluster(address, worker_requirements(tmp_path)) as client:
        value = client.share("a table")
        assert list(client.results([(die_once_with, (tmp_path, value))] * 2, keep_order=True)) == ["a table"] * 2


def test_a_shared_value_is_sent_to_each_worker_once(address: str, tmp_path: Path) -> None:
    (tmp_path / "cases.parquet").write_bytes(b"the same for all")
    with connect_cluster(address, worker_requirements(tmp_path)) as client:
        value = client.share(bytearray(1000))
        uses = list(client.results([(identity, (value, 0.3))] * 8))
    assert len({worker for worker, _ in uses}) == 2
    assert len(set(uses)) == 2


def identity(value: bytearray, seconds: float) -> tuple[str, int]:
    """Return this worker's address and the id of the object that it received."""
    time.sleep(seconds)
    return get_worker().address, id(value)


def test_with_keep_order_results_come_in_the_order_of_the_tasks(address: str, tmp_path: Path) -> None:
    (tmp_path / "cases.parquet").write_bytes(b"the same for all")
    tasks = [(mark, (tmp_path, f"mark{i}", 0.6 - 0.2 * i)) for i in range(3)]
    with connect_cluster(address, worker_requirements(tmp_path)) as client:
        assert list(client.results(tasks, keep_order=True)) == [f"mark{i} finished" for i in range(3)]


@pytest.mark.full
def test_a_worker_that_does_not_see_the_run_under_its_path_is_refused(
    address_of_processes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = Path("/proc/self/cwd")  # a different folder in every process
    with pytest.raises(InputFault, match=r"faults\n.*the run's case table is absent \(/proc/self/cwd/cases"):
        run(address_of_processes, elsewhere, [])


@pytest.mark.full
def test_a_task_that_ends_every_worker_is_given_up(tmp_path: Path) -> None:
    with cluster() as (address, _), pytest.raises(InputFault, match="one task ended several workers"):
        run(address, tmp_path, [(die, ())])


@pytest.mark.full
def test_a_lost_scheduler_ends_the_command_with_a_message(tmp_path: Path) -> None:
    with cluster() as (address, scheduler):
        tasks = [(mark, (tmp_path, "mark0")), (kill, (scheduler.pid, tmp_path)), (mark, (tmp_path, "mark1", 60.0))]
        with pytest.raises(InputFault, match="the scheduler does not answer any more; finished work"):
            run(address, tmp_path, tasks)
    assert (tmp_path / "mark0").exists()


def kill(process: int, folder: Path) -> str:
    while not (folder / "mark0").exists():
        time.sleep(0.1)
    os.kill(process, signal.SIGKILL)
    time.sleep(60)
    return "never returned"


def test_an_address_without_a_scheduler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.CONNECT_SECONDS", 0.5)
    with pytest.raises(InputFault, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run(f"tcp://127.0.0.1:{9}", tmp_path, [])
    with pytest.raises(InputFault, match="no Dask scheduler answers at not an address"):
        run("not an address", tmp_path, [])


def test_without_dask_the_message_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "runtime.cluster.scheduler")
    with pytest.raises(InputFault, match="a cluster needs the extra `dask`"):
        importlib.import_module("runtime.cluster.scheduler")


def test_a_cluster_without_workers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.WORKER_SECONDS", 0.5)
    with cluster_of_threads(workers=0) as address, pytest.raises(InputFault, match="has no worker; start one per GPU"):
        run(address, tmp_path, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "absent (/r/cases.parquet)"}, "a: the run's case table is absent (/r/cases.parquet) there, abc here"),
        ({"code": "456"}, "a: melstack's code is 456 there, 123 here"),
        ({"python": "3.12.1"}, "a: python is 3.12.1 there, 3.11.7 here"),
        ({"threads": "4"}, "a: 4 threads; start it with --nthreads 1"),
    ],
)
def test_a_worker_that_differs_is_refused_with_the_difference(change: dict[str, str], message: str) -> None:
    assert worker_faults(FACTS, {"a": {**WORKER, **change}}) == [message]
    assert worker_faults(FACTS, {"a": WORKER}) == []


def test_two_workers_of_one_host_do_not_share_a_gpu() -> None:
    workers = {"a": {**WORKER, "gpu": "0"}, "b": {**WORKER, "gpu": "0"}}
    assert worker_faults(FACTS, workers) == ["b: has GPU 0 like a; give each CUDA_VISIBLE_DEVICES=<one number>"]
    assert worker_faults(FACTS, {**workers, "b": {**WORKER, "gpu": "0", "host": "other"}}) == []
    assert worker_faults(FACTS, {**workers, "b": {**WORKER, "gpu": "1"}}) == []


def test_a_fit_over_all_workers_is_given_up_after_some_interruptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.ATTEMPTS", 2)
    monkeypatch.setattr("runtime.cluster.scheduler.LOST_SECONDS", 0.5)
    (tmp_path / "cases.parquet").write_bytes(b"the same for all")
    workers = []

    def interrupt(client: Client) -> None:
        workers.append(sorted(client.nthreads()))
        raise ConnectionError("Binding port 40000 failed")

    refusal = pytest.raises(InputFault, match="a fit over all workers was interrupted 2 times; finished work is kept")
    with cluster() as (address, _), connect_cluster(address, worker_requirements(tmp_path)) as client, refusal:
        client.run_fit(interrupt)
    assert [len(addresses) for addresses in workers] == [2, 2]
    assert capsys.readouterr().out.count("was interrupted (Binding port 40000 failed); the fit is repeated") == 1
