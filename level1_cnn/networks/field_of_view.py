"""Find, inside a network, how much of a picture is free of the dark corners of a round lens: its field of view."""

import keras
import numpy as np
from keras import ops

# The shares of a side that may be left of a picture; the largest whose corners are lit is taken, and the last one
# in any case. A circle that touches the edges is cut to 0.75, near the largest square within it.
SHARES = tuple(round(1 - 0.05 * step, 2) for step in range(11))
GRID = 48  # cells of the square in which darkness is searched; a lens is far larger than a cell
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
BLACK = 0.12 * 255  # luminance below which a cell is dark in any light
SHADE = 0.35  # share of the centre's luminance below which a cell is dark
CENTRE = 0.5  # side of the square whose mean is the centre's luminance, as a share of the side
CORNER = 1.2  # the corners of a square begin at this distance from its middle, in half sides
DARK_SHARE = 0.1  # of the cells of the corners, up to which they count as lit
CERTAIN = 1e6  # turns a difference into 0 or 1


def step(values: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 where ``values`` are above 0, else 0."""
    return ops.minimum(ops.relu(values * CERTAIN), 1.0)


def lit_share(cells: keras.KerasTensor) -> keras.KerasTensor:
    """Return for pictures of (n, GRID, GRID, 3) pixels 0..255 which of SHARES is their field of view: (n, shares), 0/1.

    Dark is what is far darker than the middle of the picture, as the corners outside of a round lens are. Of a square
    around the middle only the corners are looked at, so that a dark lesion or a hair at an edge changes nothing.
    """
    luminance = ops.reshape(ops.matmul(cells, np.array(LUMA, np.float32)[:, np.newaxis]), (-1, GRID * GRID))
    limit = ops.maximum(SHADE * ops.matmul(luminance, _mean_of(_distance() <= CENTRE)[:, np.newaxis]), BLACK)
    dark = step(limit - luminance)
    shares = ops.matmul(dark, np.stack([_mean_of(_corners(share)) for share in SHARES], axis=1))
    # The last share is always possible; one is taken if none before it is possible.
    possible = ops.maximum(step(DARK_SHARE - shares), np.eye(len(SHARES), dtype=np.float32)[-1:])
    larger = ops.matmul(possible, np.triu(np.ones((len(SHARES), len(SHARES)), np.float32), 1))
    return possible * step(0.5 - larger)


def _line() -> np.ndarray:
    return np.asarray(np.abs((np.arange(GRID) + 0.5) / GRID * 2 - 1))


def _distance() -> np.ndarray:
    """Return the distance of every cell from the middle along rows or columns, the larger one, in half sides."""
    return np.asarray(np.maximum(_line()[:, np.newaxis], _line()))


def _corners(share: float) -> np.ndarray:
    """Return the cells in the corners of the central ``share`` of the sides."""
    radius = np.hypot(_line()[:, np.newaxis], _line())
    return np.asarray((_distance() <= share) & (radius > CORNER * share))


def _mean_of(region: np.ndarray) -> np.ndarray:
    """Return the vector (GRID * GRID,) float32 whose product with values is their mean over ``region``."""
    return np.asarray(region.ravel() / region.sum(), np.float32)
