"""The user's CSVs and pictures -> one checked case table, in which the folds are frozen."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from features.cases.attach_pictures import attach_pictures, attach_records
from features.cases.csv_rows import canonical_rows, join_sizes, no_rows
from features.cases.external import read_externals
from features.cases.folds import assign_folds, official_folds
from features.cases.metadata_columns import asked_metadata, diagnosis_notes, shared_metadata
from features.cases.metadata_values import check_kinds
from features.cases.names import checked_names
from features.cases.tfrecord_cases import index_records, rows_of_records
from features.cases.tied_patients import tie_groups, tied_patients
from features.folder.csv_file import id_column
from features.folder.data_folder import CaseFolders, DataFolder
from features.folder.layout import LABEL_COLUMNS, MAPPING, Layout, Request
from features.folder.picture_locations import PictureLocation
from runtime.errors import Faults, InputFault, list_names

Pairs = Callable[[pd.DataFrame], pd.DataFrame]  # cases without folds -> pairs (first, second) that show the same


def read_cases(
    request: Request,
    notes: list[str] | None = None,
    pairs_of: Pairs | None = None,
    folders: CaseFolders | None = None,
) -> pd.DataFrame:
    """Return the checked case table of a data folder, folds assigned.

    Index image_name; columns role (train, test, extra), fold (int8; -1 outside train), patient_id, target (NaN for
    test), width, height, file_bytes (NaN if unknown), picture (path in the data folder, absolute if external;
    ``<file>.tfrec@<byte offset>`` in a TFRecord file, ``<file>.hdf5@<name>`` in HDF5), the metadata and labels; where
    external folders are asked for, source (the external folder's name; missing for train and test).
    ``folders`` are those of the request, where they are open already; they have notes of their own then.
    ``notes`` is given sentences about what was left out without being a fault, and about the patients that share a
    fold because ``pairs_of`` tells pictures of theirs that show the same (official folds stay as they are).
    Raises InputFault that lists every fault of the input together.
    """
    folders = folders or CaseFolders.open(request, notes)
    data, faults = folders.data, Faults()
    layout, notes = data.layout, data.notes
    parts = {role: _read_role(data, role, faults) for role in ("train", "test")}
    parts = shared_metadata(parts, layout, notes)
    if folders.extra:
        known = parts["train"].index.union(parts["test"].index)
        parts = {role: part.assign(source=None) for role, part in parts.items()}
        parts["extra"] = read_externals(folders.extra, known, faults)
    _check_across(parts, faults)
    _note_unused(data, parts)
    check_kinds(parts, asked_metadata(parts, layout), faults)
    _check_sample(data, parts["test"], faults)
    faults.raise_if_any(f"{request.data}: the input cannot be used")
    cases = pd.concat([_typed(part, role) for role, part in parts.items() if len(part)])
    patients = parts["train"]["patient_id"]
    if pairs_of is not None:
        patients = _tied(cases, pairs_of(cases), [] if request.official else notes)
    return _with_folds(cases, parts["train"], request, patients)


def _tied(cases: pd.DataFrame, pairs: pd.DataFrame, notes: list[str]) -> pd.Series:
    """Return the patients, those who are tied under one name, and say in ``notes`` how many they are."""
    train = cases[cases["role"] == "train"]
    groups = tie_groups(train, pairs)
    if groups:
        patients = train.loc[[name for group in groups for name in group], "patient_id"].nunique()
        notes.append(f"tied, as pictures of theirs show the same: {patients} patients in {len(groups)} groups")
    return tied_patients(train["patient_id"], pairs)


def _with_folds(cases: pd.DataFrame, train: pd.DataFrame, request: Request, patients: pd.Series) -> pd.DataFrame:
    """Return the cases with their folds; ``patients`` names, per training case, the group that one fold holds whole."""
    rows = cases[cases["role"] == "train"]
    if request.official:
        if "fold_group" not in train:
            raise InputFault(f"{request.data}: official folds were asked for, but no column gives the grouping")
        groups = train["fold_group"]
        folds = official_folds(groups, rows["patient_id"], rows["target"], count=request.folds, seed=request.seed)
    else:
        folds = assign_folds(patients.reindex(rows.index), rows["target"], count=request.folds, seed=request.seed)
    return cases.assign(fold=folds.reindex(cases.index, fill_value=-1).astype("int8"))


def _read_role(data: DataFolder, role: str, faults: Faults) -> pd.DataFrame:
    """Return the rows of one role, with canonical column names; what is wrong goes to ``faults``."""
    layout, notes, name = data.layout, data.notes, str(getattr(data.layout, role))
    if role == "test" and not name:
        return no_rows()
    place = data.picture_location(role)
    # Kaggle's TFRecord sets come without CSVs; a CSV that a mapping names must be there.
    csv_may_lack = name == Layout.model_fields[role].default
    if place is not None and place.records and csv_may_lack and not data.has(name):
        return _rows_without_csv(data, place, role, faults)
    try:
        raw = data.cases(role)
    except InputFault as fault:
        hint = f'; without test cases, say test = "" in {MAPPING}' if role == "test" else ""
        faults.add(f"{fault}{hint}")
        return no_rows()
    notes += diagnosis_notes(raw, layout, name)
    part = canonical_rows(raw, layout, role, name, faults, notes)
    part = join_sizes(part, data, role)
    return attach_pictures(part, data.path, place, faults, notes)


def _rows_without_csv(data: DataFolder, place: PictureLocation, role: str, faults: Faults) -> pd.DataFrame:
    table = index_records(place.records, place.name, faults)
    part = rows_of_records(table[~table.index.duplicated()], role, role, faults, data.notes)
    return attach_records(part, table, data.path, place, faults)


def _check_across(parts: Mapping[str, pd.DataFrame], faults: Faults) -> None:
    train, test = parts["train"], parts["test"]
    shared = set(train["patient_id"]) & set(test["patient_id"])
    if shared:
        faults.add(f"patients in both train and test: {list_names(sorted(shared))}")
    seen = train.index.intersection(test.index)
    if len(seen):
        faults.add(f"image_name in both train and test: {list_names(seen)}")
    if "extra" in parts:
        known = parts["extra"].index.intersection(train.index.union(test.index))
        _add_if_any(faults, "external cases under the name of a train or test case", known)
    if train.empty and not faults:  # else the reason is told already
        faults.add("there are no training cases")


def _note_unused(data: DataFolder, parts: Mapping[str, pd.DataFrame]) -> None:
    """Say which pictures belong to no case: perhaps rows are missing."""
    known = parts["train"].index.union(parts["test"].index)
    places = [data.picture_location(role) for role in ("train", "test")]
    for place in {found.folder: found for found in places if found is not None and not found.records}.values():
        unused = [name for name in place.pictures() if name not in known]
        if unused:
            data.notes.append(f"{place.name}: pictures without a row, not used: {list_names(unused)}")


def _add_if_any(faults: Faults, text: str, names: pd.Index) -> None:
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
        faults.add(f"{where}: no column image_name; it has {', '.join(map(str, sample.columns))}")
        return
    names = pd.Index(checked_names(sample[name], name, where, faults, data.notes))
    _add_if_any(faults, f"{where}: rows without a test case", names.difference(test.index))
    _add_if_any(faults, f"{where}: {name} given more than once", names[names.duplicated()].unique())


def _typed(part: pd.DataFrame, role: str) -> pd.DataFrame:
    """Return the part with the case table's columns in their types."""
    blank = pd.Series(np.nan, index=part.index)
    numbers = {name: part.get(name, blank).astype(float) for name in ("target", "width", "height", "file_bytes")}
    texts = [name for name in ("picture", *LABEL_COLUMNS) if name in part]
    typed = part.drop(columns="fold_group", errors="ignore").assign(role=role, **numbers)
    strings = typed.select_dtypes(include=["object", "string"]).columns.union(texts)
    return typed.assign(**{name: _strings(typed[name]) for name in strings})


def _strings(values: pd.Series) -> pd.Series:
    """Return text with what is missing as None, so that every writer agrees on it."""
    return pd.Series([None if pd.isna(value) else str(value) for value in values], index=values.index, dtype=object)
