"""What a command prints: lines for the user, details for log.txt of the run, and the progress of long work."""

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from traceback import format_exception
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from runtime.exit_codes import describe
from runtime.plural import number_of, plural

Item = TypeVar("Item")
LOG = "log.txt"  # in a run: every line of its commands, the details too
LOG_WIDTH = 120
PLAIN_SECONDS = 20.0  # between two plain lines, to keep the output short
LEAST_SHARE = 0.1  # of the work that is done before a time left is estimated
# A log file has no width of its own, and rich's default of 80 columns would cut tables.
console = Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout is not None and sys.stdout.isatty() else LOG_WIDTH
)


@dataclass
class _Output:
    """The state of this process's output: the open log, whether details are printed, and the warnings so far."""

    log: Path | None = None
    is_verbose: bool = False
    warnings: list[str] = field(default_factory=list)


_output = _Output()


def say(content: RenderableType) -> None:
    """Print a line or a table to the user and to the log."""
    console.print(content, markup=False)
    _write_log(content)


def detail(content: RenderableType) -> None:
    """Write a line or a table to the log; print it with ``--verbose``, or if no log is open that keeps it."""
    if _output.is_verbose or _output.log is None:
        console.print(content, markup=False)
    _write_log(content)


def warn(text: str) -> None:
    """Print a warning to the user and the log; the end of the command repeats it, see ``earlier_warnings``."""
    say(f"warning: {text}")
    _output.warnings.append(text)


def earlier_warnings() -> list[str]:
    """Return the warnings of this command, each once, in their order."""
    return list(dict.fromkeys(_output.warnings))


def forget_warnings() -> None:
    """Forget the warnings of an earlier command of this process."""
    _output.warnings.clear()


@contextmanager
def logging_to(folder: Path, head: str) -> Iterator[None]:
    """Write all output to log.txt in ``folder`` as well, after the line ``head``; an error is its last line.

    Every line is in the file as soon as it is printed, so a killed command loses none.
    """
    before = (_output.log, _output.warnings)
    _output.log, _output.warnings = folder / LOG, []
    _write_log(f"\n{head}")
    try:
        yield
    except BaseException as error:
        message = describe(error)
        _write_log(f"error: {message}" if message else "".join(format_exception(error)))
        raise
    finally:
        _output.log, _output.warnings = before


@contextmanager
def print_details(is_verbose: bool) -> Iterator[None]:
    """Print the details too while the ``with`` block runs, if ``is_verbose``."""
    before, _output.is_verbose = _output.is_verbose, is_verbose
    try:
        yield
    finally:
        _output.is_verbose = before


@contextmanager
def quiet() -> Iterator[None]:
    """Print and log nothing while the ``with`` block runs."""
    was_quiet, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = was_quiet


def _write_log(content: RenderableType) -> None:
    if _output.log is None or console.quiet:
        return
    text = io.StringIO()
    Console(file=text, width=LOG_WIDTH, highlight=False, soft_wrap=True).print(content, markup=False)
    # A full disk stops the command where it writes its results; a missing line of the log does not.
    with suppress(OSError), _output.log.open("ab", buffering=0) as stream:
        stream.write(text.getvalue().encode())


@contextmanager
def progress_bar(text: str, total: int, unit: str = "picture") -> Iterator[Callable[[int], None]]:
    """Yield ``advance(count)``; show a live bar in a terminal, else a plain line every 20 s; the total is a detail.

    ``unit`` is what is counted, in the singular.
    """
    pace = Pace(total, unit)
    if console.is_terminal and not console.quiet:
        with _live_bar(text, pace) as advance:
            yield advance
    else:
        yield _PlainLines(text, pace)
    seconds = pace.seconds()
    detail(f"{text}: {number_of(total, unit)} in {seconds:.1f} s ({rate_in_words(total, seconds, unit)})")


def track(items: Iterable[Item], text: str, total: int, unit: str = "picture") -> Iterator[Item]:
    """Yield ``items`` (``total`` of them) while showing how many are done."""
    with progress_bar(text, total, unit) as advance:
        for item in items:
            yield item
            advance(1)


def rate_in_words(count: float, seconds: float, unit: str) -> str:
    """Return ``42 pictures/s``, ``2.5 fits/s``, or below one per second ``4.2 s per fit``."""
    rate = count / max(seconds, 1e-9)
    if rate >= 1:
        return f"{rate:.{0 if rate >= 10 else 1}f} {plural(unit)}/s"
    return f"{seconds / count:.{0 if seconds >= 10 * count else 1}f} s per {unit}" if count else "none finished yet"


def time_in_words(seconds: float) -> str:
    """Return a time rounded as an estimate deserves: ``about 40 s``, ``about 7 min``."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds, -1):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


class Pace:
    """How much of some work is done, at which rate, and how long the rest takes."""

    def __init__(self, total: int, unit: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self.total, self._unit, self._clock = total, unit, clock
        self._start, self._count = clock(), 0
        self._points = [(0.0, 0)]  # seconds and count, one per PLAIN_SECONDS / 4 at most

    def add(self, count: int) -> None:
        """Note that ``count`` more are done."""
        self._count += count
        if self.seconds() - self._points[-1][0] >= PLAIN_SECONDS / 4:
            self._points.append((self.seconds(), self._count))

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return self._clock() - self._start

    def seconds_left(self) -> float | None:
        """Return the time for the rest; None while too little is done to say.

        The rate is that of the whole time or of its last half, whichever is higher: the beginning is often slower, as
        pictures are read for the first time and the largest fits come first.
        """
        if self._count < max(2, LEAST_SHARE * self.total):
            return None
        now = self.seconds()
        middle = max(point for point in self._points if point[0] <= now / 2)
        rates = [(self._count - count) / max(now - seconds, 1e-9) for seconds, count in (self._points[0], middle)]
        return (self.total - self._count) / max(rates)

    def __str__(self) -> str:
        rest = self.seconds_left()
        ending = "" if rest is None else f", {time_in_words(rest)} left"
        rate = rate_in_words(self._count, self.seconds(), self._unit)
        return f"{self._count:,} of {number_of(self.total, self._unit)}, {rate}{ending}"


@contextmanager
def _live_bar(text: str, pace: Pace) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), _PaceColumn(pace))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=pace.total)

        def advance(count: int) -> None:
            pace.add(count)
            progress.advance(task, count)

        yield advance


class _PaceColumn(ProgressColumn):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Return the text of the column: how many are done, the rate, and the time left."""
        return Text(str(self._pace))


class _PlainLines:
    def __init__(self, text: str, pace: Pace) -> None:
        self._text, self._pace, self._next = text, pace, PLAIN_SECONDS

    def __call__(self, count: int) -> None:
        self._pace.add(count)
        if self._pace.seconds() >= self._next:
            say(f"{self._text}: {self._pace}")
            self._next = self._pace.seconds() + PLAIN_SECONDS
