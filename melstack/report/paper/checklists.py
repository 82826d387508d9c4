"""Reporting checklists with the place of every item: in the paper's folder, on the run's page, in a file of the run.

A guideline is a TOML file in guidelines/: its source, and its items with their numbers, in words of our own.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from melstack.report.paper.text_tables import PaperTable
from melstack.report.run_page.inputs import StackResults
from runtime.invocation import command
from runtime.settings import Settings, read_settings

GUIDELINES = ("tripod_ai", "probast_ai", "claim")
FOLDER = Path(__file__).parent / "guidelines"
AUTHORS = "not in the run: the authors write it"
IN_RUN, IN_PART, NOT_YET = "in the run", "in part", "not in the run yet"
METHODS = "methods.md"
# File of the run -> the command that writes it; files of the stack are written by `stack`.
WRITERS = {
    "report.html": "report",
    "model_card.md": "report",
    "leaks.json": "audit",
    "bundle": "submission",
    "explanations.json": "explain",
    "index.json": "explain",
}
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
WIDTHS = (0.06, 0.34, 0.27, 0.09, 0.17)  # of the columns, as shares of a line


class Item(Settings):
    """An item of a guideline: its number, what it asks for, the places of the run, and what the authors must add."""

    number: str
    topic: str
    where: tuple[str, ...] = ()
    authors: str = ""


class Guideline(Settings):
    """A guideline: title, source, a note, and its items in their order."""

    title: str
    source: str
    note: str = ""
    items: list[Item]


def read_guideline(name: str) -> Guideline:
    """Return the guideline ``name``, one of `GUIDELINES`."""
    return read_settings(FOLDER / f"{name}.toml", Guideline)


def checklist(name: str, stack: StackResults, folder: Path) -> PaperTable:
    """Return a guideline with the place and the status of every item; ``folder`` has the other files of the paper."""
    guideline = read_guideline(name)
    places = Places(stack, folder)
    rows = [_row(item, places) for item in guideline.items]
    head = ["Item", "What it asks for", "Where", "Status", "The authors add"]
    caption = f"{guideline.title}: where each item is."
    note = f"{guideline.source} {guideline.note}".strip()
    return PaperTable(name, caption, head, rows, pd.DataFrame(rows, columns=head), note, WIDTHS)


def _row(item: Item, places: Places) -> list[str]:
    texts = [places.text(place) for place in item.where]
    present = [places.is_there(place) for place in item.where]
    if not any(present):
        return [item.number, item.topic, "; ".join(texts), AUTHORS if not texts else NOT_YET, item.authors]
    status = IN_RUN if all(present) and not item.authors else IN_PART
    return [item.number, item.topic, "; ".join(texts), status, item.authors]


class Places:
    """The places that checklists name: parts of the paper's folder, sections of the page, files of the run."""

    def __init__(self, stack: StackResults, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        methods = folder / METHODS
        self._sections = set(SECTION.findall(methods.read_text("utf-8"))) if methods.is_file() else set()

    def is_there(self, place: str) -> bool:
        """Return whether the run has ``place``."""
        file, _, section = place.partition("#")
        if file == METHODS:
            return section in self._sections
        return self._path(file).exists()

    def text(self, place: str) -> str:
        """Return ``place`` in words; for a file that the run lacks, with the command that writes it."""
        file, _, section = place.partition("#")
        path = self._path(file)
        name = f"{file.replace('stack/', f'level2/{self._stack.recipe}/')}{f', section {section}' if section else ''}"
        if self.is_there(place) or file == METHODS:
            return name
        writer = command(WRITERS.get(path.name, "stack")).strip("`")
        return f"{name} (not there yet: {writer} writes it)"

    def _path(self, file: str) -> Path:
        room, _, name = file.partition("/")
        if room in ("figures", "tables"):
            return self._folder / room / f"{name}.csv"
        return self._stack.folder / name if room == "stack" else self._stack.run.folder / file
