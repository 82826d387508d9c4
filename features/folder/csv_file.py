"""A CSV file as a table of text: its rows, without blank ones, and the column that names its cases."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputFault

if TYPE_CHECKING:
    import pandas as pd


ID_COLUMNS = ("image_name", "isic_id")  # what files that others write may call a case; the archive's name is isic_id


def id_column(columns: Iterable[object]) -> str:
    """Return which of ``columns`` names the case: image_name, or the archive's isic_id; image_name when none does."""
    present = set(columns)
    return next((name for name in ID_COLUMNS if name in present), ID_COLUMNS[0])


def read_csv(
    path: Path,
    id_name: str,
    *others: str,
    known: Collection[str] = (),
    notes: list[str] | None = None,
    missing: bool = True,
    content: bytes | None = None,
) -> pd.DataFrame:
    """Return a CSV, its id column and ``others`` as strings; raise InputFault when it is missing or cannot be read.

    What can be read in one way only is repaired, which ``notes`` is told: encodings, delimiters, names of columns in
    another case (those of ``known`` as well), blank rows (csv_text.py, csv_shape.py). ``missing``: whether words
    such as NA stand for a missing value. ``content``: the bytes of the file, where somebody has read them already.
    """
    import pandas as pd  # slow to import, and not needed to see that a run is fresh

    from features.folder.csv_encoding import utf8_text
    from features.folder.csv_format import shaped

    texts, said = (id_name, *others), list[str]()
    try:
        table = shaped(utf8_text(path.read_bytes() if content is None else content, said), {*texts, *known}, said)
        names = [name or f"Unnamed: {place}" for place, name in enumerate(table.header)]
        types: dict[Hashable, type[str]] = {name: str for name in (*texts, *ID_COLUMNS) if name in names}
        frame = pd.read_csv(
            BytesIO(table.content),
            sep=table.delimiter,
            header=0,
            names=names,
            dtype=types,
            keep_default_na=missing,
            low_memory=False,
        )
    except FileNotFoundError:
        raise InputFault(f"{path}: no such file") from None
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors, and so are our faults
        raise InputFault(f"{path}: not a readable CSV file ({error})") from error
    frame = _without_blank_rows(frame, id_name, said)
    if notes is not None:
        notes += [f"{path.name}: {note}" for note in said]
    return frame


def _without_blank_rows(frame: pd.DataFrame, id_column: str, notes: list[str]) -> pd.DataFrame:
    """Return ``frame`` without rows that hold no value, as spreadsheets write them below a table."""
    if id_column not in frame or not frame[id_column].isna().any():
        return frame
    blank = frame.isna().all(axis=1)
    if blank.any():
        notes.append(f"{int(blank.sum())} row(s) without a value left out")
    return frame[~blank].reset_index(drop=True)
