"""A situation: an input as the field has it, the command that reads it, and what the command says."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.command_line import Output, run_melstack
from tests.sources import ROOT

PAGE = ROOT / "docs" / "field_inputs.md"
ROW = re.compile(r"^\| `(?P<name>[a-z0-9_]+)` \| (?P<what>.+) \| (?P<code>[0-9]) \| (?P<sentence>.*) \|$")


@dataclass(frozen=True)
class Situation:
    """``write`` makes the input in an empty folder; ``words`` (folder, run) are the command, by default `cases`."""

    write: Callable[[Path], object]
    words: Callable[[Path, Path], list[object]] = lambda data, run: ["cases", "--data", data, "--run", run]


@dataclass(frozen=True)
class Row:
    """A row of docs/field_inputs.md: the exit code, and the sentences that the command prints."""

    code: int
    sentences: tuple[str, ...]


def rows_of_page() -> dict[str, Row]:
    """Return name -> row of the page; fail if a name has two rows."""
    rows = dict[str, Row]()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        row = ROW.match(line)
        if row:
            assert row["name"] not in rows, row["name"]
            rows[row["name"]] = Row(int(row["code"]), tuple(re.findall(r"`([^`]+)`", row["sentence"])))
    return rows


def run_situation(situation: Situation, folder: Path) -> Output:
    """Return how the command of ``situation`` ends, with its input in ``folder``/data and its run in ``folder``/run."""
    (folder / "data").mkdir()
    situation.write(folder / "data")
    return run_melstack(*situation.words(folder / "data", folder / "run"))


def check(name: str, situations: Mapping[str, Situation], folder: Path) -> Output:
    """Fail unless the situation ``name`` ends as its row of the page says; return how it ends."""
    return compare(name, run_situation(situations[name], folder))


def compare(name: str, output: Output) -> Output:
    """Fail unless ``output`` is that of the row ``name`` of the page; return it."""
    expected = rows_of_page()[name]
    text = " ".join((output.out + output.err).split())
    missing = [sentence for sentence in expected.sentences if sentence.replace(r"\|", "|") not in text]
    assert (output.code, missing) == (expected.code, []), text
    return output
