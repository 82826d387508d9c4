"""The measured figures of the project: one entry each in docs/results.toml, with the command that measures it again."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from runtime.errors import InputFault, did_you_mean
from runtime.settings import Settings, read_settings

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "results.toml"
PAGE = ROOT / "docs" / "results.md"


class Reading(Settings):
    """A value of a result, and where a run leaves it: a cell of a CSV, a number in a JSON file, or a printed number."""

    label: str
    value: float
    file: str | None = None  # relative to the root; without it, the number is printed by the command
    row: dict[str, str] = Field(default_factory=dict)  # of a CSV: the cells that identify the row
    column: str | None = None  # of a CSV
    key: str | None = None  # of a JSON file: names and positions with dots between them
    pattern: str | None = None  # regular expression with one group, of a printed line

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        sources = (bool(self.file and self.column), bool(self.file and self.key), bool(self.pattern and not self.file))
        if sum(sources) != 1:
            raise ValueError("must have file and column, or file and key, or pattern alone")
        if self.pattern and re.compile(self.pattern).groups != 1:
            raise ValueError("pattern must have one group in brackets, the number")
        return self


class Result(Settings):
    """A measured figure: what it is, what it needs, the command that measures it, how long that takes, the result."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    what: str
    needs: tuple[str, ...] = ()  # folders of data that are not part of the project
    command: str | None = None  # of a shell, in the project's folder; none: it cannot be measured here
    takes: str | None = None
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")  # on which the figure was written down
    result: str  # Markdown: a sentence or a table
    remark: str = ""
    read: tuple[Reading, ...] = ()

    @model_validator(mode="after")
    def _reads_only_what_a_command_writes(self) -> Self:
        if self.read and self.command is None:
            raise ValueError("read without a command has no effect")
        return self


class Section(Settings):
    """A group of results, with a sentence or two about what they have in common."""

    title: str
    text: str
    results: tuple[Result, ...] = Field(min_length=1)


class ResultsFile(Settings):
    """The content of results.toml."""

    introduction: str
    sections: tuple[Section, ...] = Field(min_length=1)

    def all(self) -> list[Result]:
        """Return every result, in the order of the page."""
        return [result for section in self.sections for result in section.results]

    def select(self, names: Sequence[str]) -> list[Result]:
        """Return the results with these names; ``all`` alone stands for every one. Raises InputFault."""
        if list(names) == ["all"]:
            return self.all()
        by_name = {result.name: result for result in self.all()}
        if wrong := [name for name in names if name not in by_name]:
            raise InputFault(
                "\n".join(f"--only {name}: no such result; {did_you_mean(name, list(by_name))}" for name in wrong)
            )
        return [by_name[name] for name in names]


def read_results(path: Path = FILE) -> ResultsFile:
    """Return the results of a TOML file; raise InputFault for an unknown key, a wrong value, and a repeated name."""
    content = read_settings(path, ResultsFile)
    names = [result.name for result in content.all()]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise InputFault(f"{path.name}: names of several results: {', '.join(doubles)}; every name must be unique")
    return content
