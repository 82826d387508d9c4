"""Baseline: the mean percentile of the networks that a row has, each within its network's training rows."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.settings import Settings

USES: Literal["logits", "all"] = "logits"
SEEDED = False
BASELINE = True


class Params(Settings):
    """There is nothing to set."""


class Percentiles:
    """The training distribution of every network, as a function: logits to percentiles in [0, 1]."""

    def __init__(self, X: pd.DataFrame) -> None:
        self._sorted = {name: np.sort(column.dropna().to_numpy(dtype=np.float64)) for name, column in X.items()}

    def __call__(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return mid-rank percentiles (share below plus half the share equal); the missing stays missing."""
        return pd.DataFrame({name: self._percentile(name, X[name]) for name in self._sorted}, index=X.index)

    def _percentile(self, name: object, column: pd.Series) -> NDArray[np.float64]:
        values, known = column.to_numpy(dtype=np.float64), self._sorted[name]
        below = np.searchsorted(known, values, side="left")
        reached = np.searchsorted(known, values, side="right")
        return np.where(np.isnan(values), np.nan, (below + reached) / (2 * max(len(known), 1)))


class RankMean:
    """Call it with a design to get the mean percentile of every row; a row without any network gets 0.5."""

    def __init__(self, percentiles: Percentiles) -> None:
        self._percentiles = percentiles

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return a score in [0, 1] per row of ``X``, shape (n,); it does not depend on the other rows."""
        return self._percentiles(X).mean(axis=1).fillna(0.5).to_numpy(dtype=np.float64)


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> RankMean:
    """Return the rank mean; the target is not looked at."""
    return RankMean(Percentiles(X))
