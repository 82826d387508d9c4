"""Tests of the measures of frozen probabilities against independent code."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from level2_stack.evaluation.frozen_probabilities import calibration_measures, cox_coefficients
from tests.level2_stack.drawn_probabilities import draw


def values(table: pd.DataFrame) -> dict[str, float]:
    return dict(zip(table["metric"], table["value"], strict=True))


def test_measures_agree_with_scikit_learn() -> None:
    y, p, groups = draw()
    measures = values(calibration_measures(y, p, groups, replicates=5))
    regression = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(logit(p)[:, None], y)
    assert measures["slope"] == pytest.approx(regression.coef_[0, 0], abs=1e-6)
    assert measures["intercept"] == pytest.approx(regression.intercept_[0], abs=1e-6)
    assert measures["brier"] == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    assert measures["log_loss"] == pytest.approx(log_loss(y, p), abs=1e-12)
    assert measures["observed_expected"] == pytest.approx(y.sum() / p.sum(), abs=1e-12)
    share = y.mean()
    assert measures["scaled_brier"] == pytest.approx(1 - brier_score_loss(y, p) / (share * (1 - share)), abs=1e-12)


def test_calibration_in_the_large_makes_the_mean_probability_the_share_of_positives() -> None:
    y, p, groups = draw()
    shift = values(calibration_measures(y, p, groups, replicates=5))["in_the_large"]
    assert expit(logit(p) + shift).mean() == pytest.approx(y.mean(), abs=1e-9)


def test_weights_count_rows() -> None:
    y, p, _ = draw(rows=200)
    counts = np.random.default_rng(1).integers(0, 4, len(y))
    by_weights = cox_coefficients(y, np.asarray(logit(p)), counts[:, None].astype(np.float64), slope=True)
    by_rows = cox_coefficients(
        np.repeat(y, counts), np.repeat(logit(p), counts), np.ones((counts.sum(), 1)), slope=True
    )
    np.testing.assert_allclose(by_weights, by_rows, atol=1e-8)


def test_limits_widen_with_pictures_of_the_same_patient() -> None:
    y, p, _ = draw(rows=600)
    alone = calibration_measures(y, p, np.arange(600).astype(object)).set_index("metric")
    twice = calibration_measures(np.tile(y, 4), np.tile(p, 4), np.tile(np.arange(600), 4).astype(object)).set_index(
        "metric"
    )
    width = [table.loc["slope", "high"] - table.loc["slope", "low"] for table in (alone, twice)]
    assert width[1] == pytest.approx(width[0], rel=0.01)  # four copies of a picture say no more than one


@pytest.mark.parametrize(
    "y", [np.zeros(50), np.ones(50), np.repeat([0.0, 1.0], 25)], ids=["benign", "malignant", "apart"]
)
def test_without_a_maximum_there_is_no_slope(y: NDArray[np.float64]) -> None:
    p = np.linspace(0.01, 0.99, 50)
    measures = values(calibration_measures(y, p, np.arange(50).astype(object), replicates=5))
    assert np.isnan(measures["slope"])
    assert np.isfinite(measures["brier"])


def test_a_certain_wrong_probability_gives_finite_measures() -> None:
    y, p, groups = draw(rows=300)
    p[:3] = [0.0, 1.0, 0.0]
    y[:3] = [1.0, 0.0, 0.0]
    measures = values(calibration_measures(y, p, groups, replicates=5))
    assert all(np.isfinite(value) for value in measures.values())


@pytest.mark.parametrize("shift", [-6.0, -3.0, 0.0, 4.0])
def test_probabilities_far_from_the_share_of_positives_have_a_slope(shift: float) -> None:
    y, p, groups = draw(rows=400, intercept=-0.5)
    measures = values(calibration_measures(y, expit(0.4 * logit(p) + shift), groups, replicates=20))
    regression = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit((0.4 * logit(p) + shift)[:, None], y)
    assert measures["slope"] == pytest.approx(regression.coef_[0, 0], abs=1e-5)


def test_every_replicate_with_both_classes_has_a_slope() -> None:
    y, p, _ = draw(rows=300, intercept=-2.0)
    counts = np.random.default_rng(0).multinomial(300, np.full(300, 1 / 300), size=200).T.astype(np.float64)
    lines = cox_coefficients(y, np.asarray(logit(p)) - 4, counts, slope=True)
    assert np.isfinite(lines).all()
