"""The training feed: reads shards, from memory or streamed, and returns augmented batches ordered by seed and step."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from level1_cnn.augment.chain import augment, mix
from level1_cnn.augment.settings import Augmentation
from level1_cnn.data.order import BENIGN, GROUPS, Order
from level1_cnn.data.shard_reader import PARALLEL, decode, find_shards
from level1_cnn.data.training_rows import TrainingRows
from runtime.errors import InputFault, list_names

CACHE_BYTES = 2 << 30  # pictures stay in memory up to this size: decoded if they fit, otherwise as JPEGs
SHUFFLE_BYTES = 256 << 20  # size of the JPEGs in the shuffle buffer of a stream
PREFETCH = 2  # batches prepared ahead of the training; more of them only cost memory


@dataclass(frozen=True)
class _Request:
    """The arguments of one call of ``batches``: the pictures, their order, the steps and the worker."""

    numbers: np.ndarray  # int64 (n,): the feed's number of each row's picture
    order: Order
    first_step: int
    steps: int
    shard: tuple[int, int]  # (number of workers, index of this worker)

    @property
    def part(self) -> slice:
        """Return the positions in a global batch that belong to this worker."""
        count, index = self.shard
        size = self.order.batch_size // count
        return slice(index * size, (index + 1) * size)


class Feed:
    """The pictures of all rows that any fit of a model may see; every fit takes its batches from the same feed.

    ``files`` may hold other cases too; those are never decoded. If all decoded pictures need at most ``cache_bytes``,
    they are decoded once and stay in memory. Otherwise each fit treats each group of rows (see ``Order``) separately:
    it keeps the group's JPEGs in memory if they need at most half of ``cache_bytes``, with the same order of pictures;
    else it reads them from the files in every epoch and shuffles them in a buffer of bounded size.
    Raises InputFault for rows whose picture is in no file, is there more than once, or has another size.
    """

    def __init__(self, files: Sequence[Path], rows: TrainingRows, side: int, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._rows, self._side, self._cache_bytes = rows, side, cache_bytes
        self._shards = find_shards(files, side)
        self._number_of = {name: number for number, name in enumerate(rows.names)}
        self._find_numbers(rows.names)
        self._record_numbers = self._shards.match_records(rows.names)
        self._pictures = self._decode_all() if len(rows.names) * side * side * 3 <= cache_bytes else None

    @property
    def in_memory(self) -> bool:
        """Return whether the decoded pictures are kept in memory."""
        return self._pictures is not None

    def batches(
        self,
        augmentation: Augmentation,
        *,
        batch_size: int,
        malignant_share: float,
        seed: int,
        first_step: int,
        steps: int,
        external_share: float = 0.0,
        rows: TrainingRows | None = None,
        shard: tuple[int, int] = (1, 0),
    ) -> tf.data.Dataset:
        """Return the batches of ``steps`` steps, beginning with ``first_step``; each depends only on seed and step.

        An element is ((pictures float32 0..255 (b, side, side, 3), metadata (b, m)), targets (b, outputs), weights
        (b,)). ``rows`` are the rows of one fit: a subset of the feed's rows, with their own targets and weights;
        default: all rows of the feed. ``malignant_share`` and ``external_share`` are the shares of malignant and
        external rows in every batch, reached by repeating rows (see ``Order``). ``shard`` = (workers, index) selects
        one worker's part of every global batch, b = batch_size / workers.
        Raises InputFault for a row that the feed does not have, and ValueError when workers cannot share a batch.
        """
        rows = rows or self._rows
        if batch_size % shard[0]:
            raise ValueError(f"a batch of {batch_size} cannot be split evenly among {shard[0]} workers")
        order = Order(rows.malignant, malignant_share, batch_size, seed, rows.external, external_share)
        request = _Request(self._find_numbers(rows.names), order, first_step, steps, shard)
        pictures = self._gather_batches(request) if self.in_memory else self._stream_batches(request)
        finish = _BatchFinisher(rows, augmentation, seed, shard[1])
        batches = pictures.map(finish, PARALLEL, deterministic=True).prefetch(PREFETCH)
        return batches.apply(tf.data.experimental.assert_cardinality(steps)).with_options(_options())

    def _find_numbers(self, names: Sequence[str]) -> np.ndarray:
        """Return the feed's numbers (int64) of the pictures ``names``; refuse unknown and repeated names."""
        unknown = [name for name in names if name not in self._number_of]
        if unknown:
            raise InputFault(f"cases that are not in this feed: {list_names(unknown)}; make the feed with their rows")
        if repeats := [name for name, count in Counter(names).items() if count > 1]:
            raise InputFault(f"cases with more than one training row: {list_names(repeats)}; give each case one row")
        return np.array([self._number_of[name] for name in names], dtype=np.int64)

    def _decode_all(self) -> tf.Tensor:
        """Return all pictures, uint8 (n, side, side, 3), in the memory of the host."""
        pictures = np.empty((len(self._rows.names), self._side, self._side, 3), dtype=np.uint8)
        stream = self._shards.jpegs(self._record_numbers).map(_decode_second, PARALLEL, deterministic=False)
        for numbers, batch in stream.batch(64).prefetch(2).as_numpy_iterator():
            pictures[numbers] = batch
        return _on_host(pictures)

    def _gather_batches(self, request: _Request) -> tf.data.Dataset:
        """Return (step, rows, pictures) of the steps; the pictures come from memory."""
        rows = request.order.rows(request.first_step, request.steps)[:, request.part]
        numbers, pictures = _on_host(request.numbers), self._pictures

        def gather(step: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            """Return the step, the rows of its batch, and their pictures."""
            return step, batch, tf.gather(pictures, tf.gather(numbers, batch))

        batches = tf.data.Dataset.from_tensor_slices(rows)
        return _add_steps(request, batches).map(gather, PARALLEL, deterministic=True)

    def _stream_batches(self, request: _Request) -> tf.data.Dataset:
        """Return (step, rows, pictures) of the steps: one stream per group, merged as the order requires."""
        order = request.order
        streams = [self._jpegs(request, group) for group in GROUPS]
        jpegs = streams[BENIGN]
        if order.malignant_share or order.external_share:
            groups = order.groups(request.first_step, request.steps).ravel()
            choices = tf.data.Dataset.from_tensor_slices(np.searchsorted(GROUPS, groups).astype(np.int64))
            jpegs = tf.data.Dataset.choose_from_datasets(streams, choices)
        size = request.part.stop - request.part.start
        pictures = _of_worker(jpegs, request).map(self._decode, PARALLEL, deterministic=True)
        batches = _add_steps(request, pictures.batch(size, drop_remainder=True).take(request.steps))
        return batches.map(lambda step, batch: (step, *batch))

    def _jpegs(self, request: _Request, group: int) -> tf.data.Dataset:
        """Return (row, JPEG) of one group in the order of the steps: from memory if they fit, else streamed."""
        order = request.order
        members = order.members(group)
        first = order.count_before(group, request.first_step)
        count = order.count_before(group, request.first_step + request.steps) - first
        if not count:
            return tf.data.Dataset.from_tensors((tf.constant(0, tf.int64), "")).take(0)
        # The last entry answers for record number -1: a record that is not in the feed.
        row_of_number = np.full(len(self._rows.names) + 1, -1, dtype=np.int64)
        row_of_number[request.numbers[members]] = members
        record_rows = row_of_number[self._record_numbers]
        if len(members) * self._shards.mean_bytes <= self._cache_bytes / 2:
            return self._jpegs_in_memory(record_rows, members, order.sequence(group, first, count))
        epoch, skip = divmod(first, len(members))
        epochs = (first + count - 1) // len(members) - epoch + 1
        buffer = max(1, round(SHUFFLE_BYTES / self._shards.mean_bytes))
        # Each group has its own seed, so that two streams do not read the files in the same order.
        seed = order.seed * 2 + group
        return self._shards.shuffled_jpegs(record_rows, seed, epoch, epochs, buffer).skip(skip).take(count)

    def _jpegs_in_memory(self, record_rows: np.ndarray, members: np.ndarray, sequence: np.ndarray) -> tf.data.Dataset:
        """Return (row, JPEG) of the rows in ``sequence``, after reading the JPEGs of all ``members`` into memory."""
        jpeg_of = dict(self._shards.jpegs(record_rows).as_numpy_iterator())
        jpegs = _on_host(np.array([jpeg_of[member] for member in members], dtype=object))
        at = _on_host(np.searchsorted(members, sequence))
        return tf.data.Dataset.range(len(sequence)).map(
            lambda number: (tf.gather(tf.constant(members), at[number]), tf.gather(jpegs, at[number]))
        )

    def _decode(self, row: tf.Tensor, jpeg: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return row, tf.ensure_shape(decode(jpeg), (self._side, self._side, 3))


class _BatchFinisher:
    """Turns (step, rows, pictures) into an element of the feed: augments the pictures and adds the data of the rows."""

    def __init__(self, rows: TrainingRows, augmentation: Augmentation, seed: int, worker: int) -> None:
        self._row_data = [_on_host(part.astype(np.float32)) for part in (rows.metadata, rows.targets, rows.weights)]
        self._augmentation, self._seed, self._worker = augmentation, seed, worker

    def __call__(self, step: tf.Tensor, rows: tf.Tensor, pictures: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        # The worker's number is part of the seed, so that workers do not change their pictures in the same way.
        seed_and_step = tf.stack([tf.constant(self._seed, tf.int64), step])
        seeds = tf.random.split(tf.random.experimental.stateless_fold_in(seed_and_step, self._worker), 2)
        metadata, targets, weights = (tf.gather(part, rows) for part in self._row_data)
        pictures = augment(tf.cast(pictures, tf.float32), self._augmentation, seeds[0])
        pictures, targets, weights = mix(pictures, targets, weights, self._augmentation, seeds[1])
        return (pictures, metadata), targets, weights


def _decode_second(number: tf.Tensor, jpeg: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return number, decode(jpeg)


def _on_host(array: np.ndarray) -> tf.Tensor:
    with tf.device("/CPU:0"):  # otherwise TensorFlow would put a large table on the accelerator
        return tf.constant(array)


def _add_steps(request: _Request, batches: tf.data.Dataset) -> tf.data.Dataset:
    """Return (step, batch) for the steps of the request."""
    steps = tf.data.Dataset.range(request.first_step, request.first_step + request.steps)
    return tf.data.Dataset.zip(steps, batches)


def _of_worker(jpegs: tf.data.Dataset, request: _Request) -> tf.data.Dataset:
    """Return the worker's part of every batch in the global stream; only this part is decoded."""
    if request.shard[0] == 1:
        return jpegs
    part = request.part
    batches = jpegs.batch(request.order.batch_size, drop_remainder=True)
    return batches.map(lambda rows, jpeg: (rows[part], jpeg[part])).unbatch()


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # TensorFlow's own prefetching holds dozens of batches when the training is slow, which only costs memory.
    options.experimental_optimization.inject_prefetch = False
    # The feed itself splits the batches among the workers (``shard``), so that no two workers get the same picture.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


def picture_batches(
    files: Sequence[Path], batch_size: int, names: Collection[str] | None = None
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield (image_names, pictures uint8 (n, side, side, 3)), n <= batch_size, in the order of the ``files``.

    With ``names``, yield only those cases; raise InputFault before the first batch when a name is in no file.
    """
    shards = find_shards(files)
    selection = list(shards.names if names is None else names)
    stream = shards.jpegs(shards.match_records(selection)).map(_decode_second, PARALLEL, deterministic=True)
    for numbers, pictures in stream.batch(batch_size).prefetch(2).as_numpy_iterator():
        yield [selection[number] for number in numbers], pictures
