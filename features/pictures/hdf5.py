"""Pictures in HDF5 files: one dataset per case, called by its name, that holds the bytes of a picture (ISIC 2024)."""

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
MOST_BYTES = 256 << 20  # of one entry: a picture of 200 megapixels as PNG has less
BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py raises for a damaged file


def parse_entry_path(path: Path) -> tuple[Path, str] | None:
    """Return file and entry of a place ``<file>.hdf5@<name>``; None for any other path."""
    found = ENTRY_PATH.fullmatch(str(path))
    return (Path(found[1]), found[2]) if found else None


def entry_names(path: Path) -> list[str]:
    """Return the names of the entries of an HDF5 file, sorted; raise InputFault when it cannot be read."""
    return sorted(_HANDLES.opened(path))


def read_entry(path: Path, name: str) -> bytes:
    """Return the bytes that entry ``name`` of an HDF5 file holds; raise InputFault that says what is there instead."""
    ((_, found),) = read_entries(path, [name])
    if isinstance(found, InputFault):
        raise found
    return found


def read_entries(path: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes | InputFault]]:
    """Yield every one of ``names`` with the bytes of its entry, or with what is wrong with it.

    An entry is an opaque scalar, as the contest has it, a string of bytes, or a row of uint8.
    """
    file = _HANDLES.opened(path)
    for name in names:
        try:
            yield name, _content(file, name)
        except InputFault as fault:
            yield name, fault
        except BROKEN as error:
            yield name, InputFault(f"not a readable entry ({error})")


class _Handles:
    """The files that this process has open, one handle per path.

    To open a file reads the names of all its entries, 40 ms of 401,059, where a picture takes less than one. A file
    that has changed is opened anew, as it is in a process that was forked. Threads may share a handle: HDF5 lets in
    one at a time.
    """

    def __init__(self) -> None:
        self._held: dict[Path, tuple[tuple[int, int, int], h5py.File]] = {}
        self._lock = Lock()

    def opened(self, path: Path) -> h5py.File:
        """Return the file at ``path``, open; raise InputFault when it is missing, or no HDF5."""
        try:
            status = path.stat()
            with self._lock:
                return self._current(path, (status.st_mtime_ns, status.st_size, os.getpid()))
        except FileNotFoundError:
            raise InputFault(f"{path}: no such HDF5 file") from None
        except BROKEN as error:
            raise InputFault(f"{path}: not a readable HDF5 file ({error})") from error

    def _current(self, path: Path, state: tuple[int, int, int]) -> h5py.File:
        """Return the held file where it is still in that ``state``; else open it anew."""
        import h5py  # slow to import, and most folders hold no HDF5

        held = self._held.get(path)
        if held is not None and held[0] == state:
            return held[1]
        if held is not None:
            self._held.pop(path)[1].close()  # HDF5 would go on with what it knows of an open file
        # Nobody writes it while we read, and a lock fails where a folder is read-only or on a network.
        self._held[path] = state, h5py.File(path, "r", locking=False)
        return self._held[path][1]


_HANDLES = _Handles()


def _content(file: h5py.File, name: str) -> bytes:
    """Return the bytes of an entry by h5py's low-level interface, five times as fast as the other for 401,059 entries.

    Links are not followed, nor data outside the file: a file that somebody sent must not name others to be read.
    """
    import h5py
    import numpy as np

    key = name.encode()
    if not file.id.links.exists(key):
        raise InputFault("no such entry")
    if file.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise InputFault("a link to elsewhere; the picture itself was expected")
    entry = h5py.h5o.open(file.id, key)
    if not isinstance(entry, h5py.h5d.DatasetID):
        raise InputFault("a group; a dataset with the bytes of a picture was expected")
    made = entry.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL or made.get_external_count():
        raise InputFault("its data lie outside the file; the picture itself was expected")
    dtype, shape = entry.dtype, entry.shape
    if not _holds_bytes(dtype, shape):
        raise InputFault(f"{dtype} of shape {shape}; the bytes of a picture were expected")
    if dtype.itemsize * int(np.prod(shape, dtype=np.int64)) > MOST_BYTES:
        raise InputFault(f"more than {MOST_BYTES >> 20} MiB; that is no picture")
    if dtype.kind == "O":
        return _of_any_length(h5py.Dataset(entry)[()])
    values: np.ndarray[Any, Any] = np.empty(shape, dtype)
    entry.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values.tobytes()


def _of_any_length(value: object) -> bytes:
    import numpy as np

    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return value.tobytes()
    if isinstance(value, bytes):
        return value
    raise InputFault(f"{type(value).__name__}; the bytes of a picture were expected")


def _holds_bytes(dtype: Any, shape: Sequence[int]) -> bool:  # noqa: ANN401  numpy is slow to import
    if shape == ():
        return (dtype.kind == "V" and dtype.names is None) or dtype.kind in "SO"
    return len(shape) == 1 and dtype == "uint8"
