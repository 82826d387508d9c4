"""A program with two logical devices that prints the cases each gets from a feed; its arguments are shard files."""

import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from level1_cnn.data.feed import Feed


def parts(strategy: tf.distribute.Strategy, batches: tf.distribute.DistributedDataset) -> Iterator[list[list[int]]]:
    """Yield the cases of each batch, one list per device."""
    for (pictures, _), _, _ in batches:
        local = strategy.experimental_local_results(pictures)
        yield [[round(float(tf.reduce_mean(picture)) / 10) for picture in part] for part in local]


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # This module makes tensors when it is imported, which starts TensorFlow; after that, no device can be split.
    from tests.level1_cnn.data.grey_shards import CACHE_SIZES, CASES, SIDE, cases_of_batches, draw_batches, rows_of

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for storage in ("decoded", "streamed"):
        feed = Feed(
            [Path(file) for file in sys.argv[1:]], rows_of(list(range(CASES))), SIDE, cache_bytes=CACHE_SIZES[storage]
        )
        whole = draw_batches(feed, malignant_share=0.5)
        print(cases_of_batches(whole))
        print(list(parts(strategy, strategy.experimental_distribute_dataset(whole))))
        own = draw_batches(feed, malignant_share=0.5, shard=(2, 1))
        print(list(parts(strategy, strategy.distribute_datasets_from_function(lambda _, own=own: own))))
