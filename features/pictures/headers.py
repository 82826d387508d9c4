"""The headers of many pictures, read in parallel: files by threads, entries of an HDF5 file by processes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from joblib import delayed

from features.pictures.hdf5 import read_entries
from features.pictures.read import Header, header_of_bytes, read_header
from runtime.errors import Faults, InputFault, list_names
from runtime.machine.pool import open_pool, open_threads

CHUNK = 5000  # entries per parallel task: a second of work


def read_headers(paths: Mapping[str, Path], where: str, hdf5: Path | None, faults: Faults) -> dict[str, Header]:
    """Return name -> header of the pictures ``paths`` (name -> path), or of the entries of ``hdf5``, in parallel.

    ``faults`` collects the unreadable ones, which are not in the result.
    """
    headers = _headers_of_files(paths) if hdf5 is None else _headers_of_entries(hdf5, list(paths))
    bad = {name: answer for name, answer in headers.items() if isinstance(answer, str)}
    if bad:
        faults.add(f"{where}: unreadable pictures: {list_names(bad)}; the first: {next(iter(bad.values()))}")
    return {name: answer for name, answer in headers.items() if isinstance(answer, Header)}


def _headers_of_files(paths: Mapping[str, Path]) -> dict[str, Header | str]:
    # Threads suffice, since opening files waits for the disk and not for Python.
    answers = open_threads(len(paths))(delayed(_header_or_fault)(path) for path in paths.values())
    return dict(zip(paths, answers, strict=True))


def _headers_of_entries(file: Path, names: Sequence[str]) -> dict[str, Header | str]:
    # Processes are needed, since HDF5 is read by one thread per process. Sorted entries are close together in the file.
    entries = sorted(names)
    chunks = [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]
    parts = open_pool(None if len(chunks) > 1 else 1)(delayed(_entry_headers)(file, chunk) for chunk in chunks)
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
