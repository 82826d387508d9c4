"""Tests of fold_checks.py: networks that were not trained in the folds that a column makes are named."""

from pathlib import Path

import pandas as pd

from level2_stack.design.fold_checks import foreign_fold_warnings
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table

NAMES = pd.Index(["a", "b", "c", "d"], name="image_name")


def run_by_hospital(folder: Path, by: str = "hospital", **folds: list[int]) -> Run:
    """Return a run with two hospitals as folds, and a network with each of ``folds``."""
    run = Run(folder)
    write_table(run.cases, pd.DataFrame({"role": "train", "fold": [0, 0, 1, 1]}, index=NAMES))
    write_mark(run.cases_mark, {"by": by}, [run.cases], fold_names=["Basel", "Vienna"])
    for name, values in folds.items():
        table = pd.DataFrame({"probability": 0.5, "fold": values}, index=NAMES)
        write_table(run.level1 / name / "predictions.parquet", table)
    return run


def test_networks_of_other_folds_are_named(tmp_path: Path) -> None:
    run = run_by_hospital(tmp_path, own=[0, 0, 1, 1], turn=[7, 7, 2, 2], mixed=[0, 1, 0, 1], silent=[-1] * 4)
    (text,) = foreign_fold_warnings(run, ["own", "turn", "mixed", "silent"])
    assert text.startswith("2 (mixed, silent): not trained in the folds by hospital")
    assert foreign_fold_warnings(run, ["own", "turn"]) == []


def test_folds_by_patient_have_no_such_warning(tmp_path: Path) -> None:
    assert foreign_fold_warnings(run_by_hospital(tmp_path, by="", mixed=[0, 1, 0, 1]), ["mixed"]) == []
