"""One decode of each source picture -> TFRecord shards per resolution, and the statistics of every picture.

File names and the features image (JPEG), image_name, target, width and height are those of the SIIM-ISIC TFRecords that
circulate on Kaggle: the count stands in the name (train00-212.tfrec). File i of the training cases belongs to fold
i modulo the number of folds, so that a fold is left out by leaving out files. Metadata stays in the case table.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf

from features.faults import InputFault
from features.progress import track
from features.provenance import finish, is_fresh
from features.runs import Run
from features.scanning import Scanned, scan, statistics_table
from features.tables import write_table

VERSION = 1  # raise it when the bytes of a shard change
CASES_PER_FILE = 2000  # as in the contest's sets: large enough to stream, small enough to shuffle by file


def make_shards(run: Run, cases: pd.DataFrame, data: Path, sizes: Sequence[int]) -> None:
    """Write the shards of every size that the run lacks, and the picture statistics, in one parallel pass.

    Raises InputFault that names every picture that could not be decoded; then nothing is written.
    """
    made_from = {"cases": run.cases_digest(), "version": VERSION}
    missing = [size for size in sizes if not is_fresh(_mark(run, size), made_from)]
    if not missing:
        return
    pictures = cases[cases["picture"].notna()]
    paths = {str(name): data / picture for name, picture in pictures["picture"].items()}
    writers = {size: _Writer(run.shards / f".writing-{size}", pictures) for size in missing}
    text = f"decoding for {', '.join(f'{size} px' for size in missing)}"
    statistics = _drain(track(scan(paths, missing), text, len(paths)), writers)
    if not run.statistics.is_file():
        write_table(run.statistics, statistics)
    for size, writer in writers.items():
        writer.close(run.shards / str(size))
        finish(_mark(run, size), made_from)


def shard_files(run: Run, size: int, role: str) -> list[Path]:
    """Return the files of one role ('train', 'test' or 'extra') at one resolution, in the order of their number."""
    return sorted((run.shards / str(size)).glob(f"{role}*.tfrec"))


def count_cases(files: Iterable[Path]) -> int:
    """Return how many cases the files hold, by the counts in their names."""
    return sum(int(path.stem.split("-")[1]) for path in files)


def fold_of_file(path: Path, folds: int) -> int:
    """Return the fold whose cases a training file holds."""
    return int(path.name.removeprefix("train").split("-")[0]) % folds


def _mark(run: Run, size: int) -> Path:
    return run.shards / str(size) / "run.json"


def _drain(scanned: Iterable[Scanned], writers: dict[int, "_Writer"]) -> pd.DataFrame:
    """Write every picture to the shards of each size and return the statistics; after a fault no shard is left."""

    def write(item: Scanned) -> None:
        for size, writer in writers.items():
            writer.add(item.name, item.jpegs[size])

    try:
        return statistics_table(scanned, write)
    except InputFault:
        for writer in writers.values():
            writer.discard()
        raise


class _Writer:
    """The TFRecord files of one resolution, written under a temporary folder and moved into place at the end."""

    def __init__(self, folder: Path, cases: pd.DataFrame) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder, self._cases = folder, cases
        self._file_of = _plan_files(cases)
        counts = self._file_of.value_counts()
        names = {key: f"{key}-{count}.tfrec" for key, count in counts.items()}
        self._writers = {key: tf.io.TFRecordWriter(str(folder / name)) for key, name in names.items()}

    def add(self, name: str, jpeg: bytes) -> None:
        example = _example(name, jpeg, self._cases.loc[name].to_dict())
        self._writers[self._file_of[name]].write(example.SerializeToString())

    def close(self, folder: Path) -> None:
        for writer in self._writers.values():
            writer.close()
        shutil.rmtree(folder, ignore_errors=True)
        self._folder.rename(folder)

    def discard(self) -> None:
        shutil.rmtree(self._folder)


def _plan_files(cases: pd.DataFrame) -> pd.Series:
    """Return the file (train00, train01, ..., test00, extra00) that each case is written to."""
    train = cases[cases["role"] == "train"]
    folds = int(train["fold"].max()) + 1
    rounds = 1 + int(train["fold"].value_counts().max() - 1) // CASES_PER_FILE
    within = train.groupby("fold").cumcount()
    number = train["fold"].astype(int) + folds * (within % rounds)
    planned = [number.map("train{:02d}".format)]
    for role in ("test", "extra"):
        rows = cases[cases["role"] == role]
        planned.append(
            pd.Series([f"{role}{i // CASES_PER_FILE:02d}" for i in range(len(rows))], index=rows.index, dtype=object)
        )
    return pd.concat(planned)


def _example(name: str, jpeg: bytes, case: dict[Any, Any]) -> Any:  # noqa: ANN401  TensorFlow has no types
    values: dict[str, Any] = {"image": _bytes(jpeg), "image_name": _bytes(name.encode())}
    if case["role"] != "test":
        values["target"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(case["target"])]))
    for key in ("width", "height"):
        values[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(case[key])]))
    return tf.train.Example(features=tf.train.Features(feature=values))


def _bytes(value: bytes) -> Any:  # noqa: ANN401  TensorFlow has no types
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
