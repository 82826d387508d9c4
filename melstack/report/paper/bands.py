"""The 95 % bands of a paper's curves: percentiles over resampled patients."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.at_thresholds import measures_at_thresholds
from level2_stack.evaluation.auc import LEVEL, Draws, Floats, PatientROC, RocWeights, replicate
from level2_stack.evaluation.metrics import sensitivity_at
from level2_stack.evaluation.smooth_calibration import smooth_calibration
from melstack.report.run_page.inputs import StackResults

BAND_PERCENTS = tuple(range(101))  # of specificity, at which the band of the ROC curve is computed
REPLICATES = 500
STEPS = 60  # thresholds of the decision curve's band


def roc_band(stack: StackResults) -> Floats:
    """Return the band of the headline's ROC curve, (101, 3): 1 - specificity, lowest and highest sensitivity."""
    score = stack.score(stack.headline)
    has_score = ~np.isnan(score)
    return sensitivity_band(stack.y[has_score], score[has_score], stack.groups[has_score])


def sensitivity_band(y: Floats, score: Floats, groups: NDArray[np.object_], replicates: int = REPLICATES) -> Floats:
    """Return the 95 % band of a ROC curve, (101, 3): 1 - specificity, lowest and highest sensitivity.

    At every whole percent of specificity: the percentiles, over resampled patients, of the highest sensitivity of any
    threshold with at least that specificity. ``y`` (n,) is 0/1, ``groups`` (n,) are the patients.
    """
    draws = Draws(groups, replicates=replicates, seed=0)
    roc = PatientROC(y, score, draws.patient_of, draws.patients)
    values = replicate({"": lambda counts: _sensitivities(roc(counts))}, draws, cells=4 * int(y.sum()) + 1)[""][:, 1:]
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return np.column_stack([1 - np.array(BAND_PERCENTS) / 100, low, high])[::-1]


def _sensitivities(weights: RocWeights) -> Floats:
    return np.stack([sensitivity_at(weights, percent) for percent in BAND_PERCENTS])


def benefit_band(stack: StackResults, high: float) -> Floats:
    """Return the band of the headline's decision curve up to the threshold ``high``, (k, 3): threshold, limits."""
    score = stack.score(stack.headline)
    has_score = ~np.isnan(score)
    thresholds = np.linspace(0, high, STEPS + 1)[1:]
    table = measures_at_thresholds(
        stack.y[has_score], score[has_score], stack.groups[has_score], thresholds, stack.weights[has_score]
    )
    return table[["threshold", "net_benefit_low", "net_benefit_high"]].to_numpy(np.float64)


def smooth_curve(stack: StackResults) -> pd.DataFrame | None:
    """Return the headline's smooth calibration curve: probability, observed, low, high.

    None with too few cases, and for another prevalence than that of the training cases, which the curve does not know.
    """
    score = stack.score(stack.headline)
    if stack.deployment_prevalence is not None or np.isnan(score).any():
        return None
    curve = smooth_calibration(stack.y, score, stack.groups)
    return None if curve is None else curve.curve
