"""Cases whose table or pictures are not there: pictures in a folder per class, and tables without any picture."""

from pathlib import Path

import numpy as np
import pandas as pd

from features.cases.attach_pictures import attach_files, relative_to_data
from features.cases.csv_rows import canonical_rows, no_rows
from features.folder.data_folder import DataFolder
from features.folder.layout import MAPPING
from features.folder.notes import warning
from features.folder.picture_locations import EXTRA
from features.folder.picture_search.class_folders import distinct_names, offer_of_classes, rows_of_folders
from features.folder.picture_search.elsewhere import archives_in, count_pictures, unreadable_pictures
from features.folder.picture_search.location import usual_places
from features.pictures.dicom_patients import dicom_columns, fill_from_dicom
from features.words.diagnoses import means_malignant
from features.words.spelling import plain_word
from runtime.errors import Faults
from runtime.plural import number_of


def rows_without_table(data: DataFolder, role: str, faults: Faults) -> pd.DataFrame:
    """Return the rows of pictures in a folder per class: each is a case, and a patient of its own without a DICOM tag.

    ``faults`` and ``data.notes`` collect the same as in ``canonical_rows`` and ``attach_pictures``.
    """
    location, side = data.picture_location(role), "test" if role == "test" else "train"
    where = f"{data.label}pictures of {side}"
    if location is None or location.fault or location.records or location.hdf5 is not None:
        fault = location.fault if location is not None else ""
        rule = f'with train = "" in {MAPPING}, {side}_pictures must name a folder that holds a folder per class'
        faults.add(fault or f"{where}: {rule}")
        return no_rows()
    other = None if role == EXTRA else data.picture_location("train" if role == "test" else "test")
    files = distinct_names(location, other, data.path)
    data.notes.extend(note for note in location.left_out() if note not in data.notes)
    table = rows_of_folders(location, files, data.layout, side)
    part = _rows(table, files, data, side, where, faults)
    part = attach_files(part, files, location.name, faults, data.notes, (data.path, location))
    return relative_to_data(part.assign(width=part["width"], height=part["height"]), data.path)


def _rows(
    table: pd.DataFrame, files: dict[str, Path], data: DataFolder, side: str, where: str, faults: Faults
) -> pd.DataFrame:
    columns, notes = data.layout.columns, data.notes
    values = dicom_columns(columns.image_name, columns.patient_id, columns.metadata)
    table = fill_from_dicom(table, files, columns.image_name, values, notes)
    if columns.patient_id not in table:
        if side == "train":
            text = "every picture is a patient of its own; those of one person may be in several folds"
            notes.append(warning(f"{where}: without a table, {text}"))
        table = table.assign(**{columns.patient_id: np.nan})
    metadata = tuple(name for name in columns.metadata if name in table)
    layout = data.layout.model_copy(update={"columns": columns.model_copy(update={"metadata": metadata})})
    return canonical_rows(table, layout, side, where, faults, notes)


def offer_for_words(data: Path) -> str:
    """Return ``offer_of_classes`` for a message, with the folders whose names mean malignant as positive."""
    offer = offer_of_classes(data, lambda folder: means_malignant(plain_word(folder)))
    return f"; {offer}" if offer else ""


def report_no_pictures(cases: pd.Index, data: DataFolder, role: str, faults: Faults) -> None:
    """Note that ``cases`` have no pictures, and where they were searched; a fault if some are next to the tables."""
    names = data.layout.pictures_of(role)
    if not names or cases.empty:
        return
    search = f"pictures of {role}: looked in {usual_places(data.layout, role)}; found none"
    beside = count_pictures(data.path, set(cases)).get(".", 0)
    if beside:
        pictures = number_of(beside, "picture")
        setting = f'{role}_pictures = "."'
        faults.add(f"{search}; {pictures} of these cases are in the data folder itself: write in {MAPPING}: {setting}")
        return
    if unreadable := unreadable_pictures(data.path, set(cases)):
        faults.add(f'{search}; {unreadable}; or set {role}_pictures = "" in {MAPPING} to use none')
        return
    archives, text = archives_in(data.path), f"{search}; the cases have no pictures"
    data.notes.append(warning(f"{text}{archives}") if archives else text)
