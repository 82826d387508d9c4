"""Update the calibration of frozen probabilities to new cases: nothing, the intercept, or intercept and slope."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import chi2

from level2_stack.calibration.calibrate import EPSILON
from level2_stack.evaluation.frozen_probabilities import cox_coefficients
from level2_stack.evaluation.subgroups import MIN_PATIENTS

Floats = NDArray[np.float64]
ALPHA = 0.05


class LocalUpdate(NamedTuple):
    """The update: log odds = intercept + slope * logit(p), with the tests that led to it.

    ``p_any`` tests that neither intercept nor slope differ from 0 and 1, ``p_slope`` that the slope does not differ.
    """

    intercept: float
    slope: float
    p_any: float
    p_slope: float

    @property
    def kind(self) -> str:
        """Return what is updated: "none", "intercept" or "intercept and slope"."""
        if (self.intercept, self.slope) == (0.0, 1.0):
            return "none"
        return "intercept" if self.slope == 1.0 else "intercept and slope"

    def __call__(self, probability: Floats) -> Floats:
        """Return the updated ``probability`` (n,)."""
        return update_log_odds(probability, self.intercept, self.slope)

    def of_one(self, probability: float) -> float:
        """Return one updated ``probability``."""
        return float(self(np.array([probability]))[0])


def update_log_odds(probability: Floats, intercept: float, slope: float) -> Floats:
    """Return ``probability`` (n,) with the log odds intercept + slope * logit(probability)."""
    margin = logit(np.clip(probability, EPSILON, 1 - EPSILON))
    return np.asarray(expit(intercept + slope * margin))


def choose_update(y: Floats, probability: Floats, groups: NDArray[np.object_]) -> LocalUpdate | None:
    """Choose the smallest update that ``y`` (n,) in 0/1 supports for ``probability`` (n,), by closed testing.

    After Vergouwe et al. 2017, doi 10.1002/sim.7179: nothing unless intercept and slope together differ from 0 and 1;
    then the intercept alone unless the slope differs from 1; each at the level 0.05. The tests are Wald tests with the
    sandwich covariance of patients (``groups`` (n,)), because pictures of a patient are not independent. None if the
    cases do not determine the coefficients, or if fewer than `MIN_PATIENTS` patients have a malignant, or a benign,
    picture: the sandwich covariance of so few is far too small. A slope that is not above 0 is never used: it would
    turn the order round.
    """
    if any(len(set(groups[y == label])) < MIN_PATIENTS for label in (0, 1)):
        return None
    margin = np.asarray(logit(np.clip(probability, EPSILON, 1 - EPSILON)))
    ones = np.ones((len(y), 1))
    intercept, slope = cox_coefficients(y, margin, ones, slope=True)[:, 0]
    if np.isnan(slope):
        return None
    covariance = _covariance(y, margin, groups, float(intercept), float(slope))
    difference = np.array([intercept, slope - 1])
    p_any = float(chi2.sf(difference @ np.linalg.solve(covariance, difference), 2))
    p_slope = float(chi2.sf(difference[1] ** 2 / covariance[1, 1], 1))
    if p_any >= ALPHA:
        return LocalUpdate(0.0, 1.0, p_any, p_slope)
    if p_slope >= ALPHA or slope <= 0:
        return LocalUpdate(float(cox_coefficients(y, margin, ones, slope=False)[0, 0]), 1.0, p_any, p_slope)
    return LocalUpdate(float(intercept), float(slope), p_any, p_slope)


def _covariance(y: Floats, margin: Floats, groups: NDArray[np.object_], intercept: float, slope: float) -> Floats:
    """Return the covariance (2, 2) of intercept and slope, scores summed by patient (Huber 1967; Rogers 1993)."""
    p = expit(intercept + slope * margin)
    design = np.column_stack([np.ones_like(margin), margin])
    information = (design * (p * (1 - p))[:, np.newaxis]).T @ design
    patients, patient_of = np.unique(groups.astype(str), return_inverse=True)
    scores = np.zeros((len(patients), 2))
    np.add.at(scores, patient_of, design * (y - p)[:, np.newaxis])
    inverse = np.linalg.inv(information)
    correction = len(patients) / max(len(patients) - 1, 1)
    return np.asarray(correction * inverse @ (scores.T @ scores) @ inverse)
