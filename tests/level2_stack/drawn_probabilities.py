"""Labels and probabilities with a known calibration line, for several tests."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Sample = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.object_]]


def draw(rows: int = 3000, slope: float = 0.7, intercept: float = 0.5, seed: int = 0) -> Sample:
    """Return labels, probabilities whose calibration line has this slope and intercept, and patients."""
    random = np.random.default_rng(seed)
    margin = random.normal(-1, 1.5, rows)
    y = (random.random(rows) < expit(intercept + slope * margin)).astype(np.float64)
    return y, expit(margin), random.integers(rows // 3, size=rows).astype(object)
