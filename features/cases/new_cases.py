"""Cases to be predicted, from a data folder in any layout that training accepts, or from a folder of pictures alone."""

from pathlib import Path

import numpy as np
import pandas as pd

from features.cases.attach_pictures import attach_pictures, attach_records
from features.cases.csv_rows import canonical_rows, join_sizes, read_table_of
from features.cases.names import checked_names
from features.cases.tfrecord_cases import index_records, rows_of_records
from features.folder.layout import EVERY, Layout, read_layout
from features.folder.picture_places import PICTURE_SUFFIXES, Place, find_place
from runtime.errors import Faults, InputFault
from runtime.tables import INDEX


def read_new_cases(data: Path, mapping: Path | None = None, notes: list[str] | None = None) -> pd.DataFrame:
    """Return the test cases of the folder ``data``: patient_id, the metadata that is known, picture, and sizes.

    Index image_name; picture is a path in the folder, missing where the folder has none. Nothing but names or pictures
    is needed: without a CSV every picture of the folder is a case, without a patient it is a patient of its own, and
    a metadata column that is not there is told in ``notes`` and missing in every case. Raises InputFault that lists
    every fault together.
    """
    layout, faults = read_layout(data, mapping), Faults()
    notes = [] if notes is None else notes
    place = find_place(data, layout, "test") or _loose(data)
    table = data / layout.test if layout.test else None
    if table is None or not table.is_file():
        if mapping is not None or place is None:
            raise InputFault(f"{data}: neither {layout.test or 'a CSV'} nor pictures; there is nothing to predict")
        notes.append(f"{data}: no {layout.test}: every picture is a case, and a patient of its own")
        part = _without_csv(data, place, faults, notes)
    else:
        part = _from_csv(read_table_of(table, layout, notes), layout, data, faults, notes)
        part = attach_pictures(part, data, place, faults, notes)
    faults.raise_if_any(f"{data}: the input cannot be used")
    if part.empty:
        raise InputFault(f"{data}: there are no cases to predict")
    return part


def _from_csv(raw: pd.DataFrame, layout: Layout, data: Path, faults: Faults, notes: list[str]) -> pd.DataFrame:
    columns = layout.columns
    lacking = [name for name in (columns.patient_id, *columns.metadata) if name not in raw and name != EVERY]
    notes += [f"{layout.test}: no column {name}: taken as not known" for name in lacking]
    part = canonical_rows(raw.assign(**dict.fromkeys(lacking, np.nan)), layout, "test", layout.test, faults, notes)
    return join_sizes(part.drop(columns=lacking, errors="ignore"), data / layout.test_sizes, layout, faults)


def _without_csv(data: Path, place: Place, faults: Faults, notes: list[str]) -> pd.DataFrame:
    if place.records:
        table = index_records(place.records, place.name, faults)
        part = rows_of_records(table[~table.index.duplicated()], "test", "test", faults, notes)
        return attach_records(part, table, data, place, faults)
    names = pd.Index(list(place.pictures()), name=INDEX, dtype=object)
    checked_names(names.to_series(), INDEX, place.name, faults, notes)
    return attach_pictures(pd.DataFrame({"patient_id": names}, index=names), data, place, faults, notes)


def _loose(data: Path) -> Place | None:
    """Return the folder itself where pictures lie right in it."""
    pictures = any(path.suffix.lower() in PICTURE_SUFFIXES for path in data.iterdir())
    return Place(data, str(data)) if pictures else None
