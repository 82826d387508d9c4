"""Decode every picture once, for its statistics and a square JPEG per resolution."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from features.pictures.jpeg_png import Picture
from features.pictures.read import encode_jpeg, read_picture, resize_square, shrink, stored_jpeg
from features.pictures.statistics.picture import picture_statistics
from runtime.errors import InputFault, list_names
from runtime.machine.pool import map_chunks
from runtime.tables import INDEX

STATISTICS_LONGEST = 256  # px; enough for colour and shape, and as fast as the decoding
# px of the short side after the reduced decoding: the highest resolution of the 2020 winners. It does not depend on the
# requested sizes, so that no square and no statistic depends on which others are made in the same pass.
DECODED_SHORTEST = 896
CHUNK = 8  # pictures per parallel task: about 0.2 s of work, much more than the cost of dispatching
BLOCK = 1024  # most results in memory, since joblib's generator runs ahead of a slow consumer without a limit


@dataclass(frozen=True)
class ScanResult:
    """The results for one picture: its statistics (if requested) and a square JPEG per size, or the fault."""

    name: str
    statistics: dict[str, float] = field(default_factory=dict)
    jpegs: dict[int, bytes] = field(default_factory=dict)
    fault: str | None = None


def scan(
    paths: Mapping[str, Path], sizes: Sequence[int] = (), jobs: int | None = None, *, measure: bool = True
) -> Iterator[ScanResult]:
    """Yield statistics and one square JPEG per size for every name in ``paths``, in order; decode each picture once.

    ``jobs`` processes work in parallel (None: one per core that is ours); at most BLOCK results wait in memory.
    Statistics are measured with the long side at 256 px at most, and only with ``measure``. A JPEG inside a TFRecord
    that already has a requested size is copied. An unreadable picture does not stop the others: its result has a
    ``fault``, so that the caller can report all faults together. So has a picture that ends the process that decodes
    it.
    """
    items = list(paths.items())
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    per_block, work = BLOCK // CHUNK, partial(_scan_chunk, sizes=tuple(sizes), measure=measure)
    for start in range(0, len(chunks), per_block):
        block = chunks[start : start + per_block]
        yield from chain.from_iterable(map_chunks(work, block, _without_process, jobs if len(chunks) > 1 else 1))


def decoded_shortest(sizes: Sequence[int]) -> int:
    """Return the px that the short side keeps when a picture is decoded for squares of ``sizes`` px."""
    return max((DECODED_SHORTEST, *sizes))


def scan_picture(
    name: str,
    picture: Picture,
    sizes: Sequence[int],
    *,
    measure: bool = True,
    jpegs: Mapping[int, bytes] = MappingProxyType({}),
) -> ScanResult:
    """Return the result for a decoded ``picture`` (height, width, 3); squares that are in ``jpegs`` are not made."""
    all_jpegs = {size: jpegs.get(size) or encode_jpeg(resize_square(picture, size)) for size in sizes}
    if not measure:
        return ScanResult(name, jpegs=all_jpegs)
    return ScanResult(name, picture_statistics(shrink(picture, STATISTICS_LONGEST)), all_jpegs)


def measure_pictures(results: Iterable[ScanResult]) -> pd.DataFrame:
    """Return the table of statistics, one row per case.

    Raises InputFault after the last picture, with the names of all that could not be decoded.
    """
    decoded_pictures, faults = [], {}
    for result in results:
        if result.fault is None:
            decoded_pictures.append(result)
        else:
            faults[result.name] = result.fault
    raise_undecodable(faults)
    return statistics_table(decoded_pictures)


def statistics_table(results: Iterable[ScanResult]) -> pd.DataFrame:
    """Return the table of statistics of decoded pictures, one row per case."""
    rows = {result.name: result.statistics for result in results}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(INDEX)


def raise_undecodable(faults: Mapping[str, str]) -> None:
    """Raise one InputFault that names all pictures in ``faults`` (name -> fault); do nothing if it is empty."""
    if faults:
        raise InputFault(
            f"pictures that cannot be decoded: {list_names(faults)}; the first: {next(iter(faults.values()))}"
        )


def _without_process(item: tuple[str, Path]) -> ScanResult:
    name, path = item
    return ScanResult(name, fault=f"{path}: the process that decodes it is killed, most likely for lack of memory")


def _scan_chunk(items: Sequence[tuple[str, Path]], sizes: tuple[int, ...], measure: bool) -> list[ScanResult]:
    return [_scan_one(name, path, sizes, measure) for name, path in items]


def _scan_one(name: str, path: Path, sizes: tuple[int, ...], measure: bool) -> ScanResult:
    try:
        jpegs = {size: jpeg for size in sizes if (jpeg := stored_jpeg(path, size)) is not None}
        if not measure and len(jpegs) == len(sizes):
            return ScanResult(name, jpegs=jpegs)
        picture = read_picture(path, shortest=decoded_shortest(sizes))
    except InputFault as fault:
        return ScanResult(name, fault=str(fault))
    return scan_picture(name, picture, sizes, measure=measure, jpegs=jpegs)
