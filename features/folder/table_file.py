"""Read a table of a user's folder, of any format, as columns of text and numbers."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from features.folder.column_names import IMAGE_NAMES, LESION_NAMES, PATIENT_NAMES
from runtime.errors import InputFault
from runtime.plural import number_of

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".feather", ".xlsx")
PARQUET, FEATHER = b"PAR1", (b"ARROW1", b"FEA1")
ID_TEXTS = (*IMAGE_NAMES, *PATIENT_NAMES, *LESION_NAMES)  # columns that hold ids, so they are text in every table


def id_column(columns: Iterable[object]) -> str:
    """Return the id column among ``columns``: image_name or another usual name of it; image_name if all are absent."""
    by_lower_case = {str(name).casefold(): str(name) for name in columns}
    return next((by_lower_case[name] for name in IMAGE_NAMES if name in by_lower_case), IMAGE_NAMES[0])


def read_user_table(
    path: Path,
    id_name: str,
    *others: str,
    optional: Collection[str] = (),
    notes: list[str] | None = None,
    parse_missing: bool = True,
    exact: bool = False,
    content: bytes | None = None,
    header: Collection[str] = (),
) -> pd.DataFrame:
    """Return a table with its id column and ``others`` as text; raise InputFault if the file is absent or unreadable.

    The format is known by the content: text with delimiters, Parquet, Feather, or a spreadsheet (.xlsx). Unambiguous
    defects are repaired, each with a note: the encoding, the delimiter, column names in another case (also those of
    the ``optional`` columns) and blank rows (csv_encoding.py, csv_format.py, spreadsheet.py). With ``parse_missing``,
    words such as NA stand for a missing value. With ``exact``, every number is the float64 nearest to its text; without
    it, parsing is faster, and the last digit may differ. ``content`` holds the bytes of the file if they were read
    before. ``header`` names the columns of a table that has no line with their names.
    """
    texts, repairs = (id_name, *others), list[str]()
    try:
        content = path.read_bytes() if content is None else content
        if content.startswith((PARQUET, *FEATHER)):
            frame = _read_arrow(content, texts, {*texts, *optional}, repairs)
        else:
            frame = _read_text(content, texts, {*texts, *optional}, repairs, parse_missing, exact, tuple(header))
    except FileNotFoundError:
        raise InputFault(f"{path}: no such file") from None
    except (ValueError, OSError) as error:  # pandas' parser errors and InputFault are ValueErrors
        raise InputFault(f"{path}: not a readable {_kind_of(path)} ({error})") from error
    frame = _without_blank_rows(frame, id_name, repairs)
    if notes is not None:
        notes += [f"{path.name}: {note}" for note in repairs]
    return frame


def _kind_of(path: Path) -> str:
    return "CSV file" if path.suffix.lower() in ("", ".csv") else f"{path.suffix.lower()} file"


def _read_text(
    content: bytes,
    texts: Collection[str],
    columns: Collection[str],
    repairs: list[str],
    parse_missing: bool,
    exact: bool,
    header: tuple[str, ...],
) -> pd.DataFrame:
    import pandas as pd  # slow to import, and not needed to see that a run is fresh

    from features.folder.csv_encoding import utf8_text
    from features.folder.csv_format import regular_csv
    from features.folder.spreadsheet import is_spreadsheet, spreadsheet_as_csv

    if is_spreadsheet(content):
        content = spreadsheet_as_csv(content, columns, repairs)
    table = regular_csv(utf8_text(content, repairs), columns, repairs, header)
    names = [name or f"Unnamed: {number}" for number, name in enumerate(table.header)]
    types: dict[Hashable, type[str]] = {name: str for name in names if name in texts or name in ID_TEXTS}
    return pd.read_csv(
        BytesIO(table.content),
        sep=table.delimiter,
        header=0 if not header else None,
        names=names,
        dtype=types,
        keep_default_na=parse_missing,
        low_memory=False,
        float_precision="round_trip" if exact else None,
    )


def _read_arrow(content: bytes, texts: Collection[str], columns: Collection[str], repairs: list[str]) -> pd.DataFrame:
    """Return a Parquet or Feather table with the kinds of columns of a CSV: text, numbers, and truth values."""
    import pandas as pd

    from features.folder.csv_format import repair_header

    read = pd.read_parquet if content.startswith(PARQUET) else pd.read_feather
    frame = read(BytesIO(content))
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    frame.columns = pd.Index(repair_header([str(name) for name in frame.columns], columns, repairs))
    texts = {*texts, *ID_TEXTS}
    return frame.apply(lambda values: _plain_column(values, is_text=str(values.name) in texts))


def _plain_column(values: pd.Series, *, is_text: bool) -> pd.Series:
    import pandas as pd

    types = pd.api.types
    if types.is_bool_dtype(values) and not values.isna().any():
        return values.astype(bool)
    if types.is_numeric_dtype(values) and not is_text:
        return values if isinstance(values.dtype.type, type) and not values.hasnans else values.astype(float)
    return values.astype(object).map(_plain_text, na_action="ignore").where(values.notna())


def _plain_text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and value.is_integer():  # an id column with gaps is stored as floats
        return str(int(value))
    if isinstance(value, datetime):  # pandas' timestamps are such
        return value.isoformat(sep=" ").removesuffix(" 00:00:00")
    return str(value)


def _without_blank_rows(frame: pd.DataFrame, id_column: str, notes: list[str]) -> pd.DataFrame:
    """Return ``frame`` without rows that hold no value; spreadsheets write them below a table."""
    if id_column not in frame or not frame[id_column].isna().any():
        return frame
    blank = frame.isna().all(axis=1)
    if blank.any():
        notes.append(f"{number_of(int(blank.sum()), 'blank row')} left out")
    return frame[~blank].reset_index(drop=True)
