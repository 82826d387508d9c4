"""Write the predictions of finished networks and stacks as oof.csv and test.csv too, the form that an import reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.files import read_json, write_text
from runtime.progress import detail
from runtime.provenance import digest_of_code, digest_of_file, find_damage, is_fresh, write_mark
from runtime.run_folder import Run

if TYPE_CHECKING:
    import pandas as pd

# Beside the predictions; a mark of its own, so that older networks and stacks get the files without being made again.
MARK = "csv.json"
BLEND_MARK, GAINS_MARK = "blend.json", "inputs.json"  # of blend.py and gains.py, which are slow to import
OOF, TEST = "oof.csv", "test.csv"


def export_predictions(run: Run) -> None:
    """Write oof.csv and test.csv beside the predictions of every finished network and stack that lacks them.

    oof.csv has image_name, pred and fold of the train cases with a prediction (fold only if it is recorded), test.csv
    has image_name and target of the test cases. For a stack, pred is the probability of its headline, whose AUC is the
    one to quote, and target the submitted probability. Every float64 is written as the shortest text that reads back
    as the same number.
    """
    folders = [folder for folder in _folders(run) if not _is_fresh(run, folder)]
    if folders:
        cases = run.read_cases()
        for folder in folders:
            _export(run, folder, cases)
        names = ", ".join(folder.name for folder in folders)
        detail(f"{OOF} and {TEST}, to use these predictions elsewhere, are beside the tables of {names}")


def export_inputs(run: Run, folder: Path) -> dict[str, Any]:
    """Return what the CSV files of a network or stack depend on: the cases, its tables, and the code."""
    names = ("predictions.parquet", "learners.parquet", "decisions.json")
    return {
        "cases": run.cases_digest(),
        "tables": {name: digest_of_file(folder / name) for name in names if (folder / name).is_file()},
        "code": digest_of_code([Path(__file__)]),
    }


def _folders(run: Run) -> Iterator[Path]:
    """Yield the folders of the finished networks and stacks whose tables are intact."""
    for mark in sorted([*run.level1.glob("*/run.json"), *run.level2.glob("*/run.json")]):
        if (mark.parent / "predictions.parquet").is_file() and not find_damage(mark, hash_all=False):
            yield mark.parent


def _is_fresh(run: Run, folder: Path) -> bool:
    return is_fresh(folder / MARK, export_inputs(run, folder), [folder / OOF])


def _export(run: Run, folder: Path, cases: pd.DataFrame) -> None:
    from runtime.tables import read_table  # slow: it imports pandas

    table = read_table(folder / "predictions.parquet", ["probability", "fold"])
    role = cases["role"].reindex(table.index)
    train = table.loc[role == "train"].assign(pred=out_of_fold(folder))
    oof = train.loc[train["pred"].notna(), ["pred", "fold"]]
    if (oof["fold"] < 0).any():  # a foreign network may have come without folds
        oof = oof[["pred"]]
    test = table.loc[role == "test", ["probability"]].rename(columns={"probability": "target"})
    tables = {folder / OOF: oof} | ({folder / TEST: test} if len(test) else {})
    for path, rows in tables.items():
        write_csv(path, rows)
    write_mark(folder / MARK, export_inputs(run, folder), tables)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write ``table`` (index image_name, no missing values) as CSV; every float reads back as the same number."""
    columns = [[repr(value) for value in column.tolist()] for _, column in table.items()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([table.index.name, *table.columns])
    writer.writerows(zip(table.index, *columns, strict=True))
    write_text(path, text.getvalue())


def out_of_fold(folder: Path) -> pd.Series:
    """Return the probabilities of a network's or stack's cases; a stack's are those of its headline."""
    from runtime.tables import read_table

    if not (folder / "decisions.json").is_file():
        return read_table(folder / "predictions.parquet", ["probability"])["probability"]
    headline = str(read_json(folder / "decisions.json")["headline"])
    return read_table(folder / "learners.parquet", [headline])[headline]
