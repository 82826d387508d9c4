"""Predictions of one network over the views of the pictures in shards."""

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
    """Yield (image_names, outputs) per batch of the cases in ``files``, outputs stacked over the views (n, views, ...).

    Only the cases in ``names``, if given. ``batch_size`` bounds the pictures of one forward pass, every view counted,
    so that memory does not grow with the views. ``metadata`` has a row per case, for a network with that input.
    """
    for batch, pictures in picture_batches(files, max(1, batch_size // len(views)), names):
        known = None if metadata is None else metadata.loc[batch].to_numpy(np.float32)
        yield batch, predict_views(forward, pictures, views, known)
        advance(len(batch))
