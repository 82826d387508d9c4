"""Progress of long work: in a terminal a bar with rate and time left, elsewhere a few plain lines."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Item = TypeVar("Item")
PLAIN_SECONDS = 20.0  # between two plain lines, to keep log files short
# A log file has no width of its own, and rich's default of 80 columns would cut tables.
console = Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout is not None and sys.stdout.isatty() else 120
)


def say(text: str) -> None:
    """Print one line to the user."""
    console.print(text, markup=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Print nothing while the ``with`` block runs."""
    was_quiet, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = was_quiet


@contextmanager
def progress_bar(text: str, total: int, unit: str = "pictures") -> Iterator[Callable[[int], None]]:
    """Yield ``advance(count)``; show a live bar in a terminal, else a plain line every 20 s and one at the end."""
    start = time.perf_counter()
    if console.is_terminal:
        with _live_bar(text, total, unit) as advance:
            yield advance
    else:
        yield _PlainLines(text, total, unit)
    seconds = time.perf_counter() - start
    say(f"{text}: {total} {unit} in {seconds:.1f} s ({total / max(seconds, 1e-9):.0f} {unit}/s)")


def track(items: Iterable[Item], text: str, total: int, unit: str = "pictures") -> Iterator[Item]:
    """Yield ``items`` (``total`` of them) while showing how many are done."""
    with progress_bar(text, total, unit) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def _live_bar(text: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), _Rate(unit), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=total)
        yield lambda count: progress.advance(task, count)


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the text of the column: pictures done, of how many, and per second."""
        return Text(f"{task.completed:.0f}/{task.total or 0:.0f} {self._unit}, {task.speed or 0:.0f}/s")


class _PlainLines:
    def __init__(self, text: str, total: int, unit: str) -> None:
        self._text, self._total, self._unit = text, total, unit
        self._count, self._start = 0, time.perf_counter()
        self._next = self._start + PLAIN_SECONDS

    def __call__(self, count: int) -> None:
        self._count += count
        now = time.perf_counter()
        if now < self._next:
            return
        rate = self._count / (now - self._start)
        seconds_left = (self._total - self._count) / max(rate, 1e-9)
        say(f"{self._text}: {self._count}/{self._total} {self._unit}, {rate:.0f}/s, {seconds_left:.0f} s left")
        self._next = now + PLAIN_SECONDS
