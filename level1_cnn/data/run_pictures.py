"""The decoded pictures of a run: in which stores they lie, and the files and statistics that the stores give it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from level1_cnn.data.picture_store import Store
from level1_cnn.data.store_parts import Part
from runtime.errors import InputFault
from runtime.run_folder import Run
from runtime.tables import read_table


def find_stores(run: Run, cases: pd.DataFrame) -> list[tuple[Store, pd.DataFrame]]:
    """Return the stores that hold the pictures of ``cases``, and of each its cases with two more columns.

    ``stored_role`` is 'train' or 'test' (an external folder is a store of its own, and its cases are 'train' there);
    ``stored_picture`` is the picture's path in the source folder.
    """
    data = Path(run.facts()["data"]).resolve()
    pictures = cases[cases["picture"].notna()]
    folders = np.array([str(_source(data, case)) for case in pictures.to_dict("records")], dtype=object)
    found = []
    for folder in map(Path, sorted(set(folders))):
        rows = pictures[folders == str(folder)]
        inside = [str((data / picture).relative_to(folder)) for picture in rows["picture"]]
        rows = rows.assign(stored_role=rows["role"].replace("extra", "train"), stored_picture=inside)
        name = f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        found.append((Store(run.folder.resolve().parent / "pictures" / name, folder), rows))
    return found


def shard_files(run: Run, size: int) -> list[Path]:
    """Return the files at ``size`` px that together hold every case of the run once, beside cases of other runs.

    Raises InputFault when pictures of the run are not there, or not in this size.
    """
    files = [store.shard(part, size) for store, part, _ in _held(run, run.read_cases())]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise InputFault(f"no shard {missing[0]}; `make oof` decodes the pictures at {size} px")
    return files


def stored_statistics(run: Run, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the picture statistics of ``cases`` in their order; raise InputFault when pictures are not there."""
    tables = [read_table(store.statistics(part)).loc[names] for store, part, names in _held(run, cases)]
    return pd.concat(tables).loc[cases.index[cases["picture"].notna()]]


def _held(run: Run, cases: pd.DataFrame) -> list[tuple[Store, Part, pd.Index]]:
    """Return the parts that hold the run's pictures, and the names that each gives; all of them, or InputFault."""
    stores = find_stores(run, cases)
    held = [(store, part, names) for store, rows in stores for part, names in store.held(rows, cases.index)]
    absent = set(cases.index[cases["picture"].notna()]).difference(*(names for _, _, names in held))
    if absent:
        raise InputFault(f"{run.folder}: {len(absent)} case(s) are not decoded yet; `make oof` does it")
    return held


def _source(data: Path, case: Mapping[Any, Any]) -> Path:
    """Return the source folder of a case: the data folder, or the external folder that its source names."""
    if case["role"] != "extra":
        return data
    parents = Path(str(case["picture"])).parents
    return next((folder for folder in parents if folder.name == case.get("source")), parents[0])
