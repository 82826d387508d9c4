"""How far two parts of a data set lie apart, column by column, beside what chance would give to the same patients."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REPLICATES = 100
LEVEL = 0.95

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def total_variation(codes: NDArray[np.intp], other: Flags) -> float:
    """Return half the sum of absolute differences of the shares of ``codes`` (n,) between the parts of ``other``."""
    size = int(codes.max()) + 1
    one, two = (np.bincount(codes[part], minlength=size) / max(part.sum(), 1) for part in (other, ~other))
    return float(np.abs(one - two).sum() / 2)


class _Ordered:
    """Values placed in order once, for many ways to part them."""

    def __init__(self, values: Floats) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._last_of_tie = np.r_[ordered[1:] != ordered[:-1], True]

    def distance(self, other: Flags) -> float:
        """Return the Kolmogorov-Smirnov distance between the part where ``other`` and the part where not."""
        inside = other[self._order]
        one, two = np.cumsum(inside) / max(inside.sum(), 1), np.cumsum(~inside) / max((~inside).sum(), 1)
        return float(np.abs(one - two)[self._last_of_tie].max())


def distances(first: pd.DataFrame, second: pd.DataFrame, texts: list[str], seed: int = 0) -> list[dict[str, Any]]:
    """Return one row per column that both parts know, the one furthest beyond chance first: name, distance, chance.

    Columns in ``texts`` are compared by total variation with missing as a value, the others by Kolmogorov-Smirnov
    where they are known (kind "TV" or "KS"). ``chance`` is the 95 % quantile of the distance over `REPLICATES` random
    partings of all patients (column patient_id) into as many as there are in each part: a patient's pictures stay
    together, so a few large patients do not pass for a shift.
    """
    both = pd.concat([first, second])
    other = np.r_[np.zeros(len(first), dtype=bool), np.ones(len(second), dtype=bool)]
    patient_of, names = pd.factorize(both["patient_id"])
    partings = _partings(patient_of, len(names), other, seed)
    columns = [
        name for name in both if name != "patient_id" and first[name].notna().any() and second[name].notna().any()
    ]
    rows = [_distance(both[name], other, partings, name in texts) for name in columns]
    return sorted(rows, key=lambda row: row["chance"] - row["distance"])


def _partings(patient_of: NDArray[np.intp], patients: int, other: Flags, seed: int) -> list[Flags]:
    random = np.random.default_rng(seed)
    belongs = np.zeros(patients, dtype=bool)
    belongs[patient_of[other]] = True
    return [random.permutation(belongs)[patient_of] for _ in range(REPLICATES)]


def _distance(column: pd.Series, other: Flags, partings: list[Flags], text: bool) -> dict[str, Any]:
    if text:
        codes = pd.factorize(column, use_na_sentinel=False)[0]
        found = [total_variation(codes, parting) for parting in (other, *partings)]
    else:
        known = column.notna().to_numpy()
        ordered = _Ordered(column[known].to_numpy(dtype=np.float64))
        found = [ordered.distance(parting[known]) for parting in (other, *partings)]
    chance = float(np.quantile(found[1:], LEVEL))
    return {"name": str(column.name), "kind": "TV" if text else "KS", "distance": found[0], "chance": chance}


def separations(values: pd.DataFrame, target: pd.Series, patient: pd.Series, seed: int = 0) -> list[dict[str, Any]]:
    """Return one row per column of ``values`` (n x columns): how well it alone parts malignant from benign, best first.

    Columns: name, auc (above 0.5: larger in malignant pictures), low, high (95 %, patients resampled `REPLICATES`
    times). Rows without the value are left out; columns without both classes too.
    """
    patient_of, names = pd.factorize(patient)
    random = np.random.default_rng(seed)
    drawn = [np.bincount(random.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(REPLICATES)]
    y = target.to_numpy(dtype=np.float64)
    rows = [_separation(values[name], y, patient_of, drawn) for name in values]
    return sorted((row for row in rows if row), key=lambda row: -abs(row["auc"] - 0.5))


def _separation(
    column: pd.Series, y: Floats, patient_of: NDArray[np.intp], drawn: list[NDArray[np.intp]]
) -> dict[str, Any]:
    known = column.notna().to_numpy()
    if not 0 < y[known].sum() < known.sum():
        return {}
    place = np.unique(column[known].to_numpy(dtype=np.float64), return_inverse=True)[1]
    own, patients = y[known], patient_of[known]
    areas = [weighted_auc(place, own, counts[patients].astype(np.float64)) for counts in drawn]
    low, high = np.nanquantile(areas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    area = weighted_auc(place, own, np.ones(len(own)))
    return {"name": str(column.name), "auc": area, "low": float(low), "high": float(high)}


def weighted_auc(place: NDArray[np.intp], y: Floats, weight: Floats) -> float:
    """Return the weighted AUC of the ranks ``place`` (n,), ties equal, for ``y`` (n,) in 0/1; NaN with one class."""
    positive, negative = (np.bincount(place, weights=weight * part) for part in (y, 1 - y))
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan")
