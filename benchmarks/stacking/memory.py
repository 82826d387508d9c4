"""The memory study: time and memory of every command that makes a stack, including the processes that it starts."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import pandas as pd

from benchmarks.stacking.study import Study
from runtime.errors import InputFault
from runtime.machine.cores import allowed_cores
from runtime.progress import say

INTERVAL_SECONDS = 1.0  # between two readings; one reading of a process of 2 GB takes about 30 ms
GIB = 1 << 20  # in kilobytes, the unit of /proc
STAGES = (
    "block ",
    "audit:",
    "level two:",
    "AUC out of fold",
    "submission:",
)  # first words of the lines that end a stage


@dataclass
class Usage:
    """The resources of one command: seconds, processor seconds and peak memory (GiB) of all its processes."""

    command: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_gib: float = 0.0
    exit_code: int = 0
    stages: list[dict[str, object]] = field(default_factory=list)


def memory_study(run: Path, data: Path, foreign: Path | None, recipe: str) -> Study:
    """Run cases, submission, eda, explain and report one after the other, and return the resources of each.

    Memory is the sum over the command and its descendants of each process's own memory and its share of memory that it
    shares with others (Linux's PSS), read every second. Use a new run, because fresh artefacts are not made again. The
    study ends after a command that fails; its exit code is in the table and, as ``exit_code``, among the figures.
    Raises InputFault on systems without /proc.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise InputFault("this study reads memory from /proc, which only Linux has; run it on Linux")
    foreign_options = ["--foreign", str(foreign)] if foreign else []
    run_options = ["--run", str(run), "--data", str(data)]
    stack_options = [*run_options, "--recipe", recipe]
    commands = [
        ["melstack", "cases", *run_options],
        ["melstack", "submission", *stack_options, *foreign_options],
        ["melstack", "eda", *run_options],
        *(["melstack", name, *stack_options] for name in ("explain", "report")),
    ]
    usages: list[Usage] = []
    for command in commands:
        if not usages or usages[-1].exit_code == 0:
            usages.append(_measure(command))
    table = pd.DataFrame([{key: value for key, value in vars(usage).items() if key != "stages"} for usage in usages])
    stages = pd.DataFrame([stage for usage in usages for stage in usage.stages])
    peak, seconds = float(table["peak_gib"].max()), float(table["seconds"].sum())
    cpu = float(table["cpu_seconds"].sum())
    figures = {"peak_gib": peak, "seconds": seconds, "cpu_seconds": cpu, "exit_code": usages[-1].exit_code}
    sentence = (
        f"{seconds:.0f} s, {cpu:.0f} processor seconds on {allowed_cores()} cores, at most {peak:.2f} GiB in total"
    )
    return Study({"memory: commands": table, "memory: stages": stages}, figures, [sentence])


def _measure(command: Sequence[str]) -> Usage:
    usage, start = Usage(" ".join(command[:2])), time.perf_counter()
    cpu_start = _processor_seconds()
    words = [sys.executable, "-m", *command]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with (
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process,
        _MemoryMonitor(process.pid) as monitor,
    ):
        for line in process.stdout or ():
            _record_stage(usage, line.rstrip(), time.perf_counter() - start, monitor)
        usage.exit_code = process.wait()
    usage.seconds, usage.peak_gib = time.perf_counter() - start, monitor.peak
    usage.cpu_seconds = _processor_seconds() - cpu_start
    return usage


def _record_stage(usage: Usage, line: str, seconds: float, monitor: "_MemoryMonitor") -> None:
    """Print a line of the command; if the line ends a stage, add the stage to ``usage``."""
    say(line)
    if line.startswith(STAGES) and not line.endswith(" left"):
        peak = monitor.peak_since_last_call()
        usage.stages.append({"command": usage.command, "seconds": seconds, "peak_gib": peak, "after": line[:60]})


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _MemoryMonitor:
    """Read the memory of a process and its descendants in a separate thread while the ``with`` block runs."""

    def __init__(self, pid: int) -> None:
        self._pid, self._end = pid, Event()
        self.peak = self._recent_peak = 0.0
        self._thread = Thread(target=self._read_until_end, daemon=True)

    def __enter__(self) -> "_MemoryMonitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def peak_since_last_call(self) -> float:
        """Return the peak memory in GiB since the last call of this method."""
        peak, self._recent_peak = self._recent_peak, 0.0
        return peak

    def _read_until_end(self) -> None:
        while not self._end.wait(INTERVAL_SECONDS):
            memory = sum(map(_memory, _process_tree(self._pid))) / GIB
            self.peak, self._recent_peak = max(self.peak, memory), max(self._recent_peak, memory)


def _process_tree(root: int) -> list[int]:
    """Return the ids of the process ``root`` and of all its current descendants."""
    parents = dict(_parents())
    tree, has_more = {root}, True
    while has_more:
        children = {pid for pid, parent in parents.items() if parent in tree} - tree
        tree, has_more = tree | children, bool(children)
    return sorted(tree)


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # the process has ended since its path was listed


def _memory(pid: int) -> int:
    """Return the proportional set size of a process in kilobytes; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
