"""Baseline: the mean percentile of the networks that a row has, each within its network's training rows."""

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
ORDERED = "ordered.npz"


class Params(Settings):
    """There is nothing to set."""


class Percentiles:
    """The training distribution of every network, as a function: logits to percentiles in [0, 1]."""

    def __init__(self, ordered: Mapping[str, NDArray[np.float64]]) -> None:
        self.ordered = ordered  # per network the training rows' logits, sorted

    @classmethod
    def of(cls, X: pd.DataFrame) -> "Percentiles":
        """Return the percentiles of the training rows ``X``."""
        return cls({str(name): np.sort(column.dropna().to_numpy(dtype=np.float64)) for name, column in X.items()})

    def __call__(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return mid-rank percentiles (share below plus half the share equal); the missing stays missing."""
        return pd.DataFrame({name: self._percentile(name, X[name]) for name in self.ordered}, index=X.index)

    def _percentile(self, name: str, column: pd.Series) -> NDArray[np.float64]:
        values, known = column.to_numpy(dtype=np.float64), self.ordered[name]
        below = np.searchsorted(known, values, side="left")
        reached = np.searchsorted(known, values, side="right")
        return np.where(np.isnan(values), np.nan, (below + reached) / (2 * max(len(known), 1)))


class RankMean:
    """Call it with a design to get the mean percentile of every row; a row without any network gets 0.5."""

    def __init__(self, percentiles: Percentiles) -> None:
        self.percentiles = percentiles

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return a score in [0, 1] per row of ``X``, shape (n,); it does not depend on the other rows."""
        return self.percentiles(X).mean(axis=1).fillna(0.5).to_numpy(dtype=np.float64)


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> RankMean:
    """Return the rank mean; the target is not looked at."""
    return RankMean(Percentiles.of(X))


def save(fitted: RankMean, folder: Path) -> None:
    """Write the sorted logits of every network."""
    save_percentiles(fitted.percentiles, folder)
    write_facts(folder, "rank_mean")


def load(folder: Path) -> RankMean:
    """Return the rank mean that ``save`` wrote; raise InputFault for a damaged folder, or another learner's."""
    read_facts(folder, "rank_mean")
    return RankMean(load_percentiles(folder))


def save_percentiles(percentiles: Percentiles, folder: Path) -> None:
    """Write the sorted logits of every network into ``folder``."""
    write_arrays(folder / ORDERED, percentiles.ordered)


def load_percentiles(folder: Path) -> Percentiles:
    """Return what ``save_percentiles`` wrote; raise InputFault when it is missing or damaged."""
    return Percentiles(read_arrays(folder / ORDERED))
