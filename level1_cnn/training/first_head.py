"""The head that fine-tuning starts from: the logistic regression that the frozen network would get.

Training all weights from a random head moves good features before the head is of any use; starting from a fitted head
keeps them (Kumar et al. 2022, arXiv 2202.10054: linear probing, then fine-tuning).
"""

import numpy as np
import pandas as pd

from level1_cnn.networks.head import LOGITS, STANDARDISATION
from level1_cnn.training.linear_head import fit_head, fit_scaler

# All weights change now, and with them numbers that did not vary: their scale is at least this share of the median.
SMALLEST_SCALE = 1e-2


def first_head(features: pd.DataFrame, cases: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return path -> values of the weights of the head, fitted to ``features`` (n, d) of the training ``cases``.

    Both tables have the same index; ``cases`` has the columns target and fold. The regularisation is chosen inside
    the folds.
    """
    points = features.to_numpy(np.float32, copy=True)
    scaler = fit_scaler(points, SMALLEST_SCALE)
    mean, scale = (values.astype(np.float32) for values in (scaler.mean_, scaler.scale_))
    target, folds = (cases[column].to_numpy(dtype=int) for column in ("target", "fold"))
    head = fit_head(points, target, "auto", folds)
    return {
        f"{STANDARDISATION}/mean": mean,
        f"{STANDARDISATION}/scale": scale,
        f"{LOGITS}/kernel": (head.weights * scale)[:, np.newaxis],
        f"{LOGITS}/bias": np.atleast_1d(head.intercept + head.weights @ mean),
    }
