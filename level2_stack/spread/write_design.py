"""Write a finished stack's design as Parquet files of ids, folds, targets and features, rows assigned in turn."""

from pathlib import Path

import numpy as np
import pandas as pd

from level2_stack.design.assemble import Design
from level2_stack.recipe import recipe_of_stack
from level2_stack.stacking import rebuild_design
from runtime.errors import InputFault, list_names
from runtime.files import read_json, replacing
from runtime.run_folder import Run


def write_design(run: Run, stack: Path, count: int, out: Path) -> str:
    """Write the design of the finished stack in the folder ``stack`` into ``out``, in ``count`` files.

    Return its size in words. Raises InputFault if ``out`` already has Parquet files: they would be read as a part of
    the table.
    """
    refuse_table_in(out)
    decisions = read_json(stack / "decisions.json")
    design = rebuild_design(run, recipe_of_stack(decisions), decisions["columns"])
    patients = run.read_cases().loc[design.X.index, "patient_id"]
    for number, part in enumerate(split_rows(design, patients, count)):
        with replacing(out / f"part_{number:05d}.parquet") as temporary:
            part.to_parquet(temporary, index=False)
    return f"{design.X.shape[0]:,} rows x {design.X.shape[1]} columns"


def split_rows(design: Design, patients: pd.Series, count: int) -> list[pd.DataFrame]:
    """Return the rows of ``design`` in ``count`` tables, train and test rows assigned to them in turn.

    ``patients`` has the patient of every row; the tables have columns for id, patient, fold and target.
    """
    train, rows = len(design.y), len(design.X)
    keys = pd.DataFrame(
        {
            "image_name": design.X.index,
            "patient_id": patients.to_numpy(),
            "fold": np.concatenate([design.folds.astype(np.float64), np.full(rows - train, np.nan)]),
            "target": np.concatenate([design.y, np.full(rows - train, np.nan)]),
        },
        index=design.X.index,
    )
    whole = pd.concat([keys, design.X], axis=1)
    numbers = [np.r_[start:train:count, train + start : rows : count] for start in range(count)]
    return [whole.iloc[part] for part in numbers]


def refuse_table_in(folder: Path) -> None:
    """Raise InputFault if ``folder`` has Parquet files: they would be read as a part of a table written there."""
    files = sorted(folder.glob("*.parquet"))
    if files:
        raise InputFault(
            f"{folder}: already holds Parquet files: {list_names(path.name for path in files)}; give another "
            "folder, or delete them"
        )
