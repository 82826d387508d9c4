"""Read a table of predictions in any of its formats, with its column names in lower case."""

import gzip
import zlib
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from features.folder.table_file import read_user_table
from level2_stack.foreign.checks import Findings
from runtime.errors import InputFault

ARRAYS = (".npy", ".npz")


def is_array(path: Path) -> bool:
    """Return whether ``path`` is a NumPy file, which has no ids."""
    return path.suffix.lower() in ARRAYS


def read_columns(path: Path, ids: Collection[str], scores: Collection[str], findings: Findings) -> pd.DataFrame | None:
    """Read a table with its columns in lower case; return None, with a fault, if it is unreadable.

    ``ids`` and ``scores`` are possible names of columns, by which a CSV's delimiter is recognised; ids are text.
    """
    try:
        frame = _read(path, ids, scores, findings.notes)
    except InputFault as fault:
        findings.faults.append(str(fault).replace(str(path), path.name))
        return None
    frame.columns = pd.Index([str(name).strip().lower() for name in frame.columns])
    repeats = frame.columns[frame.columns.duplicated()].unique()
    if len(repeats):
        findings.faults.append(f"{path.name}: repeated columns: {', '.join(repeats)}; found {', '.join(frame.columns)}")
        return None
    return frame


def _read(path: Path, ids: Collection[str], scores: Collection[str], notes: list[str]) -> pd.DataFrame:
    """Return the table; an index of texts without a name, as pandas stores it in Parquet files, is a column."""
    content = _unpack(path) if path.suffix.lower() == ".gz" else None
    frame = read_user_table(path, *ids, optional=scores, notes=notes, exact=True, content=content)
    return frame if pd.api.types.is_integer_dtype(frame.index) else frame.reset_index(names="unnamed")


def _unpack(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise InputFault(f"{path}: not a readable gzip file ({error})") from error
