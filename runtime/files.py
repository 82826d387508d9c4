"""Write files so that a reader never meets a half-written one."""

import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputFault

PARTIAL_PREFIX = ".writing-"  # begins the names of files that are not whole yet; then come the process and the machine
Array = NDArray[Any]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and move it into place when the block ends without an error.

    The temporary name keeps the suffix of ``path`` (some writers choose a format by it). After an error
    nothing is left behind and an older file at ``path`` is untouched.
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


def remove_leftovers(folder: Path) -> None:
    """Remove from ``folder`` and below what processes of this machine were writing when they were killed."""
    for left in folder.rglob(f"{PARTIAL_PREFIX}*@{platform.node()}-*"):
        writer = left.name.removeprefix(PARTIAL_PREFIX).split("@")[0]
        if writer.isdecimal() and not _lives(int(writer)):
            left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


def reserve_disk(path: Path) -> None:
    """Have the disk keep room for the whole of a file that is mapped into memory; raise OSError where it has none.

    A page of a mapped file that finds the disk full ends the process with a bus error, which nobody can catch.
    """
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is refused with ValueError."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401  the shape is the caller's knowledge
    """Return the content of a JSON file; raise InputFault when it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputFault(f"{path}: damaged, it is not JSON ({error})") from error


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write numeric ``arrays`` under their names as a compressed .npz file."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def read_arrays(path: Path, *needed: str) -> dict[str, Array]:
    """Return the arrays in ``path`` by name; raise InputFault when it is missing, damaged, or lacks ``needed`` ones."""
    try:
        # Opened here: NumPy leaves a file that is no archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise InputFault(f"{path}: not a file of arrays ({error})") from error
    # NumPy gives the bytes of what is no array as they are.
    strange = [name for name, held in arrays.items() if not isinstance(held, np.ndarray)]
    if strange:
        raise InputFault(f"{path}: not a file of arrays ({', '.join(strange)} is none)")
    lacking = [name for name in needed if name not in arrays]
    if lacking:
        raise InputFault(f"{path}: lacks the arrays {', '.join(lacking)}")
    return arrays
