"""The confidence interval of a share, for tables of counts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Numbers = NDArray[np.float64]


def wilson(share: ArrayLike, rows: ArrayLike, level: float = 0.95) -> tuple[Numbers, Numbers]:
    """Return the limits by Wilson 1927 of every ``share`` (0 to 1) of ``rows`` independent rows; 0 and 1 without rows.

    Both may be single numbers or arrays of the same shape. Pictures of one patient are not independent.
    """
    p, count = np.asarray(share, np.float64), np.asarray(rows, np.float64)
    n = np.where(count > 0, count, 1.0)
    z2 = ndtri((1 + level) / 2) ** 2 / n
    middle = p + z2 / 2
    distance = np.sqrt(z2 * (p * (1 - p) + z2 / 4))
    low, high = np.maximum(0, (middle - distance) / (1 + z2)), np.minimum(1, (middle + distance) / (1 + z2))
    return np.where(count > 0, low, 0.0), np.where(count > 0, high, 1.0)
