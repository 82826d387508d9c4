"""A smooth calibration curve with a band: restricted cubic splines, patients resampled."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from level2_stack.calibration.calibrate import EPSILON
from level2_stack.evaluation.auc import LEVEL, Draws, Floats

# Harrell 2015, Regression Modeling Strategies, table 2.3: quantiles at which the knots lie, by their number.
KNOTS = {3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}
POSITIVES_PER_KNOT = 20  # with fewer the ends of the curve follow single cases
POINTS = 100
INVERSE_PENALTY = 1e4  # weak: it only keeps the coefficients finite where the classes of a replicate are separable


class SmoothCalibration(NamedTuple):
    """The curve and its distance from the diagonal: mean (ICI), 90 % quantile (E90) and maximum over the cases."""

    curve: pd.DataFrame  # probability, observed, low, high
    mean_distance: float
    distance_90: float
    largest_distance: float


def smooth_calibration(
    y: Floats, probability: Floats, groups: NDArray[np.object_], *, replicates: int = 200, seed: int = 0
) -> SmoothCalibration | None:
    """Return the share of positives as a smooth function of ``probability`` (n,), with its 95 % band.

    ``y`` (n,) is 0/1, ``groups`` (n,) the patients, which are resampled for the band (percentiles). The curve is a
    logistic regression on a restricted cubic spline of logit(probability), with knots as Harrell 2015 sets them: five,
    or fewer with few positives. The distances are the integrated calibration index and its relatives of Austin and
    Steyerberg 2019, doi 10.1002/sim.8281. None if there are too few positives, negatives or different probabilities.
    """
    margin = np.asarray(logit(np.clip(probability, EPSILON, 1 - EPSILON)))
    knots = _knots(margin, int(min(y.sum(), len(y) - y.sum())))
    if knots is None:
        return None
    grid = np.quantile(margin, np.linspace(0.005, 0.995, POINTS))
    design, at_grid = spline_basis(margin, knots), spline_basis(grid, knots)
    draws = Draws(groups, replicates=replicates, seed=seed)
    weightings = (count[draws.patient_of] for counts in draws.batches(32) for count in counts.T)
    models = [_fit(design, y, weights) for weights in weightings if len(np.unique(y[weights > 0])) == 2]
    curves = [model.predict_proba(at_grid)[:, 1] for model in models]
    low, high = np.quantile(curves[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    p = 1 / (1 + np.exp(-grid))
    curve = pd.DataFrame({"probability": p, "observed": curves[0], "low": low, "high": high}).drop_duplicates()
    distance = np.abs(models[0].predict_proba(design)[:, 1] - probability)
    return SmoothCalibration(curve, float(distance.mean()), float(np.quantile(distance, 0.9)), float(distance.max()))


def spline_basis(x: Floats, knots: Floats) -> Floats:
    """Return the restricted cubic spline basis of ``x`` (n,), (n, len(knots) - 1); it is linear beyond the outer knots.

    After Stone and Koo 1985, in the form of Harrell 2015, equation 2.25.
    """
    last, before, width = knots[-1], knots[-2], knots[-1] - knots[0]

    def cube_above(knot: float) -> Floats:
        """Return the truncated cube of ``x`` above ``knot``."""
        return np.maximum(x - knot, 0) ** 3

    terms = [
        (
            cube_above(knot)
            - cube_above(before) * (last - knot) / (last - before)
            + cube_above(last) * (before - knot) / (last - before)
        )
        / width**2
        for knot in knots[:-2]
    ]
    return np.column_stack([x, *terms])


def _knots(margin: Floats, rarer: int) -> Floats | None:
    """Return the knots for ``margin`` (n,) with ``rarer`` rows of the rarer class; None if there are too few."""
    for count in sorted(KNOTS, reverse=True):
        knots = np.unique(np.quantile(margin, KNOTS[count]))
        if len(knots) == count and rarer >= POSITIVES_PER_KNOT * (count - 2):
            return knots
    return None


def _fit(design: Floats, y: Floats, weights: Floats) -> LogisticRegression:
    regression = LogisticRegression(C=INVERSE_PENALTY, solver="newton-cholesky", tol=1e-8, max_iter=200)
    return regression.fit(design, y, sample_weight=weights)
