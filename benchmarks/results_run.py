"""Measure a figure of the documentation again: run its command, read the new values, compare them with the old ones."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.results_file import ROOT, Reading, Result
from melstack.make_words import GOALS
from runtime.errors import InputFault
from runtime.invocation import TYPED_BY
from runtime.progress import say

# What `make results ONLY=name` leaves in the environment: a make within the command would take it for its own words.
OF_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ONLY", GOALS, TYPED_BY}


@dataclass(frozen=True)
class Comparison:
    """A value as the documentation states it, and as the command has just measured it; None: it is not there."""

    label: str
    old: float
    new: float | None


def measure_again(results: Sequence[Result], root: Path = ROOT) -> bool:
    """Run the command of every result in ``root`` and print its values; return whether every command succeeded.

    Raises InputFault before the first command if a result has none, or needs a folder that does not exist.
    """
    check_needs(results, root)
    return all([_measure(result, root) for result in results])


def check_needs(results: Sequence[Result], root: Path) -> None:
    """Raise InputFault that names every result without a command, and every folder that is missing in ``root``."""
    if faults := [fault for each in results for fault in _faults(each, root)]:
        raise InputFault("\n".join(faults))


def measurable(results: Sequence[Result], root: Path = ROOT) -> list[Result]:
    """Return the results whose folders exist in ``root``; print the others, with what they lack."""
    for fault in (fault for each in results for fault in _faults(each, root)):
        say(f"left out: {fault}")
    return [each for each in results if not _faults(each, root)]


def _faults(result: Result, root: Path) -> list[str]:
    if result.command is None:
        return [f"{result.name}: has no command, it was measured elsewhere"]
    return [
        f"{result.name}: needs the folder {name}, which does not exist; put it, or a link to it, into {root}"
        for name in result.needs
        if not (root / name).exists()
    ]


def _measure(result: Result, root: Path) -> bool:
    say(f"{result.name}: {result.what}; takes {result.takes or 'an unknown time'}")
    code, lines = run_command(result.command or "", root)
    if code != 0:
        say(f"{result.name}: the command ended with exit code {code}; nothing is compared")
        return False
    if not result.read:
        say(f"{result.name}: compare the lines above with what the page states:\n{result.result}")
        return True
    comparisons = [Comparison(each.label, each.value, read_value(each, lines, root)) for each in result.read]
    say(comparison_table(result.name, comparisons))
    return all(each.new is not None for each in comparisons)


def run_command(command: str, root: Path) -> tuple[int, list[str]]:
    """Run a shell command in ``root``, with this Python first on the path; return its exit code and its lines."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    lines = []
    with subprocess.Popen(
        ["bash", "-e", "-c", command],
        cwd=root,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout or ():
            say(f"  {line.rstrip()}")
            lines.append(line)
    return process.returncode, lines


def read_value(reading: Reading, lines: Sequence[str], root: Path) -> float | None:
    """Return the number that ``reading`` describes, from a file in ``root`` or from printed ``lines``, or None."""
    if reading.pattern:
        matches = [match for line in lines if (match := re.search(reading.pattern, line))]
        return float(matches[-1][1].replace(",", "")) if matches else None
    path = root / (reading.file or "")
    if not path.is_file():
        return None
    if reading.key:
        return _json_value(json.loads(path.read_text(encoding="utf-8")), reading.key)
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if all(row.get(name) == cell for name, cell in reading.row.items())]
    text = rows[0].get(reading.column or "") if len(rows) == 1 else None
    return float(text) if text else None


def _json_value(content: Any, key: str) -> float | None:  # noqa: ANN401  any JSON
    for part in key.split("."):
        try:
            content = content[int(part) if isinstance(content, list) else part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return float(content) if isinstance(content, int | float) else None


def comparison_table(name: str, comparisons: Sequence[Comparison]) -> Table:
    """Return the table of old and new values, with their differences."""
    table = Table("value", "stated", "now", "now - stated", title=name)
    for each in comparisons:
        new, difference = (
            ("not there", "")
            if each.new is None
            else (f"{each.new:.4f}", f"{round(each.new - each.old, 4) + 0.0:+.4f}")
        )
        table.add_row(each.label, f"{each.old:.4f}", new, difference)
    return table
