"""The pass over all pictures: one decode of each gives its statistics and a square JPEG per resolution."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from features.pictures.read import encode_jpeg, read_picture, resize_square, shrink, stored_jpeg
from features.pictures.statistics import picture_statistics
from runtime.errors import InputFault, list_names
from runtime.tables import INDEX

STATISTICS_LONGEST = 256  # px; enough for colour and shape, and no dearer than the decode
# px kept on the short side by the scaled decode: the highest resolution of the 2020 winners. It is the same whatever
# sizes are asked for, so that no square and no statistic depends on which others were made in the same pass.
DECODED_SHORTEST = 896
CHUNK = 8  # pictures per parallel task: some 0.2 s of work, so that dispatching costs nothing
BLOCK = 1024  # pictures in flight at most: joblib's generator runs ahead of a slow consumer without a limit


@dataclass(frozen=True)
class ScanResult:
    """What one decode of one picture gave: statistics (where asked for) and a square JPEG per size, or the fault."""

    name: str
    statistics: dict[str, float] = field(default_factory=dict)
    jpegs: dict[int, bytes] = field(default_factory=dict)
    fault: str | None = None


def scan(
    paths: Mapping[str, Path], sizes: Sequence[int] = (), jobs: int = -1, *, measure: bool = True
) -> Iterator[ScanResult]:
    """Yield statistics and one square JPEG per size for every name in ``paths``, in order, from one decode each.

    ``jobs`` processes work in parallel (-1: one per core); at most BLOCK results wait in memory. Statistics
    are taken with the long side at 256 px at most, and left out without ``measure``. A picture inside a TFRecord that
    already is a JPEG of a size is copied. A picture that cannot be read does not stop the others: it comes with its
    ``fault``, for the caller to report all of them together.
    """
    items = list(paths.items())
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    per_block = BLOCK // CHUNK
    with Parallel(n_jobs=jobs if len(chunks) > 1 else 1, return_as="generator") as parallel:
        for start in range(0, len(chunks), per_block):
            block = chunks[start : start + per_block]
            yield from chain.from_iterable(
                parallel(delayed(_scan_chunk)(chunk, tuple(sizes), measure) for chunk in block)
            )


def measure_pictures(scanned: Iterable[ScanResult]) -> pd.DataFrame:
    """Return the table of statistics, one row per case.

    Raises InputFault, after the last picture, that names all that could not be decoded.
    """
    good, faults = [], {}
    for item in scanned:
        if item.fault is None:
            good.append(item)
        else:
            faults[item.name] = item.fault
    raise_undecodable(faults)
    return statistics_table(good)


def statistics_table(scanned: Iterable[ScanResult]) -> pd.DataFrame:
    """Return the table of statistics of pictures that were decoded, one row per case."""
    rows = {item.name: item.statistics for item in scanned}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(INDEX)


def raise_undecodable(faults: Mapping[str, str]) -> None:
    """Raise one InputFault that names all the pictures with a fault; do nothing when there is none."""
    if faults:
        raise InputFault(
            f"pictures that cannot be decoded: {list_names(faults)}; the first: {next(iter(faults.values()))}"
        )


def _scan_chunk(items: Sequence[tuple[str, Path]], sizes: tuple[int, ...], measure: bool) -> list[ScanResult]:
    return [_scan_one(name, path, sizes, measure) for name, path in items]


def _scan_one(name: str, path: Path, sizes: tuple[int, ...], measure: bool) -> ScanResult:
    try:
        jpegs = {size: stored for size in sizes if (stored := stored_jpeg(path, size)) is not None}
        if not measure and len(jpegs) == len(sizes):
            return ScanResult(name, jpegs=jpegs)
        picture = read_picture(path, shortest=max((DECODED_SHORTEST, *sizes)))
    except InputFault as fault:
        return ScanResult(name, fault=str(fault))
    made = {size: jpegs.get(size) or encode_jpeg(resize_square(picture, size)) for size in sizes}
    if not measure:
        return ScanResult(name, jpegs=made)
    return ScanResult(name, picture_statistics(shrink(picture, STATISTICS_LONGEST)), made)
