"""Reading of TFRecord shards: their cases in order of the files, and a stream of chosen JPEGs, shuffled or not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from runtime.errors import Faults, InputFault, list_names

SCHEMA = {"image": tf.io.FixedLenFeature([], tf.string), "image_name": tf.io.FixedLenFeature([], tf.string)}
READ_BYTES = 1 << 20  # read-ahead per file
READ_AT_ONCE = 8  # files that a stream interleaves: more mix better, and each costs a read-ahead buffer
PARALLEL = tf.data.AUTOTUNE


@dataclass(frozen=True)
class Shards:
    """Shard files and what they hold: the name of every record, file after file."""

    files: tuple[str, ...]
    names: np.ndarray  # object (records,)
    starts: np.ndarray  # int64 (files + 1,): the records of file i are starts[i] up to starts[i + 1]
    mean_bytes: float  # of a record

    def places(self, names: Sequence[str]) -> np.ndarray:
        """Return per record which of ``names`` it holds (int64 (records,)), -1 for none of them.

        Raises InputFault that names the cases that are in no file, or more than once.
        """
        row_of = {name: row for row, name in enumerate(names)}
        places = np.array([row_of.get(name, -1) for name in self.names], dtype=np.int64)
        found = np.bincount(places[places >= 0], minlength=len(names))
        faults = Faults()
        for wrong, text in ((found == 0, "in none of them"), (found > 1, "in them more than once")):
            if wrong.any():
                faults.add(f"{text}: {list_names(np.array(names, dtype=object)[wrong])}")
        faults.raise_if_any(f"pictures of {len(names)} cases, looked for in {len(self.files)} shard file(s)")
        return places

    def jpegs(self, places: np.ndarray) -> tf.data.Dataset:
        """Return (place, JPEG bytes) of every record with a place, in the order of the files."""
        return self._interleaved(np.arange(len(self.files)), self._reader(places), 1)

    def shuffled_jpegs(
        self, places: np.ndarray, seed: int, first_epoch: int, epochs: int, buffer: int
    ) -> tf.data.Dataset:
        """Return (place, JPEG bytes) of every record with a place once per epoch, a pure function of seed and epoch.

        The files are read in an order drawn per epoch, several at a time, through a ``buffer`` of so many JPEGs.
        """
        seeds = [np.random.SeedSequence((seed, epoch)) for epoch in range(first_epoch, first_epoch + epochs)]
        orders = np.stack([np.random.default_rng(one).permutation(len(self.files)) for one in seeds])
        numbers = np.array([one.generate_state(1)[0] for one in seeds], dtype=np.int64)
        read = self._reader(places)

        def epoch(number: tf.Tensor, order: tf.Tensor) -> tf.data.Dataset:
            # tf.data mixes the seed of the graph into a shuffle; here it is that of this function's graph alone, so
            # that a global seed set elsewhere changes no order.
            tf.random.set_seed(1)
            records = self._interleaved(order, read, READ_AT_ONCE)
            return records.shuffle(buffer, seed=number, reshuffle_each_iteration=False)

        return tf.data.Dataset.from_tensor_slices((numbers, orders)).flat_map(epoch)

    def _interleaved(self, order: Any, read: Callable[[Any], tf.data.Dataset], at_once: int) -> tf.data.Dataset:  # noqa: ANN401
        numbers = tf.data.Dataset.from_tensor_slices(order)
        records = numbers.interleave(read, min(at_once, len(self.files)), 1, PARALLEL, deterministic=True)
        return records.map(lambda place, record: (place, _parse(record)["image"]), PARALLEL, deterministic=True)

    def _reader(self, places: np.ndarray) -> Callable[[Any], tf.data.Dataset]:
        """Return file number -> (place, record) of its records that have a place."""
        # Made here, outside of any traced function, so that no graph holds a copy of them.
        files, starts, wanted = tf.constant(self.files), tf.constant(self.starts), tf.constant(places)

        def read(file: tf.Tensor) -> tf.data.Dataset:
            own = tf.data.Dataset.from_tensor_slices(wanted[starts[file] : starts[file + 1]])
            # Dropped before anything is parsed: a stream never holds a case that must not be seen.
            return tf.data.Dataset.zip(own, tf.data.TFRecordDataset(files[file], buffer_size=READ_BYTES)).filter(
                lambda place, _: place >= 0
            )

        return read


def find_shards(files: Sequence[Path], side: int | None = None) -> Shards:
    """Read the names in shard files. Raises InputFault for pictures that are not ``side`` x ``side`` pixels."""
    if not files:
        raise InputFault("there are no shard files to read pictures from")
    read = [_facts(path) for path in files]
    names = [file for file, _ in read]
    _check_shapes(files, read, side)
    records = sum(map(len, names))
    mean_bytes = sum(path.stat().st_size for path in files) / max(1, records)
    starts = np.cumsum([0, *map(len, names)])
    return Shards(tuple(map(str, files)), np.concatenate(names), starts, mean_bytes)


def decode(jpeg: tf.Tensor) -> tf.Tensor:
    """Return the picture uint8 (height, width, 3) of JPEG bytes."""
    # The accurate transform: the fast one differs by several grey levels from other decoders.
    return tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")


def _records(file: Any) -> tf.data.Dataset:  # noqa: ANN401  a path, as text or tensor
    return tf.data.TFRecordDataset(file, buffer_size=READ_BYTES)


def _parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
    parsed: dict[str, tf.Tensor] = tf.io.parse_single_example(record, SCHEMA)
    return parsed


def _facts(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the names (object (n,)) and picture shapes (int32 (n, 3)) of one file, in the order of its records."""

    def look(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = _parse(record)
        return parsed["image_name"], tf.io.extract_jpeg_shape(parsed["image"])

    batches = (
        tf.data.TFRecordDataset(str(path), buffer_size=READ_BYTES).map(look, PARALLEL, deterministic=True).batch(1024)
    )
    read = list(batches.as_numpy_iterator())
    names = [name.decode() for batch, _ in read for name in batch]
    return np.array(names, dtype=object), np.concatenate([np.empty((0, 3), np.int32), *(shapes for _, shapes in read)])


def _check_shapes(files: Sequence[Path], read: Sequence[tuple[np.ndarray, np.ndarray]], side: int | None) -> None:
    faults = Faults()
    for path, (names, shapes) in zip(files, read, strict=True):
        wrong = (shapes[:, :2] != side).any(axis=1) if side else np.zeros(len(names), dtype=bool)
        if wrong.any():
            height, width, _ = shapes[wrong][0]
            faults.add(f"{path}: {list_names(names[wrong])}; the first is {width} x {height}")
    faults.raise_if_any(f"shards whose pictures are not {side} x {side} pixels")
