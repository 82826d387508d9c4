"""Shards -> batches of pictures: in the order of the files for prediction here, drawn for training by the feed."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from level1_cnn.feed import CACHE_BYTES, Feed
from level1_cnn.records import PARALLEL, decode, find_shards

__all__ = ["CACHE_BYTES", "Feed", "picture_batches"]


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
