"""The lines of the report's charts: ROC, precision-recall and decision curves, thinned to what an eye can see."""

import numpy as np
from numpy.typing import NDArray

from level2_stack.evaluate import Floats, ratio

MOST_POINTS = 250


def roc_line(y: Floats, score: Floats, most: int = MOST_POINTS) -> Floats:
    """Return the ROC curve, (points, 2): 1 - specificity and sensitivity, from (0, 0) to (1, 1).

    ``y`` (n,) is 0/1 and has both classes; rows whose ``score`` (n,) is NaN are left out.
    """
    called = _called(y, score, np.ones_like(y))
    return thinned(np.vstack([[0.0, 0.0], called[:, ::-1] / called[-1, ::-1]]), most)


def precision_line(y: Floats, score: Floats, weights: Floats, most: int = MOST_POINTS) -> Floats:
    """Return the precision-recall curve, (points, 2): recall and precision, from the highest score down.

    ``weights`` (n,) count as rows, which puts precision at another prevalence.
    """
    caught, alarms = _called(y, score, weights).T
    first = int(np.argmax(caught > 0))  # before the first positive precision is 0 of nothing found
    caught, alarms = caught[first:], alarms[first:]
    return thinned(np.column_stack([caught / caught[-1], caught / (caught + alarms)]), most)


def decision_line(y: Floats, score: Floats, weights: Floats, thresholds: Floats) -> Floats:
    """Return the decision curve, (points, 2): threshold in [0, 1) and net benefit per case (Vickers & Elkin 2006).

    Net benefit is the share of true positives minus that of false positives times the odds of the threshold.
    """
    kept = ~np.isnan(score)
    y, score, weights = y[kept], score[kept], weights[kept]
    order = np.argsort(score, kind="stable")
    caught, alarms = (np.r_[0.0, np.cumsum((weights * part)[order][::-1])] for part in (y, 1 - y))
    above = len(score) - np.searchsorted(score[order], thresholds, side="left")
    benefit = (caught[above] - alarms[above] * ratio(thresholds, 1 - thresholds)) / weights.sum()
    return np.column_stack([thresholds, benefit])


def all_called(prevalence: float, thresholds: Floats) -> Floats:
    """Return the decision curve, (points, 2), of calling every case malignant."""
    benefit = prevalence - (1 - prevalence) * ratio(thresholds, 1 - thresholds)
    return np.column_stack([thresholds, benefit])


def thinned(line: Floats, most: int = MOST_POINTS) -> Floats:
    """Return at most ``most`` points of ``line`` (n, 2), evenly spread along it; both ends stay."""
    if len(line) <= most:
        return line
    length = np.r_[0.0, np.cumsum(np.abs(np.diff(line, axis=0)).sum(axis=1))]
    wanted = np.searchsorted(length, np.linspace(0, length[-1], most))
    kept: NDArray[np.intp] = np.unique(np.r_[0, np.minimum(wanted, len(line) - 1), len(line) - 1])
    return line[kept]


def _called(y: Floats, score: Floats, weights: Floats) -> Floats:
    """Return the weight of true and false positives, (levels, 2), at every distinct score from the highest down."""
    kept = ~np.isnan(score)
    levels, level_of = np.unique(-score[kept], return_inverse=True)
    parts = (weights * y, weights * (1 - y))
    return np.column_stack([np.cumsum(np.bincount(level_of, part[kept], len(levels))) for part in parts])
