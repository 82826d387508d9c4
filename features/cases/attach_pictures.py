"""Attach a picture to every case, from files, TFRecord files or an HDF5 file, with the size from its header."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from features.cases.names import likely_names
from features.cases.without_table.records import index_records
from features.folder.data_folder import DataFolder
from features.folder.layout import MAPPING, Columns
from features.folder.picture_locations import PictureLocation
from features.folder.picture_search.elsewhere import count_pictures, in_toml
from features.pictures.dicom_patients import dicom_columns, fill_from_dicom
from features.pictures.file_types import remark_notes
from features.pictures.headers import read_headers
from features.pictures.picture_ids import find_in_other_case, names_folders, read_ids
from features.pictures.suffixes import name_of_file
from runtime.errors import Faults, list_names

SIZES = ("width", "height", "file_bytes")
Place = tuple[Path, PictureLocation]  # the data folder, and the location of its pictures


def picture_paths(cases: pd.DataFrame, data: Path) -> dict[str, Path]:
    """Return image_name -> path of the picture of every case of the folder ``data`` that has one."""
    if "picture" not in cases:
        return {}
    return {str(name): data / str(picture) for name, picture in cases["picture"].dropna().items()}


def name_pictures(
    raw: pd.DataFrame, data: DataFolder, location: PictureLocation | None, where: str, faults: Faults
) -> tuple[pd.DataFrame, PictureLocation | None]:
    """Return a table of cases with ids that are names of pictures, and with what DICOM files say of the patients.

    The location is returned too: ids that name the sub-folders allow it to use them. ``data.spellings`` collects the
    ids of the table that differ from the names.
    """
    columns = data.layout.columns
    if columns.image_name not in raw:
        return raw, location
    has_names = location is not None and not location.records and not location.fault
    ids = raw[columns.image_name]
    names = read_ids(ids, location.pictures if has_names and location is not None else dict, where, faults, data.notes)
    has_other_name = pd.Series(False, index=ids.index) if names is ids else names.notna() & (names != ids)
    if has_other_name.any():
        data.spellings.update(zip(names[has_other_name], ids[has_other_name], strict=True))
        raw = raw.assign(**{columns.image_name: names})
    if location is not None and location.only_deeper and names_folders(ids[has_other_name]):
        location = replace(location, only_deeper="")
    if has_names and location is not None and location.hdf5 is None:
        values = dicom_columns(columns.image_name, columns.patient_id, columns.metadata)
        raw = fill_from_dicom(raw, location.pictures(), columns.image_name, values, data.notes)
    return raw, location


def attach_pictures(
    part: pd.DataFrame,
    data: Path,
    location: PictureLocation | None,
    faults: Faults,
    notes: list[str],
    columns: Columns | None = None,
) -> pd.DataFrame:
    """Add picture (relative to ``data``), width, height and file_bytes of every case, if there is a ``location``.

    ``faults`` collects cases without a picture or with two, unreadable pictures, records with another label than the
    CSV, and what is wrong with the location; ``notes`` collects how the location was chosen, files that are left out,
    and how reading changes the pictures. ``columns`` names the features of records.
    """
    if location is None:
        return part
    if fault := location.fault or location.only_deeper:
        faults.add(fault)
        return part
    notes += [note for note in (location.note, *location.left_out()) if note and note not in notes]
    if location.records:
        table = index_records(location.records, location.name, faults, columns)
        return attach_records(part, table, data, location, faults)
    files, twins = location.pictures(), location.ambiguous_names()
    twins = {name: paths for name, paths in twins.items() if name in part.index}
    if twins:
        texts = [" and ".join(paths) for paths in twins.values()]
        faults.add(
            f"{location.name}: more than one picture has the same name: {list_names(texts)}; delete all except one"
        )
        files = {**{name: location.folder / paths[0] for name, paths in twins.items()}, **files}
    files |= _files_under_other_names(part.index, files, location, notes)
    part = attach_files(part, files, location.name, faults, notes, (data, location))
    return relative_to_data(part, data)


def relative_to_data(part: pd.DataFrame, data: Path) -> pd.DataFrame:
    """Return ``part`` with its pictures as texts relative to ``data``."""
    return part.assign(picture=part["picture"].map(lambda path: path.relative_to(data).as_posix(), na_action="ignore"))


def _files_under_other_names(
    cases: pd.Index, files: Mapping[str, Path], location: PictureLocation, notes: list[str]
) -> dict[str, Path]:
    """Return name -> path of cases whose picture has the name in another case, or is taken for a mask otherwise."""
    missing = cases[~cases.isin(files)]
    if missing.empty:
        return {}
    masks = location.masks()
    masks_of_cases = {name: masks[name] for name in missing if name in masks}
    free = {name: path for name, path in files.items() if name not in cases}
    others = find_in_other_case(missing, free)
    folders = Counter(path.parent.name for path in free.values())
    by_folder = {path.parent.name: path for path in free.values() if folders[path.parent.name] == 1}
    alone = {name: by_folder[name] for name in missing if name in by_folder and name not in others}
    if alone:
        names = list_names(location.relative(path) for path in alone.values())
        notes.append(f"{location.name}: pictures named after their folder, the only ones in it: {names}")
    if others:
        texts = [f"{name} is {files[other].name}" for name, other in others.items()]
        notes.append(f"{location.name}: file names in another case or Unicode form than the id: {list_names(texts)}")
    return masks_of_cases | alone | {name: files[other] for name, other in others.items()}


def attach_files(
    part: pd.DataFrame,
    files: Mapping[str, Path],
    where: str,
    faults: Faults,
    notes: list[str],
    place: Place | None = None,
) -> pd.DataFrame:
    """Add picture (from ``files``: image_name -> path), width, height and file_bytes of every case.

    ``place`` is the data folder and the location of the files, None if the caller named every file. ``faults`` and
    ``notes`` collect the same as in ``attach_pictures``.
    """
    _report_missing(part.index, pd.Index(files), where, faults, place)
    paths = {name: files[name] for name in part.index if name in files}
    headers = read_headers(paths, where, None if place is None else place[1].hdf5, faults)
    notes += remark_notes({name: header.remarks for name, header in headers.items()}, where)
    columns = {
        "picture": {name: files[name] for name in headers},
        "width": {name: header.width for name, header in headers.items()},
        "height": {name: header.height for name, header in headers.items()},
        "file_bytes": {name: header.file_bytes for name, header in headers.items()},
    }
    return part.assign(
        **{name: pd.Series(values, dtype=object).reindex(part.index) for name, values in columns.items()}
    )


def attach_records(
    part: pd.DataFrame, table: pd.DataFrame, data: Path, location: PictureLocation, faults: Faults
) -> pd.DataFrame:
    """Add picture, width, height and file_bytes from the records of ``table``, and the fold group if it is missing.

    A width and height that ``part`` already has are kept if the record knows only the size of its reduced picture.
    """
    where, twice = location.name, table.index.duplicated()
    if twice.any():
        faults.add(
            f"{where}: every image_name must be in one record; found in more: {list_names(table.index[twice].unique())}"
        )
    table = table[~twice]
    others = find_in_other_case(part.index[~part.index.isin(table.index)], table.index[~table.index.isin(part.index)])
    table = table.rename(index={record: name for name, record in others.items()})
    _report_missing(part.index, table.index, where, faults, (data, location))
    _report_contradictions(part, table, where, faults)
    mine = table.reindex(part.index)
    pictures = mine["picture"].map(lambda path: Path(path).relative_to(data).as_posix(), na_action="ignore")
    part = part.assign(picture=pictures.astype(object), file_bytes=mine["file_bytes"])
    for name in ("width", "height"):
        other_sizes = part[name].where(mine["has_original_size"] != True) if name in part else None  # noqa: E712  NaN is not True either
        part[name] = mine[name] if other_sizes is None else other_sizes.astype(float).fillna(mine[name].astype(float))
    if "target" in part and "fold_group" not in part:
        part["fold_group"] = mine["file_number"]
    return part


def _report_missing(cases: pd.Index, pictures: pd.Index, where: str, faults: Faults, place: Place | None) -> None:
    missing = cases[~cases.isin(pictures)]
    if len(missing):
        hint = likely_names(missing, pictures[~pictures.isin(cases)]) or _other_files(missing, place)
        start, remedy = _choice_of_location(place)
        step = hint or remedy or "; add the pictures, or delete the rows"
        faults.add(f"{start}{where}: no picture for {list_names(missing)}{step}")


def _choice_of_location(place: Place | None) -> tuple[str, str]:
    """Return how a location was chosen that no setting names, and the setting for cases without pictures."""
    if place is None or not place[1].note:
        return "", ""
    return (
        f"{place[1].note}; ",
        f'; if the cases have no pictures, set train_pictures or test_pictures = "" in {MAPPING}',
    )


def _other_files(missing: pd.Index, place: Place | None) -> str:
    """Return a hint about files with the names in ``missing``: unsupported ones, or pictures in other folders."""
    if place is None:
        return ""
    data, location = place
    names = set(missing)
    other_kinds = [path.name for path in location.listing if name_of_file(path) in names]
    if other_kinds:
        return f"; ignored because they are not JPEG, PNG or DICOM: {list_names(other_kinds)}"
    counts = count_pictures(data, names)
    folders = ", ".join(f"{folder} ({count})" for folder, count in counts.items())
    own = [folder.relative_to(data).as_posix() for folder in location.parts or (location.folder,)]
    remedy = f"name all folders in {MAPPING}, as in {in_toml([*own, *counts])}"
    return f"; pictures of these names are in {folders}: {remedy}" if counts else ""


def _report_contradictions(part: pd.DataFrame, table: pd.DataFrame, where: str, faults: Faults) -> None:
    if "target" not in part or "target" not in table:
        return
    record_targets = pd.to_numeric(table["target"], errors="coerce").reindex(part.index)
    csv_targets = part["target"].astype(float)
    wrong = part.index[record_targets.ge(0) & csv_targets.notna() & (record_targets != csv_targets)]
    if len(wrong):
        faults.add(
            f"{where}: the target in the record differs from the CSV in {list_names(wrong)}; correct one of them"
        )
