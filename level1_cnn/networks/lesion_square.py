"""Find, inside a network, the square around the lesion of a picture.

The steps are those of the picture statistics (``features.pictures.statistics.lesion``) on a coarse grid: the skin's
colour, the distance of every cell from it, Otsu's threshold, and one connected region.
"""

import keras
import numpy as np
from keras import ops

from features.pictures.statistics.lesion import RING, elliptical_radius
from level1_cnn.networks.field_of_view import step

GRID = 48  # cells of a side in which the lesion is searched
AROUND, SMALLEST = 1.5, 0.25  # side of the square in sides of the lesion; at least this share of the picture's side
LEVELS = 64  # number of thresholds that are compared, less one, from 0 to the largest distance from the skin
SKIN_STEPS = 8  # to the median; with fewer, many hairs move it
SMOOTHING, NEAR = 2, 5  # cells: of the distance, and of the density by which the region is chosen
NEARLY = 0.9999  # of the largest value, so that rounding leaves at least one cell
LEAST = 8.0  # distance from the skin, of colours 0 to 255, below which a cell is skin or noise
TINY = 1e-6  # keeps quotients finite


def lesion_square(cells: keras.KerasTensor) -> keras.KerasTensor:
    """Return the square around the lesion of pictures of (n, GRID, GRID, 3) pixels 0..255.

    The three numbers of (n, 3) are first row, first column and side, as shares of the picture's side. The square is
    1.5 times as wide as the lesion, and inside the picture. Without a lesion, it is the whole picture.
    """
    distance = _mean_around(_distance_from_skin(ops.reshape(cells, (-1, GRID * GRID, 3))), SMOOTHING)
    region = _region(_above_threshold(distance) * _inside())
    ends = [_ends(ops.max(region, axis=axis)) for axis in (2, 1)]  # of rows and columns
    is_there = ops.max(region, axis=(1, 2))[:, np.newaxis]
    side = ops.clip(ops.maximum(*(last - first for first, last in ends)) * AROUND, SMALLEST, 1.0)
    side = side * is_there + (1 - is_there)
    starts = [ops.maximum(ops.minimum((first + last - side) / 2, 1 - side), 0.0) for first, last in ends]
    return ops.concatenate([*starts, side], axis=1)


def _distance_from_skin(colours: keras.KerasTensor) -> keras.KerasTensor:
    """Return the distance (n, cells) of ``colours`` (n, cells, 3) from the median of the ring of skin.

    The median is the point with the smallest sum of distances, by the steps of Weiszfeld 1937; hairs and dark corners
    hardly move it.
    """
    radius = elliptical_radius(GRID, GRID)
    ring = ((radius >= RING[0]) & (radius <= RING[1])).astype(np.float32).reshape(-1, 1)
    skin = ops.sum(colours * ring, axis=1, keepdims=True) / float(ring.sum())
    for _ in range(SKIN_STEPS):
        away = ops.expand_dims(_length(colours - skin), 2)
        weights = ops.divide(ring, away + 1)
        skin = ops.sum(colours * weights, axis=1, keepdims=True) / ops.sum(weights, axis=1, keepdims=True)
    return _length(colours - skin)


def _length(colours: keras.KerasTensor) -> keras.KerasTensor:
    return ops.sqrt(ops.sum(ops.square(colours), axis=2))


def _above_threshold(values: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 where ``values`` (n, cells) are above LEAST and Otsu's threshold of the cells in the ellipse, else 0."""
    inside = _inside() / _inside().sum()
    largest = ops.max(values * _inside(), axis=1, keepdims=True)
    thresholds = largest * np.asarray(np.arange(1, LEVELS) / LEVELS, np.float32)
    above = step(ops.expand_dims(values, 1) - ops.expand_dims(thresholds, 2)) * inside
    share, mean = ops.sum(above, axis=2), ops.sum(values * inside, axis=1, keepdims=True)
    difference = ops.sum(above * ops.expand_dims(values, 1), axis=2) - share * mean
    between = ops.square(difference) / (share * (1 - share) + TINY)  # the variance between the two sides
    best = step(between - ops.max(between, axis=1, keepdims=True) * NEARLY)
    threshold = ops.sum(thresholds * best, axis=1, keepdims=True) / (ops.sum(best, axis=1, keepdims=True) + TINY)
    return step(values - ops.maximum(threshold, LEAST))


def _region(mask: keras.KerasTensor) -> keras.KerasTensor:
    """Return the connected region (n, GRID, GRID) of ``mask`` (n, cells) around its most central and densest cell."""
    worth = (
        _mean_around(mask, NEAR) * mask * np.maximum(1 - elliptical_radius(GRID, GRID), 0).astype(np.float32).ravel()
    )
    seed = step(worth - ops.max(worth, axis=1, keepdims=True) * NEARLY)
    region, cells = (ops.reshape(part, (-1, GRID, GRID, 1)) for part in (seed, mask))
    for _ in range(GRID):
        region = ops.max_pool(region, 3, strides=1, padding="same") * cells
    return ops.reshape(region, (-1, GRID, GRID))


def _ends(line: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return where the ones of ``line`` (n, GRID) begin and end, (n, 1) each, as shares of the line."""
    numbers = np.arange(GRID, dtype=np.float32)
    first = 1 - ops.max(line * (GRID - numbers), axis=1, keepdims=True) / GRID
    return first, ops.max(line * (numbers + 1), axis=1, keepdims=True) / GRID


def _mean_around(values: keras.KerasTensor, reach: int) -> keras.KerasTensor:
    """Return means of ``values`` (n, cells) over the cells less than ``reach`` away; nearer ones count more."""
    away = np.abs(np.subtract.outer(np.arange(GRID), np.arange(GRID)))
    band = np.maximum(reach - away, 0).astype(np.float32)
    band /= band.sum(axis=1, keepdims=True)
    rows = ops.matmul(band, ops.reshape(values, (-1, GRID, GRID)))
    return ops.reshape(ops.matmul(rows, band.T), (-1, GRID * GRID))


def _inside() -> np.ndarray:
    """Return 1 for the cells inside the ellipse that touches the edges, else 0, (cells,)."""
    return np.asarray(elliptical_radius(GRID, GRID).ravel() <= 1, np.float32)
