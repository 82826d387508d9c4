"""The result of a study: tables and figures, printed and written as JSON."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Column, Table

from runtime.errors import InputFault
from runtime.files import write_json
from runtime.progress import console, say


@dataclass(frozen=True)
class Study:
    """The ``tables`` of a study by title, its ``figures`` by name, and ``sentences`` that summarise them."""

    tables: dict[str, pd.DataFrame]
    figures: dict[str, float | int]
    sentences: list[str] = field(default_factory=list)


def check_out(out: Path | None) -> None:
    """Raise InputFault unless ``out`` is None or ends in .json; call it before the study, which may take hours."""
    if out is not None and out.suffix != ".json":
        raise InputFault(f"--out {out}: the file must end in .json; name it {out.with_suffix('.json')}")


def report(study: Study, out: Path | None) -> None:
    """Print the tables and sentences of ``study``; write its tables and figures to ``out`` (None: nowhere)."""
    for title, table in study.tables.items():
        console.print(_printable(title, table))
    for sentence in study.sentences:
        say(sentence)
    if out is None:
        return
    tables = {
        title: json.loads(table.to_json(orient="records", double_precision=15)) for title, table in study.tables.items()
    }
    figures = json.loads(pd.Series(study.figures, dtype=object).to_json(double_precision=15))
    write_json(out, {"figures": figures, "tables": tables})
    say(f"written: {out}")


def join_studies(first: Study, second: Study) -> Study:
    """Return two studies as one; their tables and figures must have different names."""
    return Study(first.tables | second.tables, first.figures | second.figures, first.sentences + second.sentences)


def with_error(values: pd.Series) -> tuple[float, float]:
    """Return the mean of ``values`` and its standard error, which is NaN for a single value."""
    numbers = values.to_numpy(dtype=np.float64)
    error = numbers.std(ddof=1) / np.sqrt(len(numbers)) if len(numbers) > 1 else float("nan")
    return float(numbers.mean()), float(error)


def _printable(title: str, table: pd.DataFrame) -> Table:
    printable = Table(*(Column(str(name), overflow="fold") for name in table.columns), title=title)
    for row in table.itertuples(index=False):
        printable.add_row(*map(_text, row))
    return printable


def _text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
