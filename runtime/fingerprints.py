"""Cheap fingerprints of large files: whether a file is still the same is known without reading it in whole."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PIECE = 2048  # bytes
# A change of one picture shifts all bytes behind it in a JPEG, so a short file needs few pieces; a container of many
# pictures is read at more places.
PIECES, CONTAINER_PIECES, CONTAINER_BYTES = 2, 256, 32 * 2**20
MISSING = "missing"  # the fingerprint of a file that is not there
THREADS = 8  # a network file system answers several requests at once
BATCH = 256  # files per task of a thread


def fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits of a digest of the file's size and of pieces of its content; never of its times.

    The pieces are spread evenly, the last at the end. A change that keeps the size and all pieces is not seen.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return MISSING
    try:
        size = os.fstat(handle).st_size
        result = hashlib.sha256(str(size).encode())
        for start in _starts(size):
            result.update(os.pread(handle, PIECE, start))
    finally:
        os.close(handle)
    return result.hexdigest()[:16]


def fingerprints(paths: Iterable[Path]) -> dict[Path, str]:
    """Return path -> fingerprint of all ``paths``; each file is read once."""
    files = list(dict.fromkeys(paths))
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    with ThreadPoolExecutor(THREADS) as threads:
        parts = threads.map(_of_batch, batches) if len(batches) > 1 else map(_of_batch, batches)
        return dict(zip(files, (each for part in parts for each in part), strict=True))


def _of_batch(paths: Sequence[Path]) -> list[str]:
    return [fingerprint(path) for path in paths]


def _starts(size: int) -> Iterable[int]:
    """Return where the pieces of a file of ``size`` bytes start; together they are the whole of a small file."""
    pieces = CONTAINER_PIECES if size >= CONTAINER_BYTES else PIECES
    if size <= pieces * PIECE:
        return range(0, size, PIECE)
    return (((number + 1) * (size - PIECE)) // pieces for number in range(pieces))
