"""One decode of each source picture -> TFRecord shards per resolution and statistics, shared by all runs.

File names and features are those of the SIIM-ISIC TFRecords that circulate on Kaggle; what a run trains on stands in
its case table, so that only image and image_name are ever read back. Work is done part by part (2000 pictures of one
role), and a part is marked as finished last: a kill costs one part, and only new or changed pictures are decoded.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import tensorflow as tf

from features.pictures.scan import Scanned, raise_undecodable, scan, statistics_table
from level1_cnn.data.picture_store import CODED, Part, Store, chosen_parts, current_index, stores_of
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.progress import progress_bar
from runtime.run_folder import Run
from runtime.tables import read_table

CASES_PER_FILE = 2000  # as in the contest's sets: large enough to stream, small enough to lose to a kill
MISSING = -1


@dataclass(frozen=True)
class _Job:
    """A part that lacks its statistics (``measure``) or some ``sizes``."""

    store: Store
    part: Part
    cases: pd.DataFrame
    sizes: list[int]
    measure: bool


class Undecoded(NamedTuple):
    """Pictures (name -> where they lie) of which the store lacks ``sizes``, or their statistics alone."""

    paths: dict[str, Path]
    sizes: list[int]


def prepare(run: Run, cases: pd.DataFrame, sizes: Sequence[int], *, cases_per_file: int = CASES_PER_FILE) -> None:
    """Decode what the store lacks of the pictures of ``cases`` at ``sizes`` px; write the run's statistics.

    The store is held by one run at a time; another one waits, and finds its pictures done.
    Raises InputFault that names every picture that could not be decoded; no shard of their parts is left.
    """
    stores = stores_of(run, cases)
    with ExitStack() as stack:
        for store, _ in stores:
            stack.enter_context(store.locked())
            store.drop_unreadable()
        for store, rows in stores:
            store.codes(rows)
        jobs = [job for store, rows in stores for job in _plan(store, rows, cases.index, sizes, cases_per_file)]
        if jobs:
            _decode(jobs)
    held, pictured = _held(run, cases), cases.index[cases["picture"].notna()]
    tables = [read_table(store.table(part, "statistics")).loc[names] for store, part, names in held]
    _write_if_new(run, pd.concat(tables).loc[pictured])


def undecoded(run: Run, cases: pd.DataFrame, sizes: Sequence[int]) -> list[Undecoded]:
    """Return what ``prepare`` would decode; nothing is written."""
    jobs = [
        job for store, rows in stores_of(run, cases) for job in _plan(store, rows, cases.index, sizes, CASES_PER_FILE)
    ]
    return [
        Undecoded({str(name): job.store.source / path for name, path in job.part.index["picture"].items()}, job.sizes)
        for job in jobs
    ]


def shard_files(run: Run, size: int) -> list[Path]:
    """Return the files at ``size`` px that together hold every case of the run once, beside cases of other runs.

    Raises InputFault when pictures of the run are not there, or not in this size.
    """
    cases = run.read_cases()
    files = [store.shard(part, size) for store, part, _ in _held(run, cases)]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise InputFault(f"no shard {missing[0]}; `make oof` decodes the pictures at {size} px")
    return files


def count_cases(files: Iterable[Path]) -> int:
    """Return how many cases the files hold, by the counts in their names."""
    return sum(int(path.stem.split("-")[1]) for path in files)


def statistics(run: Run) -> pd.DataFrame:
    """Return the picture statistics of the run's cases, in the order of its case table."""
    return read_table(run.statistics)


def _held(run: Run, cases: pd.DataFrame) -> list[tuple[Store, Part, pd.Index]]:
    """Return the parts that hold the run's pictures, and the names that each gives; all of them, or InputFault."""
    held = []
    for store, rows in stores_of(run, cases):
        for role, wanted in rows.groupby("stored_role", sort=False):
            parts = chosen_parts(store.parts(str(role)), wanted, cases.index)
            held += [(store, part, part.index.index.intersection(wanted.index)) for part in parts]
    absent = set(cases.index[cases["picture"].notna()]).difference(*(names for _, _, names in held))
    if absent:
        raise InputFault(f"{run.folder}: {len(absent)} case(s) are not decoded yet; `make oof` does it")
    return held


def _write_if_new(run: Run, table: pd.DataFrame) -> None:
    if not (run.has_statistics() and run.statistics_mark.is_file()) or not read_table(run.statistics).equals(table):
        run.write_statistics(table)


