"""Write files so that a reader never sees a half-written one."""

import json
import math
import os
import platform
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputFault

# A damaged archive raises errors of its format, of its compression, and of the literals in its headers.
ARCHIVE_ERRORS = (
    *(OSError, ValueError, KeyError, EOFError, BadZipFile, AttributeError, TypeError, SyntaxError),
    *(zlib.error, NotImplementedError, RuntimeError, RecursionError, MemoryError),
)
MAX_ARRAY_BYTES = 2**33  # of all arrays in a file, unpacked
PARTIAL_PREFIX = ".writing-"  # of unfinished files; the process id and the machine's name follow it
Array = NDArray[Any]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move the file to ``path`` when the block ends without an error.

    The temporary name has the suffix of ``path``, because some writers choose a format by it. After an error
    the temporary file is removed and an older file at ``path`` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{PARTIAL_PREFIX}{os.getpid()}@{platform.node()}-"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix="".join(path.suffixes))
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raise InputFault unless files can be written into ``folder``, which need not exist yet; nothing stays there."""
    parent = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not parent.is_dir():
        raise InputFault(f"{parent}: a file, but the files of the command need a folder; name another path")
    try:
        with tempfile.TemporaryFile(dir=parent):
            return
    except OSError as error:
        where = f"{folder}" if parent == folder.absolute() else f"{folder} in {parent}"
        raise InputFault(
            f"{where}: cannot be written ({error.strerror}); name another folder, or give this user the right to write"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove unfinished files of killed processes of this machine from ``folder`` and its subfolders."""
    for file in folder.rglob(f"{PARTIAL_PREFIX}*@{platform.node()}-*"):
        writer = file.name.removeprefix(PARTIAL_PREFIX).split("@")[0]
        if writer.isdecimal() and not _is_alive(int(writer)):
            file.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        return True  # on Windows os.kill ends the process for any signal; unfinished files are kept
    try:
        os.kill(process, 0)  # signal 0 only checks that the process exists
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # a process of another user
    return True


def reserve_disk(path: Path) -> None:
    """Allocate disk space for every byte of a file that is mapped into memory; raise OSError when there is too little.

    Without this call, writing a mapped page to a full disk ends the process with a bus error, which cannot be caught.
    macOS and Windows have no such call; there nothing is allocated.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically; raise ValueError for NaN and infinity."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401  only the caller knows the shape
    """Return the content of a JSON file; raise InputFault when the file is not valid JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputFault(f"{path}: damaged, it is not JSON ({error})") from error
    except RecursionError as error:
        raise InputFault(f"{path}: damaged, its JSON is nested too deep") from error


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write numeric ``arrays`` by name as a compressed .npz file, atomically."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def read_arrays(path: Path, *required_names: str) -> dict[str, Array]:
    """Return the arrays of a .npz file by name; raise InputFault if it is missing, damaged or lacks a required one."""
    try:
        # Opened here, because NumPy leaves a file open that is not an archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            _check_sizes(archive)
            arrays = {name: archive[name] for name in archive.files}
    except ARCHIVE_ERRORS as error:
        raise InputFault(f"{path}: not a .npz file of arrays ({error})") from error
    # For an entry that is not an array NumPy returns its raw bytes.
    others = [name for name, value in arrays.items() if not isinstance(value, np.ndarray)]
    if others:
        raise InputFault(f"{path}: not a .npz file of arrays: no array is in {', '.join(others)}")
    missing = [name for name in required_names if name not in arrays]
    if missing:
        raise InputFault(f"{path}: the arrays {', '.join(missing)} are missing")
    return arrays


def _check_sizes(archive: Any) -> None:  # noqa: ANN401  NumPy's class of archives has no public name
    """Raise ValueError unless every array has as many bytes as its header says: NumPy would reserve the memory."""
    entries = archive.zip.infolist()
    if sum(entry.file_size for entry in entries) > MAX_ARRAY_BYTES:
        raise ValueError(f"its arrays have more than {MAX_ARRAY_BYTES:,} bytes")
    if len({entry.filename for entry in entries}) < len(entries):
        raise ValueError("two arrays have the same name")
    for entry in entries:
        with archive.zip.open(entry) as stream:
            _check_header(entry.filename, stream, entry.file_size)


def _check_header(name: str, stream: IO[bytes], file_size: int) -> None:
    if stream.read(6) != b"\x93NUMPY":
        return  # not an array
    stream.seek(0)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or stream.tell() + size != file_size:
        raise ValueError(f"{name} has the shape {shape}, but {file_size:,} bytes")
