"""tf.data: shards -> batches of pictures, in order for prediction, shuffled and augmented for training."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from level1_cnn.augment.chain import augment
from level1_cnn.experiment import Finetune

CACHE_BYTES = 2 << 30  # decoded pictures are kept in memory up to this size
SHUFFLE_CASES = 4096  # bound of the shuffle buffer when they are not
SCHEMA = {"image": tf.io.FixedLenFeature([], tf.string), "image_name": tf.io.FixedLenFeature([], tf.string)}
LABELLED = {**SCHEMA, "target": tf.io.FixedLenFeature([], tf.int64)}


def picture_batches(files: Sequence[Path], batch_size: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield (image_names, pictures): every case of ``files`` once, uint8 (n, side, side, 3), n <= batch_size."""
    records = tf.data.TFRecordDataset([str(path) for path in files])
    decoded = records.map(_named_picture, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    for names, pictures in decoded.batch(batch_size).prefetch(2).as_numpy_iterator():
        yield [name.decode() for name in names], pictures


def training_batches(files: Sequence[Path], side: int, count: int, settings: Finetune, seed: int) -> tf.data.Dataset:
    """Return an endless dataset of (pictures float32 0..255 (batch, side, side, 3), targets float32 (batch,)).

    ``count`` is how many cases the files hold. With a malignant_share each picture is drawn malignant with that
    probability; otherwise every case is shown once per epoch. The order and the augmentation depend on ``seed`` alone.
    """
    records = tf.data.TFRecordDataset([str(path) for path in files])
    if settings.malignant_share:
        cases = _balanced(records, side, count, settings.malignant_share, seed)
    else:
        cases = _shuffled(_cached(records, side, count), count, seed)
    batches = cases.batch(settings.batch_size, drop_remainder=True)
    numbered = tf.data.Dataset.zip(tf.data.Dataset.counter(), batches)

    def change(number: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        drawn = tf.stack([tf.constant(seed, tf.int64), number])
        return augment(tf.cast(batch[0], tf.float32), settings.augmentation, drawn), batch[1]

    return numbered.map(change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def _balanced(records: tf.data.Dataset, side: int, count: int, share: float, seed: int) -> tf.data.Dataset:
    classes = [records.filter(lambda record, wanted=wanted: _target(record) == wanted) for wanted in (1, 0)]
    streams = [_shuffled(_cached(part, side, count), count, seed + i) for i, part in enumerate(classes)]
    return tf.data.Dataset.sample_from_datasets(streams, [share, 1 - share], seed=seed, rerandomize_each_iteration=True)


def _cached(records: tf.data.Dataset, side: int, count: int) -> tf.data.Dataset:
    decoded = records.map(_labelled_picture, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return decoded.cache() if count * side * side * 3 <= CACHE_BYTES else decoded


def _shuffled(cases: tf.data.Dataset, count: int, seed: int) -> tf.data.Dataset:
    return cases.shuffle(min(count, SHUFFLE_CASES), seed=seed, reshuffle_each_iteration=True).repeat()


def _target(record: tf.Tensor) -> tf.Tensor:
    return tf.io.parse_single_example(record, {"target": LABELLED["target"]})["target"]


def _named_picture(record: tf.Tensor) -> tuple[Any, Any]:
    parsed = tf.io.parse_single_example(record, SCHEMA)
    return parsed["image_name"], _decode(parsed["image"])


def _labelled_picture(record: tf.Tensor) -> tuple[Any, Any]:
    parsed = tf.io.parse_single_example(record, LABELLED)
    return _decode(parsed["image"]), tf.cast(parsed["target"], tf.float32)


def _decode(jpeg: tf.Tensor) -> tf.Tensor:
    # The accurate transform: the fast one differs by several grey levels from other decoders.
    return tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")
