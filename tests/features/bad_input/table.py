"""The table of docs/bad_input.md, and what becomes of a small clinic that was spoilt."""

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
ROW = re.compile(r"^\| `(?P<name>[a-z0-9_]+)` \| (?P<what>.+) \| (?P<outcome>read|said|refused) \| (?P<told>.*) \|$")


@dataclass(frozen=True)
class Told:
    """A row of the page: what becomes of a kind of bad input, and a part of the sentence that is printed."""

    section: str
    outcome: str
    sentence: str


def table() -> dict[str, Told]:
    """Return kind -> what the page says of it, and fail where it names a kind twice."""
    rows, section = dict[str, Told](), ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        section = line[3:] if line.startswith("## ") else section
        found = ROW.match(line)
        if found:
            assert found["name"] not in rows, found["name"]
            quoted = re.search(r"`` (.+) ``|`(.+)`", found["told"])
            sentence = (quoted[1] or quoted[2]).replace(r"\|", "|") if quoted else ""
            rows[found["name"]] = Told(section, found["outcome"], sentence)
    return rows


def written(text: str, name: str = "train.csv") -> Change:
    """Return what writes ``text`` into a file of the clinic."""
    return lambda data: (data / name).write_bytes(text.encode())


def raw(content: bytes, name: str = "train.csv") -> Change:
    """Return what writes bytes into a file of the clinic."""
    return lambda data: (data / name).write_bytes(content)


def outcome_of(read: Callable[[list[str]], object]) -> tuple[str, str, object]:
    """Return what becomes of an input: read, said or refused; what is printed; and what ``read`` returned."""
    notes = list[str]()
    try:
        made = read(notes)
    except InputFault as fault:
        return "refused", str(fault), None
    return ("said" if notes else "read"), "\n".join(notes), made


def check(name: str, outcome: tuple[str, str, object]) -> None:
    """Fail unless the outcome of a kind is the one that the page tells."""
    told = table()[name]
    assert (outcome[0], told.sentence in outcome[1]) == (told.outcome, True), f"{told}\n{outcome[1]}"


def check_cases(name: str, data: Path, clean: pd.DataFrame, changed: frozenset[str] = frozenset()) -> None:
    """Fail unless a spoilt clinic has the outcome of the page, and, where it is read, the cases of the ``clean`` one.

    ``changed`` are the columns in which the cases differ.
    """
    outcome = outcome_of(lambda notes: read_cases(Request(data, folds=2), notes))
    check(name, outcome)
    if outcome[0] != "refused":
        assert isinstance(outcome[2], pd.DataFrame)
        left = [column for column in clean if column not in changed]
        pd.testing.assert_frame_equal(outcome[2][left], clean[left], check_dtype=False)
