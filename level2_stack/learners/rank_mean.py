"""Baseline: the mean percentile of the networks that a row has, each among the training rows of its network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.learner_files import read_facts, write_facts
from runtime.files import read_arrays, write_arrays
from runtime.settings import Settings

USES: Literal["logits", "all"] = "logits"
USES_SEED = False
BASELINE = True
SORTED_LOGITS = "ordered.npz"


class Params(Settings):
    """No settings: there is nothing to choose."""


class Percentiles:
    """Converts logits to percentiles in [0, 1] of the training rows, per network."""

    def __init__(self, sorted_logits: Mapping[str, NDArray[np.float64]]) -> None:
        self.sorted_logits = sorted_logits  # per network, of the training rows

    @classmethod
    def from_rows(cls, X: pd.DataFrame) -> "Percentiles":
        """Return the conversion that ranks among the training rows ``X`` (n x networks)."""
        return cls({str(name): np.sort(column.dropna().to_numpy(dtype=np.float64)) for name, column in X.items()})

    def __call__(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return mid-rank percentiles (share below plus half the share equal); missing values stay missing."""
        return pd.DataFrame({name: self._percentile(name, X[name]) for name in self.sorted_logits}, index=X.index)

    def _percentile(self, name: str, column: pd.Series) -> NDArray[np.float64]:
        values, training = column.to_numpy(dtype=np.float64), self.sorted_logits[name]
        below = np.searchsorted(training, values, side="left")
        up_to = np.searchsorted(training, values, side="right")
        return np.where(np.isnan(values), np.nan, (below + up_to) / (2 * max(len(training), 1)))


class RankMean:
    """A predictor: the mean percentile of every row of a design; a row without any network gets 0.5."""

    def __init__(self, percentiles: Percentiles) -> None:
        self.percentiles = percentiles

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return a score in [0, 1] per row of ``X``, shape (n,); it does not depend on the other rows."""
        return self.percentiles(X).mean(axis=1).fillna(0.5).to_numpy(dtype=np.float64)


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> RankMean:
    """Return the rank mean; ``y`` is not used."""
    return RankMean(Percentiles.from_rows(X))


def save(predict: RankMean, folder: Path) -> None:
    """Write the sorted logits of every network."""
    save_percentiles(predict.percentiles, folder)
    write_facts(folder, "rank_mean")


def load(folder: Path) -> RankMean:
    """Read the rank mean that ``save`` wrote; raise InputFault if ``folder`` is damaged or holds another learner."""
    read_facts(folder, "rank_mean")
    return RankMean(load_percentiles(folder))


def save_percentiles(percentiles: Percentiles, folder: Path) -> None:
    """Write the sorted logits of every network into ``folder``."""
    write_arrays(folder / SORTED_LOGITS, percentiles.sorted_logits)


def load_percentiles(folder: Path) -> Percentiles:
    """Read the percentiles that ``save_percentiles`` wrote; raise InputFault if they are missing or damaged."""
    return Percentiles(read_arrays(folder / SORTED_LOGITS))
