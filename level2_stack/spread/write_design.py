"""A finished stack's design as a stored table: Parquet files of ids, folds, targets and features, dealt like cards."""

from pathlib import Path

import numpy as np
import pandas as pd

from level2_stack.design.assemble import Design
from level2_stack.recipe import read_recipe
from level2_stack.stacking import rebuild_design
from runtime.errors import InputFault, list_names
from runtime.files import read_json, replacing
from runtime.run_folder import Run


def write_design(run: Run, recipe_file: Path, stack: Path, count: int, out: Path) -> str:
    """Write the design of the finished ``stack`` of ``run`` into ``out`` in ``count`` files; return its size in words.

    Raises InputFault where ``out`` holds Parquet files already, which would be read as a part of the table.
    """
    refuse_table_in(out)
    design = rebuild_design(run, read_recipe(recipe_file), read_json(stack / "decisions.json")["columns"])
    patients = run.read_cases().loc[design.X.index, "patient_id"]
    for number, part in enumerate(parts_of(design, patients, count)):
        with replacing(out / f"part_{number:05d}.parquet") as temporary:
            part.to_parquet(temporary, index=False)
    return f"{design.X.shape[0]:,} rows x {design.X.shape[1]} columns"


def parts_of(design: Design, patients: pd.Series, count: int) -> list[pd.DataFrame]:
    """Return the rows of ``design`` in ``count`` tables, train and test rows dealt like cards, each with its keys.

    ``patients`` has the patient of every row.
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
    dealt = [np.r_[start:train:count, train + start : rows : count] for start in range(count)]
    return [whole.iloc[chosen] for chosen in dealt]


def refuse_table_in(folder: Path) -> None:
    """Raise InputFault where ``folder`` holds Parquet files: they would be read as a part of a table written there."""
    there = sorted(folder.glob("*.parquet"))
    if there:
        raise InputFault(
            f"{folder}: holds {list_names(path.name for path in there)} already; give another folder, or clear it"
        )
