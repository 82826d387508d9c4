"""Read the labelled cases of a data folder on which a finished model is validated: in any layout, without folds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from features.cases.attach_pictures import attach_pictures, attach_records
from features.cases.external import labelled_rows
from features.cases.patient_groups import settle_patients
from features.cases.without_table.folders import offer_for_words, rows_without_table
from features.cases.without_table.records import index_records, rows_of_records
from features.folder.column_names import use_requested_names
from features.folder.data_folder import DataFolder
from features.folder.layout import LABEL_COLUMNS, MAPPING
from features.folder.picture_locations import EXTRA, NEW, PictureLocation
from features.folder.picture_search.metadata_table import metadata_of_pictures
from runtime.errors import Faults, InputFault

CASES = "cases"  # what messages call them
# Names of columns with the skin tone, in lower case and without blanks, as they begin.
TONES = ("fitzpatrick", "fitspatrick", "skintone", "skintype", "skincolor", "skincolour", "phototype", "monk")


@dataclass(frozen=True)
class LabelledCases:
    """The labelled cases of a folder, and how many rows its table has, with those that are left out.

    ``table`` is as `read_new_cases` returns it, with the column target (0 or 1) and the labels that the folder has.
    """

    table: pd.DataFrame
    rows: int
    has_patients: bool  # whether the folder says who the patients are
    tones: tuple[str, ...]  # the columns of the table with the skin tone


def read_labelled_cases(data: DataFolder, metadata: Sequence[str] = ()) -> LabelledCases:
    """Return the cases of ``data`` whose target is known; ``metadata`` are the columns that a bundle needs.

    They are those of the training table, or of the test table if only that has targets, or of the one table beside the
    pictures that has them, or of TFRecord files, or of a folder per class. Rows without a target are left out. A folder
    without patients has one per case. ``data.notes`` collects repairs and what is left out. Raises InputFault that
    lists all faults together, or says that the folder has no targets.
    """
    if metadata and not data.has_mapping:
        data = data.with_metadata(metadata)
    data, faults = data.with_labels_optional(), Faults()
    layout = data.layout
    if layout.has_class_folders:
        part, rows = _with_count(rows_without_table(data, EXTRA, faults))
    elif data.has(layout.train):
        part, rows = _of_table(data, faults)
    elif (location := data.picture_location(EXTRA)) is not None and location.records:
        part, rows = _with_count(_of_records(data, location, faults))
    else:
        part, rows = _of_table(_with_labelled_table(data), faults)
    has_patients = bool(len(part)) and bool(part["patient_id"].notna().any())
    part = settle_patients({NEW: part}, faults, data.notes, layout.columns.metadata)[NEW]
    faults.raise_if_any(f"{data.path}: the input cannot be used")
    part = part[part["target"].notna()].drop(columns="fold_group", errors="ignore")
    if data.has_mapping:  # a mapping names the columns of the folder, which can differ from those of the bundle
        part = use_requested_names(part, metadata, CASES, data.notes)
    if part.empty:
        raise InputFault(f"{data.path}: no case has a target, {_column(data)}; {_remedy(data)}")
    return LabelledCases(part, rows, has_patients, tuple(filter(names_tone, map(str, part.columns))))


def names_tone(column: str) -> bool:
    """Return whether a column of this name holds the skin tone: ``fitzpatrick_skin_type``, ``Skin tone``."""
    return re.sub(r"[\W_]+", "", column.casefold()).startswith(TONES)


def _of_table(data: DataFolder, faults: Faults) -> tuple[pd.DataFrame, int]:
    """Return the labelled rows of the training table with their pictures, and the number of all its rows."""
    raw = data.cases("train")
    if data.layout.columns.target not in raw:
        raise InputFault(
            f"{data.path}: {data.layout.train} has no column {data.layout.columns.target}, so nothing can be compared "
            f"with the predictions; {_remedy(data)}"
        )
    tones = [str(name) for name in raw if names_tone(str(name)) and name not in data.layout.columns.metadata]
    data, location = data.with_metadata((*data.layout.columns.metadata, *tones)), data.picture_location(EXTRA)
    part, place = labelled_rows(raw, data, location, CASES, faults)
    return attach_pictures(part, data.path, place, faults, data.notes, data.layout.columns), len(raw)


def _of_records(data: DataFolder, location: PictureLocation, faults: Faults) -> pd.DataFrame:
    table = index_records(location.records, location.name, faults, data.layout.columns)
    table = table[~table.index.duplicated()]
    part = rows_of_records(table, EXTRA, CASES, faults, data.notes, data.layout)
    return attach_records(part, table, data.path, location, faults)


def _with_count(part: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    return part, len(part)


def _with_labelled_table(data: DataFolder) -> DataFolder:
    """Return ``data`` with the table that has targets as its training table; raise InputFault if none has."""
    layout, target = data.layout, data.layout.columns.target
    if data.has(layout.test) and target in data.cases("test"):
        return data.with_test_as_train()
    location = data.picture_location(NEW)
    if location is not None and not location.records:
        table = metadata_of_pictures(data, location)
        if table is not None and target in table[0]:
            return data.with_train_table(table[1], location)
    remedy = offer_for_words(data.path).removeprefix("; ") or _remedy(data)
    raise InputFault(f"{data.path}: no table has the target, {_column(data)}; {remedy}")


def _column(data: DataFolder) -> str:
    return f"the column {data.layout.columns.target}"


def _remedy(data: DataFolder) -> str:
    labels = ", ".join(LABEL_COLUMNS)
    return (
        f'name the table and the column in a {MAPPING} in {data.path}: train = "..." and [columns] target = "..." '
        f'(of a diagnosis, such as {labels}, with positive = ["melanoma"])'
    )
