"""How good probabilities are that were fixed before the labels were read: calibration and overall accuracy."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from level2_stack.calibration.calibrate import EPSILON
from level2_stack.calibration.reliability import expected_calibration_error, log_losses
from level2_stack.evaluation.auc import Draws, Floats, percentile_interval, ratio, replicate

MEASURES = ("slope", "intercept", "in_the_large", "observed_expected", "brier", "scaled_brier", "log_loss")
ECE = "ece"
# The value that a perfect model has; of the others the best value depends on the cases.
IDEAL: Mapping[str, float] = {"slope": 1.0, "intercept": 0.0, "in_the_large": 0.0, "observed_expected": 1.0}
STEPS, TOLERANCE, LARGEST = 60, 1e-9, 50.0  # of Newton's method; a coefficient above LARGEST means separable classes


def calibration_measures(
    y: Floats, probability: Floats, groups: NDArray[np.object_], *, replicates: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Return one row per measure of ``probability`` (n,) for ``y`` (n,) in 0/1: value and 95 % limits.

    The limits are percentiles over replicates that draw the patients in ``groups`` (n,) with replacement. Columns:
    ``metric, value, low, high``. Measures: ``slope`` and ``intercept`` of the logistic regression of ``y`` on
    logit(probability) (Cox 1958), ``in_the_large``, the intercept for a slope of 1, ``observed_expected``, the number
    of positives over the sum of the probabilities, ``brier``, ``scaled_brier``, 1 - brier / (share * (1 - share)) with
    the share of positives (1 is perfect, 0 as good as the share), ``log_loss`` in nats, and ``ece`` in 15 bins of equal
    count, without limits because resampling raises it. A value is NaN if the data do not determine it: one class, or
    classes that a threshold separates.
    """
    draws = Draws(groups, replicates=replicates, seed=seed)
    statistic = partial(_measures, y, np.clip(probability, EPSILON, 1 - EPSILON), draws.patient_of)
    values = replicate({"": statistic}, draws, cells=8 * len(y))[""]
    rows: list[dict[str, object]] = [
        {"metric": name, **percentile_interval(row)._asdict()} for name, row in zip(MEASURES, values, strict=True)
    ]
    rows.append({"metric": ECE, "value": expected_calibration_error(y, probability), "low": np.nan, "high": np.nan})
    return pd.DataFrame(rows)


def cox_coefficients(y: Floats, margin: Floats, weights: Floats, *, slope: bool) -> Floats:
    """Return intercept and slope of the logistic regression of ``y`` (n,) on ``margin`` (n,), (2, b).

    Every column of ``weights`` (n, b) >= 0 is a weighting of the rows. Without ``slope`` the slope is 1. By Newton's
    method; NaN where the likelihood has no maximum.
    """
    middle, spread = float(margin.mean()), float(margin.std()) or 1.0
    z = (margin - middle) / spread
    # From a slope of 0, where every row has its full curvature, steps rather fall short than lead too far.
    share = np.clip(ratio(y @ weights, weights.sum(axis=0)), EPSILON, 1 - EPSILON)
    start = np.zeros_like(share) if slope else np.full_like(share, spread)
    coefficients = np.vstack([logit(share), start])
    for _ in range(STEPS):
        step = _newton_step(y, z, weights, coefficients, slope=slope)
        # A long step can leave the region in which Newton's method converges; both parts keep their proportion.
        coefficients = coefficients - step * np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=0), TOLERANCE))
        if not (np.abs(step) > TOLERANCE).any():
            break
    has_maximum = (np.abs(step) <= TOLERANCE).all(axis=0) & (np.abs(coefficients) < LARGEST).all(axis=0)
    slopes = coefficients[1] / spread
    return np.asarray(np.where(has_maximum, np.stack([coefficients[0] - slopes * middle, slopes]), np.nan))


def _newton_step(y: Floats, margin: Floats, weights: Floats, coefficients: Floats, *, slope: bool) -> Floats:
    p = expit(coefficients[0] + margin[:, np.newaxis] * coefficients[1])
    residual, curvature = weights * (p - y[:, np.newaxis]), weights * p * (1 - p)
    gradient = np.stack([residual.sum(axis=0), margin @ residual])
    a, b, c = curvature.sum(axis=0), margin @ curvature, margin**2 @ curvature
    if not slope:
        return np.stack([ratio(gradient[0], a), np.zeros_like(a)])
    determinant = a * c - b**2
    return np.stack(
        [ratio(c * gradient[0] - b * gradient[1], determinant), ratio(a * gradient[1] - b * gradient[0], determinant)]
    )


def _measures(y: Floats, probability: Floats, patient_of: NDArray[np.intp], counts: Floats) -> Floats:
    """Return the measures (len(MEASURES), b) if each patient counts ``counts`` (patients, b) times."""
    weights = counts[patient_of]
    margin, total = np.asarray(logit(probability)), weights.sum(axis=0)
    share = ratio(y @ weights, total)
    intercept, slope = cox_coefficients(y, margin, weights, slope=True)
    in_the_large = cox_coefficients(y, margin, weights, slope=False)[0]
    brier = ratio((y - probability) ** 2 @ weights, total)
    log_loss = ratio(log_losses(y, probability) @ weights, total)
    scaled_brier = 1 - ratio(brier, share * (1 - share))
    observed_expected = ratio(y @ weights, probability @ weights)
    return np.stack([slope, intercept, in_the_large, observed_expected, brier, scaled_brier, log_loss])
