"""Read TFRecord shards: the names of their cases, and the JPEGs of selected cases in file order or shuffled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from runtime.errors import Faults, InputFault, list_names

SCHEMA = {"image": tf.io.FixedLenFeature([], tf.string), "image_name": tf.io.FixedLenFeature([], tf.string)}
READ_BYTES = 1 << 20  # read-ahead per file
READ_AT_ONCE = 8  # files that a stream interleaves: more files mix better, but each costs a read-ahead buffer
PARALLEL = tf.data.AUTOTUNE


@dataclass(frozen=True)
class Shards:
    """Shard files and the names of their records, file after file."""

    files: tuple[str, ...]
    names: np.ndarray  # object (records,)
    starts: np.ndarray  # int64 (files + 1,): the records of file i are starts[i] up to starts[i + 1]
    mean_bytes: float  # mean size of a record

    def match_records(self, names: Sequence[str]) -> np.ndarray:
        """Return for each record its index in ``names`` (int64 (records,)), or -1 if its name is not among them.

        Raises InputFault that lists the names that are in no file, or there more than once.
        """
        index_of = {name: index for index, name in enumerate(names)}
        indices = np.array([index_of.get(name, -1) for name in self.names], dtype=np.int64)
        counts = np.bincount(indices[indices >= 0], minlength=len(names))
        faults = Faults()
        for wrong, text in ((counts == 0, "in none of the files"), (counts > 1, "in the files more than once")):
            if wrong.any():
                faults.add(f"{text}: {list_names(np.array(names, dtype=object)[wrong])}")
        faults.raise_if_any(f"each of {len(names)} cases must have one picture in {len(self.files)} shard file(s)")
        return indices

    def jpegs(self, indices: np.ndarray) -> tf.data.Dataset:
        """Return (index, JPEG bytes) of every record whose index is not -1, in the order of the files.

        ``indices`` (int64 (records,)) has one entry per record, as ``match_records`` returns them.
        """
        return self._interleave(np.arange(len(self.files)), self._reader(indices), 1)

    def shuffled_jpegs(
        self, indices: np.ndarray, seed: int, first_epoch: int, epochs: int, buffer: int
    ) -> tf.data.Dataset:
        """Return (index, JPEG bytes) of the same records as ``jpegs``, once per epoch; depends only on seed and epoch.

        The files are read in a random order per epoch, several at a time, and shuffled in a ``buffer`` of that many
        JPEGs.
        """
        seeds = [np.random.SeedSequence((seed, epoch)) for epoch in range(first_epoch, first_epoch + epochs)]
        orders = np.stack([np.random.default_rng(sequence).permutation(len(self.files)) for sequence in seeds])
        numbers = np.array([sequence.generate_state(1)[0] for sequence in seeds], dtype=np.int64)
        read = self._reader(indices)

        def epoch(number: tf.Tensor, order: tf.Tensor) -> tf.data.Dataset:
            """Return the shuffled records of one epoch."""
            # tf.data mixes the graph's seed into a shuffle. Setting it here, for the graph of this function alone,
            # keeps a global seed that is set elsewhere from changing the order.
            tf.random.set_seed(1)
            records = self._interleave(order, read, READ_AT_ONCE)
            return records.shuffle(buffer, seed=number, reshuffle_each_iteration=False)

        return tf.data.Dataset.from_tensor_slices((numbers, orders)).flat_map(epoch)

    def _interleave(self, order: Any, read: Callable[[Any], tf.data.Dataset], at_once: int) -> tf.data.Dataset:  # noqa: ANN401
        numbers = tf.data.Dataset.from_tensor_slices(order)
        records = numbers.interleave(read, min(at_once, len(self.files)), 1, PARALLEL, deterministic=True)
        return records.map(lambda index, record: (index, _parse(record)["image"]), PARALLEL, deterministic=True)

    def _reader(self, indices: np.ndarray) -> Callable[[Any], tf.data.Dataset]:
        """Return a function from file number to (index, record) of the file's records whose index is not -1."""
        # These constants are made outside of any traced function, so that no graph holds a copy of them.
        files, starts, all_indices = tf.constant(self.files), tf.constant(self.starts), tf.constant(indices)

        def read(file: tf.Tensor) -> tf.data.Dataset:
            """Return (index, record) of the wanted records of file number ``file``."""
            own = tf.data.Dataset.from_tensor_slices(all_indices[starts[file] : starts[file + 1]])
            # Other records are dropped before parsing, so that a stream never holds a case that must not be seen.
            return tf.data.Dataset.zip(own, tf.data.TFRecordDataset(files[file], buffer_size=READ_BYTES)).filter(
                lambda index, _: index >= 0
            )

        return read


def find_shards(files: Sequence[Path], side: int | None = None) -> Shards:
    """Read the names in shard files. Raises InputFault for pictures that are not ``side`` x ``side`` pixels."""
    if not files:
        raise InputFault("pictures can only be read from at least one shard file, but the list of files is empty")
    contents = [_read_names_and_shapes(path) for path in files]
    names = [file_names for file_names, _ in contents]
    _check_shapes(files, contents, side)
    records = sum(map(len, names))
    mean_bytes = sum(path.stat().st_size for path in files) / max(1, records)
    starts = np.cumsum([0, *map(len, names)])
    return Shards(tuple(map(str, files)), np.concatenate(names), starts, mean_bytes)


def decode(jpeg: tf.Tensor) -> tf.Tensor:
    """Return the picture uint8 (height, width, 3) of JPEG bytes."""
    # TensorFlow's faster transform differs by several grey levels from other decoders.
    return tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")


def _parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
    features: dict[str, tf.Tensor] = tf.io.parse_single_example(record, SCHEMA)
    return features


def _read_names_and_shapes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the names (object (n,)) and picture shapes (int32 (n, 3)) of one file, in the order of its records."""

    def name_and_shape(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the name and the picture shape of one record."""
        features = _parse(record)
        return features["image_name"], tf.io.extract_jpeg_shape(features["image"])

    records = tf.data.TFRecordDataset(str(path), buffer_size=READ_BYTES)
    batches = list(records.map(name_and_shape, PARALLEL, deterministic=True).batch(1024).as_numpy_iterator())
    names = [name.decode() for batch, _ in batches for name in batch]
    shapes = [np.empty((0, 3), np.int32), *(batch for _, batch in batches)]
    return np.array(names, dtype=object), np.concatenate(shapes)


def _check_shapes(files: Sequence[Path], contents: Sequence[tuple[np.ndarray, np.ndarray]], side: int | None) -> None:
    faults = Faults()
    for path, (names, shapes) in zip(files, contents, strict=True):
        wrong = (shapes[:, :2] != side).any(axis=1) if side else np.zeros(len(names), dtype=bool)
        if wrong.any():
            height, width, _ = shapes[wrong][0]
            faults.add(f"{path}: {list_names(names[wrong])}; the first is {width} x {height}")
    faults.raise_if_any(f"every picture in these shards must have {side} x {side} pixels")
