"""Make one checked case table, with its folds, from the user's CSVs and pictures."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from features.cases.attach_pictures import attach_pictures, attach_records, name_pictures
from features.cases.csv_rows import canonical_rows, join_sizes, no_rows
from features.cases.external import read_externals
from features.cases.fold_design.divide import check_division, divide
from features.cases.metadata.columns import (
    diagnosis_notes,
    keep_shared_metadata,
    leave_out_columns,
    requested_metadata,
)
from features.cases.metadata_values import check_kinds
from features.cases.names import check_names
from features.cases.patient_groups import large_patients, settle_patients
from features.cases.without_table.folders import offer_for_words, report_no_pictures, rows_without_table
from features.cases.without_table.records import index_records, rows_of_records
from features.folder.data_folder import CaseFolders, DataFolder
from features.folder.layout import FOLD_BY, LABEL_COLUMNS, MAPPING, Layout, Request
from features.folder.notes import warning
from features.folder.picture_locations import PictureLocation
from features.folder.table_file import id_column
from features.folder.table_header import tables_in
from features.pictures.picture_ids import match_ids
from runtime.errors import Faults, InputFault, list_names
from runtime.plural import number_of

Pairs = Callable[[pd.DataFrame], pd.DataFrame]  # cases without folds -> pairs (first, second) of the same lesion


def read_cases(
    request: Request,
    notes: list[str] | None = None,
    pairs_of: Pairs | None = None,
    folders: CaseFolders | None = None,
) -> pd.DataFrame:
    """Return the checked case table of a data folder, with folds.

    Index image_name; columns role (train, test, extra), fold (int8; -1 outside train), patient_id, target (NaN for
    test), width, height, file_bytes (NaN if unknown), picture (path in the data folder, absolute if external;
    ``<file>.tfrec@<byte offset>`` in a TFRecord file, ``<file>.hdf5@<name>`` in HDF5), the metadata and labels; if
    external folders are requested, source (the external folder's name; missing for train and test).
    ``folders`` are the folders of the request if they are already open; their own notes are used then.
    ``notes`` collects sentences about repairs and unused data, and about patients who share a fold because
    ``pairs_of`` finds pictures of the same lesion under both names (official folds do not change).
    Raises InputFault that lists all faults of the input together.
    """
    folders = folders or CaseFolders.open(request, notes)
    data, faults = folders.data, Faults()
    layout, notes = data.layout, data.notes
    parts = {role: _read_role(data, role, faults) for role in ("train", "test")}
    parts = keep_shared_metadata(parts, layout, notes)
    if folders.extra:
        own_names = parts["train"].index.union(parts["test"].index)
        parts = {role: part.assign(source=None) for role, part in parts.items()}
        parts["extra"] = read_externals(folders.extra, own_names, faults)
        if layout.columns.fold_by not in layout.columns.metadata:
            parts["extra"] = parts["extra"].drop(columns=layout.columns.fold_by, errors="ignore")
    parts = leave_out_columns(parts, layout, notes)
    _check_across(parts, faults)
    parts = settle_patients(parts, faults, notes, layout.columns.metadata)
    _note_unused_pictures(data, parts)
    check_kinds(parts, requested_metadata(parts, layout), faults)
    _check_sample(data, parts["test"], faults)
    faults.raise_if_any(f"{request.data}: the input cannot be used")
    cases = pd.concat([_set_types(part, role) for role, part in parts.items() if len(part)])
    check_division(parts["train"], request)
    cases = divide(cases, parts["train"], request, None if pairs_of is None else pairs_of(cases), data)
    notes += large_patients(cases)
    return cases


def _read_role(data: DataFolder, role: str, faults: Faults) -> pd.DataFrame:
    """Return the rows of one role with canonical column names; ``faults`` collects what is wrong."""
    layout, notes, name = data.layout, data.notes, str(getattr(data.layout, role))
    if role == "test" and not name and not (layout.has_class_folders and data.sets("test_pictures")):
        return no_rows()
    location = data.picture_location(role)
    # Kaggle's TFRecord sets have no CSVs; a CSV that is named in a mapping must exist.
    is_csv_optional = name == Layout.model_fields[role].default
    if location is not None and location.records and is_csv_optional and not data.has(name):
        return _rows_without_csv(data, location, role, faults)
    if layout.has_class_folders:
        return rows_without_table(data, role, faults)
    try:
        raw = data.cases(role)
    except InputFault as fault:
        # What is said about training cases without a table names the folders of test cases too.
        if role == "train" or data.has(layout.train) or not offer_for_words(data.path):
            faults.add(f"{fault}{_hint_without_table(data, role)}")
        return no_rows()
    raw, location = name_pictures(raw, data, location, f"{data.label}{name}", faults)
    raw = _with_patients(raw, layout.columns.patient_id, name, notes) if role == "test" else raw
    notes += diagnosis_notes(raw, layout, name)
    part = canonical_rows(raw, layout, role, name, faults, notes)
    if role == "test" and part.empty and not faults:
        notes.append(f"{name}: the table has column names alone: nothing is predicted")
    part = join_sizes(part, data, role)
    if location is None:
        report_no_pictures(part.index, data, role, faults)
    return attach_pictures(part, data.path, location, faults, notes, layout.columns)


def _hint_without_table(data: DataFolder, role: str) -> str:
    if role == "test":
        others = [path.name for path in tables_in(data.path) if path.name not in data.layout.tables()]
        there = f"; tables that are there: {list_names(others)}" if others else ""
        return f'{there}; without test cases, set test = "" in {MAPPING}'
    return "" if data.has(data.layout.train) else offer_for_words(data.path)


def _with_patients(raw: pd.DataFrame, column: str, where: str, notes: list[str]) -> pd.DataFrame:
    """Return the test table, with every case as a patient of its own if it has no column of patients."""
    if column in raw:
        return raw
    consequence = "it cannot be checked that no patient is in both train and test"
    notes.append(warning(f"{where}: no column {column}: every case is a patient of its own, and {consequence}"))
    return raw.assign(**{column: np.nan})


def _rows_without_csv(data: DataFolder, location: PictureLocation, role: str, faults: Faults) -> pd.DataFrame:
    table = index_records(location.records, location.name, faults, data.layout.columns)
    part = rows_of_records(table[~table.index.duplicated()], role, role, faults, data.notes, data.layout)
    return attach_records(part, table, data.path, location, faults)


def _check_across(parts: Mapping[str, pd.DataFrame], faults: Faults) -> None:
    train, test = parts["train"], parts["test"]
    names = train.index.intersection(test.index)
    if len(names):
        faults.add(f"an image_name must not be in both train and test; found {list_names(names)}")
    if "extra" in parts:
        external_names = parts["extra"].index.intersection(train.index.union(test.index))
        _add_fault(faults, "external cases with the name of a train or test case", external_names)
    if train.empty and not faults:  # otherwise the faults already give the reason
        faults.add("the table must have training cases")


def _note_unused_pictures(data: DataFolder, parts: Mapping[str, pd.DataFrame]) -> None:
    """Note the pictures that belong to no case: rows may be missing."""
    locations = [data.picture_location(role) for role in ("train", "test")]
    by_folder = {location.name: location for location in locations if location is not None and not location.records}
    if not by_folder:
        return
    cases = parts["train"].index.union(parts["test"].index)
    paths = {picture for part in parts.values() if "picture" in part for picture in part["picture"]}
    for location in by_folder.values():
        others = {name: path for name, path in location.pictures().items() if name not in cases}
        names = [name for name, path in others.items() if path.relative_to(data.path).as_posix() not in paths]
        if names:
            data.notes.append(f"{location.name}: pictures without a row in a CSV, not used: {list_names(names)}")


def _add_fault(faults: Faults, text: str, names: pd.Index) -> None:
    if len(names):
        faults.add(f"{text}: {list_names(names)}")


def _check_sample(data: DataFolder, test: pd.DataFrame, faults: Faults) -> None:
    try:
        sample = data.sample()
    except InputFault as fault:
        faults.add(str(fault))
        return
    if sample is None:
        return
    where, name = data.layout.sample, id_column(sample.columns)
    if name not in sample:
        faults.add(f"{where}: column image_name is missing; the columns are {', '.join(map(str, sample.columns))}")
        return
    ids = pd.Index(check_names(sample[name], name, where, faults, data.notes, paths=True))
    names = match_ids(ids, test.index)
    if count := int((names != ids).sum()):
        data.notes.append(f"{where}: {name}: ids with a folder or a file ending, read as names of test cases: {count}")
    _add_fault(faults, f"{where}: rows that belong to no test case", names.difference(test.index))
    _add_fault(faults, f"{where}: {name} in more than one row", names[names.duplicated()].unique())
    absent = test.index.difference(names)
    if len(absent) and not faults:
        data.notes.append(
            f"{where} has {len(names)} of {len(test)} test cases: submission.csv will have "
            f"{number_of(len(names), 'row')}; {number_of(len(absent), 'test case')} left out"
        )


def _set_types(part: pd.DataFrame, role: str) -> pd.DataFrame:
    """Return the part with the column types of the case table."""
    blank = pd.Series(np.nan, index=part.index)
    numbers = {name: part.get(name, blank).astype(float) for name in ("target", "width", "height", "file_bytes")}
    texts = [name for name in ("picture", *LABEL_COLUMNS) if name in part]
    table = part.drop(columns=["fold_group", FOLD_BY], errors="ignore").assign(role=role, **numbers)
    strings = table.select_dtypes(include=["object", "string"]).columns.union(texts)
    return table.assign(**{name: _strings(table[name]) for name in strings})


def _strings(values: pd.Series) -> pd.Series:
    """Return text with None for missing values, so that all writers store them in the same way."""
    texts = values.to_numpy(dtype=object).copy()
    is_missing = pd.isna(texts)
    texts[is_missing] = None
    if pd.api.types.infer_dtype(texts, skipna=True) != "string":
        texts[~is_missing] = [str(value) for value in texts[~is_missing]]
    return pd.Series(texts, index=values.index, dtype=object)
