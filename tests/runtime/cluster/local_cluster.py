"""A Dask cluster of separate processes on this machine, and a function that kills a worker in the middle of a task."""

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

BUSY_SECONDS = 600


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", *arguments, "--no-dashboard"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True)


@contextmanager
def cluster(workers: int = 2, threads: int = 1) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yield a scheduler's address and its process; the scheduler and each worker run in processes of their own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # the system chooses a free port
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    processes = [_start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port))]
    counts = ["--nthreads", str(threads), "--nworkers", str(workers), "--memory-limit", "0"]
    processes.append(_start("distributed.cli.dask_worker", address, *counts))
    try:
        with Client(address, timeout=60, set_as_default=False) as client:
            while len(client.scheduler_info(n_workers=-1)["workers"]) < workers:
                time.sleep(0.1)
        yield address, processes[0]
    finally:
        for process in reversed(processes):
            os.killpg(process.pid, signal.SIGKILL)  # the whole group: a worker's nanny is a process of its own
            process.wait()


@contextmanager
def cluster_of_threads(workers: int = 2) -> Iterator[str]:
    """Yield the address of a scheduler whose workers are threads of this process, reached over sockets."""
    options = {"processes": False, "protocol": "tcp", "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
    with LocalCluster(n_workers=workers, host="127.0.0.1", memory_limit=0, **options) as threads:
        yield threads.scheduler_address


def kill_a_busy_worker(address: str, ready: Callable[[], bool], inside: str = "run_on_worker") -> str:
    """Kill a worker whose task is in the middle of the function ``inside``, once ``ready()``; return the task's name.

    The process is stopped before its task is checked, so that the task cannot finish between the check and the kill.
    The worker's nanny starts another worker. On a busy machine the workers need minutes until their first epoch ends.
    """
    until = time.monotonic() + BUSY_SECONDS
    with Client(address, timeout=60, set_as_default=False) as client:
        processes = client.run(os.getpid)
        while time.monotonic() < until:
            for worker, tasks in client.call_stack().items() if ready() else ():
                running = next((key for key in tasks if inside in f"{key} {tasks[key]}"), None)
                if running is not None and _kill_if_busy(client, worker, processes[worker], str(running)):
                    return str(running)
            time.sleep(0.02)
    raise AssertionError(f"no worker was busy within {BUSY_SECONDS} s")


def _kill_if_busy(client: Client, worker: str, process: int, task: str) -> bool:
    os.kill(process, signal.SIGSTOP)
    time.sleep(0.3)  # until the worker's last messages have reached the scheduler
    busy = task in map(str, client.processing().get(worker, ()))
    os.kill(process, signal.SIGKILL if busy else signal.SIGCONT)
    return busy
