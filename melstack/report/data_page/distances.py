"""Distances between two parts of a data set, column by column, next to the distance expected by chance."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REPLICATES = 100
LEVEL = 0.95

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def total_variation(codes: NDArray[np.intp], other: Flags) -> float:
    """Return the total variation distance of ``codes`` (n,) between the rows with ``other`` and the rows without.

    It is half the sum of the absolute differences of the shares of all codes.
    """
    size = int(codes.max()) + 1
    shares, other_shares = (np.bincount(codes[part], minlength=size) / max(part.sum(), 1) for part in (~other, other))
    return float(np.abs(shares - other_shares).sum() / 2)


class _SortedValues:
    """Values that are sorted once and then split into two parts many times."""

    def __init__(self, values: Floats) -> None:
        self._order = np.argsort(values, kind="stable")
        values = values[self._order]
        self._last_of_tie = np.r_[values[1:] != values[:-1], True]

    def distance(self, other: Flags) -> float:
        """Return the Kolmogorov-Smirnov distance between the values with ``other`` and the values without."""
        in_order = other[self._order]
        shares, other_shares = (np.cumsum(part) / max(part.sum(), 1) for part in (~in_order, in_order))
        return float(np.abs(shares - other_shares)[self._last_of_tie].max())


def distances(first: pd.DataFrame, second: pd.DataFrame, texts: list[str], seed: int = 0) -> list[dict[str, Any]]:
    """Return one row per column that has values in both parts: name, kind, distance, chance.

    Columns in ``texts`` are compared by total variation (kind "TV") with missing as a value of its own, the others by
    Kolmogorov-Smirnov (kind "KS") without missing values. ``chance`` is the 95 % quantile of the distance over
    `REPLICATES` random splits of all patients (column patient_id) into parts with the same numbers of patients: the
    pictures of a patient stay together, so that a few patients with many pictures do not look like a shift. The
    column whose distance is furthest beyond chance comes first.
    """
    both = pd.concat([first, second])
    other = np.r_[np.zeros(len(first), dtype=bool), np.ones(len(second), dtype=bool)]
    patient_of, names = pd.factorize(both["patient_id"])
    splits = _random_splits(patient_of, len(names), other, seed)
    columns = [
        name for name in both if name != "patient_id" and first[name].notna().any() and second[name].notna().any()
    ]
    rows = [_distance(both[name], other, splits, name in texts) for name in columns]
    return sorted(rows, key=lambda row: row["chance"] - row["distance"])


def _random_splits(patient_of: NDArray[np.intp], patients: int, other: Flags, seed: int) -> list[Flags]:
    random = np.random.default_rng(seed)
    in_other = np.zeros(patients, dtype=bool)
    in_other[patient_of[other]] = True
    return [random.permutation(in_other)[patient_of] for _ in range(REPLICATES)]


def _distance(column: pd.Series, other: Flags, splits: list[Flags], text: bool) -> dict[str, Any]:
    if text:
        codes = pd.factorize(column, use_na_sentinel=False)[0]
        values = [total_variation(codes, split) for split in (other, *splits)]
    else:
        mask = column.notna().to_numpy()
        sorted_values = _SortedValues(column[mask].to_numpy(dtype=np.float64))
        values = [sorted_values.distance(split[mask]) for split in (other, *splits)]
    chance = float(np.quantile(values[1:], LEVEL))
    return {"name": str(column.name), "kind": "TV" if text else "KS", "distance": values[0], "chance": chance}


def separations(values: pd.DataFrame, target: pd.Series, patient: pd.Series, seed: int = 0) -> list[dict[str, Any]]:
    """Return one row per column of ``values`` (n x columns): how well it alone separates the classes, best first.

    Columns: name, auc (above 0.5: larger in malignant pictures), low, high (95 %, patients resampled `REPLICATES`
    times). Rows without a value are left out, and so are columns that have values of one class only.
    """
    patient_of, names = pd.factorize(patient)
    random = np.random.default_rng(seed)
    draws = [np.bincount(random.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(REPLICATES)]
    y = target.to_numpy(dtype=np.float64)
    rows = [_separation(values[name], y, patient_of, draws) for name in values]
    return sorted((row for row in rows if row), key=lambda row: -abs(row["auc"] - 0.5))


def _separation(
    column: pd.Series, y: Floats, patient_of: NDArray[np.intp], draws: list[NDArray[np.intp]]
) -> dict[str, Any]:
    mask = column.notna().to_numpy()
    if not 0 < y[mask].sum() < mask.sum():
        return {}
    ranks = np.unique(column[mask].to_numpy(dtype=np.float64), return_inverse=True)[1]
    y, patient_of = y[mask], patient_of[mask]
    areas = [weighted_auc(ranks, y, counts[patient_of].astype(np.float64)) for counts in draws]
    low, high = np.nanquantile(areas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    area = weighted_auc(ranks, y, np.ones(len(y)))
    return {"name": str(column.name), "auc": area, "low": float(low), "high": float(high)}


def weighted_auc(ranks: NDArray[np.intp], y: Floats, weight: Floats) -> float:
    """Return the weighted AUC of ``ranks`` (n,), equal for ties, against ``y`` (n,) in 0/1; NaN with one class."""
    positive, negative = (np.bincount(ranks, weights=weight * part) for part in (y, 1 - y))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan")
