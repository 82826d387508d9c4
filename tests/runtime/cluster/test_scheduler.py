"""Tests of tasks on a Dask cluster: errors, and among processes of their own dead workers and a lost scheduler."""

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
FIT = {**FACTS, "threads": "1", "host": "h", "gpu": ""}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster_of_threads() as found:
        yield found


@pytest.fixture(scope="module")
def address_of_processes() -> Iterator[str]:
    with cluster() as (found, _):
        yield found


def run(address: str, place: Path, *stages: list[Any]) -> None:
    (place / "cases.parquet").write_bytes(b"the same for all")
    run_on_cluster(address, place, stages)


def mark(folder: Path, name: str, seconds: float = 0.0) -> str:
    time.sleep(seconds)
    (folder / name).write_text(get_worker().address)
    return f"{name} finished"


def count_marks(folder: Path) -> str:
    return f"there are {len(list(folder.glob('mark*')))} marks"


def refuse(text: str) -> str:
    raise InputFault(text)


class TwoPartError(Exception):
    """Cannot be sent to another process: it is built from two arguments and remembers one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def raise_odd() -> str:
    raise TwoPartError("half", " and half")


def die_once(folder: Path) -> str:
    if not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived the second time"


def die() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never said"


def test_tasks_are_shared_out_and_a_stage_waits_for_the_one_before(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [(mark, (tmp_path, f"mark{i}", 0.3)) for i in range(4)]
    run(address, tmp_path, first, [(count_marks, (tmp_path,))])
    said = capsys.readouterr().out.splitlines()
    assert sorted(said[:4]) == [f"mark{i} finished" for i in range(4)]
    assert said[4] == "there are 4 marks"
    makers = {(tmp_path / f"mark{i}").read_text() for i in range(4)}
    assert len(makers) == 2


def test_an_error_of_a_task_comes_back_as_itself_with_the_workers_traceback(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=r"^the picture is torn\n") as caught:
        run(address, tmp_path, [(refuse, ("the picture is torn",))])
    assert str(caught.value) == "the picture is torn"
    assert "on the worker tcp://" in caught.value.__notes__[0]


def test_an_error_that_cannot_be_sent_is_told_in_words(address: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="TwoPartError: half and half"):
        run(address, tmp_path, [(raise_odd, ())])


@pytest.mark.full
def test_a_worker_that_dies_loses_only_its_task(
    address_of_processes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(address_of_processes, tmp_path, [(die_once, (tmp_path,)), *((mark, (tmp_path, f"mark{i}")) for i in range(3))])
    said = capsys.readouterr().out
    assert "survived the second time" in said
    assert all(f"mark{i} finished" in said for i in range(3))


def die_once_with(folder: Path, held: str) -> str:
    die_once(folder)
    return held


@pytest.mark.full
def test_what_workers_hold_outlives_the_only_one_that_had_it(tmp_path: Path) -> None:
    (tmp_path / "cases.parquet").write_bytes(b"the same for all")
    with cluster(workers=1) as (address, _), connect_cluster(address, worker_requirements(tmp_path)) as found:
        held = found.share("a table")
        assert list(found.results([(die_once_with, (tmp_path, held))] * 2, keep_order=True)) == ["a table"] * 2


def test_what_workers_hold_is_sent_to_each_of_them_once(address: str, tmp_path: Path) -> None:
    (tmp_path / "cases.parquet").write_bytes(b"the same for all")
    with connect_cluster(address, worker_requirements(tmp_path)) as found:
        held = found.share(bytearray(1000))
        uses = list(found.results([(identity, (held, 0.3))] * 8))
    assert len({worker for worker, _ in uses}) == 2
    assert len(set(uses)) == 2


def identity(held: bytearray, seconds: float) -> tuple[str, int]:
    """Return who this worker is, and which object it was given."""
    time.sleep(seconds)
    return get_worker().address, id(held)


def test_results_come_in_the_order_of_the_tasks_where_that_is_asked_for(address: str, tmp_path: Path) -> None:
    (tmp_path / "cases.parquet").write_bytes(b"the same for all")
    tasks = [(mark, (tmp_path, f"mark{i}", 0.6 - 0.2 * i)) for i in range(3)]
    with connect_cluster(address, worker_requirements(tmp_path)) as found:
        assert list(found.results(tasks, keep_order=True)) == [f"mark{i} finished" for i in range(3)]


@pytest.mark.full
def test_a_worker_that_does_not_see_the_run_under_its_path_is_refused(
    address_of_processes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = Path("/proc/self/cwd")  # leads every process to another folder
    with pytest.raises(InputFault, match=r"fault\(s\)\n.*the run's case table is absent \(/proc/self/cwd/cases"):
        run(address_of_processes, elsewhere, [])


@pytest.mark.full
def test_a_task_that_takes_every_worker_with_it_is_given_up(tmp_path: Path) -> None:
    with cluster() as (address, _), pytest.raises(InputFault, match="a task ended worker after worker"):
        run(address, tmp_path, [(die, ())])


@pytest.mark.full
def test_a_scheduler_that_goes_away_is_told_and_not_waited_for_for_ever(tmp_path: Path) -> None:
    with cluster() as (address, scheduler):
        tasks = [(mark, (tmp_path, "mark0")), (kill, (scheduler.pid, tmp_path)), (mark, (tmp_path, "mark1", 60.0))]
        with pytest.raises(InputFault, match="the scheduler is gone; what is finished"):
            run(address, tmp_path, tasks)
    assert (tmp_path / "mark0").exists()


def kill(process: int, folder: Path) -> str:
    while not (folder / "mark0").exists():
        time.sleep(0.1)
    os.kill(process, signal.SIGKILL)
    time.sleep(60)
    return "never said"


def test_an_address_without_a_scheduler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.CONNECT_SECONDS", 0.5)
    with pytest.raises(InputFault, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run(f"tcp://127.0.0.1:{9}", tmp_path, [])
    with pytest.raises(InputFault, match="no Dask scheduler answers at not an address"):
        run("not an address", tmp_path, [])


def test_where_dask_is_not_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "runtime.cluster.scheduler")
    with pytest.raises(InputFault, match="a cluster needs the extra `dask`"):
        importlib.import_module("runtime.cluster.scheduler")


def test_a_cluster_without_workers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.WORKER_SECONDS", 0.5)
    with cluster_of_threads(workers=0) as address, pytest.raises(InputFault, match="has no worker; start one per GPU"):
        run(address, tmp_path, [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run": "absent (/r/cases.parquet)"}, "a: the run's case table is absent (/r/cases.parquet) there, abc here"),
        ({"code": "456"}, "a: melstack's code is 456 there, 123 here"),
        ({"python": "3.12.1"}, "a: python is 3.12.1 there, 3.11.7 here"),
        ({"threads": "4"}, "a: 4 threads; start it with --nthreads 1"),
    ],
)
def test_a_worker_that_differs_is_refused_and_told_how(change: dict[str, str], said: str) -> None:
    assert worker_faults(FACTS, {"a": {**FIT, **change}}) == [said]
    assert worker_faults(FACTS, {"a": FIT}) == []


def test_two_workers_of_one_host_do_not_share_a_gpu() -> None:
    workers = {"a": {**FIT, "gpu": "0"}, "b": {**FIT, "gpu": "0"}}
    assert worker_faults(FACTS, workers) == ["b: has GPU 0 like a; give each CUDA_VISIBLE_DEVICES=<one number>"]
    assert worker_faults(FACTS, {**workers, "b": {**FIT, "gpu": "0", "host": "other"}}) == []
    assert worker_faults(FACTS, {**workers, "b": {**FIT, "gpu": "1"}}) == []


def test_a_fit_over_all_workers_that_is_cut_off_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("runtime.cluster.scheduler.ATTEMPTS", 2)
    monkeypatch.setattr("runtime.cluster.scheduler.LOST_SECONDS", 0.5)
    (tmp_path / "cases.parquet").write_bytes(b"the same for all")
    workers = []

    def cut_off(client: Client) -> None:
        workers.append(sorted(client.nthreads()))
        raise ConnectionError("Binding port 40000 failed")

    given_up = pytest.raises(InputFault, match="2 times a fit over workers was cut off; what is finished is kept")
    with cluster() as (address, _), connect_cluster(address, worker_requirements(tmp_path)) as found, given_up:
        found.run_fit(cut_off)
    assert [len(there) for there in workers] == [2, 2]
    assert capsys.readouterr().out.count("was cut off (Binding port 40000 failed); it begins anew") == 1
