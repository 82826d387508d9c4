"""Baseline: the mean probability of the networks that a row has."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from features.settings import Settings

USES: Literal["logits", "all"] = "logits"
SEEDED = False
BASELINE = True


class Params(Settings):
    """There is nothing to set."""


class Mean:
    """Call it with a design to get the mean probability of every row; a row without a network gets the overall mean."""

    def __init__(self, X: pd.DataFrame) -> None:
        self._networks = list(X.columns)
        self._overall = float(np.nan_to_num(np.nanmean(expit(X.to_numpy())), nan=0.5))

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        return np.asarray(X[self._networks].apply(expit).mean(axis=1).fillna(self._overall), dtype=np.float64)


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> Mean:
    """Return the mean of probabilities; the target is not looked at."""
    return Mean(X)
