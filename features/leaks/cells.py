"""How well the cells of a table tell malignant from benign cases: shares of other folds, their AUC, its interval."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

Numbers = NDArray[np.float64]
Codes = NDArray[np.intp]
PRIOR_CASES = 2.0  # a cell's share counts as if it had this many more cases with the share of all cases
# Between a figure and the limits of its interval; rows of one patient are not independent, so fewer would be too few.
STANDARD_ERRORS = 3.0


class Estimate(NamedTuple):
    """An AUC and the limits of its interval, STANDARD_ERRORS away from it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"AUC {self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


class Counts(NamedTuple):
    """Cases per cell and fold, (cells, folds): all of them, and the malignant ones."""

    cases: Numbers
    malignant: Numbers

    def log_odds(self) -> Numbers:
        """Return the log odds of malignant cases in each cell, from the other folds, (cells, folds)."""
        cases = self.cases.sum(axis=1, keepdims=True) - self.cases
        malignant = self.malignant.sum(axis=1, keepdims=True) - self.malignant
        share = malignant.sum(axis=0) / np.maximum(cases.sum(axis=0), 1)
        estimate = (malignant + PRIOR_CASES * share) / (cases + PRIOR_CASES)
        return np.asarray(logit(np.clip(estimate, 1e-9, 1 - 1e-9)))

    def auc(self, score: Numbers) -> Estimate:
        """Return the AUC of ``score`` (cells, folds) over the cases."""
        _, level = np.unique(score.ravel(), return_inverse=True)
        positives = np.bincount(level, self.malignant.ravel()).astype(np.float64)
        negatives = np.bincount(level, (self.cases - self.malignant).ravel()).astype(np.float64)
        below = np.cumsum(negatives) - negatives
        pairs = positives.sum() * negatives.sum()
        if pairs == 0:
            return Estimate(0.5, 0.0, 1.0)
        return with_interval(float((positives * (below + negatives / 2)).sum() / pairs), positives, negatives)


def with_interval(auc: float, positives: Numbers, negatives: Numbers) -> Estimate:
    """Return ``auc`` with its interval by Hanley & McNeil (1982), from the weights of positives and negatives."""
    count, others = float(positives.sum()), float(negatives.sum())
    area = max(auc, 1 - auc)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (count - 1) * (first - area**2) + (others - 1) * (second - area**2)
    error = float(np.sqrt(max(variance, 0) / (count * others)))
    return Estimate(auc, auc - STANDARD_ERRORS * error, min(auc + STANDARD_ERRORS * error, 1.0))


def count_cells(codes: Codes, malignant: NDArray[np.bool_], folds: Codes) -> Counts:
    """Return the counts of the cells ``codes`` (n,) from 0, in each of ``folds`` (n,) from 0."""
    shape = (int(codes.max()) + 1, int(folds.max()) + 1)
    places = codes * shape[1] + folds
    size = shape[0] * shape[1]
    cases = np.bincount(places, minlength=size).astype(np.float64)
    positives = np.bincount(places[malignant], minlength=size).astype(np.float64)
    return Counts(cases.reshape(shape), positives.reshape(shape))
