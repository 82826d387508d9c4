"""Paired tests of two models on the same cases: DeLong's test and the bootstrap of patients."""

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from level2_stack.evaluation.auc import (
    Floats,
    Pair,
    auc_replicates,
    components_variance,
    delong_components,
    percentile_interval,
)

ROUNDING = 1e-12  # far below 1 / rows, the smallest difference of two components


class PairedTest(NamedTuple):
    """A statistic that is standard normal if two AUCs are equal, and its two-sided p."""

    z: float
    p: float


UNKNOWN = PairedTest(float("nan"), float("nan"))


def _has_few_rows(y: Floats) -> bool:
    return bool(min(y.sum(), len(y) - y.sum()) < 2)


def _delong_test(components: tuple[Floats, Floats], against: tuple[Floats, Floats]) -> PairedTest:
    """Return DeLong's test (1988) of the difference of two correlated AUCs, from the components of each.

    The variance, which includes the covariance, is that of the differences of the structural components. The test
    treats rows as independent, which a patient's pictures are not. Scores with the same order give z = 0 and p = 1; the
    result is NaN if the AUCs differ but the variance is 0.
    """
    of_positives, of_negatives = components[0] - against[0], components[1] - against[1]
    gain = of_positives.mean()
    if max(np.ptp(of_positives), np.ptp(of_negatives)) < ROUNDING:
        return PairedTest(0.0, 1.0) if abs(gain) < ROUNDING else UNKNOWN
    z = float(gain / np.sqrt(components_variance(of_positives, of_negatives)))
    return PairedTest(z, float(2 * norm.sf(abs(z))))


def bootstrap_p(gains: Floats) -> float:
    """Return the two-sided p of ``gains`` (b,), one per replicate: twice the smaller share on a side of 0, at most 1.

    The sample itself counts as one more replicate (Davison & Hinkley 1997, section 4.2), so p is never below
    2 / (b + 1). NaN among the gains is ignored; without any other value the result is NaN.
    """
    values = gains[~np.isnan(gains)]
    if not len(values):
        return float("nan")
    smaller = min(int((values <= 0).sum()), int((values >= 0).sum()))
    return min(1.0, 2 * (1 + smaller) / (1 + len(values)))


def compare(
    y: Floats,
    scores: pd.DataFrame,
    groups: NDArray[np.object_],
    *,
    pairs: Sequence[Pair] | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per pair of models: both AUCs, the gain of the first, its interval and two tests.

    ``y`` (n,) is 0/1, ``scores`` n x models, ``groups`` (n,) the patients; ``pairs`` are (model, against), by default
    every two models once. A pair is compared on the rows where both are not NaN. Columns: ``model, against, rows,
    positives``; ``auc, auc_against`` on those rows; ``gain`` = auc - auc_against with ``low, high`` (95 % percentile
    interval, patients resampled) and ``p_bootstrap``, which allow for the similarity of a patient's pictures;
    ``z_delong, p_delong``, which do not. p values are not corrected for several pairs: of 20 pairs of equal models, one
    is expected below 0.05.
    """
    model_pairs = list(combinations(scores.columns, 2)) if pairs is None else list(pairs)
    both_ways = [pair for a, b in model_pairs for pair in ((a, b), (b, a))]
    aucs = auc_replicates(y, scores, groups, both_ways, replicates=replicates, seed=seed)
    delong = _DeLong(y, scores)
    rows = [
        {"model": a, "against": b, **_bootstrap_gain(aucs[a, b], aucs[b, a]), **delong.between(a, b)}
        for a, b in model_pairs
    ]
    leading = ["model", "against", "rows", "positives", "auc", "auc_against", "gain", "low", "high", "p_bootstrap"]
    return pd.DataFrame(rows, columns=[*leading, "z_delong", "p_delong"])


def _bootstrap_gain(aucs: Floats, against: Floats) -> dict[str, float]:
    """Return both AUCs of the sample, and the gain with its limits and p; both arrays are (1 + replicates,)."""
    gain, low, high = percentile_interval(aucs - against)
    limits = {"auc": float(aucs[0]), "auc_against": float(against[0]), "gain": gain, "low": low, "high": high}
    return limits | {"p_bootstrap": bootstrap_p((aucs - against)[1:])}


class _DeLong:
    """DeLong's test between columns of a table; the components of a model are computed once per set of rows."""

    def __init__(self, y: Floats, scores: pd.DataFrame) -> None:
        self._y, self._scores = y, scores
        self._cache: dict[tuple[Hashable, bytes], tuple[Floats, Floats]] = {}

    def between(self, a: Hashable, b: Hashable) -> dict[str, float]:
        """Return the number of rows with both scores, of positives among them, z and p."""
        rows = self._scores[[a, b]].notna().all(axis=1).to_numpy()
        y = self._y[rows]
        z, p = UNKNOWN if _has_few_rows(y) else _delong_test(self._components(a, rows), self._components(b, rows))
        return {"rows": len(y), "positives": int(y.sum()), "z_delong": z, "p_delong": p}

    def _components(self, name: Hashable, rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        key = (name, rows.tobytes())
        if key not in self._cache:
            score = self._scores[name].to_numpy(dtype=np.float64)
            self._cache[key] = delong_components(self._y[rows], score[rows])
        return self._cache[key]