def _plan(store: Store, rows: pd.DataFrame, names: pd.Index, sizes: Sequence[int], at_most: int) -> list[_Job]:
    """Return the jobs that make every one of ``rows`` available: parts that lack something, and new parts."""
    jobs = []
    for role, wanted in rows.groupby("stored_role", sort=False):
        now, parts = current_index(store, wanted), store.parts(str(role))
        serving = chosen_parts(parts, wanted, names)
        held = [_as_it_is(part, now) for part in serving]
        covered = [name for part in serving for name in part.index.index]
        fresh = _new_parts(now.drop(covered, errors="ignore"), str(role), parts, at_most)
        jobs += [_job(store, part, wanted.reindex(part.index.index), sizes) for part in [*held, *fresh]]
    return [job for job in jobs if job.sizes or job.measure]


def _job(store: Store, part: Part, cases: pd.DataFrame, sizes: Sequence[int]) -> _Job:
    """Return what a part lacks; one that must be measured again holds other pictures than its shards."""
    measure = not store.is_measured(part)
    lacking = [size for size in sizes if measure or not store.has_size(part, size)]
    return _Job(store, part, cases, lacking, measure)


def _as_it_is(part: Part, now: pd.DataFrame) -> Part:
    """Return ``part`` unless a file of it changed; then what the run needs of it, as the files are ``now``."""
    current = now.loc[part.index.index.intersection(now.index)]
    return part if current.equals(part.index.loc[current.index]) else Part(part.name, current)


def _new_parts(index: pd.DataFrame, role: str, parts: Sequence[Part], at_most: int) -> list[Part]:
    first = 1 + max((int(part.name.removeprefix(role)) for part in parts), default=-1)
    starts = range(0, len(index), at_most)
    return [Part(f"{role}{first + i:02d}", index[start : start + at_most]) for i, start in enumerate(starts)]


def _decode(jobs: Sequence[_Job]) -> None:
    """Do all jobs under one progress bar; raise the InputFault that names every undecodable picture at the end."""
    sizes = sorted({size for job in jobs for size in job.sizes})
    text = f"decoding for {', '.join(f'{size} px' for size in sizes)}" if sizes else "measuring pictures"
    faults: dict[str, str] = {}
    with progress_bar(text, sum(len(job.part.index) for job in jobs)) as advance:
        for job in jobs:
            faults |= _undecodable(job, advance)
    raise_undecodable(faults)


def _undecodable(job: _Job, advance: Callable[[int], None]) -> dict[str, str]:
    """Do ``job``; return what is wrong with each picture that cannot be decoded, by name."""
    try:
        _make_part(job, advance)
    except _UndecodableError as found:
        return dict(found.faults)
    return {}


class _UndecodableError(Exception):
    """Carries image_name -> fault out of a part, so that none of its files is moved into place."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults


def _make_part(job: _Job, advance: Any) -> None:  # noqa: ANN401  a callback
    if job.measure:  # what is there under its name was made from other files
        job.store.drop(job.part.name)
    codes = job.store.codes(job.cases)
    records = {name: _labels(name, case, codes) for name, case in job.cases.to_dict("index").items()}
    paths = {str(name): job.store.source / picture for name, picture in job.part.index["picture"].items()}
    with ExitStack() as stack:
        files = {size: stack.enter_context(replacing(job.store.shard(job.part, size))) for size in job.sizes}
        writers = {size: stack.enter_context(tf.io.TFRecordWriter(str(path))) for size, path in files.items()}
        measured = _write(scan(paths, job.sizes, measure=job.measure), records, writers, advance)
    tables = {"statistics": statistics_table(measured)} if job.measure else {}
    job.store.finish(job.part, tables, job.sizes)


def _write(scanned: Iterable[Scanned], records: Mapping[Any, Any], writers: Mapping[int, Any], advance: Any) -> Any:  # noqa: ANN401
    """Write every picture to the shard of each size; return what was measured, without the JPEGs."""
    faults: dict[str, str] = {}
    measured = []
    for item in scanned:
        advance(1)
        if item.fault is not None:
            faults[item.name] = item.fault
            continue
        for size, jpeg in item.jpegs.items():
            writers[size].write(_record(jpeg, records[item.name]))
        measured.append(Scanned(item.name, item.statistics))
    if faults:
        raise _UndecodableError(faults)
    return measured


def _labels(name: object, case: dict[Any, Any], codes: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return the features of a record beside the picture; a test case has its name alone, as on Kaggle."""
    labels: dict[str, Any] = {"image_name": _bytes(str(name).encode())}
    if case["stored_role"] == "test":
        return labels
    labels |= {column: _integer(codes[column].get(str(case.get(column)))) for column in CODED}
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
