"""Tests of cores.py and memory.py: what is ours by affinity, scheduler and option; nothing else counts cores."""

import os
import re
import sys
from pathlib import Path

import pytest

from level2_stack.crossval.fits import build_table, choose_processes, worker_bytes
from runtime.errors import InputFault
from runtime.machine.cores import OF_LIBRARIES, allowed_cores, using_cores
from runtime.machine.memory import available_memory, bytes_of, using_memory
from runtime.machine.pool import open_pool
from tests.command_line import run_melstack
from tests.level2_stack.small_designs import make_design
from tests.sources import MODULES, where

RAW = re.compile(
    r"\bcpu_count\(|sched_getaffinity|n_jobs=-1|\bParallel\(|virtual_memory\(|LocalCluster\(|multiprocessing\.Pool"
)
MAY_COUNT = ("runtime/machine/", "runtime/cluster/", "benchmarks/processes.py")


@pytest.fixture
def big_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with 128 cores, of which no variable says anything yet."""
    for name in ("LOKY_MAX_CPU_COUNT", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "NSLOTS", *OF_LIBRARIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(128)))


def test_no_other_module_counts_cores_or_opens_a_pool() -> None:
    violations = [
        f"{where(path)}: {match.group()}"
        for path in MODULES
        if not where(path).startswith(MAY_COUNT)
        for match in RAW.finditer(path.read_text(encoding="utf-8"))
    ]
    assert violations == []


@pytest.mark.usefixtures("big_node")
@pytest.mark.parametrize("variable", ["SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "LOKY_MAX_CPU_COUNT", "NSLOTS"])
def test_of_128_cores_the_4_that_are_ours_are_used(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed_cores() == 128
    monkeypatch.setenv(variable, "4")
    assert allowed_cores() == 4
    assert open_pool().n_jobs == 4


@pytest.mark.usefixtures("big_node")
def test_libraries_and_workers_get_the_cores_that_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    with using_cores(None):
        assert {os.environ[name] for name in OF_LIBRARIES} == {"4"}
        assert open_pool()._backend.inner_max_num_threads == 1
        assert open_pool(2)._backend.inner_max_num_threads == 2
    assert not any(name in os.environ for name in OF_LIBRARIES)


@pytest.mark.usefixtures("big_node")
def test_fewer_cores_can_be_asked_for_but_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    with using_cores(3):
        assert allowed_cores() == 3
    assert allowed_cores() == 4
    with pytest.raises(InputFault, match="--cores 8: 4 cores can be used here"), using_cores(8):
        pass


@pytest.mark.usefixtures("big_node")
def test_one_core_means_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert open_pool().n_jobs == 1
    assert choose_processes(1000, build_table(make_design(rows=6000, networks=40))) == 1


@pytest.mark.usefixtures("big_node")
def test_as_many_processes_are_chosen_as_the_memory_holds() -> None:
    table = build_table(make_design(rows=6000, networks=40))
    assert choose_processes(1000, table) > 3
    with using_memory(3 * worker_bytes(table.X) + 1):
        assert choose_processes(1000, table) == 3


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("8", 8 * 10**9), ("500 MB", 500 * 10**6), ("1.5GiB", 3 << 29), ("2g", 2 * 10**9)],
)
def test_a_size_of_memory_is_read_with_its_unit(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["0", "-1GB", "8 XB", "lots", "100MB", "1e400GB"])
def test_a_wrong_size_of_memory_is_refused(text: str) -> None:
    with pytest.raises(InputFault, match="--memory"):
        bytes_of(text)


def test_memory_is_within_slurms_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "700")
    assert available_memory() <= 700 << 20
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "600")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert available_memory() <= 600 << 20


def test_a_command_refuses_more_cores_than_there_are_and_leaves_no_trace(tmp_path: Path) -> None:
    before = {name: os.environ.get(name) for name in ("LOKY_MAX_CPU_COUNT", *OF_LIBRARIES)}
    output = run_melstack("cases", "--data", tmp_path, "--cores", 100_000)
    assert output.code == 2
    assert "--cores 100000" in output.err
    assert {name: os.environ.get(name) for name in before} == before


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="affinity is a call of Linux")
def test_pinned_to_one_core_nothing_starts_a_second_process(tmp_path: Path) -> None:
    """With several cores, a pool draws the clinic."""
    from benchmarks.processes import count_processes

    words = ["clinic", "--data", str(tmp_path / "clinic"), "--train", "60", "--test", "30"]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(before)])
    try:
        usage = count_processes(words)
    finally:
        os.sched_setaffinity(0, before)
    assert (usage.exit_code, usage.processes, usage.workers) == (0, 1, 0)


@pytest.mark.full
def test_4_cores_of_128_mean_4_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.processes import count_processes

    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    words = ["clinic", "--data", str(tmp_path / "clinic"), "--train", "200", "--test", "30"]
    usage = count_processes(words, pretended_cores=128)
    assert (usage.exit_code, usage.workers) == (0, 4)
