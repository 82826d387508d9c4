"""Read pictures from HDF5 files: one dataset per case, with the case's name and the bytes of a picture (ISIC 2024)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from runtime.errors import InputFault

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".hdf5", ".h5")
ENTRY_PATH = re.compile(r"(.+\.(?:hdf5|h5))@([^/]+)")
MOST_BYTES = 256 << 20  # of one entry; a picture of 200 megapixels as PNG has fewer
H5PY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py raises for a damaged file


def parse_entry_path(path: Path) -> tuple[Path, str] | None:
    """Return file and entry of a path ``<file>.hdf5@<name>``; None for any other path."""
    match = ENTRY_PATH.fullmatch(str(path))
    return (Path(match[1]), match[2]) if match else None


def entry_names(path: Path) -> list[str]:
    """Return the names of the entries of an HDF5 file, sorted; raise InputFault if it cannot be read."""
    return sorted(_OPEN_FILES.open(path))


def read_entry(path: Path, name: str) -> bytes:
    """Return the bytes of entry ``name`` of an HDF5 file; raise InputFault if they are missing or not a picture's."""
    ((_, content),) = read_entries(path, [name])
    if isinstance(content, InputFault):
        raise content
    return content


def read_entries(path: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes | InputFault]]:
    """Yield each of ``names`` with the bytes of its entry, or with an unraised InputFault that describes its defect.

    An entry is an opaque scalar (as in the contest), a byte string, or a one-dimensional array of uint8.
    """
    file = _OPEN_FILES.open(path)
    for name in names:
        try:
            yield name, _content(file, name)
        except InputFault as fault:
            yield name, fault
        except H5PY_ERRORS as error:
            yield name, InputFault(f"not a readable entry ({error})")


class _OpenFiles:
    """The files that are open in this process, one handle per path.

    Opening a file reads the names of all its entries, which takes 40 ms for 401,059 of them, while a picture takes
    less than 1 ms. A file that has changed is opened again, also in a forked process. Threads may share a handle,
    since HDF5 admits one thread at a time.
    """

    def __init__(self) -> None:
        self._files: dict[Path, tuple[tuple[int, int, int], h5py.File]] = {}
        self._lock = Lock()

    def open(self, path: Path) -> h5py.File:
        """Return the open file at ``path``; raise InputFault if it is missing or not HDF5."""
        try:
            status = path.stat()
            with self._lock:
                return self._current(path, (status.st_mtime_ns, status.st_size, os.getpid()))
        except FileNotFoundError:
            raise InputFault(f"{path}: the HDF5 file does not exist") from None
        except H5PY_ERRORS as error:
            raise InputFault(f"{path}: not a readable HDF5 file ({error})") from error

    def _current(self, path: Path, state: tuple[int, int, int]) -> h5py.File:
        """Return the open file if its ``state`` (time, size, process) is unchanged; else open it again."""
        import h5py  # slow to import; most folders have no HDF5

        entry = self._files.get(path)
        if entry is not None and entry[0] == state:
            return entry[1]
        if entry is not None:
            self._files.pop(path)[1].close()  # otherwise HDF5 would still use the old content
        # No lock: the file does not change while we read, and locking fails in read-only or network folders.
        self._files[path] = state, h5py.File(path, "r", locking=False)
        return self._files[path][1]


_OPEN_FILES = _OpenFiles()


def _content(file: h5py.File, name: str) -> bytes:
    """Return the bytes of an entry through h5py's low-level interface, five times as fast as the high-level one.

    Links and external data are not followed: a file from elsewhere must not make us read other files.
    """
    import h5py
    import numpy as np

    key = name.encode()
    if not file.id.links.exists(key):
        raise InputFault("the entry does not exist")
    if file.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise InputFault("an entry must hold a picture; found a link")
    entry = h5py.h5o.open(file.id, key)
    if not isinstance(entry, h5py.h5d.DatasetID):
        raise InputFault("an entry must be a dataset with the bytes of a picture; found a group")
    properties = entry.get_create_plist()
    if properties.get_layout() == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise InputFault("an entry must hold a picture; found a reference to data outside the file")
    dtype, shape = entry.dtype, entry.shape
    if not _holds_bytes(dtype, shape):
        raise InputFault(f"an entry must hold the bytes of a picture; found {dtype} of shape {shape}")
    if dtype.itemsize * int(np.prod(shape, dtype=np.int64)) > MOST_BYTES:
        raise InputFault(f"an entry must have at most {MOST_BYTES >> 20} MiB")
    if dtype.kind == "O":
        return _variable_length(h5py.Dataset(entry)[()])
    values: np.ndarray[Any, Any] = np.empty(shape, dtype)
    entry.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values.tobytes()


def _variable_length(value: object) -> bytes:
    import numpy as np

    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.tobytes()
    if isinstance(value, bytes):
        return value
    raise InputFault(f"an entry must hold the bytes of a picture; found {type(value).__name__}")


def _holds_bytes(dtype: Any, shape: Sequence[int]) -> bool:  # noqa: ANN401  numpy is slow to import
    if shape == ():
        return (dtype.kind == "V" and dtype.names is None) or dtype.kind in "SO"
    return len(shape) == 1 and dtype == "uint8"
