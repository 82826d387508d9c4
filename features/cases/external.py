"""External training cases: folders with a CSV and pictures, or Kaggle's TFRecord files alone; never validated."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.cases.attach_pictures import attach_pictures, attach_records
from features.cases.csv_rows import canonical_rows, no_rows
from features.cases.metadata_columns import NO_METADATA
from features.cases.tfrecord_cases import index_records, rows_of_records
from features.folder.data_folder import DataFolder
from features.folder.layout import EVERY, LABEL_COLUMNS, LESION, Columns
from features.folder.picture_locations import EXTRA, PictureLocation, source_name
from runtime.errors import Faults, list_names

GROUP_SEPARATOR = ":"


def read_externals(folders: Sequence[DataFolder], known: pd.Index, faults: Faults) -> pd.DataFrame:
    """Return the cases of external folders, their ``source`` the folder's name and their pictures' paths absolute.

    ``known`` are the names of the train and test cases: in a CSV one of them is a fault; among records, which nobody
    can edit, its row is left out. So is a name that an earlier folder has. The folder's notes say how many.
    """
    names = [source_name(folder.path) for folder in folders]
    if len(set(names)) < len(names):
        faults.add(f"external folders of one name among {', '.join(names)}; a case's source is the folder's name")
    parts: list[pd.DataFrame] = []
    for folder, name in zip(folders, names, strict=True):
        part = _read_external(folder, known, faults).assign(source=name)
        parts.append(_without_known(part, parts, name, folder.notes))
    return pd.concat(parts)


def _without_known(part: pd.DataFrame, earlier: Sequence[pd.DataFrame], name: str, notes: list[str]) -> pd.DataFrame:
    twice = part.index[part.index.isin([known for rows in earlier for known in rows.index])]
    if len(twice):
        notes.append(f"extra {name}: left out, since an earlier external folder has them: {list_names(twice)}")
    return part.drop(index=twice)


def _read_external(folder: DataFolder, known: pd.Index, faults: Faults) -> pd.DataFrame:
    layout, place = folder.layout, folder.picture_location(EXTRA)
    if place is None:
        faults.add(f"{folder.path}: external cases need pictures; there is no {layout.train_pictures}, jpeg or *.tfrec")
        return no_rows()
    if place.records and not folder.has(layout.train):
        part = _from_records(folder, place, known, faults)
    else:
        part = _from_csv(folder, place, faults)
    absolute = part["picture"].map(lambda name: str((folder.path / name).resolve()), na_action="ignore")
    part = part.assign(picture=absolute, patient_id=EXTRA + GROUP_SEPARATOR + part["patient_id"])
    return part.drop(columns="fold_group", errors="ignore")


def _from_csv(folder: DataFolder, place: PictureLocation, faults: Faults) -> pd.DataFrame:
    """Return external rows of a CSV; a patient is not asked of them, nor is one image_name of a lesion's many."""
    raw, layout = folder.cases("train"), folder.layout
    if layout.columns.patient_id not in raw:
        lesion = raw.get(LESION, raw.get(layout.columns.image_name))
        raw = raw.assign(**{layout.columns.patient_id: lesion})
    part = canonical_rows(raw, layout, "train", f"{folder.path.name}/{layout.train}", faults, folder.notes)
    if EVERY in layout.columns.metadata:  # what is measured in one set alone is unknown of all our cases
        part = part.filter(items=[*NO_METADATA, *LABEL_COLUMNS, *Columns().metadata])
    return attach_pictures(part.assign(width=np.nan, height=np.nan), folder.path, place, faults, folder.notes)


def _from_records(folder: DataFolder, place: PictureLocation, known: pd.Index, faults: Faults) -> pd.DataFrame:
    name, notes = source_name(folder.path), folder.notes
    table = index_records(place.records, place.name, faults)
    repeated, familiar = table.index.duplicated(), table.index.isin(known)
    if repeated.any():
        notes.append(f"extra {name}: repeated records left out: {list_names(table.index[repeated])}")
    if familiar.any():
        notes.append(f"extra {name}: left out, since they are train or test cases: {list_names(table.index[familiar])}")
    table = table[~repeated & ~familiar]
    part = rows_of_records(table, EXTRA, name, faults, notes)
    return attach_records(part, table, folder.path, place, faults)
