"""Forecasts of long work, printed before it begins: ranges of time, disk and memory, and what does not fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.invocation import option
from runtime.machine.memory import format_bytes
from runtime.machine.resources import Machine
from runtime.progress import say
from runtime.run_folder import Run
from runtime.settings import Settings, check_settings

Level = Literal["one", "two"]
MINUTE, HOUR = 60.0, 3600.0


class Span(Settings):
    """A range of seconds."""

    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Span") -> "Span":
        """Return the range of seconds for both parts of work, one after the other."""
        return Span(low=self.low + other.low, high=self.high + other.high)

    def times(self, count: float) -> "Span":
        """Return the range of seconds for ``count`` repetitions of this work."""
        return Span(low=self.low * count, high=self.high * count)

    @staticmethod
    def of(seconds: Sequence[float]) -> "Span":
        """Return the range from the shortest to the longest of the measured ``seconds``; 0 to 0 if there are none."""
        return Span(low=min(seconds), high=max(seconds)) if seconds else Span()


class Forecast(Settings):
    """The resources that one part of the work needs: ``seconds`` by step, ``disk`` in bytes by kind of file.

    In bytes: ``scratch`` is disk that is freed at the end, ``memory`` the host's memory at the peak, ``gpu`` the memory
    of one GPU (None without a GPU). ``how`` describes what was measured; ``refused`` is the reason why the machine
    cannot do this work, with alternatives, or None.
    """

    level: Level
    name: str
    seconds: dict[str, Span] = Field(default_factory=dict)
    disk: dict[str, int] = Field(default_factory=dict)
    scratch: int = 0
    memory: int = 0
    gpu: int | None = None
    how: str
    refused: str | None = None

    @property
    def time(self) -> Span:
        """Return the seconds of all steps."""
        return sum(self.seconds.values(), Span())

    @property
    def bytes(self) -> int:
        """Return the bytes that stay on the disk."""
        return sum(self.disk.values())


class _Plan(Settings):
    """plan.json: the parts, their totals, the free resources and the reasons against the work."""

    parts: list[Forecast]
    together: dict[str, float | list[float] | None]
    free: dict[str, int | None]
    refused: list[str]


def read_forecasts(run: Run, level: Level) -> list[Forecast]:
    """Return the forecasts for one level of ``run``; an empty list when there are none."""
    path = _path(run)
    parts = check_settings(read_json(path), _Plan, str(path)).parts if path.is_file() else []
    return [part for part in parts if part.level == level]


def write_forecasts(run: Run, parts: Sequence[Forecast], machine: Machine) -> Path:
    """Write ``parts`` to plan.json of ``run`` and return its path."""
    time, reasons = total_time(parts), missing_resources(run, parts, machine)
    totals: dict[str, float | list[float] | None] = {
        "hours": [time.low / HOUR, time.high / HOUR],
        "disk": total_disk(parts),
        "memory": max((part.memory for part in parts), default=0),
        "gpu": max((part.gpu for part in parts if part.gpu is not None), default=None),
    }
    free = {"disk": machine.disk, "memory": machine.memory, "gpu": machine.gpu}
    write_json(_path(run), _Plan(parts=list(parts), together=totals, free=free, refused=reasons).model_dump())
    return _path(run)


def total_time(parts: Sequence[Forecast]) -> Span:
    """Return the seconds that all ``parts`` take, one after the other."""
    return sum((part.time for part in parts), Span())


def total_disk(parts: Sequence[Forecast]) -> int:
    """Return the bytes of disk that ``parts`` need: the files that stay, and the largest ``scratch``."""
    return sum(part.bytes for part in parts) + max((part.scratch for part in parts), default=0)


def missing_resources(run: Run, parts: Sequence[Forecast], machine: Machine) -> list[str]:
    """Return a message, with a remedy, for every part that ``machine`` cannot do, and one if the disk is too small."""
    reasons = [f"{part.name}: {part.refused}" for part in parts if part.refused]
    demand = total_disk(parts)
    if demand > machine.disk:
        largest = max(parts, key=lambda part: part.bytes)
        reasons.append(
            f"{run.folder}: needs {format_bytes(demand)} of disk, and {format_bytes(machine.disk)} are free there; "
            f"free {format_bytes(demand - machine.disk)} more, choose {option('run', 'folder')} on a disk that has "
            f"{format_bytes(demand)}, or leave out the largest part: {largest.name}, {format_bytes(largest.bytes)}"
        )
    return reasons


def check_resources(run: Run, parts: Sequence[Forecast], machine: Machine) -> None:
    """Raise InputFault with every reason of ``missing_resources``; do nothing when all ``parts`` fit ``machine``."""
    reasons = missing_resources(run, parts, machine)
    if reasons:
        raise InputFault("this machine cannot do the work:\n  " + "\n  ".join(reasons))


def print_forecasts(parts: Sequence[Forecast], title: str) -> None:
    """Print ``parts`` as a table, and how each was measured."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="")
    steps = list(dict.fromkeys(step for part in parts for step in part.seconds))
    for column in ("", *steps, "total", "disk", "memory", "GPU memory"):
        table.add_column(column, justify="right" if column else "left")
    for part in parts:
        times = [format_seconds(part.seconds[step]) if step in part.seconds else "" for step in steps]
        gpu = format_bytes(part.gpu) if part.gpu is not None else "-"
        table.add_row(
            part.name, *times, format_seconds(part.time), format_bytes(part.bytes), format_bytes(part.memory), gpu
        )
    say(table)
    for part in parts:
        say(f"  {part.name}: {part.how}")


def print_total(parts: Sequence[Forecast], machine: Machine) -> None:
    """Print two lines: the totals of ``parts``, and the free resources of ``machine``."""
    peak = max((part.memory for part in parts), default=0)
    gpus = [part.gpu for part in parts if part.gpu is not None]
    gpu = f", {format_bytes(max(gpus))} of GPU memory" if gpus else ""
    disk, time = format_bytes(total_disk(parts)), format_seconds(total_time(parts))
    say(f"plan: {time} in all, {disk} of disk, at most {format_bytes(peak)} of memory in one process{gpu}")
    free_gpu = f", {format_bytes(machine.gpu)} on a GPU" if machine.gpu is not None else ""
    free_disk, free_memory = format_bytes(machine.disk), format_bytes(machine.memory)
    say(f"  free on this machine: {free_disk} of disk and {free_memory} of memory{free_gpu}")


def format_seconds(span: Span) -> str:
    """Return a range of seconds in readable units: ``40-60 s``, ``3-5 min``, ``1.5-2.0 h``."""
    if span.high < 2 * MINUTE:
        return _range(span.low, span.high, "s", 0)
    if span.high < 2 * HOUR:
        return _range(span.low / MINUTE, span.high / MINUTE, "min", 0)
    return _range(span.low / HOUR, span.high / HOUR, "h", 1)


def _range(low: float, high: float, unit: str, digits: int) -> str:
    first, last = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return f"{last} {unit}" if first == last else f"{first}-{last} {unit}"


def _path(run: Run) -> Path:
    return run.folder / "plan.json"
