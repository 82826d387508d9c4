"""The training feed: shards -> batches in an order that seed and step decide, from memory or streamed, augmented."""

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

CACHE_BYTES = 2 << 30  # pictures are kept in memory up to this size: decoded, else as JPEGs
SHUFFLE_BYTES = 256 << 20  # of JPEGs in the shuffle buffer of a stream
PREFETCH = 2  # batches ready before they are asked for; more only cost memory


@dataclass(frozen=True)
class _Request:
    """One call of ``batches``: whose pictures (places in the feed), in which order, which steps, for which worker."""

    places: np.ndarray  # int64 (n,): where the feed keeps the picture of each row
    order: Order
    first_step: int
    steps: int
    shard: tuple[int, int]

    @property
    def part(self) -> slice:
        """Return which places of a global batch this worker gets."""
        count, index = self.shard
        size = self.order.batch_size // count
        return slice(index * size, (index + 1) * size)


class Feed:
    """Pictures of all rows that a model's fits may see, found and decoded once; every fit draws its batches from it.

    ``files`` may hold other cases too: they are dropped before anything is decoded. Decoded pictures of at most
    ``cache_bytes`` stay in memory. Else a fit holds the JPEGs of each group (see ``Order``) that needs at most half of
    that, in the same order; any other group is read from the files every epoch, shuffled as JPEGs in a bounded buffer.
    Raises InputFault for rows whose picture is in no file, in more than one, or of another size.
    """

    def __init__(self, files: Sequence[Path], rows: TrainingRows, side: int, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._rows, self._side, self._cache_bytes = rows, side, cache_bytes
        self._shards = find_shards(files, side)
        self._place_of = {name: place for place, name in enumerate(rows.names)}
        self._find(rows.names)
        self._places = self._shards.places(rows.names)
        self._pictures = self._decoded() if len(rows.names) * side * side * 3 <= cache_bytes else None

    @property
    def in_memory(self) -> bool:
        """Tell whether the decoded pictures are held in memory."""
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
        """Return the batches of ``steps`` steps from ``first_step`` on, a pure function of seed and step.

        An element is ((pictures float32 0..255 (b, side, side, 3), metadata (b, m)), targets (b, outputs), weights
        (b,)). ``rows`` are those of one fit, some of the feed's, with targets and weights of their own; default: all
        of them. ``malignant_share`` and ``external_share`` of every batch are malignant and external, by repetition
        (see ``Order``). ``shard`` = (workers, index) gives one worker's part of every global batch, b = batch_size /
        workers.
        Raises InputFault for a row that the feed does not have, and ValueError when workers cannot share a batch.
        """
        rows = rows or self._rows
        if batch_size % shard[0]:
            raise ValueError(f"a batch of {batch_size} cannot be split evenly among {shard[0]} workers")
        order = Order(rows.malignant, malignant_share, batch_size, seed, rows.external, external_share)
        request = _Request(self._find(rows.names), order, first_step, steps, shard)
        drawn = self._gathered(request) if self.in_memory else self._streamed(request)
        finish = _Finish(rows, augmentation, seed, shard[1])
        batches = drawn.map(finish, PARALLEL, deterministic=True).prefetch(PREFETCH)
        return batches.apply(tf.data.experimental.assert_cardinality(steps)).with_options(_options())

    def _find(self, names: Sequence[str]) -> np.ndarray:
        strangers = [name for name in names if name not in self._place_of]
        if strangers:
            raise InputFault(f"cases that the feed was not made for: {list_names(strangers)}")
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise InputFault(f"cases with more than one training row: {list_names(twice)}")
        return np.array([self._place_of[name] for name in names], dtype=np.int64)

    def _decoded(self) -> tf.Tensor:
        """Return all pictures, uint8 (n, side, side, 3), in the memory of the host."""
        pictures = np.empty((len(self._rows.names), self._side, self._side, 3), dtype=np.uint8)
        decoded = self._shards.jpegs(self._places).map(_decoded_place, PARALLEL, deterministic=False)
        for places, batch in decoded.batch(64).prefetch(2).as_numpy_iterator():
            pictures[places] = batch
        return _on_host(pictures)

    def _gathered(self, request: _Request) -> tf.data.Dataset:
        rows = request.order.rows(request.first_step, request.steps)[:, request.part]
        places, pictures = _on_host(request.places), self._pictures

        def gather(step: tf.Tensor, own: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return step, own, tf.gather(pictures, tf.gather(places, own))

        return _numbered(request, tf.data.Dataset.from_tensor_slices(rows)).map(gather, PARALLEL, deterministic=True)

    def _streamed(self, request: _Request) -> tf.data.Dataset:
        """Return (step, rows, pictures) of the steps: each group streamed by itself, then merged as the order says."""
        order = request.order
        streams = [self._jpegs(request, group) for group in GROUPS]
        jpegs = streams[BENIGN]
        if order.malignant_share or order.external_share:
            groups = order.groups(request.first_step, request.steps).ravel()
            choices = tf.data.Dataset.from_tensor_slices(np.searchsorted(GROUPS, groups).astype(np.int64))
            jpegs = tf.data.Dataset.choose_from_datasets(streams, choices)
        size = request.part.stop - request.part.start
        pictures = _of_worker(jpegs, request).map(self._decode, PARALLEL, deterministic=True)
        batches = _numbered(request, pictures.batch(size, drop_remainder=True).take(request.steps))
        return batches.map(lambda step, batch: (step, *batch))

    def _jpegs(self, request: _Request, group: int) -> tf.data.Dataset:
        """Return (row, JPEG) of one group as the steps show them: held in memory when that is small, else streamed."""
        order = request.order
        members = order.members(group)
        first, last = (order.shown(group, step) for step in (request.first_step, request.first_step + request.steps))
        if not last - first:
            return tf.data.Dataset.from_tensors((tf.constant(0, tf.int64), "")).take(0)
        row_of_place = np.full(len(self._rows.names) + 1, -1, dtype=np.int64)  # the last stands for no place
        row_of_place[request.places[members]] = members
        places = row_of_place[self._places]
        if len(members) * self._shards.mean_bytes <= self._cache_bytes / 2:
            return self._held(places, members, order.run(group, first, last - first))
        epoch, done = divmod(first, len(members))
        epochs = (last - 1) // len(members) - epoch + 1
        buffer = max(1, round(SHUFFLE_BYTES / self._shards.mean_bytes))
        # A seed of its own per group: two streams must not read the files in step.
        seed = order.seed * 2 + group
        return self._shards.shuffled_jpegs(places, seed, epoch, epochs, buffer).skip(done).take(last - first)

    def _held(self, places: np.ndarray, members: np.ndarray, shown: np.ndarray) -> tf.data.Dataset:
        read = dict(self._shards.jpegs(places).as_numpy_iterator())
        jpegs = _on_host(np.array([read[member] for member in members], dtype=object))
        at = _on_host(np.searchsorted(members, shown))
        return tf.data.Dataset.range(len(shown)).map(
            lambda number: (tf.gather(tf.constant(members), at[number]), tf.gather(jpegs, at[number]))
        )

    def _decode(self, row: tf.Tensor, jpeg: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return row, tf.ensure_shape(decode(jpeg), (self._side, self._side, 3))


class _Finish:
    """(step, rows, pictures) -> an element of the feed: changed pictures with what is known of their rows."""

    def __init__(self, rows: TrainingRows, augmentation: Augmentation, seed: int, worker: int) -> None:
        self._known = [_on_host(part.astype(np.float32)) for part in (rows.metadata, rows.targets, rows.weights)]
        self._augmentation, self._seed, self._worker = augmentation, seed, worker

    def __call__(self, step: tf.Tensor, rows: tf.Tensor, pictures: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        # The worker's number is part of the seed: workers must not change their pictures alike.
        drawn = tf.random.experimental.stateless_fold_in(
            tf.stack([tf.constant(self._seed, tf.int64), step]), self._worker
        )
        seeds = tf.random.split(drawn, 2)
        metadata, targets, weights = (tf.gather(part, rows) for part in self._known)
        changed = augment(tf.cast(pictures, tf.float32), self._augmentation, seeds[0])
        changed, targets, weights = mix(changed, targets, weights, self._augmentation, seeds[1])
        return (changed, metadata), targets, weights


def _decoded_place(place: tf.Tensor, jpeg: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return place, decode(jpeg)


def _on_host(array: np.ndarray) -> tf.Tensor:
    with tf.device("/CPU:0"):  # else a large table would be put on the accelerator
        return tf.constant(array)


def _numbered(request: _Request, batches: tf.data.Dataset) -> tf.data.Dataset:
    steps = tf.data.Dataset.range(request.first_step, request.first_step + request.steps)
    return tf.data.Dataset.zip(steps, batches)


def _of_worker(jpegs: tf.data.Dataset, request: _Request) -> tf.data.Dataset:
    """Return what one worker decodes of the global stream: its part of every batch."""
    if request.shard[0] == 1:
        return jpegs
    part = request.part
    batches = jpegs.batch(request.order.batch_size, drop_remainder=True)
    return batches.map(lambda rows, jpeg: (rows[part], jpeg[part])).unbatch()


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # TensorFlow's own prefetching holds dozens of batches when the training is slow: memory for nothing.
    options.experimental_optimization.inject_prefetch = False
    # The feed shares the work out itself (shard), so that no worker reads what another is given.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


def picture_batches(
    files: Sequence[Path], batch_size: int, names: Collection[str] | None = None
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield (image_names, pictures): the cases of ``files`` in their order, uint8 (n, side, side, 3), n <= batch_size.

    With ``names`` only those cases; InputFault, before the first batch, when one of them is in no file.
    """
    shards = find_shards(files)
    wanted = list(shards.names if names is None else names)
    decoded = shards.jpegs(shards.places(wanted)).map(
        lambda place, jpeg: (place, decode(jpeg)), PARALLEL, deterministic=True
    )
    for places, pictures in decoded.batch(batch_size).prefetch(2).as_numpy_iterator():
        yield [wanted[place] for place in places], pictures
