"""Read the table of docs/bad_input.md, and compare it with the outcome for a damaged small clinic."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.cases.case_table import read_cases
from features.folder.layout import Request
from runtime.errors import InputFault
from tests.features.small_clinic import Change
from tests.sources import ROOT

PAGE = ROOT / "docs" / "bad_input.md"
ROW = re.compile(
    r"^\| `(?P<name>[a-z0-9_]+)` \| (?P<what>.+) \| (?P<outcome>read|noted|refused) \| (?P<message>.*) \|$"
)


@dataclass(frozen=True)
class ExpectedOutcome:
    """A row of the page: the outcome for a kind of bad input, and a part of the message that is printed."""

    section: str
    outcome: str
    message: str


def expected_outcomes() -> dict[str, ExpectedOutcome]:
    """Return kind -> its row of the page; fail if a kind has two rows."""
    rows, section = dict[str, ExpectedOutcome](), ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        section = line[3:] if line.startswith("## ") else section
        row = ROW.match(line)
        if row:
            assert row["name"] not in rows, row["name"]
            quote = re.search(r"`` (.+) ``|`(.+)`", row["message"])
            message = (quote[1] or quote[2]).replace(r"\|", "|") if quote else ""
            rows[row["name"]] = ExpectedOutcome(section, row["outcome"], message)
    return rows


def write_text(text: str, name: str = "train.csv") -> Change:
    """Return a function that writes ``text`` to a file of the clinic."""
    return lambda data: (data / name).write_bytes(text.encode())


def write_bytes(content: bytes, name: str = "train.csv") -> Change:
    """Return a function that writes bytes to a file of the clinic."""
    return lambda data: (data / name).write_bytes(content)


def outcome_of(read: Callable[[list[str]], object]) -> tuple[str, str, object]:
    """Return the outcome (read, noted or refused), the messages, and the result of ``read``.

    The counts of the targets are said of every table, and are not a message about this one.
    """
    notes = list[str]()
    try:
        result = read(notes)
    except InputFault as fault:
        return "refused", str(fault), None
    notes = [note for note in notes if "counted as 1: " not in note]
    return ("noted" if notes else "read"), "\n".join(notes), result


def check(name: str, outcome: tuple[str, str, object]) -> None:
    """Fail unless the outcome of a kind is that of the page."""
    expected = expected_outcomes()[name]
    assert (outcome[0], expected.message in outcome[1]) == (expected.outcome, True), f"{expected}\n{outcome[1]}"


def check_cases(name: str, data: Path, clean: pd.DataFrame, differing_columns: frozenset[str] = frozenset()) -> None:
    """Fail unless a damaged clinic has the outcome of the page and, if it is read, the cases of the ``clean`` clinic.

    ``differing_columns`` are not compared.
    """
    outcome = outcome_of(lambda notes: read_cases(Request(data, folds=2), notes))
    check(name, outcome)
    if outcome[0] != "refused":
        assert isinstance(outcome[2], pd.DataFrame)
        columns = [column for column in clean if column not in differing_columns]
        pd.testing.assert_frame_equal(outcome[2][columns], clean[columns], check_dtype=False)
