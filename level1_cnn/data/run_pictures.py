"""The decoded pictures of a run: finds the stores that hold them, their shard files and their statistics."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from level1_cnn.data.picture_store import Store
from level1_cnn.data.store_parts import Part
from runtime.errors import InputFault
from runtime.invocation import command
from runtime.run_folder import Run
from runtime.tables import read_table


def find_stores(run: Run, cases: pd.DataFrame) -> list[tuple[Store, pd.DataFrame]]:
    """Return the stores for the pictures of ``cases``, each with its cases and two more columns.

    ``stored_role`` is 'train' or 'test' (an external folder has its own store, in which all cases are 'train');
    ``stored_picture`` is the picture's path in the source folder.
    """
    data = Path(run.facts()["data"]).resolve()
    pictures = cases[cases["picture"].notna()]
    folders = np.array([str(_source(data, case)) for case in pictures.to_dict("records")], dtype=object)
    stores = []
    for folder in map(Path, sorted(set(folders))):
        rows = pictures[folders == str(folder)]
        inside = [str((data / picture).relative_to(folder)) for picture in rows["picture"]]
        rows = rows.assign(stored_role=rows["role"].replace("extra", "train"), stored_picture=inside)
        name = f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        stores.append((Store(run.folder.resolve().parent / "pictures" / name, folder), rows))
    return stores


def shard_files(run: Run, size: int) -> list[Path]:
    """Return the files at ``size`` px that together hold every case of the run once; they may hold other cases too.

    Raises InputFault when a picture of the run is not decoded, or not at this size.
    """
    files = [store.shard(part, size) for store, part, _ in _find_parts(run, run.read_cases())]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise InputFault(f"{missing[0]}: no such shard file; {command('oof')} decodes the pictures at {size} px")
    return files


def stored_statistics(run: Run, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the picture statistics of ``cases`` in their order; raise InputFault when a picture is not decoded."""
    tables = [read_table(store.statistics(part)).loc[names] for store, part, names in _find_parts(run, cases)]
    return pd.concat(tables).loc[cases.index[cases["picture"].notna()]]


def _find_parts(run: Run, cases: pd.DataFrame) -> list[tuple[Store, Part, pd.Index]]:
    """Return the parts that hold pictures of the run, each with the names that the run takes from it.

    Raises InputFault when a picture of ``cases`` is in no part.
    """
    stores = find_stores(run, cases)
    matches = [(store, part, names) for store, rows in stores for part, names in store.find_parts(rows, cases.index)]
    missing = set(cases.index[cases["picture"].notna()]).difference(*(names for _, _, names in matches))
    if missing:
        raise InputFault(f"{run.folder}: {len(missing)} case(s) are not decoded yet; {command('oof')} decodes them")
    return matches


def _source(data: Path, case: Mapping[Any, Any]) -> Path:
    """Return the source folder of a case: the data folder, or the external folder named in its column ``source``."""
    if case["role"] != "extra":
        return data
    parents = Path(str(case["picture"])).parents
    return next((folder for folder in parents if folder.name == case.get("source")), parents[0])
