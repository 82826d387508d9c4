"""How good a score is and how sure of it one can be: exact AUC, intervals by patients, paired differences, DeLong."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

Floats = NDArray[np.float64]
LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate and the limits it lies between at 95 %."""

    value: float
    low: float
    high: float


def auc(y: Floats, score: Floats) -> float:
    """Return the exact area under the ROC curve of ``score`` (n,) for ``y`` (n,) in 0/1; NaN where one class lacks."""
    return float(roc_auc_score(y, score)) if 0 < y.sum() < len(y) else float("nan")


class WeightedAUC:
    """The AUC of one score under many weightings of its rows; sorts once."""

    def __init__(self, y: Floats, score: Floats) -> None:
        self._order = np.argsort(score, kind="stable")
        ordered = score[self._order]
        self._positive = y[self._order] == 1
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # of runs of equal scores
        self._run = np.repeat(np.arange(len(self._starts)), np.diff(np.r_[self._starts, len(ordered)]))[self._positive]

    def __call__(self, weights: Floats) -> float:
        """Return the AUC with ``weights`` (n,) >= 0 as row counts; NaN where one class weighs nothing.

        The probability that a positive stands above a negative, a tie counting half: Mann-Whitney, weighted.
        """
        ordered = weights[self._order]
        positive = ordered[self._positive]
        tied = np.add.reduceat(np.where(self._positive, 0.0, ordered), self._starts)
        below = np.cumsum(tied) - tied / 2
        total = positive.sum() * tied.sum()
        return float(positive @ below[self._run] / total) if total else float("nan")


def patient_bootstrap(
    y: Floats,
    scores: pd.DataFrame,
    groups: NDArray[np.object_],
    *,
    reference: str | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return AUC and 95 % percentile interval of every column of ``scores``, resampling patients with replacement.

    ``y`` (n,) is 0/1, ``scores`` n x models, ``groups`` (n,) the patients. A model is scored on the rows where it is
    not NaN. The result has a row per model and columns ``auc, low, high`` and, with a ``reference`` among the models,
    ``gain, gain_low, gain_high``: the reference's AUC minus the model's, over the rows both have, paired by replicate.
    A replicate with one class only says nothing and is left out.
    """
    patients, patient_of = np.unique(groups.astype(str), return_inverse=True)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=replicates)
    resampled = _Resampled(y, drawn.astype(np.float64), patient_of)
    rows = {}
    for name, score in scores.items():
        values = score.to_numpy(dtype=np.float64)
        rows[name] = resampled.alone(values)
        if reference is not None:
            rows[name] |= resampled.against(values, scores[reference].to_numpy(dtype=np.float64))
    return pd.DataFrame.from_dict(rows, orient="index")


class _Resampled:
    def __init__(self, y: Floats, drawn: Floats, patient_of: NDArray[np.intp]) -> None:
        self._y, self._drawn, self._patient_of = y, drawn, patient_of
        self._known: dict[bytes, Floats] = {}

    def alone(self, score: Floats) -> dict[str, float]:
        values = self._values(score, ~np.isnan(score))
        return dict(zip(("auc", "low", "high"), _percentile_interval(values), strict=True))

    def against(self, score: Floats, reference: Floats) -> dict[str, float]:
        common = ~np.isnan(score) & ~np.isnan(reference)
        gains = self._values(reference, common) - self._values(score, common)
        return dict(zip(("gain", "gain_low", "gain_high"), _percentile_interval(gains), strict=True))

    def _values(self, score: Floats, kept: NDArray[np.bool_]) -> Floats:
        """Return the AUC of the sample itself, then of every replicate."""
        key = np.where(kept, score, np.nan).tobytes()
        if key not in self._known:
            weighted, patient_of = WeightedAUC(self._y[kept], score[kept]), self._patient_of[kept]
            sample = weighted(np.ones(len(patient_of)))
            self._known[key] = np.array([sample, *(weighted(counts[patient_of]) for counts in self._drawn)])
        return self._known[key]


def _percentile_interval(values: Floats) -> Interval:
    drawn = values[1:][~np.isnan(values[1:])]
    if not len(drawn):
        return Interval(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), float(low), float(high))


def delong_variance(y: Floats, score: Floats) -> float:
    """Return the variance of the AUC by DeLong et al. 1988, in the O(n log n) form of Sun & Xu 2014 (mid-ranks).

    It takes rows as independent, which a patient's pictures are not; NaN with fewer than two rows of a class.
    """
    positive = y == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if min(n_positive, n_negative) < 2:
        return float("nan")
    ranks = rankdata(score)
    of_positives = (ranks[positive] - rankdata(score[positive])) / n_negative
    of_negatives = 1 - (ranks[~positive] - rankdata(score[~positive])) / n_positive
    return float(np.var(of_positives, ddof=1) / n_positive + np.var(of_negatives, ddof=1) / n_negative)


def delong_interval(y: Floats, score: Floats) -> Interval:
    """Return the AUC with its 95 % normal interval by DeLong's variance, cut to [0, 1]."""
    value = auc(y, score)
    reach = norm.ppf((1 + LEVEL) / 2) * np.sqrt(delong_variance(y, score))
    return Interval(value, float(np.maximum(value - reach, 0.0)), float(np.minimum(value + reach, 1.0)))
