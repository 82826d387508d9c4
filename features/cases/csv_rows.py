"""Rows of a user's CSV with the column names of the case table; faults are collected, not raised."""

from difflib import get_close_matches

import numpy as np
import pandas as pd

from features.cases.metadata.columns import choose_metadata
from features.cases.metadata_values import repair_values
from features.cases.names import check_names
from features.cases.patients import check_patients
from features.cases.targets import read_targets
from features.folder.column_names import other_names
from features.folder.data_folder import DataFolder
from features.folder.layout import EVERY, FOLD_BY, LABEL_COLUMNS, LESION, MAPPING, Columns, Layout
from features.folder.picture_locations import NEW
from features.pictures.picture_ids import match_ids
from runtime.errors import Faults, InputFault, did_you_mean, list_names
from runtime.invocation import option
from runtime.plural import number_of
from runtime.tables import INDEX

MOST_COLUMNS = 12  # columns that a message lists; some tables have hundreds


def no_rows() -> pd.DataFrame:
    """Return an empty table of cases."""
    columns = {name: pd.Series(dtype=object) for name in ("patient_id", "target", "picture")}
    return pd.DataFrame(columns, index=pd.Index([], name=INDEX, dtype=object))


def canonical_rows(
    raw: pd.DataFrame, layout: Layout, role: str, where: str, faults: Faults, notes: list[str]
) -> pd.DataFrame:
    """Return the rows of a CSV: patient_id and the metadata; for train also target, labels, fold_group, fold_by.

    A missing patient_id is None; lesion_id is in the table if the CSV has it, for ``settle_patients``. Rows that the
    layout drops are left out. ``faults`` collects missing columns, invalid targets, implausible values, and names that
    are missing, invalid or repeated; ``notes`` collects repairs. For new cases only the name is required.
    """
    columns = layout.columns
    raw = _add_missing_columns(raw, layout, where, notes) if role == NEW else raw
    metadata = choose_metadata(raw, columns)
    target = [columns.target] if role == "train" else []
    required_columns = [columns.image_name, columns.patient_id, *metadata, *target]
    missing = [name for name in required_columns if name not in raw]
    if missing:
        faults.add(f"{where}: missing column(s) {list_names(missing)}; {_columns_hint(missing, raw, columns)}")
    if columns.image_name in missing:
        return no_rows()
    if role == "train":
        targets = read_targets(raw, layout, where, faults, notes)
        raw = raw if len(targets) == len(raw) else raw.loc[targets.index]
    names = check_names(raw[columns.image_name], columns.image_name, where, faults, notes)
    part = pd.DataFrame(index=pd.Index(names.astype(str), name=INDEX))
    part["patient_id"] = _patients(raw, columns, role, where, faults, notes)
    if columns.lesion_id in raw:
        part[LESION] = raw[columns.lesion_id].to_numpy(dtype=object)
    if role == "train":
        part["target"] = targets.to_numpy()
        labels = [name for name in LABEL_COLUMNS if name in raw]
        part = part.assign(**_metadata_values(raw, labels, part.index, where, faults, notes))
    if role == "train" and columns.fold_group in raw:
        part["fold_group"] = raw[columns.fold_group].to_numpy()
    if role == "train" and columns.fold_by:
        part = part.assign(**_fold_values(raw, columns.fold_by, where, faults))
    metadata_values = _metadata_values(
        raw, [name for name in metadata if name in raw], part.index, where, faults, notes
    )
    own = {metadata[name]: values for name, values in metadata_values.items()}
    part = pd.concat([part.drop(columns=list(own), errors="ignore"), pd.DataFrame(own, part.index)], axis=1)
    return without_duplicates(part, where, faults, notes)


def _fold_values(raw: pd.DataFrame, column: str, where: str, faults: Faults) -> dict[str, np.ndarray]:
    """Return the values of the column that makes the folds, under its name in the case table."""
    if column in raw:
        return {FOLD_BY: raw[column].to_numpy(dtype=object)}
    near = did_you_mean(column, [str(name) for name in raw.columns])
    faults.add(f"{where}: column {column!r}, by which folds are to be made, is missing; {near}")
    return {}


def _patients(
    raw: pd.DataFrame, columns: Columns, role: str, where: str, faults: Faults, notes: list[str]
) -> np.ndarray:
    """Return the patient of every row, None if it is missing."""
    empty = pd.Series(np.nan, index=raw.index, dtype=object, name=columns.patient_id)
    values = raw.get(columns.patient_id, empty)
    lesion = columns.lesion_id if columns.lesion_id in raw else None
    # The note that the column is missing in new or test cases says the same.
    own_notes = list[str]() if role != "train" and values.isna().all() else notes
    return check_patients(values, where, faults, own_notes, lesion).to_numpy(dtype=object)


