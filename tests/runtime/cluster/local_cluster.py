"""A Dask cluster of separate processes on this machine, and how one of its workers dies in the middle of a task."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.sources import ROOT

pytest.importorskip("distributed")

from distributed import Client, LocalCluster


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", *arguments, "--no-dashboard"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True)


@contextmanager
def cluster(workers: int = 2, threads: int = 1) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield the address of a scheduler of its own process with workers of theirs, and the scheduler's process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    members = [_start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port))]
    counts = ["--nthreads", str(threads), "--nworkers", str(workers), "--memory-limit", "0"]
    members.append(_start("distributed.cli.dask_worker", address, *counts))
    try:
        with Client(address, timeout=60, set_as_default=False) as client:
            while len(client.scheduler_info(n_workers=-1)["workers"]) < workers:
                time.sleep(0.1)
        yield address, members[0]
    finally:
        for process in reversed(members):
            os.killpg(process.pid, signal.SIGKILL)  # the nanny of a worker is a process beside it
            process.wait()


@contextmanager
def cluster_of_threads(workers: int = 2) -> Iterator[str]:
    """Yield the address of a scheduler whose workers are threads of this process, reached over sockets."""
    options = {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
    with LocalCluster(n_workers=workers, host="127.0.0.1", memory_limit=0, **options) as threads:
        yield threads.scheduler_address


def kill_a_busy_worker(address: str, ready: Callable[[], bool], inside: str = "run_on_worker") -> str:
    """Kill a worker whose task is in the middle of a function named ``inside``, once ``ready``; return the task's name.

    The process is stopped first and looked at then: it cannot finish between the look and the kill. Its nanny starts
    another in its place.
    """
    until = time.monotonic() + 120
    with Client(address, timeout=60, set_as_default=False) as client:
        processes = client.run(os.getpid)
        while time.monotonic() < until:
            for worker, tasks in client.call_stack().items() if ready() else ():
                running = next((key for key in tasks if inside in f"{key} {tasks[key]}"), None)
                if running is not None and _killed_at(client, worker, processes[worker], str(running)):
                    return str(running)
            time.sleep(0.02)
    raise AssertionError("no worker was ever busy")


def _killed_at(client: Client, worker: str, process: int, task: str) -> bool:
    os.kill(process, signal.SIGSTOP)
    time.sleep(0.3)  # what it said before reaches the scheduler
    busy = task in map(str, client.processing().get(worker, ()))
    os.kill(process, signal.SIGKILL if busy else signal.SIGCONT)
    return busy
