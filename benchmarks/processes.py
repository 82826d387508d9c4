"""Count the processes of a command while it runs: what it does with the cores that it may use."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

INTERVAL = 0.02  # seconds between two looks
PLAIN = "from melstack.cli import main; main()"
# A process that finds so many cores; the machine has fewer.
PRETENCE = """
import os, sys
os.cpu_count = lambda: {cores}
os.sched_getaffinity = lambda process: set(range({cores}))
sys.argv = ["melstack", *sys.argv[1:]]
from melstack.cli import main
main()
"""


@dataclass
class Usage:
    """The most processes and threads that a command had at one time, its seconds and its exit code."""

    processes: int = 1
    workers: int = 0  # processes of joblib's pool
    threads: int = 0
    seconds: float = 0.0
    exit_code: int = 0


def count_processes(words: Sequence[str], pretended_cores: int | None = None) -> Usage:
    """Run ``melstack`` with ``words`` and return what it used; with ``pretended_cores`` it finds so many."""
    code = (
        "from melstack.cli import main; main()" if pretended_cores is None else PRETENCE.format(cores=pretended_cores)
    )
    usage, start = Usage(), time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", code, *words]) as child:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            _look(process, usage)
            time.sleep(INTERVAL)
    usage.seconds, usage.exit_code = time.perf_counter() - start, child.returncode
    return usage


def _look(process: psutil.Process, usage: Usage) -> None:
    try:
        family = [process, *process.children(recursive=True)]
        lines = [" ".join(each.cmdline()) for each in family]
        threads = sum(each.num_threads() for each in family)
    except psutil.Error:  # one of them has just ended
        return
    # The tracker of shared memory, which starts beside a pool, does no work.
    working = [line for line in lines if "resource_tracker" not in line]
    usage.processes = max(usage.processes, len(working))
    usage.workers = max(usage.workers, sum("popen_loky" in line for line in lines))
    usage.threads = max(usage.threads, threads)
