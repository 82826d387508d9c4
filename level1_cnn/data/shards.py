"""One decode of each source picture -> TFRecord shards per resolution and statistics, shared by all runs.

File names and features are those of the SIIM-ISIC TFRecords that circulate on Kaggle; what a run trains on stands in
its case table, so that only image and image_name are ever read back. Work is done part by part (2000 pictures of one
role), and a part is marked as finished last: a kill costs one part, and only new or changed pictures are decoded.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf

from features.pictures.scan import ScanResult, raise_undecodable, scan, statistics_table
from level1_cnn.data.picture_store import CASES_PER_FILE, Codes, MissingPictures, Store
from level1_cnn.data.run_pictures import find_stores, stored_statistics
from runtime.progress import progress_bar
from runtime.run_folder import Run
from runtime.tables import read_table

MISSING = -1


def decode_pictures(
    run: Run, cases: pd.DataFrame, sizes: Sequence[int], *, cases_per_file: int = CASES_PER_FILE
) -> None:
    """Decode what the store lacks of the pictures of ``cases`` at ``sizes`` px; write the run's statistics.

    The store is held by one run at a time; another one waits, and finds its pictures done.
    Raises InputFault that names every picture that could not be decoded; no shard of their parts is left.
    """
    stores = find_stores(run, cases)
    with ExitStack() as stack:
        for store, rows in stores:
            stack.enter_context(store.locked(rows))
        lacking = [(store, store.missing(rows, cases.index, sizes, cases_per_file)) for store, rows in stores]
        _decode([(store, missing) for store, parts in lacking for missing in parts])
    _write_if_new(run, stored_statistics(run, cases))


def find_missing_pictures(run: Run, cases: pd.DataFrame, sizes: Sequence[int]) -> list[MissingPictures]:
    """Return what ``decode_pictures`` would decode; nothing is written."""
    return [missing for store, rows in find_stores(run, cases) for missing in store.missing(rows, cases.index, sizes)]


def _write_if_new(run: Run, table: pd.DataFrame) -> None:
    if not (run.has_statistics() and run.statistics_mark.is_file()) or not read_table(run.statistics).equals(table):
        run.write_statistics(table)


def _decode(parts: Sequence[tuple[Store, MissingPictures]]) -> None:
    """Fill all stores under one progress bar; raise the InputFault that names every undecodable picture at the end."""
    if not parts:
        return
    sizes = sorted({size for _, missing in parts for size in missing.sizes})
    text = f"decoding for {', '.join(f'{size} px' for size in sizes)}" if sizes else "measuring pictures"
    faults: dict[str, str] = {}
    with progress_bar(text, sum(len(missing.paths) for _, missing in parts)) as advance:
        for store, missing in parts:
            faults |= _undecodable(store, missing, advance)
    raise_undecodable(faults)


def _undecodable(store: Store, missing: MissingPictures, advance: Callable[[int], None]) -> dict[str, str]:
    """Add what is ``missing`` to the store; return what is wrong with each picture that cannot be decoded, by name."""
    try:
        store.add(missing, partial(_write, missing, advance))
    except _UndecodableError as found:
        return dict(found.faults)
    return {}


class _UndecodableError(Exception):
    """Carries image_name -> fault out of a part, so that none of its files is moved into place."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults


def _write(
    missing: MissingPictures, advance: Callable[[int], None], files: Mapping[int, Path], codes: Codes
) -> pd.DataFrame | None:
    """Write a record of every picture to the file of each size; return the statistics if they are missing."""
    labels = {str(name): _labels(name, case, codes) for name, case in missing.cases.to_dict("index").items()}
    with ExitStack() as stack:
        writers = {size: stack.enter_context(tf.io.TFRecordWriter(str(path))) for size, path in files.items()}
        scanned = scan(missing.paths, missing.sizes, measure=missing.measure)
        measured = _write_records(scanned, labels, writers, advance)
    return statistics_table(measured) if missing.measure else None


def _write_records(
    scanned: Iterable[ScanResult], labels: Mapping[str, Any], writers: Mapping[int, Any], advance: Callable[[int], None]
) -> list[ScanResult]:
    """Write every picture with its ``labels``; return what was measured, without the JPEGs."""
    faults: dict[str, str] = {}
    measured = []
    for item in scanned:
        advance(1)
        if item.fault is not None:
            faults[item.name] = item.fault
            continue
        for size, jpeg in item.jpegs.items():
            writers[size].write(_record(jpeg, labels[item.name]))
        measured.append(ScanResult(item.name, item.statistics))
    if faults:
        raise _UndecodableError(faults)
    return measured


def _labels(name: object, case: dict[Any, Any], codes: Codes) -> dict[str, Any]:
    """Return the features of a record beside the picture; a test case has its name alone, as on Kaggle."""
    labels: dict[str, Any] = {"image_name": _bytes(str(name).encode())}
    if case["stored_role"] == "test":
        return labels
    labels |= {column: _integer(listed.get(str(case.get(column)))) for column, listed in codes.items()}
    return labels | {key: _integer(case.get(key)) for key in ("age_approx", "target", "width", "height")}


def _record(jpeg: bytes, labels: dict[str, Any]) -> bytes:
    features = tf.train.Features(feature={"image": _bytes(jpeg), **labels})
    # Maps have no order of their own; the same case is always the same bytes.
    return bytes(tf.train.Example(features=features).SerializeToString(deterministic=True))


def _integer(value: Any) -> Any:  # noqa: ANN401  TensorFlow has no types
    number = pd.to_numeric(value, errors="coerce")  # a user's age may be any text
    whole = MISSING if pd.isna(number) else int(number)
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[whole]))


def _bytes(value: bytes) -> Any:  # noqa: ANN401  TensorFlow has no types
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
