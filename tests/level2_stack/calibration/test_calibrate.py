"""Calibrators against their definitions, scikit-learn and Bayes' rule; all of them keep the order of the cases."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from level2_stack.calibration.calibrate import (
    CALIBRATORS,
    EPSILON,
    MIN_SLOPE,
    Isotonic,
    choose,
    fit,
    from_parameters,
    shift_prior,
)
from runtime.errors import InputFault

EVERY = pytest.mark.parametrize("name", list(CALIBRATORS))
PREVALENCES = st.floats(0.001, 0.999)
PROBABILITIES = st.floats(1e-9, 1 - 1e-6)
MARGINS_AND_TARGETS = st.lists(st.tuples(st.floats(-14, 14), st.sampled_from([0.0, 1.0])), min_size=2, max_size=40)
RAMP = np.linspace(-5, 5, 40)
HARD_TABLES = {
    "one margin": (np.full(40, -3.0), RAMP > 2),
    "margin 0": (np.zeros(40), RAMP > 2),
    "no positive": (RAMP, RAMP > 9),
    "no negative": (RAMP, RAMP < 9),
    "separated": (RAMP, RAMP > 0),
    "reversed": (-RAMP, RAMP > 0),
    "two rows": (np.array([-13.8, 13.8]), np.array([0, 1])),
}


def draw_rows(truth, n=4000, seed=0, mean=-2.0, spread=2.0):
    """Return random margins, and targets drawn with log odds truth(margin)."""
    random = np.random.default_rng(seed)
    margin = random.normal(mean, spread, size=n)
    return margin, (random.random(n) < expit(truth(margin))).astype(float)


def folds_of(n):
    return np.arange(n) % 4


def test_temperature_divides_margins_and_keeps_a_probability_of_one_half():
    margin, y = draw_rows(lambda m: m / 2.5, mean=0.0)
    calibrator = fit("temperature", margin, y)
    assert calibrator.temperature == pytest.approx(2.5, rel=0.1)
    assert calibrator(np.zeros(1)) == 0.5
    np.testing.assert_allclose(logit(calibrator(margin)), margin / calibrator.temperature, rtol=1e-9)


def test_platt_finds_the_line_and_agrees_with_scikit_learn():
    margin, y = draw_rows(lambda m: 1.7 * m - 0.8)
    calibrator = fit("platt", margin, y)
    assert (calibrator.slope, calibrator.intercept) == (pytest.approx(1.7, rel=0.1), pytest.approx(-0.8, abs=0.2))
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(margin[:, np.newaxis], y)
    assert calibrator.slope == pytest.approx(reference.coef_[0, 0], rel=0.02)
    np.testing.assert_allclose(calibrator(margin), reference.predict_proba(margin[:, np.newaxis])[:, 1], atol=0.01)


def test_platt_uses_the_targets_of_the_paper():
    margin, y = np.array([-2.0, -1.0, 0.5, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    targets = np.where(y == 1, 3 / 4, 1 / 5)
    error = fit("platt", margin, y)(margin) - targets
    assert error.sum() == pytest.approx(0.0, abs=1e-6)  # the likelihood of these targets is largest
    assert margin @ error == pytest.approx(0.0, abs=1e-2)  # up to the weak prior on the slope


@pytest.mark.parametrize("name", ["platt", "beta", "isotonic"])
def test_percentiles_are_calibrated_to_a_rare_base_rate(name):
    margin, y = draw_rows(lambda m: 2 * m - 2.6, n=20_000)
    percentile = (np.argsort(np.argsort(margin)) + 0.5) / len(margin)
    assert 0.01 < y.mean() < 0.1
    assert fit(name, logit(percentile), y)(logit(percentile)).mean() == pytest.approx(y.mean(), rel=0.01)


def test_beta_follows_its_formula_and_finds_both_slopes():
    margin, y = draw_rows(lambda m: 2 * np.log(expit(m)) - 0.5 * np.log(expit(-m)) + 1, n=40_000, mean=0.0)
    calibrator = fit("beta", margin, y)
    (a, b, c), p = calibrator.parameters().values(), expit(margin)
    assert [a, b, c] == pytest.approx([2, 0.5, 1], rel=0.15)
    np.testing.assert_allclose(logit(calibrator(margin)), a * np.log(p) - b * np.log(1 - p) + c, rtol=1e-6, atol=1e-9)


def test_isotonic_steps_are_those_of_scikit_learn_clipped_and_the_rank_preserving_form_has_no_ties():
    margin, y = draw_rows(lambda m: m, n=500)
    reference = IsotonicRegression(out_of_bounds="clip").fit(margin, y)
    steps = choose(margin, y, folds_of(500), ["isotonic"], rank_preserving=False).calibrator
    grid = np.linspace(-12, 10, 400)
    assert 0 in reference.predict(grid)
    np.testing.assert_allclose(steps(grid), reference.predict(grid).clip(1 / 502, 1 - 1 / 502), rtol=1e-9)
    strict = fit("isotonic", margin, y)(grid)
    assert (np.diff(strict) > 0).all()
    assert np.abs(strict - steps(grid)).max() < 0.05
    flat = Isotonic((0.0,), (0.5,), slope=100.0, intercept=0.0, share=0.05)  # where Platt's curve is 1 as well
    assert np.diff(flat(np.array([1.0, 2.0]))) > 0


@EVERY
@settings(deadline=None, max_examples=25)
@given(rows=MARGINS_AND_TARGETS, margins=st.lists(st.integers(-14_000, 14_000), min_size=2, max_size=40, unique=True))
def test_every_calibrator_keeps_the_order_of_distinct_margins(name, rows, margins):
    margin, y = np.array(rows).T
    probability = fit(name, margin, y)(np.sort(margins) / 1000)
    is_resolved = (probability[:-1] > 1e-14) & (probability[1:] < 1 - 1e-6)  # closer to 0 and 1, floats are too coarse
    assert (np.diff(probability) >= 0).all()
    assert (np.diff(probability)[is_resolved] > 0).all()


@EVERY
@pytest.mark.parametrize("table", list(HARD_TABLES))
def test_on_no_table_a_probability_is_0_or_1_or_out_of_order(name, table):
    margin, y = HARD_TABLES[table]
    probability = fit(name, margin, y.astype(float))(np.array([-1e4, -13.8, -1.0, 0.0, 1.0, 13.8, 1e4]))
    assert ((probability >= EPSILON) & (probability <= 1 - EPSILON)).all()
    assert (np.diff(probability[1:-1]) > 0).all()


@pytest.mark.parametrize("name", ["temperature", "platt", "beta"])
def test_a_reversed_score_gets_the_smallest_slope(name):
    margin = np.linspace(-5, 5, 200)
    calibrator = fit(name, margin, (margin < 0).astype(float))
    rise = np.diff(logit(calibrator(np.array([-1.0, 1.0]))))
    assert rise == pytest.approx(2 * MIN_SLOPE, rel=1e-3)


@EVERY
def test_a_weight_counts_as_that_many_rows(name):
    margin, y = draw_rows(lambda m: 0.5 * m, n=300)
    weights = np.random.default_rng(1).integers(0, 4, size=300)
    expected = fit(name, np.repeat(margin, weights), np.repeat(y, weights))(margin)
    np.testing.assert_allclose(fit(name, margin, y, weights.astype(float))(margin), expected, rtol=1e-4)


@EVERY
def test_a_calibrator_is_restored_bitwise_from_json_and_treats_every_row_alone(name):
    margin, y = draw_rows(lambda m: 0.5 * m - 1, n=301)
    calibrator = fit(name, margin, y)
    again = from_parameters(name, json.loads(json.dumps(calibrator.parameters())))
    assert again == calibrator
    np.testing.assert_array_equal(again(margin[::7]), calibrator(margin)[::7])


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (lambda m: m, "none"),
        (lambda m: m / 3, "temperature"),
        (lambda m: m - 2, "platt"),
        (lambda m: 3 * np.log(expit(m)) - 0.3 * np.log(expit(-m)), "beta"),
        (lambda m: np.where(m < -2, -3.5, np.where(m < 0, 0.0, 3.5)), "isotonic"),
    ],
)
def test_choose_finds_the_simplest_calibrator_that_fits(truth, expected):
    margin, y = draw_rows(truth, n=20_000, mean=-0.5)
    choice = choose(margin, y, folds_of(len(y)), list(CALIBRATORS))
    assert choice.name == expected
    assert choice.calibrator == fit(expected, margin, y)


def test_a_candidate_is_scored_by_fits_without_the_fold():
    margin, y = draw_rows(lambda m: m - 2, n=400)
    folds, probability = folds_of(400), np.zeros(400)
    for fold in range(4):
        training, held_out = folds != fold, folds == fold
        probability[held_out] = fit("isotonic", margin[training], y[training])(margin[held_out])
    choice = choose(margin, y, folds, ["isotonic", "none"])
    assert choice.log_loss["isotonic"] == pytest.approx(log_loss(y, probability))
    assert choice.log_loss["none"] == pytest.approx(log_loss(y, expit(margin)))


def test_the_order_of_candidates_and_of_rows_changes_nothing():
    margin, y = draw_rows(lambda m: m, n=1000)
    folds, order = folds_of(1000), np.random.default_rng(3).permutation(1000)
    first = choose(margin, y, folds, ["none", "temperature", "platt"])
    other = choose(margin[order], y[order], folds[order], ["platt", "none", "temperature"])
    assert first.name == other.name
    assert first.log_loss == pytest.approx(other.log_loss, rel=1e-6)


def test_noise_is_calibrated_to_the_base_rate():
    margin, y = draw_rows(lambda m: np.full_like(m, logit(0.1)), n=10_000)
    choice = choose(margin, y, folds_of(len(y)), list(CALIBRATORS))
    assert choice.log_loss["platt"] == pytest.approx(log_loss(y, np.full_like(y, y.mean())), rel=0.01)
    assert choice.name == "platt"


def test_invalid_inputs_are_refused_by_name():
    margin, y = np.array([0.1, np.nan, np.inf, 0.4]), np.array([0.0, 1.0, 0.0, 1.0])
    with pytest.raises(InputFault, match=r"without a finite margin: 2 \(1, 2\)"):
        fit("platt", margin, y)
    with pytest.raises(InputFault, match="'plat'; did you mean 'platt'"):
        fit("plat", y, y)
    with pytest.raises(InputFault, match=r"0 candidates and 2 folds"):
        choose(y, y, folds_of(4) // 2, [])
    with pytest.raises(InputFault, match=r"1 candidate and 1 fold"):
        choose(y, y, np.zeros(4, dtype=int), ["platt"])


@given(st.lists(PROBABILITIES, min_size=1), PREVALENCES, PREVALENCES)
def test_shifting_the_prior_back_restores_the_probabilities(values, training, deployment):
    probability = np.array(values)
    round_trip = shift_prior(shift_prior(probability, training, deployment), deployment, training)
    np.testing.assert_allclose(logit(round_trip), logit(probability), atol=1e-3)
    np.testing.assert_allclose(shift_prior(probability, training, training), probability, rtol=1e-12)


@given(PREVALENCES, PREVALENCES)
def test_shifting_the_prior_keeps_the_order_and_0_and_1_and_changes_the_old_prior_to_the_new(training, deployment):
    probability = shift_prior(np.array([0.0, 0.01, 0.3, 0.6, 0.99, 1.0]), training, deployment)
    assert (np.diff(probability) > 0).all()
    assert (probability[0], probability[-1]) == (0, 1)
    assert shift_prior(np.array([training]), training, deployment) == pytest.approx(deployment)


@given(PREVALENCES, PREVALENCES, st.floats(-4, 4))
def test_shifting_the_prior_follows_bayes_rule_for_two_gaussians(training, deployment, x):
    def posterior(prior):
        one, zero = prior * norm.pdf(x, 1), (1 - prior) * norm.pdf(x, 0)
        return np.array([one / (one + zero)])

    np.testing.assert_allclose(shift_prior(posterior(training), training, deployment), posterior(deployment), rtol=1e-9)


@given(PROBABILITIES, st.floats(0.001, 1), st.floats(0.001, 0.5))
def test_the_correction_for_thinning_is_the_formula_of_dal_pozzolo(p, kept_share, prevalence):
    thinned_prevalence = prevalence / (prevalence + kept_share * (1 - prevalence))
    expected = kept_share * p / (kept_share * p - p + 1)
    assert shift_prior(np.array([p]), thinned_prevalence, prevalence) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("training", "deployment"), [(0.0, 0.5), (0.5, 1.0), (0.5, np.nan)])
def test_a_prevalence_outside_0_and_1_is_refused(training, deployment):
    with pytest.raises(InputFault, match="both must be between 0 and 1"):
        shift_prior(np.array([0.5]), training, deployment)