def _add_missing_columns(raw: pd.DataFrame, layout: Layout, where: str, notes: list[str]) -> pd.DataFrame:
    """Return ``raw`` with an empty column for the patient and each metadata column that it lacks."""
    patient = layout.columns.patient_id
    missing = [name for name in (patient, *layout.columns.metadata) if name not in raw and name != EVERY]
    consequences = {patient: "every case is a patient of its own"}
    notes += [
        f"{where}: column {name} is missing; {consequences.get(name, 'its values are treated as missing')}"
        for name in missing
    ]
    return raw.assign(**dict.fromkeys(missing, np.nan))


def _columns_hint(missing: list[str], raw: pd.DataFrame, columns: Columns) -> str:
    present = [str(name) for name in raw.columns]
    near = {name: _candidates(name, present) for name in missing}
    hints = "".join(f"; {' or '.join(map(repr, names))} may be {name!r}" for name, names in near.items() if names)
    if columns.patient_id in missing:
        hints += f'; without patients, set patient_id = "{columns.image_name}" in [columns]'
    header = f"{', '.join(present[:MOST_COLUMNS])}{', ...' if len(present) > MOST_COLUMNS else ''}"
    remedy = f"name your columns in a {MAPPING} in the data folder, or in the file of {option('mapping', 'file.toml')}"
    return f"the columns are {header}{hints}; {remedy}"


def _candidates(name: str, present: list[str]) -> list[str]:
    """Return the columns with a usual name of the column ``name``, else the one whose name is like it, if any."""
    usual = [other for other in present if other.casefold() in other_names(name)]
    return usual or get_close_matches(name, present, n=1, cutoff=0.6)


def _metadata_values(
    raw: pd.DataFrame, names: list[str], cases: pd.Index, where: str, faults: Faults, notes: list[str]
) -> dict[str, np.ndarray]:
    columns = {name: repair_values(raw[name].set_axis(cases), name, where, faults, notes) for name in names}
    return {name: values.to_numpy() for name, values in columns.items()}


def without_duplicates(part: pd.DataFrame, where: str, faults: Faults, notes: list[str]) -> pd.DataFrame:
    """Return the first row of every name; ``notes`` collects repeated rows that are identical.

    ``faults`` collects rows without a name and repeated names whose rows differ.
    """
    nameless = part.index.isin(["nan", ""])
    if nameless.any():
        faults.add(f"{where}: {number_of(int(nameless.sum()), 'row')} without an image_name")
    part = part[~nameless]
    if part.index.is_unique:
        return part
    equal = part.reset_index().duplicated().to_numpy()
    if equal.any():
        notes.append(f"{where}: identical rows, of which one is kept: {list_names(part.index[equal].unique())}")
    part = part[~equal]
    twice = part.index.duplicated()
    if twice.any():
        faults.add(
            f"{where}: the same image_name in rows that differ: {list_names(part.index[twice].unique())}; keep one row"
        )
    return part[~twice]


def join_sizes(part: pd.DataFrame, data: DataFolder, role: str) -> pd.DataFrame:
    """Add width, height and the official fold group from the table of sizes of ``role``, if the folder has one.

    Sizes that are not numbers are set to missing, with a note. Raises InputFault if the table has no column of names.
    """
    sizes = data.sizes(role)
    if sizes is None:
        return part.assign(width=np.nan, height=np.nan)
    columns, path = data.layout.columns, data.path / str(getattr(data.layout, f"{role}_sizes"))
    if columns.image_name not in sizes:
        raise InputFault(
            f"{path}: column {columns.image_name} is missing; the columns are {', '.join(map(str, sizes.columns))}"
        )
    sizes = sizes.assign(**{columns.image_name: match_ids(pd.Index(sizes[columns.image_name]), part.index)})
    sizes = sizes.drop_duplicates(columns.image_name)
    sizes = sizes.set_index(columns.image_name).rename(columns={columns.fold_group: "fold_group"})
    sizes = sizes[[name for name in ("width", "height", "fold_group") if name in sizes]]
    for name in [name for name in sizes if not pd.api.types.is_numeric_dtype(sizes[name])]:
        numbers = pd.to_numeric(sizes[name], errors="coerce")
        bad = sizes.index[numbers.isna() & sizes[name].notna()]
        if len(bad):
            data.notes.append(
                f"{path.name}: {name} must be a number; it is not in {list_names(bad)}; treated as missing"
            )
        sizes[name] = numbers
    return part.join(sizes)
