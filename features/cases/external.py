"""External training cases: folders with a CSV and pictures, or with Kaggle's TFRecord files; never validated."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.cases.attach_pictures import attach_pictures, attach_records, name_pictures
from features.cases.csv_rows import canonical_rows, no_rows
from features.cases.metadata.columns import NO_METADATA
from features.cases.without_table.folders import offer_for_words, rows_without_table
from features.cases.without_table.records import index_records, rows_of_records
from features.folder.data_folder import DataFolder
from features.folder.layout import EVERY, LABEL_COLUMNS, LESION, MAPPING, Columns
from features.folder.picture_locations import EXTRA, PictureLocation, source_name
from features.folder.picture_search.elsewhere import pictures_there
from features.folder.picture_search.location import usual_places
from runtime.errors import Faults, list_names


def read_externals(folders: Sequence[DataFolder], own_names: pd.Index, faults: Faults) -> pd.DataFrame:
    """Return the cases of external folders, with the folder's name as ``source`` and absolute paths of pictures.

    ``own_names`` are the names of the train and test cases. A CSV that holds such a name has a fault; of a TFRecord
    file, which users cannot edit, that row is left out. Names of an earlier folder are left out with a note.
    """
    names = [source_name(folder.path) for folder in folders]
    if len(set(names)) < len(names):
        faults.add(
            f"external folders must have different names, since they become the column source; found {', '.join(names)}"
        )
    parts: list[pd.DataFrame] = []
    for folder, name in zip(folders, names, strict=True):
        part = _read_external(folder, own_names, faults).assign(source=name)
        parts.append(_without_repeats(part, parts, name, folder.notes))
    return pd.concat(parts)


def _without_repeats(
    part: pd.DataFrame, earlier: Sequence[pd.DataFrame], source: str, notes: list[str]
) -> pd.DataFrame:
    twice = part.index[part.index.isin([name for rows in earlier for name in rows.index])]
    if len(twice):
        notes.append(
            f"extra {source}: left out because an earlier external folder has the same names: {list_names(twice)}"
        )
    return part.drop(index=twice)


def _read_external(folder: DataFolder, own_names: pd.Index, faults: Faults) -> pd.DataFrame:
    layout, location = folder.layout, folder.picture_location(EXTRA)
    if location is None:
        places = usual_places(layout, EXTRA)
        there = f"{pictures_there(folder.path, 'jpeg')}; to read others, name their folder: train_pictures in {MAPPING}"
        faults.add(f"{folder.path}: external cases need pictures in {places}, or *.tfrec; none found; {there}")
        return no_rows()
    if location.fault:
        offer = "" if folder.has(layout.train) or layout.has_class_folders else offer_for_words(folder.path)
        faults.add(f"{folder.path}: {location.fault}{offer}")
        return no_rows()
    if layout.has_class_folders:
        part = rows_without_table(folder, EXTRA, faults)
    elif location.records and not folder.has(layout.train):
        part = _from_records(folder, location, own_names, faults)
    else:
        part = _from_csv(folder, location, faults)
    absolute = part["picture"].map(lambda name: str((folder.path / name).resolve()), na_action="ignore")
    return part.assign(picture=absolute).drop(columns="fold_group", errors="ignore")


def _from_csv(folder: DataFolder, location: PictureLocation, faults: Faults) -> pd.DataFrame:
    """Return external rows of a CSV, which need no patient and no metadata."""
    part, place = labelled_rows(folder.cases("train"), folder, location, "external cases", faults)
    return attach_pictures(part, folder.path, place, faults, folder.notes, folder.layout.columns)


def labelled_rows(
    raw: pd.DataFrame, folder: DataFolder, location: PictureLocation | None, cases: str, faults: Faults
) -> tuple[pd.DataFrame, PictureLocation | None]:
    """Return the labelled rows of ``raw``, the folder's training table; they need no patient and no metadata.

    The location of their pictures is returned too, as `name_pictures` does; ``cases`` is what the note about missing
    columns calls the rows.
    """
    layout = folder.layout
    columns, where = layout.columns, f"{folder.path.name}/{layout.train}"
    raw, place = name_pictures(raw, folder, location, where, faults)
    missing = [name for name in (columns.patient_id, *columns.metadata) if name not in raw and name != EVERY]
    if missing:
        folder.notes.append(f"{where}: no column {', '.join(missing)}; missing in these {cases}")
        raw = raw.assign(**dict.fromkeys(missing, np.nan))
    part = canonical_rows(raw, layout, "train", where, faults, folder.notes)
    if EVERY in columns.metadata:  # columns of the external set alone are missing in all our cases
        part = part.filter(items=[*NO_METADATA, LESION, *LABEL_COLUMNS, *Columns().metadata])
    return part.assign(width=np.nan, height=np.nan, picture=None), place


def _from_records(folder: DataFolder, location: PictureLocation, own_names: pd.Index, faults: Faults) -> pd.DataFrame:
    name, notes = source_name(folder.path), folder.notes
    table = index_records(location.records, location.name, faults, folder.layout.columns)
    is_repeated, is_own = table.index.duplicated(), table.index.isin(own_names)
    if is_repeated.any():
        notes.append(f"extra {name}: repeated records, left out: {list_names(table.index[is_repeated])}")
    if is_own.any():
        notes.append(f"extra {name}: left out because they are train or test cases: {list_names(table.index[is_own])}")
    table = table[~is_repeated & ~is_own]
    part = rows_of_records(table, EXTRA, name, faults, notes, folder.layout)
    return attach_records(part, table, folder.path, location, faults)
