"""Tests of the smooth calibration curve."""

import numpy as np
import pytest
from scipy.special import expit, logit

from level2_stack.evaluation.smooth_calibration import smooth_calibration, spline_basis
from tests.level2_stack.drawn_probabilities import draw


def test_the_curve_follows_the_true_probability_and_its_band_holds_it() -> None:
    y, p, groups = draw(rows=6000)
    result = smooth_calibration(y, p, groups, replicates=100)
    assert result is not None
    truth = expit(0.5 + 0.7 * logit(result.curve["probability"]))
    assert np.abs(result.curve["observed"] - truth).max() < 0.06
    inside = (result.curve["low"] <= truth) & (truth <= result.curve["high"])
    assert inside.mean() > 0.85


def test_calibrated_probabilities_are_near_the_diagonal_and_others_are_not() -> None:
    y, p, groups = draw(rows=6000, slope=1.0, intercept=0.0)
    good = smooth_calibration(y, p, groups, replicates=2)
    bad = smooth_calibration(y, p**2, groups, replicates=2)
    assert good is not None
    assert bad is not None
    assert good.mean_distance < 0.02 < 0.05 < bad.mean_distance
    assert good.mean_distance <= good.distance_90 <= good.largest_distance


def test_the_basis_is_linear_beyond_the_outer_knots() -> None:
    knots = np.array([-2.0, 0.0, 1.0, 3.0])
    x = np.linspace(4, 8, 9)
    second = np.diff(spline_basis(x, knots), n=2, axis=0)
    np.testing.assert_allclose(second, 0, atol=1e-10)
    np.testing.assert_allclose(spline_basis(np.array([-5.0, -3.0]), knots)[:, 1:], 0)


@pytest.mark.parametrize("positives", [0, 5, 19])
def test_too_few_cases_of_a_class_give_no_curve(positives: int) -> None:
    y, p, groups = draw(rows=400)
    y = np.zeros_like(y)
    y[:positives] = 1
    assert smooth_calibration(y, p, groups, replicates=2) is None


def test_equal_probabilities_give_no_curve() -> None:
    y, p, groups = draw(rows=400)
    assert smooth_calibration(y, np.full_like(p, 0.3), groups, replicates=2) is None
