"""Read the cases to predict from a data folder, from pictures alone or from a table in memory; check as in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features.cases.attach_pictures import SIZES, attach_files, attach_pictures, attach_records, name_pictures
from features.cases.csv_rows import canonical_rows, join_sizes
from features.cases.names import check_names
from features.cases.patient_groups import settle_patients
from features.cases.without_table.records import index_records, rows_of_records
from features.folder.column_names import use_requested_names
from features.folder.data_folder import DataFolder
from features.folder.layout import Columns, Layout
from features.folder.picture_locations import NEW, PictureLocation
from features.folder.picture_search.elsewhere import pictures_there
from features.folder.picture_search.metadata_table import metadata_of_pictures
from runtime.errors import Faults, InputFault
from runtime.tables import INDEX


def read_new_cases(data: DataFolder, metadata: Sequence[str] = ()) -> pd.DataFrame:
    """Return the test cases of ``data``: patient_id, the metadata, picture, and sizes.

    ``metadata`` are the columns that a bundle needs; unless a mapping names others, these are read.

    Index image_name; picture is a path in the folder, missing if the folder has no pictures. Only names or pictures
    are required. Without a CSV every picture of the folder is a case; without a patient id every case is a patient of
    its own; values of an absent metadata column are missing in every case. ``data.notes`` lists these
    substitutions. Raises InputFault that lists all faults together.
    """
    if metadata and not data.has_mapping:
        data = data.with_metadata(metadata)
    if not data.has_mapping and not data.layout.test and data.has(data.layout.train):
        data.notes.append(f"{data.layout.train}: the data set has no test cases; its training cases are predicted")
        data = data.with_train_as_test()
    layout, location, faults = data.layout, data.picture_location(NEW), Faults()
    if data.has(layout.test):
        part = _cases_of_table(data.cases("test"), layout.test, data, location, faults)
    elif data.sets("test") or (layout.test and (data.path / layout.test).exists()):
        raise InputFault(f"{data.path}: {layout.test}: the table of cases does not exist")
    elif location is None or data.mapping is not None:
        there = f"; {pictures_there(data.path, 'jpeg/test')}" if location is None else ""
        raise InputFault(f"{data.path}: cases need {layout.test or 'a CSV'} or pictures; neither exists{there}")
    elif location.fault or location.only_deeper:
        raise InputFault(f"{data.path}: {location.fault or location.only_deeper}")
    else:
        part = _cases_without_test_table(data, location, faults)
    part = settle_patients({NEW: part}, faults, data.notes, layout.columns.metadata)[NEW]
    faults.raise_if_any(f"{data.path}: the input cannot be used")
    if part.empty:
        raise InputFault(f"{data.path}: the folder has no cases to predict")
    return part


def check_new_cases(
    cases: pd.DataFrame, metadata: Sequence[str], pictures: Mapping[str, Path], notes: list[str]
) -> pd.DataFrame:
    """Return ``cases`` (index image_name) in the form of ``read_new_cases``, with the columns ``metadata``.

    ``pictures`` has one file per case, or is empty; sizes in ``cases`` are not read from the files again. ``notes``
    collects repairs. Raises InputFault that lists all faults together.
    """
    cases = use_requested_names(cases, ["patient_id", *metadata], "cases", notes)
    faults, sizes = Faults(), SIZES if set(SIZES) <= set(cases.columns) else ()
    columns = Columns(metadata=(*metadata, *sizes))
    raw = {name: _as_csv_column(cases[name]) for name in columns.metadata if name in cases}
    ids = {columns.image_name: cases.index, columns.patient_id: cases.get(columns.patient_id)}
    raw |= {name: _objects(values) for name, values in ids.items() if values is not None}
    part = canonical_rows(pd.DataFrame(raw), Layout(columns=columns), NEW, "cases", faults, notes)
    if pictures:
        given_sizes = part[[*sizes]]
        part = attach_files(part, pictures, "pictures", faults, notes).assign(**given_sizes)
    part = settle_patients({NEW: part}, faults, notes, columns.metadata)[NEW]
    faults.raise_if_any("cases")
    if part.empty:
        raise InputFault("the table has no cases to predict")
    return part


def _as_csv_column(values: pd.Series) -> pd.Series:
    """Return a column as it would be read from a CSV: all numbers or all text."""
    column = _objects(values).infer_objects()
    return column.astype(float) if pd.api.types.is_numeric_dtype(column) else column.map(str, na_action="ignore")


def _objects(values: pd.Series | pd.Index) -> pd.Series:
    return pd.Series(np.where(values.isna(), np.nan, values.to_numpy(dtype=object)), dtype=object)


def _cases_of_table(
    raw: pd.DataFrame, where: str, data: DataFolder, location: PictureLocation | None, faults: Faults
) -> pd.DataFrame:
    raw, location = name_pictures(raw, data, location, where, faults)
    part = canonical_rows(raw, data.layout, NEW, where, faults, data.notes)
    part = join_sizes(part, data, "test")
    return attach_pictures(part, data.path, location, faults, data.notes, data.layout.columns)


def _cases_without_test_table(data: DataFolder, location: PictureLocation, faults: Faults) -> pd.DataFrame:
    """Return a case per picture, with the metadata of another table of the folder if its ids are those of pictures."""
    table = None if location.records else metadata_of_pictures(data, location)
    if table is not None:
        return _cases_of_table(*table, data, location, faults)
    part = _cases_without_csv(data, location, faults)
    patients = "" if part["patient_id"].notna().any() else " and a patient of its own"
    data.notes.append(f"{data.path}: {data.layout.test} does not exist: every picture is a case{patients}")
    return part


def _cases_without_csv(data: DataFolder, location: PictureLocation, faults: Faults) -> pd.DataFrame:
    columns = data.layout.columns
    if location.records:
        table = index_records(location.records, location.name, faults, columns)
        part = rows_of_records(table[~table.index.duplicated()], "test", "test", faults, data.notes)
        return attach_records(part, table, data.path, location, faults)
    names = pd.Index(list(location.pictures()), name=INDEX, dtype=object)
    check_names(names.to_series(), INDEX, location.name, faults, data.notes)
    ids = pd.DataFrame({columns.image_name: pd.Series(names, dtype=object)})
    raw, _ = name_pictures(ids, data, location, location.name, faults)
    if len(raw.columns) > 1:  # DICOM files say who the patients are
        part = canonical_rows(raw, data.layout, NEW, location.name, faults, data.notes)
    else:
        part = pd.DataFrame({"patient_id": None}, index=names, dtype=object)
    return attach_pictures(part, data.path, location, faults, data.notes)
