"""Shards of plain grey pictures, whose grey level is ten times the number of the case, and batches of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from level1_cnn.data.feed import Feed
from level1_cnn.data.training_rows import TrainingRows
from tests.level1_cnn.augment.noise_pictures import NO_CHANGES

SIDE, CASES, FILES, MALIGNANT = 32, 24, 3, 6
# Cache sizes in bytes: enough for the decoded pictures; enough for the JPEGs only; enough for nothing.
CACHE_SIZES = {"decoded": 1 << 30, "jpegs": 60_000, "streamed": 0}


def write_shard(path: Path, pictures: Mapping[str, np.ndarray]) -> Path:
    """Write a shard file of ``pictures``: case name -> pixels (side, side, 3)."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, picture in pictures.items():
            values = {"image": tf.io.encode_jpeg(picture, quality=100).numpy(), "image_name": name.encode()}
            features = {
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


def grey(numbers: list[int], side: int = SIDE) -> dict[str, np.ndarray]:
    """Return the plain pictures of the cases ``numbers``, ten grey levels apart."""
    return {f"c{number}": np.full((side, side, 3), 10 * number, np.uint8) for number in numbers}


def rows_of(numbers: list[int]) -> TrainingRows:
    """Return the rows of the cases ``numbers``; the odd ones are external."""
    own = np.array(numbers, np.float32)
    names, metadata = [f"c{number}" for number in numbers], np.stack([own, -own], 1)
    return TrainingRows(names, own[:, None] / 100, own + 1, metadata, own < MALIGNANT, own % 2 == 1)


def draw_batches(feed: Feed, **changes) -> tf.data.Dataset:
    """Return twelve batches of four pictures, or what ``changes`` set instead."""
    settings = {"batch_size": 4, "malignant_share": 0.0, "seed": 3, "first_step": 0, "steps": 12} | changes
    return feed.batches(settings.pop("augmentation", NO_CHANGES), **settings)


def cases_of_batches(dataset: tf.data.Dataset) -> list[list[int]]:
    """Return the numbers of the cases in each batch, computed from the grey levels of the pictures."""
    return [
        [round(float(picture.mean()) / 10) for picture in pictures]
        for (pictures, _), _, _ in dataset.as_numpy_iterator()
    ]
