"""Read a CSV file as a table: its rows without the blank ones, and the column that names the cases."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputFault
from runtime.plural import number_of

if TYPE_CHECKING:
    import pandas as pd


ID_COLUMNS = ("image_name", "isic_id")  # possible names of the id column; isic_id is that of the ISIC archive


def id_column(columns: Iterable[object]) -> str:
    """Return the id column among ``columns``: image_name, or the archive's isic_id; image_name if both are absent."""
    present = set(columns)
    return next((name for name in ID_COLUMNS if name in present), ID_COLUMNS[0])


def read_csv(
    path: Path,
    id_name: str,
    *others: str,
    optional: Collection[str] = (),
    notes: list[str] | None = None,
    parse_missing: bool = True,
    exact: bool = False,
    content: bytes | None = None,
) -> pd.DataFrame:
    """Return a CSV with its id column and ``others`` as strings; raise InputFault if the file is absent or unreadable.

    Unambiguous defects are repaired, each with a note: the encoding, the delimiter, column names in another case
    (also those of the ``optional`` columns) and blank rows (csv_encoding.py, csv_format.py). With ``parse_missing``,
    words such as NA stand for a missing value. With ``exact``, every number is the float64 nearest to its text; without
    it, parsing is faster, and the last digit may differ. ``content`` holds the bytes of the file if they were read
    before.
    """
    import pandas as pd  # slow to import, and not needed to see that a run is fresh

    from features.folder.csv_encoding import utf8_text
    from features.folder.csv_format import regular_csv

    texts, repairs = (id_name, *others), list[str]()
    try:
        table = regular_csv(
            utf8_text(path.read_bytes() if content is None else content, repairs), {*texts, *optional}, repairs
        )
        names = [name or f"Unnamed: {number}" for number, name in enumerate(table.header)]
        types: dict[Hashable, type[str]] = {name: str for name in (*texts, *ID_COLUMNS) if name in names}
        frame = pd.read_csv(
            BytesIO(table.content),
            sep=table.delimiter,
            header=0,
            names=names,
            dtype=types,
            keep_default_na=parse_missing,
            low_memory=False,
            float_precision="round_trip" if exact else None,
        )
    except FileNotFoundError:
        raise InputFault(f"{path}: no such file") from None
    except (ValueError, OSError) as error:  # pandas' parser errors and InputFault are ValueErrors
        raise InputFault(f"{path}: not a readable CSV file ({error})") from error
    frame = _without_blank_rows(frame, id_name, repairs)
    if notes is not None:
        notes += [f"{path.name}: {note}" for note in repairs]
    return frame


def _without_blank_rows(frame: pd.DataFrame, id_column: str, notes: list[str]) -> pd.DataFrame:
    """Return ``frame`` without rows that hold no value; spreadsheets write them below a table."""
    if id_column not in frame or not frame[id_column].isna().any():
        return frame
    blank = frame.isna().all(axis=1)
    if blank.any():
        notes.append(f"{number_of(int(blank.sum()), 'blank row')} left out")
    return frame[~blank].reset_index(drop=True)
