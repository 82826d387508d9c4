"""Predict the pictures in shards with one network, in several views."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from level1_cnn.data.feed import picture_batches
from level1_cnn.inference.view_predictions import Forward, predict_views


def predict_batches(
    forward: Forward,
    files: Sequence[Path],
    views: Sequence[str],
    batch_size: int,
    advance: Callable[[int], None],
    names: Collection[str] | None = None,
    metadata: pd.DataFrame | None = None,
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Yield (image_names, outputs) per batch of the cases in ``files``; every output is an array (n, views, ...).

    With ``names``, only these cases are predicted. ``batch_size`` is the highest number of pictures in one forward
    pass, where each view counts as a picture, so that memory does not grow with the number of views. ``metadata`` has
    one row per case, for a network with that input. ``advance`` is called with the number of cases of each batch.
    """
    for batch, pictures in picture_batches(files, max(1, batch_size // len(views)), names):
        rows = None if metadata is None else metadata.loc[batch].to_numpy(np.float32)
        yield batch, predict_views(forward, pictures, views, rows)
        advance(len(batch))
