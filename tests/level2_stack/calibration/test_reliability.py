"""Reliability, calibration errors and scores against scikit-learn, scipy, their definitions and simulations."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as log_loss_of_scikit_learn

from level2_stack.calibration.reliability import (
    brier,
    calibration_report,
    calibration_slope_intercept,
    class_weights,
    expected_calibration_error,
    log_loss,
    log_loss_gain,
    reliability_curve,
)
from runtime.errors import InputFault

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.floats(0, 1), st.integers(1, 3)), min_size=2, max_size=40
).filter(lambda rows: len({row[0] for row in rows}) == 2)


def draw_rows(n=3000, seed=0, mean=-2.0):
    """Return random targets, the probabilities from which they were drawn, and patients with three pictures each."""
    random = np.random.default_rng(seed)
    probability = expit(random.normal(mean, 1.5, size=n))
    patients = np.array([f"patient_{i // 3}" for i in range(n)], dtype=object)
    return (random.random(n) < probability).astype(float), probability, patients


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_scores_are_those_of_scikit_learn(rows):
    y, p, w = np.array(rows).T
    assert brier(y, p, w) == pytest.approx(brier_score_loss(y, p, sample_weight=w))
    assert log_loss(y, p, w) == pytest.approx(log_loss_of_scikit_learn(y, p, sample_weight=w))
    assert log_loss(y, p) == pytest.approx(log_loss_of_scikit_learn(y, p))


def test_the_log_loss_of_a_wrong_certainty_is_large_but_finite():
    assert log_loss(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(36.04, abs=0.01)


@pytest.mark.parametrize(("strategy", "theirs"), [("equal_count", "quantile"), ("equal_width", "uniform")])
def test_the_curve_is_that_of_scikit_learn(strategy, theirs):
    y, p, _ = draw_rows()
    curve = reliability_curve(y, p, bins=10, strategy=strategy)
    shares, mean_probability = calibration_curve(y, p, n_bins=10, strategy=theirs)
    np.testing.assert_allclose(curve["observed"], shares)
    np.testing.assert_allclose(curve["mean_probability"], mean_probability)


def test_a_curve_of_a_few_rows_equals_the_one_counted_by_hand():
    y = np.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    p = np.array([0.1, 0.2, 0.3, 0.6, 0.7, 0.9])
    curve = reliability_curve(y, p, bins=2)
    assert curve[["low", "high", "rows", "weight"]].to_numpy().tolist() == [[0.1, 0.3, 3, 3], [0.6, 0.9, 3, 3]]
    assert curve["mean_probability"].tolist() == pytest.approx([0.2, 2.2 / 3])
    assert curve["observed"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert expected_calibration_error(y, p, bins=2) == pytest.approx((0.4 / 3 + 0.2 / 3) / 2)
    with_ties = np.array([0.1, 0.2, 0.5, 0.5, 0.5, 0.5])  # the middle of the ties is in the upper half
    assert reliability_curve(y, with_ties, bins=2)["rows"].tolist() == [2, 4]


def test_the_interval_of_the_observed_share_is_that_of_wilson():
    y, p, _ = draw_rows(n=200)
    for row in reliability_curve(y, p, bins=4).itertuples():
        interval = binomtest(round(row.observed * row.rows), row.rows).proportion_ci(method="wilson")
        assert (row.observed_low, row.observed_high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_equal_weights_do_not_widen_an_interval_but_unequal_ones_do():
    y, p, _ = draw_rows(n=200)
    width = {}
    for name, weights in {"one": np.ones(200), "ten": np.full(200, 10.0), "uneven": np.where(y == 1, 9.0, 1.0)}.items():
        row = reliability_curve(y, p, weights, bins=1).loc[0]
        width[name] = row["observed_high"] - row["observed_low"]
    assert width["ten"] == pytest.approx(width["one"])
    assert width["uneven"] > 1.3 * width["one"]


@settings(deadline=None, max_examples=30)
@given(ROWS, st.sampled_from(["equal_count", "equal_width"]))
def test_every_row_is_in_one_bin_and_equal_probabilities_are_in_the_same(rows, strategy):
    y, p, w = np.array(rows).T
    curve = reliability_curve(y, p, w, bins=5, strategy=strategy)
    assert len(curve) <= 5
    assert curve["rows"].sum() == len(y)
    assert curve["weight"].sum() == w.sum()
    assert (curve["low"].to_numpy()[1:] > curve["high"].to_numpy()[:-1]).all()
    assert curve["observed_low"].le(curve["observed"] + 1e-12).all()
    assert curve["observed_high"].ge(curve["observed"] - 1e-12).all()


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_a_weight_counts_as_that_many_rows(rows):
    y, p, w = np.array(rows).T
    twice, times = [np.repeat(values, w.astype(int)) for values in (y, p)], w
    assert brier(y, p, times) == pytest.approx(brier(*twice))
    for strategy in ("equal_count", "equal_width"):
        error = expected_calibration_error(y, p, times, 4, strategy)
        assert error == pytest.approx(expected_calibration_error(*twice, None, 4, strategy))


def test_rows_of_weight_0_have_no_effect():
    y, p, _ = draw_rows(n=400)
    weights = (np.arange(400) % 2).astype(float)
    pd.testing.assert_frame_equal(
        reliability_curve(y, p, weights), reliability_curve(y[1::2], p[1::2]), check_exact=False
    )
    assert calibration_slope_intercept(y, p, weights) == pytest.approx(calibration_slope_intercept(y[1::2], p[1::2]))


def test_the_calibration_error_is_0_for_perfect_and_1_for_reversed_probabilities():
    y = np.array([0.0, 0.0, 1.0, 1.0])
    for strategy in ("equal_count", "equal_width"):
        assert expected_calibration_error(y, y, strategy=strategy) == 0
        assert expected_calibration_error(y, 1 - y, strategy=strategy) == 1
        assert expected_calibration_error(y, np.full(4, 0.5), strategy=strategy) == 0


def test_bins_of_equal_width_hide_the_error_of_a_rare_class():
    # Half of the rows have p 1 % and none is positive, half have p 5 % and 6 % are positive: one bin has no error.
    p = np.repeat([0.01, 0.05], 5000)
    y = np.r_[np.zeros(5000), np.arange(5000) < 300].astype(float)
    assert expected_calibration_error(y, p, strategy="equal_width") == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error(y, p) == pytest.approx(0.01)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, 0.0), (2.0, -1.0)])
def test_cox_finds_the_line_by_which_the_probabilities_were_changed(slope, intercept):
    y, p, _ = draw_rows(n=40_000)
    distorted_p = expit((logit(p) - intercept) / slope)
    line = calibration_slope_intercept(y, distorted_p)
    assert (line.slope, line.intercept) == (pytest.approx(slope, rel=0.05), pytest.approx(intercept, abs=0.1))
    assert expit(logit(distorted_p) + line.in_the_large).mean() == pytest.approx(y.mean())


def test_in_the_large_is_below_0_if_probabilities_are_too_high():
    y, p, _ = draw_rows(n=40_000)
    line = calibration_slope_intercept(y, expit(logit(p) + 1.5))
    assert line.in_the_large == pytest.approx(-1.5, abs=0.05)
    assert line.slope == pytest.approx(1, abs=0.05)


def test_values_that_the_data_do_not_determine_are_nan():
    y, p = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.7, 0.8])
    separable = calibration_slope_intercept(y, p)
    assert np.isnan([separable.slope, separable.intercept]).all()
    assert np.isfinite(separable.in_the_large)
    assert np.isnan(calibration_slope_intercept(np.zeros(4), p)).all()
    constant = calibration_slope_intercept(y, np.full(4, 0.5))
    assert np.isnan(constant.slope)
    assert constant.in_the_large == pytest.approx(0.0)


def test_the_report_has_a_row_per_model_with_the_single_figures():
    y, p, _ = draw_rows(n=900)
    weights = class_weights(y, 0.0176)
    report = calibration_report(y, {"true": p, "gappy": np.where(np.arange(900) < 300, np.nan, p)}, weights)
    assert report.index.tolist() == ["true", "gappy"]
    assert report["rows"].tolist() == [900, 600]
    true, gappy = report.loc["true"], report.loc["gappy"]
    assert true["log_loss"] == log_loss(y, p, weights)
    assert true["ece"] == expected_calibration_error(y, p, weights)
    assert true["ece_equal_width"] == expected_calibration_error(y, p, weights, strategy="equal_width")
    assert true["slope"] == calibration_slope_intercept(y, p, weights).slope
    assert true["observed"] == pytest.approx(0.0176)
    assert gappy["brier"] == brier(y[300:], p[300:], weights[300:])


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2).filter(lambda y: 0 < sum(y) < len(y)), st.floats(0.001, 0.999))
def test_with_class_weights_the_table_has_the_deployment_prevalence(labels, prevalence):
    y = np.array(labels)
    weights = class_weights(y, prevalence)
    assert weights.mean() == pytest.approx(1)
    assert np.average(y, weights=weights) == pytest.approx(prevalence)


@pytest.mark.parametrize(("y", "prevalence"), [([0.0, 1.0], 0.0), ([0.0, 1.0], 1.0), ([0.0, 0.0], 0.5)])
def test_impossible_weights_are_refused(y, prevalence):
    with pytest.raises(InputFault, match="both must be between 0 and 1"):
        class_weights(np.array(y), prevalence)


def test_a_case_control_table_with_class_weights_has_the_errors_of_the_whole_table():
    y, p, _ = draw_rows(n=40_000, mean=-3.0)
    rows = (y == 1) | (np.random.default_rng(5).random(len(y)) < 0.2)
    weights = class_weights(y[rows], float(y.mean()))
    assert log_loss(y[rows], p[rows], weights) == pytest.approx(log_loss(y, p), rel=0.03)
    assert expected_calibration_error(y[rows], p[rows], weights, bins=5) < 0.005
    assert expected_calibration_error(y[rows], p[rows], bins=5) > 0.05


def test_the_gain_is_the_difference_of_log_losses_within_its_limits():
    y, p, patients = draw_rows()
    worse = expit(logit(p) + 1)
    gain = log_loss_gain(y, p, worse, patients)
    assert gain.value == pytest.approx(log_loss(y, worse) - log_loss(y, p))
    assert 0 < gain.low < gain.value < gain.high
    back = log_loss_gain(y, worse, p, patients)
    assert (back.value, back.low, back.high) == pytest.approx((-gain.value, -gain.high, -gain.low))


def test_the_gain_over_itself_is_0():
    y, p, patients = draw_rows(n=300)
    assert log_loss_gain(y, p, p, patients) == (0, 0, 0)


def test_the_gain_draws_patients_and_not_rows():
    y, p, _ = draw_rows(n=300)
    worse, single = expit(logit(p) + 1), np.arange(300).astype(object)
    alone = log_loss_gain(y, p, worse, single)
    # Four copies of every row add no information, because they belong to one patient.
    assert log_loss_gain(*(np.tile(values, 4) for values in (y, p, worse, single))) == pytest.approx(alone)


def test_the_width_of_the_gain_s_interval_agrees_with_the_central_limit_theorem():
    y, p, _ = draw_rows(n=4000)
    worse = expit(logit(p) + 1)
    gain = log_loss_gain(y, p, worse, np.arange(4000).astype(object), replicates=1000)
    rows = np.where(y == 1, np.log(p / worse), np.log((1 - p) / (1 - worse)))
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * rows.std() / np.sqrt(4000), rel=0.1)


def test_equal_seeds_draw_equal_limits_and_weights_count():
    y, p, patients = draw_rows(n=600)
    worse = expit(logit(p) + 1)
    assert log_loss_gain(y, p, worse, patients, seed=1) == log_loss_gain(y, p, worse, patients, seed=1)
    assert log_loss_gain(y, p, worse, patients, seed=1).low != log_loss_gain(y, p, worse, patients, seed=2).low
    weights = class_weights(y, 0.5)
    weighted_gain = log_loss_gain(y, p, worse, patients, weights)
    assert weighted_gain.value == pytest.approx(log_loss(y, worse, weights) - log_loss(y, p, weights))
