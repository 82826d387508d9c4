"""A table beside pictures that are predicted without test.csv: read if its ids are those of the pictures."""

from dataclasses import replace

import pandas as pd

from features.folder.data_folder import DataFolder
from features.folder.layout import MAPPING, Layout
from features.folder.picture_locations import PictureLocation
from features.folder.table_header import tables_in
from features.pictures.picture_ids import match_ids
from runtime.errors import InputFault
from runtime.plural import number_of


def metadata_of_pictures(data: DataFolder, location: PictureLocation) -> tuple[pd.DataFrame, str] | None:
    """Return the table in ``data`` whose ids are those of the pictures, with a row per picture, and its name.

    None if no table or more than one fits. ``data.notes`` names the table, and those that are not read.
    """
    names = pd.Index(list(location.pictures()), dtype=object)
    beside = [path.name for path in tables_in(data.path) if path.parent == data.path]
    tables = [name for name in beside if name != data.layout.sample]
    fitting = {name: rows for name in tables if (rows := _rows_of_pictures(data, name, names)) is not None}
    if len(fitting) != 1:
        data.notes.extend(_not_read(name, data.layout.columns.image_name, bool(fitting)) for name in tables)
        return None
    ((name, (table, notes, others)),) = fitting.items()
    data.notes.extend(notes)
    data.notes.extend(_not_read(other, data.layout.columns.image_name, False) for other in tables if other != name)
    ids, column = match_ids(pd.Index(table[data.layout.columns.image_name]), names), data.layout.columns.image_name
    missing = names[~names.isin(ids)]
    other_rows = f"; {number_of(others, 'other row')} left out" if others else ""
    data.notes.append(
        f"{name}: read as the table of the cases, since {data.layout.test or Layout().test} does not exist: it has "
        f"{number_of(len(names) - len(missing), 'row')} for {number_of(len(names), 'picture')}{other_rows}"
    )
    return pd.concat([table, pd.DataFrame({column: missing})], ignore_index=True), name


def _rows_of_pictures(data: DataFolder, name: str, names: pd.Index) -> tuple[pd.DataFrame, list[str], int] | None:
    """Return the rows of table ``name`` whose ids are ``names`` of pictures, notes, and the number of other rows."""
    notes = list[str]()
    folder = replace(data, layout=data.layout.model_copy(update={"test": name}), notes=notes)
    try:
        table = folder.cases("test")
    except InputFault:  # a table without a setting that names it may be anything
        return None
    column = data.layout.columns.image_name
    if column not in table:
        return None
    is_picture = match_ids(pd.Index(table[column].astype(str)), names).isin(names)
    if not is_picture.any():
        return None
    return table[is_picture].reset_index(drop=True), notes, int((~is_picture).sum())


def _not_read(name: str, column: str, is_one_of_several: bool) -> str:
    reason = "several tables have the ids of the pictures" if is_one_of_several else f"no {column} in it is a picture's"
    return f'{name} is not read: {reason}; to read it, name it in a {MAPPING}: test = "{name}"'
