"""Join the tables of one set of cases by their ids: truth and metadata may be in two files, by picture or lesion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from features.folder.column_names import IMAGE_NAMES, LESION_NAMES, PATIENT_NAMES, use_requested_names
from features.folder.notes import warning
from runtime.errors import InputFault, list_names
from runtime.plural import number_of

if TYPE_CHECKING:
    import pandas as pd

KEYS = (IMAGE_NAMES, LESION_NAMES, PATIENT_NAMES)  # kinds of ids, the finest first


def join_table(
    rows: pd.DataFrame, other: pd.DataFrame, names: tuple[str, str], notes: list[str], *, image_name: str
) -> pd.DataFrame:
    """Return ``rows`` with the columns of ``other``, joined by the finest id that both tables have.

    If only ``other`` has the ids of pictures (``image_name``), its rows are the result's: the truth may be per lesion,
    and a lesion may have several pictures. ``names`` are those of the two files. ``notes`` collects how many rows have
    a partner, and the columns that both tables have. Raises InputFault if the tables share no ids, or if an id has
    several rows that differ in the table that is joined.
    """
    rows = use_requested_names(rows, [image_name], names[0], notes)
    other = use_requested_names(other, [image_name], names[1], notes)
    if image_name in other and image_name not in rows:
        rows, other, names = other, rows, (names[1], names[0])
    key = shared_ids(rows, other)
    if key is None:
        raise InputFault(f"{names[0]} and {names[1]} share no ids, by which they could be joined")
    other = _one_row_per_id(other, key[1], names[1])
    other = other.rename(columns={key[1]: key[0]})
    both = [str(name) for name in other if name in rows and name != key[0]]
    _note_differences(rows, other, key[0], both, names, notes)
    count = int(rows[key[0]].isin(other[key[0]]).sum())
    text = f"{names[0]}: joined with {names[1]} by {key[0]}: {count} of {number_of(len(rows), 'row')}"
    rest = int((~other[key[0]].isin(rows[key[0]])).sum())
    notes.append(text + (f"; {number_of(rest, 'row')} of {names[1]} not used" if rest else ""))
    if count < len(rows):
        lonely = rows.loc[~rows[key[0]].isin(other[key[0]]), key[0]]
        notes.append(warning(f"{names[1]} has no row for {list_names(lonely.dropna())} of {names[0]}"))
    return rows.merge(other.drop(columns=both), on=key[0], how="left", sort=False)


def shared_ids(rows: pd.DataFrame, other: pd.DataFrame) -> tuple[str, str] | None:
    """Return the names in both tables of the finest column of ids with common values; None if there is none."""
    by_kind = ([(mine, its) for mine in _columns(rows, kinds) for its in _columns(other, kinds)] for kinds in KEYS)
    pairs = (pair for kind in by_kind for pair in sorted(kind, key=lambda pair: pair[0] != pair[1]))
    return next(((mine, its) for mine, its in pairs if rows[mine].dropna().isin(other[its]).any()), None)


def _columns(table: pd.DataFrame, kinds: Sequence[str]) -> list[str]:
    return [str(name) for name in table if str(name).casefold() in kinds]


def _one_row_per_id(table: pd.DataFrame, key: str, where: str) -> pd.DataFrame:
    table = table[table[key].notna()].drop_duplicates()
    repeats = table[key].duplicated()
    if repeats.any():
        raise InputFault(f"{where}: {key} has rows that differ: {list_names(table.loc[repeats, key].unique())}")
    return table


def _note_differences(
    rows: pd.DataFrame, other: pd.DataFrame, key: str, both: list[str], names: tuple[str, str], notes: list[str]
) -> None:
    """Add a warning for every column of both tables whose values differ; the first table's are used."""
    partner = other.set_index(key)
    for name in both:
        theirs = rows[key].map(partner[name])
        differ = (rows[name].astype(str) != theirs.astype(str)) & rows[name].notna() & theirs.notna()
        if differ.any():
            cases = list_names(rows.loc[differ, key])
            notes.append(warning(f"{name} differs between {names[0]} and {names[1]}; {names[0]} is used: {cases}"))
