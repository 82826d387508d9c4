"""Decode each source picture once into TFRecord shards per resolution and a table of statistics, shared by all runs.

File names and features are those of the SIIM-ISIC TFRecords on Kaggle. Labels are read from the run's case table, so
of these features only image and image_name are read back. The work is done in parts (2000 pictures of one role), and
the mark of a part is written last: a kill loses one part at most, and only new or changed pictures are decoded.
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
    """Decode the pictures of ``cases`` that the stores lack at ``sizes`` px, and write the run's statistics.

    Only one run at a time writes to a store; another run waits and then finds the pictures done.
    Raises InputFault that names every picture that could not be decoded; no shard of their parts is left.
    """
    stores = find_stores(run, cases)
    with ExitStack() as stack:
        for store, rows in stores:
            stack.enter_context(store.lock(rows))
        missing_of = [(store, store.find_missing(rows, cases.index, sizes, cases_per_file)) for store, rows in stores]
        _decode([(store, missing) for store, parts in missing_of for missing in parts])
    _write_if_new(run, stored_statistics(run, cases))


def find_missing_pictures(run: Run, cases: pd.DataFrame, sizes: Sequence[int]) -> list[MissingPictures]:
    """Return the pictures that ``decode_pictures`` would decode; write nothing."""
    stores = find_stores(run, cases)
    return [missing for store, rows in stores for missing in store.find_missing(rows, cases.index, sizes)]


def _write_if_new(run: Run, table: pd.DataFrame) -> None:
    if not (run.has_statistics() and run.statistics_mark.is_file()) or not read_table(run.statistics).equals(table):
        run.write_statistics(table)


def _decode(parts: Sequence[tuple[Store, MissingPictures]]) -> None:
    """Fill all stores with one progress bar; at the end, raise an InputFault that names every undecodable picture."""
    if not parts:
        return
    sizes = sorted({size for _, missing in parts for size in missing.sizes})
    text = f"decoding pictures at {', '.join(f'{size} px' for size in sizes)}" if sizes else "measuring pictures"
    faults: dict[str, str] = {}
    with progress_bar(text, sum(len(missing.paths) for _, missing in parts)) as advance:
        for store, missing in parts:
            faults |= _add_to_store(store, missing, advance)
    raise_undecodable(faults)


def _add_to_store(store: Store, missing: MissingPictures, advance: Callable[[int], None]) -> dict[str, str]:
    """Add the ``missing`` pictures to the store; return image_name -> fault of the pictures that cannot be decoded."""
    try:
        store.add(missing, partial(_write, missing, advance))
    except _UndecodableError as error:
        return dict(error.faults)
    return {}


class _UndecodableError(Exception):
    """Carries image_name -> fault; raised while a part is written, so that none of its files is moved into place."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults


def _write(
    missing: MissingPictures, advance: Callable[[int], None], files: Mapping[int, Path], codes: Codes
) -> pd.DataFrame | None:
    """Write one record per picture to the file of each size; return the statistics if they are missing."""
    labels = {str(name): _labels(name, case, codes) for name, case in missing.cases.to_dict("index").items()}
    with ExitStack() as stack:
        writers = {size: stack.enter_context(tf.io.TFRecordWriter(str(path))) for size, path in files.items()}
        pictures = scan(missing.paths, missing.sizes, measure=missing.measure)
        measurements = _write_records(pictures, labels, writers, advance)
    return statistics_table(measurements) if missing.measure else None


def _write_records(
    pictures: Iterable[ScanResult],
    labels: Mapping[str, Any],
    writers: Mapping[int, Any],
    advance: Callable[[int], None],
) -> list[ScanResult]:
    """Write every picture with its ``labels``; return the measurements, without the JPEGs."""
    faults: dict[str, str] = {}
    measurements = []
    for item in pictures:
        advance(1)
        if item.fault is not None:
            faults[item.name] = item.fault
            continue
        for size, jpeg in item.jpegs.items():
            writers[size].write(_record(jpeg, labels[item.name]))
        measurements.append(ScanResult(item.name, item.statistics))
    if faults:
        raise _UndecodableError(faults)
    return measurements


def _labels(name: object, case: dict[Any, Any], codes: Codes) -> dict[str, Any]:
    """Return the features of a record other than the picture; a test case has only its name, as on Kaggle."""
    labels: dict[str, Any] = {"image_name": _bytes(str(name).encode())}
    if case["stored_role"] == "test":
        return labels
    labels |= {column: _integer(code_of.get(str(case.get(column)))) for column, code_of in codes.items()}
    return labels | {key: _integer(case.get(key)) for key in ("age_approx", "target", "width", "height")}


def _record(jpeg: bytes, labels: dict[str, Any]) -> bytes:
    features = tf.train.Features(feature={"image": _bytes(jpeg), **labels})
    # Maps have no order of their own, but the same case must always give the same bytes.
    return bytes(tf.train.Example(features=features).SerializeToString(deterministic=True))


def _integer(value: Any) -> Any:  # noqa: ANN401  TensorFlow has no types
    number = pd.to_numeric(value, errors="coerce")  # the age in a user's table may be any text
    whole = MISSING if pd.isna(number) else int(number)
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[whole]))


def _bytes(value: bytes) -> Any:  # noqa: ANN401  TensorFlow has no types
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
