"""Every case gets its picture, from files, TFRecord files or an HDF5 file, with the size its header tells."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from features.cases.names import likely_names
from features.cases.tfrecord_cases import index_records
from features.folder.picture_locations import PictureLocation
from features.pictures.file_types import remark_notes
from features.pictures.hdf5 import read_entries
from features.pictures.read import Header, header_of_bytes, read_header
from runtime.errors import Faults, InputFault, list_names

CHUNK = 5000  # entries per parallel task: a second of work
SIZES = ("width", "height", "file_bytes")


def attach_pictures(
    part: pd.DataFrame, data: Path, place: PictureLocation | None, faults: Faults, notes: list[str]
) -> pd.DataFrame:
    """Add picture (relative to ``data``), width, height and file_bytes of every case; no ``place`` means no pictures.

    Cases without a picture or with two, pictures that cannot be read and records with another label go to ``faults``;
    what reading changes in pictures is told in ``notes``.
    """
    if place is None:
        return part
    if place.records:
        table = index_records(place.records, place.name, faults)
        return attach_records(part, table, data, place, faults)
    twins = [" and ".join(files) for name, files in place.twins().items() if name in part.index]
    if twins:
        faults.add(f"{place.name}: two pictures of one name, nobody knows which is meant: {list_names(twins)}")
    part = attach_files(part, place.pictures(), place.name, faults, notes, place)
    return part.assign(picture=part["picture"].map(lambda path: path.relative_to(data).as_posix(), na_action="ignore"))


def attach_files(
    part: pd.DataFrame,
    found: Mapping[str, Path],
    where: str,
    faults: Faults,
    notes: list[str],
    place: PictureLocation | None = None,
) -> pd.DataFrame:
    """Add picture (a path of those ``found``, which may lie in a ``place``), width, height, file_bytes of every case.

    Faults and notes as in ``attach_pictures``.
    """
    _name_missing(part.index, pd.Index(found), where, faults, place)
    paths = {name: found[name] for name in part.index if name in found}
    headers = _read_headers(paths, where, None if place is None else place.hdf5, faults)
    notes += remark_notes({name: header.remarks for name, header in headers.items()}, where)
    columns = {
        "picture": {name: found[name] for name in headers},
        "width": {name: header.width for name, header in headers.items()},
        "height": {name: header.height for name, header in headers.items()},
        "file_bytes": {name: header.file_bytes for name, header in headers.items()},
    }
    return part.assign(
        **{name: pd.Series(values, dtype=object).reindex(part.index) for name, values in columns.items()}
    )


def attach_records(
    part: pd.DataFrame, table: pd.DataFrame, data: Path, place: PictureLocation, faults: Faults
) -> pd.DataFrame:
    """Add picture, width, height and file_bytes from the records of ``table``, and the fold group where there is none.

    A size known from elsewhere is kept where the record only knows that of its own, shrunken picture.
    """
    where, twice = place.name, table.index.duplicated()
    if twice.any():
        faults.add(f"{where}: image_name in more than one record: {list_names(table.index[twice].unique())}")
    table = table[~twice]
    _name_missing(part.index, table.index, where, faults, place)
    _name_contradictions(part, table, where, faults)
    mine = table.reindex(part.index)
    pictures = mine["picture"].map(lambda place: Path(place).relative_to(data).as_posix(), na_action="ignore")
    part = part.assign(picture=pictures.astype(object), file_bytes=mine["file_bytes"])
    for name in ("width", "height"):
        known = part[name].where(mine["sized"] != True) if name in part else None  # noqa: E712  NaN is not True either
        part[name] = mine[name] if known is None else known.astype(float).fillna(mine[name].astype(float))
    if "target" in part and "fold_group" not in part:
        part["fold_group"] = mine["file_number"]
    return part


def _name_missing(wanted: pd.Index, found: pd.Index, where: str, faults: Faults, place: PictureLocation | None) -> None:
    missing = wanted[~wanted.isin(found)]
    if len(missing):
        hint = likely_names(missing, found[~found.isin(wanted)]) or _other_files(missing, place)
        faults.add(f"{where}: no picture for {list_names(missing)}{hint}")


def _other_files(missing: pd.Index, place: PictureLocation | None) -> str:
    """Return a hint on files under the names of ``missing`` that are of a kind that is not read."""
    unread = [] if place is None else [path.name for path in place.listing if path.stem in missing]
    return f"; not read, since neither JPEG, PNG nor DICOM: {list_names(unread)}" if unread else ""


def _name_contradictions(part: pd.DataFrame, table: pd.DataFrame, where: str, faults: Faults) -> None:
    if "target" not in part or "target" not in table:
        return
    recorded = pd.to_numeric(table["target"], errors="coerce").reindex(part.index)
    given = part["target"].astype(float)
    wrong = part.index[recorded.ge(0) & given.notna() & (recorded != given)]
    if len(wrong):
        faults.add(f"{where}: the record's target is not that of the CSV in {list_names(wrong)}")


def _read_headers(paths: Mapping[str, Path], where: str, hdf5: Path | None, faults: Faults) -> dict[str, Header]:
    read = _headers_of_files(paths) if hdf5 is None else _headers_of_entries(hdf5, list(paths))
    bad = {name: answer for name, answer in read.items() if isinstance(answer, str)}
    if bad:
        faults.add(f"{where}: unreadable pictures: {list_names(bad)}; the first: {next(iter(bad.values()))}")
    return {name: answer for name, answer in read.items() if isinstance(answer, Header)}


def _headers_of_files(paths: Mapping[str, Path]) -> dict[str, Header | str]:
    # Threads: opening files waits for the disk, not for Python.
    answers = Parallel(n_jobs=8, prefer="threads")(delayed(_header_or_fault)(path) for path in paths.values())
    return dict(zip(paths, answers, strict=True))


def _headers_of_entries(file: Path, names: Sequence[str]) -> dict[str, Header | str]:
    # Processes: one process reads HDF5 in one thread at a time. Names in order lie near each other in the file.
    ordered = sorted(names)
    chunks = [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]
    parts = Parallel(n_jobs=-1 if len(chunks) > 1 else 1)(delayed(_entry_headers)(file, chunk) for chunk in chunks)
    return {name: header for part in parts for name, header in part.items()}


def _entry_headers(file: Path, names: Sequence[str]) -> dict[str, Header | str]:
    found = {name: _header_of_entry(content) for name, content in read_entries(file, names)}
    return {
        name: answer if isinstance(answer, Header) else f"{file}@{name}: {answer}" for name, answer in found.items()
    }


def _header_of_entry(content: bytes | InputFault) -> Header | str:
    try:
        return str(content) if isinstance(content, InputFault) else header_of_bytes(content)
    except InputFault as fault:
        return str(fault)


def _header_or_fault(path: Path) -> Header | str:
    try:
        return read_header(path)
    except InputFault as fault:
        return str(fault)
