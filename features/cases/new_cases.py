"""Cases to be predicted: of a data folder, of pictures alone, or of a table in memory; checked as in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features.cases.attach_pictures import SIZES, attach_files, attach_pictures, attach_records
from features.cases.csv_rows import canonical_rows, join_sizes
from features.cases.names import checked_names
from features.cases.tfrecord_cases import index_records, rows_of_records
from features.folder.data_folder import DataFolder
from features.folder.layout import Columns, Layout
from features.folder.picture_locations import NEW, PictureLocation
from runtime.errors import Faults, InputFault
from runtime.tables import INDEX


def read_new_cases(data: DataFolder) -> pd.DataFrame:
    """Return the test cases of ``data``: patient_id, the metadata, picture, and sizes.

    Index image_name; picture is a path in the folder, missing where the folder has none. Nothing but names or pictures
    is needed: without a CSV every picture of the folder is a case, without a patient it is a patient of its own, and
    a metadata column that is not there is missing in every case, which the folder's notes are told. Raises InputFault
    that lists every fault together.
    """
    layout, place, faults = data.layout, data.picture_location(NEW), Faults()
    if data.has(layout.test):
        part = canonical_rows(data.cases("test"), layout, NEW, layout.test, faults, data.notes)
        part = join_sizes(part, data, "test")
        part = attach_pictures(part, data.path, place, faults, data.notes)
    elif data.names_itself("test") or (layout.test and (data.path / layout.test).exists()):
        raise InputFault(f"{data.path}: {layout.test}: no such file, where the table of the cases should be")
    elif place is None or data.mapping is not None:
        raise InputFault(f"{data.path}: neither {layout.test or 'a CSV'} nor pictures; there is nothing to predict")
    else:
        data.notes.append(f"{data.path}: no {layout.test}: every picture is a case, and a patient of its own")
        part = _without_csv(data, place, faults)
    faults.raise_if_any(f"{data.path}: the input cannot be used")
    if part.empty:
        raise InputFault(f"{data.path}: there are no cases to predict")
    return part


def check_new_cases(
    cases: pd.DataFrame, metadata: Sequence[str], pictures: Mapping[str, Path], notes: list[str]
) -> pd.DataFrame:
    """Return ``cases`` (index image_name) as ``read_new_cases`` returns a folder's, with the columns ``metadata``.

    ``pictures`` has a file per case, or is empty; sizes that ``cases`` know are not read from them. What was repaired
    is told in ``notes``. Raises InputFault that lists every fault together.
    """
    faults, sizes = Faults(), SIZES if set(SIZES) <= set(cases.columns) else ()
    columns = Columns(metadata=(*metadata, *sizes))
    raw = {name: _as_read(cases[name]) for name in columns.metadata if name in cases}
    ids = {columns.image_name: cases.index, columns.patient_id: cases.get(columns.patient_id)}
    raw |= {name: _objects(values) for name, values in ids.items() if values is not None}
    part = canonical_rows(pd.DataFrame(raw), Layout(columns=columns), NEW, "cases", faults, notes)
    if pictures:
        known = part[[*sizes]]
        part = attach_files(part, pictures, "pictures", faults, notes).assign(**known)
    faults.raise_if_any("cases")
    if part.empty:
        raise InputFault("there are no cases to predict")
    return part


def _as_read(values: pd.Series) -> pd.Series:
    """Return a column as a CSV would give it: all of it numbers, or all of it texts."""
    read = _objects(values).infer_objects()
    return read.astype(float) if pd.api.types.is_numeric_dtype(read) else read.map(str, na_action="ignore")


def _objects(values: pd.Series | pd.Index) -> pd.Series:
    return pd.Series(np.where(values.isna(), np.nan, values.to_numpy(dtype=object)), dtype=object)


def _without_csv(data: DataFolder, place: PictureLocation, faults: Faults) -> pd.DataFrame:
    if place.records:
        table = index_records(place.records, place.name, faults)
        part = rows_of_records(table[~table.index.duplicated()], "test", "test", faults, data.notes)
        return attach_records(part, table, data.path, place, faults)
    names = pd.Index(list(place.pictures()), name=INDEX, dtype=object)
    checked_names(names.to_series(), INDEX, place.name, faults, data.notes)
    part = pd.DataFrame({"patient_id": names}, index=names)
    return attach_pictures(part, data.path, place, faults, data.notes)
