"""The memory study: time and memory of every command that makes a stack, the processes it starts counted as well."""

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
from runtime.progress import say

EVERY = 1.0  # seconds between two looks: to look takes some 30 ms of a process of 2 GB
GIB = 1 << 20  # in the kilobytes of /proc
STAGES = ("block ", "audit:", "level two:", "AUC out of fold", "submission:")  # how the lines that end a stage begin


@dataclass
class Spent:
    """What one command took: seconds, processor seconds of all its processes, and the peak of their memory in GiB."""

    command: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_gib: float = 0.0
    exit_code: int = 0
    stages: list[dict[str, object]] = field(default_factory=list)


def memory_study(run: Path, data: Path, foreign: Path | None, recipe: str) -> Study:
    """Run cases, submission, bundle, eda, explain, card and report one after the other, and return what each takes.

    Memory is the sum over the command and all processes that it started of what is theirs alone and their share of
    what several have (PSS of Linux), looked at every second. What is fresh takes seconds: a new run measures
    everything. A command that fails is the last; its exit code stands in the table and among the figures, as
    ``exit_code``. Raises InputFault where there is no /proc.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise InputFault("the memory of a tree of processes is read from /proc, which only Linux has")
    brought = ["--foreign", str(foreign)] if foreign else []
    named = ["--run", str(run), "--recipe", recipe]
    commands = [
        ["melstack", "cases", "--run", str(run), "--data", str(data)],
        ["melstack", "submission", *named, *brought],
        ["melstack", "eda", "--run", str(run)],
        *(["melstack", name, *named] for name in ("explain", "report")),
    ]
    spent: list[Spent] = []
    for command in commands:
        if not spent or spent[-1].exit_code == 0:
            spent.append(_measured(command))
    table = pd.DataFrame([{key: value for key, value in vars(each).items() if key != "stages"} for each in spent])
    stages = pd.DataFrame([stage for each in spent for stage in each.stages])
    peak, seconds = float(table["peak_gib"].max()), float(table["seconds"].sum())
    cpu = float(table["cpu_seconds"].sum())
    figures = {"peak_gib": peak, "seconds": seconds, "cpu_seconds": cpu, "exit_code": spent[-1].exit_code}
    sentence = f"{seconds:.0f} s, {cpu:.0f} processor seconds on {os.cpu_count()} cores, at most {peak:.2f} GiB in all"
    return Study({"memory: commands": table, "memory: stages": stages}, figures, [sentence])


def _measured(command: Sequence[str]) -> Spent:
    spent, began = Spent(" ".join(command[:2])), time.perf_counter()
    before = _processor_seconds()
    asked = [sys.executable, "-m", *command]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with (
        subprocess.Popen(
            asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process,
        _Watch(process.pid) as watch,
    ):
        for line in process.stdout or ():
            _note(spent, line.rstrip(), time.perf_counter() - began, watch)
        spent.exit_code = process.wait()
    spent.seconds, spent.peak_gib = time.perf_counter() - began, watch.peak
    spent.cpu_seconds = _processor_seconds() - before
    return spent


def _note(spent: Spent, line: str, seconds: float, watch: "_Watch") -> None:
    say(line)
    if line.startswith(STAGES) and not line.endswith(" left"):
        stage = {"command": spent.command, "seconds": seconds, "peak_gib": watch.since_last(), "after": line[:60]}
        spent.stages.append(stage)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Watch:
    """Looks at the memory of a process and its descendants from a thread of its own, as long as the block lasts."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, Event()
        self.peak = self._recent = 0.0
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def since_last(self) -> float:
        """Return the peak since this was last asked, in GiB."""
        recent, self._recent = self._recent, 0.0
        return recent

    def _look(self) -> None:
        while not self._over.wait(EVERY):
            now = sum(map(_memory, _tree(self._pid))) / GIB
            self.peak, self._recent = max(self.peak, now), max(self._recent, now)


def _tree(root: int) -> list[int]:
    """Return ``root`` and all its descendants as they are now."""
    parents = dict(_parents())
    found, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return sorted(found)


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile


def _memory(pid: int) -> int:
    """Return the proportional set size of a process in kilobytes; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
