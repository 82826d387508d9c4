"""Attach a picture to every case, from files, TFRecord files or an HDF5 file, with the size from its header."""

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
    part: pd.DataFrame, data: Path, location: PictureLocation | None, faults: Faults, notes: list[str]
) -> pd.DataFrame:
    """Add picture (relative to ``data``), width, height and file_bytes of every case, if there is a ``location``.

    ``faults`` collects cases without a picture or with two, unreadable pictures, and records with another label than
    the CSV; ``notes`` collects how reading changes the pictures.
    """
    if location is None:
        return part
    if location.records:
        table = index_records(location.records, location.name, faults)
        return attach_records(part, table, data, location, faults)
    twins = [" and ".join(files) for name, files in location.ambiguous_names().items() if name in part.index]
    if twins:
        faults.add(
            f"{location.name}: more than one picture has the same name: {list_names(twins)}; delete all except one"
        )
    part = attach_files(part, location.pictures(), location.name, faults, notes, location)
    return part.assign(picture=part["picture"].map(lambda path: path.relative_to(data).as_posix(), na_action="ignore"))


def attach_files(
    part: pd.DataFrame,
    files: Mapping[str, Path],
    where: str,
    faults: Faults,
    notes: list[str],
    location: PictureLocation | None = None,
) -> pd.DataFrame:
    """Add picture (from ``files``: image_name -> path), width, height and file_bytes of every case.

    ``location`` is the place of the files, None if the caller named every file. ``faults`` and ``notes`` collect the
    same as in ``attach_pictures``.
    """
    _report_missing(part.index, pd.Index(files), where, faults, location)
    paths = {name: files[name] for name in part.index if name in files}
    headers = _read_headers(paths, where, None if location is None else location.hdf5, faults)
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
    _report_missing(part.index, table.index, where, faults, location)
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


def _report_missing(
    cases: pd.Index, pictures: pd.Index, where: str, faults: Faults, location: PictureLocation | None
) -> None:
    missing = cases[~cases.isin(pictures)]
    if len(missing):
        hint = likely_names(missing, pictures[~pictures.isin(cases)]) or _unsupported_files(missing, location)
        faults.add(f"{where}: no picture for {list_names(missing)}{hint}")


def _unsupported_files(missing: pd.Index, location: PictureLocation | None) -> str:
    """Return a hint about files that have the names in ``missing`` but an unsupported suffix."""
    names = [] if location is None else [path.name for path in location.listing if path.stem in missing]
    return f"; ignored because they are not JPEG, PNG or DICOM: {list_names(names)}" if names else ""


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


def _read_headers(paths: Mapping[str, Path], where: str, hdf5: Path | None, faults: Faults) -> dict[str, Header]:
    headers = _headers_of_files(paths) if hdf5 is None else _headers_of_entries(hdf5, list(paths))
    bad = {name: answer for name, answer in headers.items() if isinstance(answer, str)}
    if bad:
        faults.add(f"{where}: unreadable pictures: {list_names(bad)}; the first: {next(iter(bad.values()))}")
    return {name: answer for name, answer in headers.items() if isinstance(answer, Header)}


def _headers_of_files(paths: Mapping[str, Path]) -> dict[str, Header | str]:
    # Threads suffice, since opening files waits for the disk and not for Python.
    answers = Parallel(n_jobs=8, prefer="threads")(delayed(_header_or_fault)(path) for path in paths.values())
    return dict(zip(paths, answers, strict=True))


def _headers_of_entries(file: Path, names: Sequence[str]) -> dict[str, Header | str]:
    # Processes are needed, since HDF5 is read by one thread per process. Sorted entries are close together in the file.
    entries = sorted(names)
    chunks = [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]
    parts = Parallel(n_jobs=-1 if len(chunks) > 1 else 1)(delayed(_entry_headers)(file, chunk) for chunk in chunks)
    return {name: header for part in parts for name, header in part.items()}


def _entry_headers(file: Path, names: Sequence[str]) -> dict[str, Header | str]:
    headers = {name: _header_of_entry(content) for name, content in read_entries(file, names)}
    return {
        name: answer if isinstance(answer, Header) else f"{file}@{name}: {answer}" for name, answer in headers.items()
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
