"""Compare the inputs of new cases with those of the training cases: every column of level two, and the pictures."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from melstack.bundle.reference import QUANTILES, ColumnValues, summarise_column

COLUMNS = ["block", "column", "distance", "chance", "missing_training", "missing_here", "drifts"]
NOTABLE = 0.1  # distance from which a difference can matter; smaller ones are found in any other clinic
CHANCE = 1.36  # 95 % quantile of the Kolmogorov distribution, in units of sqrt(1 / n + 1 / m)


def drift_table(training: Mapping[str, ColumnValues], rows: int, inputs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per column of level two, the largest distance first.

    ``training`` summarises the columns of the ``rows`` training cases, ``inputs`` are those of the new cases (m rows).
    Columns: ``block`` and ``column``; ``distance``, for numbers the Kolmogorov-Smirnov distance of both distributions,
    for texts half the sum of the differences of the shares, missing values counted as a value of their own;
    ``chance``, which equal distributions exceed in 5 % of samples of independent rows (numbers, by Kolmogorov);
    ``missing_training`` and ``missing_here`` (shares); ``drifts``, whether the distance exceeds both chance and 0.1.
    """
    chance = CHANCE * float(np.sqrt(1 / max(rows, 1) + 1 / max(len(inputs), 1)))
    table = []
    for name, values in training.items():
        if name not in inputs:
            continue
        here = summarise_column(inputs[name])
        block, _, column = name.partition(".")
        distance = column_distance(values, here)
        missing = {"missing_training": values.missing, "missing_here": here.missing}
        drifts = distance > max(chance, NOTABLE)
        table.append(
            {"block": block, "column": column, "distance": distance, "chance": chance, **missing, "drifts": drifts}
        )
    return pd.DataFrame(table, columns=COLUMNS).sort_values("distance", ascending=False, ignore_index=True)


def column_distance(training: ColumnValues, here: ColumnValues) -> float:
    """Return the distance of two distributions, 0 (equal) to 1, with missing values as a value of their own."""
    missing = abs(training.missing - here.missing)
    if training.shares or here.shares:
        names = training.shares.keys() | here.shares.keys()
        differences = (
            (1 - training.missing) * training.shares.get(name, 0.0) - (1 - here.missing) * here.shares.get(name, 0.0)
            for name in names
        )
        return float((sum(map(abs, differences)) + missing) / 2)
    if not training.quantiles or not here.quantiles:
        return missing
    first, second = np.asarray(training.quantiles), np.asarray(here.quantiles)
    grid = np.concatenate([first, second])
    below = (1 - training.missing) * _share_below(first, grid) - (1 - here.missing) * _share_below(second, grid)
    return float(max(np.abs(below).max(), missing))


def unusual_share(unusual: pd.Series, limit: float = 0.95) -> float:
    """Return the share of pictures that are farther from the training pictures than ``limit`` of these; NaN if unknown.

    Pictures like those of the training cases give about 1 - ``limit``.
    """
    values = unusual.dropna()
    return float((values > limit).mean()) if len(values) else float("nan")


def _share_below(quantiles: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of a distribution with these ``quantiles`` at or below every one of ``values``."""
    # Of equal quantiles the last one counts: all rows with that value are at or below it.
    last = len(quantiles) - 1 - np.unique(quantiles[::-1], return_index=True)[1]
    return np.asarray(np.interp(values, quantiles[last], np.asarray(QUANTILES)[last], left=0.0, right=1.0))
