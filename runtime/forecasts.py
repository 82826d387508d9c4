"""What long work will take, told before it begins: ranges of time, disk and memory, and what cannot fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.machine import Machine
from runtime.progress import console, say
from runtime.run_folder import Run
from runtime.settings import Settings, check_settings

Level = Literal["one", "two"]
MINUTE, HOUR = 60.0, 3600.0


class Span(Settings):
    """A range of seconds."""

    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: "Span") -> "Span":
        """Return the range of both, one after the other."""
        return Span(low=self.low + other.low, high=self.high + other.high)

    def times(self, count: float) -> "Span":
        """Return the range of ``count`` times the same."""
        return Span(low=self.low * count, high=self.high * count)

    @staticmethod
    def of(measured: Sequence[float]) -> "Span":
        """Return the range from the least to the most that was ``measured``; nothing where nothing was."""
        return Span(low=min(measured), high=max(measured)) if measured else Span()


class Forecast(Settings):
    """What one part of the work takes: seconds and bytes by what they go to.

    ``scratch`` is disk that is given back, ``memory`` the host's at the peak, ``gpu`` that of one GPU (None: none is
    used), ``how`` says what was measured, ``refused`` why it cannot be done here and what could.
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
        """Return the seconds of everything."""
        return sum(self.seconds.values(), Span())

    @property
    def bytes(self) -> int:
        """Return the bytes that stay on the disk."""
        return sum(self.disk.values())


class _Plan(Settings):
    """plan.json: the parts, and what they come to together."""

    parts: list[Forecast]
    together: dict[str, float | list[float] | None]
    free: dict[str, int | None]
    refused: list[str]


def read_forecasts(run: Run, level: Level) -> list[Forecast]:
    """Return what was forecast for one level of ``run``; empty where nothing was."""
    path = _path(run)
    held = check_settings(read_json(path), _Plan, str(path)).parts if path.is_file() else []
    return [part for part in held if part.level == level]


def write_forecasts(run: Run, parts: Sequence[Forecast], machine: Machine) -> Path:
    """Write plan.json of ``run`` with ``parts``, and return its path."""
    time, refused = total_time(parts), missing_resources(run, parts, machine)
    together: dict[str, float | list[float] | None] = {
        "hours": [time.low / HOUR, time.high / HOUR],
        "disk": total_disk(parts),
        "memory": max((part.memory for part in parts), default=0),
        "gpu": max((part.gpu for part in parts if part.gpu is not None), default=None),
    }
    free = {"disk": machine.disk, "memory": machine.memory, "gpu": machine.gpu}
    write_json(_path(run), _Plan(parts=list(parts), together=together, free=free, refused=refused).model_dump())
    return _path(run)


def total_time(parts: Sequence[Forecast]) -> Span:
    """Return the seconds of all ``parts``, one after the other."""
    return sum((part.time for part in parts), Span())


def total_disk(parts: Sequence[Forecast]) -> int:
    """Return the bytes that ``parts`` need on the disk: all that stays, and the largest of what is given back."""
    return sum(part.bytes for part in parts) + max((part.scratch for part in parts), default=0)


def missing_resources(run: Run, parts: Sequence[Forecast], machine: Machine) -> list[str]:
    """Return a sentence for everything that cannot be done on ``machine``, each with what would be possible."""
    found = [f"{part.name}: {part.refused}" for part in parts if part.refused]
    needed = total_disk(parts)
    if needed > machine.disk:
        largest = max(parts, key=lambda part: part.bytes)
        found.append(
            f"{run.folder}: needs {format_bytes(needed)} of disk, and {format_bytes(machine.disk)} are free there; "
            f"free {format_bytes(needed - machine.disk)} more, take a RUN=folder on a disk that has "
            f"{format_bytes(needed)}, or leave out what needs most: {largest.name}, {format_bytes(largest.bytes)}"
        )
    return found


def check_resources(run: Run, parts: Sequence[Forecast], machine: Machine) -> None:
    """Raise InputFault with every refusal; do nothing where all of ``parts`` fit ``machine``."""
    found = missing_resources(run, parts, machine)
    if found:
        raise InputFault("this cannot be done here:\n  " + "\n  ".join(found))


def print_forecasts(parts: Sequence[Forecast], title: str) -> None:
    """Print ``parts`` as a table, and how each was found."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="")
    works = list(dict.fromkeys(work for part in parts for work in part.seconds))
    for column in ("", *works, "together", "disk", "memory", "GPU memory"):
        table.add_column(column, justify="right" if column else "left")
    for part in parts:
        each = [format_seconds(part.seconds[work]) if work in part.seconds else "" for work in works]
        gpu = format_bytes(part.gpu) if part.gpu is not None else "-"
        table.add_row(
            part.name, *each, format_seconds(part.time), format_bytes(part.bytes), format_bytes(part.memory), gpu
        )
    console.print(table)
    for part in parts:
        say(f"  {part.name}: {part.how}")


def print_total(parts: Sequence[Forecast], machine: Machine) -> None:
    """Print in two lines what ``parts`` come to, and what ``machine`` has."""
    memory = max((part.memory for part in parts), default=0)
    gpus = [part.gpu for part in parts if part.gpu is not None]
    gpu = f", {format_bytes(max(gpus))} of GPU memory" if gpus else ""
    disk, time = format_bytes(total_disk(parts)), format_seconds(total_time(parts))
    say(f"plan: {time} in all, {disk} of disk, at most {format_bytes(memory)} of memory in one process{gpu}")
    has = f", {format_bytes(machine.gpu)} on a GPU" if machine.gpu is not None else ""
    say(f"  this machine: {format_bytes(machine.disk)} of disk and {format_bytes(machine.memory)} of memory free{has}")


def format_seconds(span: Span) -> str:
    """Return a range of seconds for people: ``40-60 s``, ``3-5 min``, ``1.5-2.0 h``."""
    if span.high < 2 * MINUTE:
        return _range(span.low, span.high, "s", 0)
    if span.high < 2 * HOUR:
        return _range(span.low / MINUTE, span.high / MINUTE, "min", 0)
    return _range(span.low / HOUR, span.high / HOUR, "h", 1)


def format_bytes(count: int) -> str:
    """Return a number of bytes for people."""
    if count < 1e9:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.1f} GB"


def _range(low: float, high: float, unit: str, digits: int) -> str:
    first, last = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return f"{last} {unit}" if first == last else f"{first}-{last} {unit}"


def _path(run: Run) -> Path:
    return run.folder / "plan.json"
