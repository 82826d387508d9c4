"""Case tables on disk: Parquet files with one row per case, indexed by image_name."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from runtime.errors import InputFault, list_names
from runtime.files import replacing

INDEX = "image_name"


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write ``frame`` (one row per case, unique string index ``image_name``) as Parquet, atomically.

    The bytes depend only on the content, not on time or machine. Raises InputFault for any other index or columns.
    """
    check_table(frame, path.name)
    with replacing(path) as temporary:
        # Small tables need no compression; with zstd the float16 embeddings of a competition take hundreds of MB.
        pq.write_table(pa.Table.from_pandas(frame), temporary, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the case table at ``path``, or only its ``columns``, always with the index.

    Raises InputFault when the file is missing, is not Parquet, or is not a case table.
    """
    if not path.is_file():
        raise InputFault(f"{path}: this table does not exist")
    try:
        frame = pd.read_parquet(path, columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowException) as error:
        raise InputFault(f"{path}: not a readable Parquet table ({error})") from error
    check_table(frame, str(path))
    return frame


def check_table(frame: pd.DataFrame, where: str) -> None:
    """Raise InputFault unless ``frame`` has a unique string index called image_name and unique string columns."""
    if frame.index.name != INDEX:
        raise InputFault(f"{where}: the index is {frame.index.name!r}; a case table is indexed by {INDEX!r}")
    if not all(isinstance(name, str) for name in frame.index):
        raise InputFault(f"{where}: the index must hold strings, one {INDEX} per case")
    if not frame.index.is_unique:
        duplicates = frame.index[frame.index.duplicated()].unique()
        raise InputFault(f"{where}: {INDEX} is not unique: {list_names(duplicates)}")
    if not frame.columns.is_unique or not all(isinstance(name, str) for name in frame.columns):
        raise InputFault(f"{where}: column names must be unique strings")
