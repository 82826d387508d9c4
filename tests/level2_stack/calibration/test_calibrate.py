"""Calibrators against their definitions, scikit-learn and Bayes; the order of the cases under all of them."""

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
LABELLED = st.lists(st.tuples(st.floats(-14, 14), st.sampled_from([0.0, 1.0])), min_size=2, max_size=40)
RAMP = np.linspace(-5, 5, 40)
HARD_TABLES = {
    "one margin": (np.full(40, -3.0), RAMP > 2),
    "margin 0": (np.zeros(40), RAMP > 2),
    "no positive": (RAMP, RAMP > 9),
    "no negative": (RAMP, RAMP < 9),
    "separated": (RAMP, RAMP > 0),
    "upside down": (-RAMP, RAMP > 0),
    "two rows": (np.array([-13.8, 13.8]), np.array([0, 1])),
}


def drawn(truth, n=4000, seed=0, mean=-2.0, spread=2.0):
    """Return margins and the targets drawn with log odds truth(margin)."""
    random = np.random.default_rng(seed)
    margin = random.normal(mean, spread, size=n)
    return margin, (random.random(n) < expit(truth(margin))).astype(float)


def folds_of(n):
    return np.arange(n) % 4


def test_temperature_divides_and_leaves_an_even_chance_even():
    margin, y = drawn(lambda m: m / 2.5, mean=0.0)
    calibrator = fit("temperature", margin, y)
    assert calibrator.temperature == pytest.approx(2.5, rel=0.1)
    assert calibrator(np.zeros(1)) == 0.5
    np.testing.assert_allclose(logit(calibrator(margin)), margin / calibrator.temperature, rtol=1e-9)


def test_platt_finds_the_line_and_agrees_with_scikit_learn():
    margin, y = drawn(lambda m: 1.7 * m - 0.8)
    calibrator = fit("platt", margin, y)
    assert (calibrator.slope, calibrator.intercept) == (pytest.approx(1.7, rel=0.1), pytest.approx(-0.8, abs=0.2))
    unsmoothed = LogisticRegression(C=np.inf, tol=1e-10).fit(margin[:, np.newaxis], y)
    assert calibrator.slope == pytest.approx(unsmoothed.coef_[0, 0], rel=0.02)
    np.testing.assert_allclose(calibrator(margin), unsmoothed.predict_proba(margin[:, np.newaxis])[:, 1], atol=0.01)


def test_platt_s_targets_are_those_of_its_paper():
    margin, y = np.array([-2.0, -1.0, 0.5, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    targets = np.where(y == 1, 3 / 4, 1 / 5)
    error = fit("platt", margin, y)(margin) - targets
    assert error.sum() == pytest.approx(0.0, abs=1e-6)  # the likelihood of these targets is largest
    assert margin @ error == pytest.approx(0.0, abs=1e-2)  # up to the weak prior on the slope


@pytest.mark.parametrize("name", ["platt", "beta", "isotonic"])
def test_a_percentile_reaches_a_rare_base_rate(name):
    margin, y = drawn(lambda m: 2 * m - 2.6, n=20_000)
    percentile = (np.argsort(np.argsort(margin)) + 0.5) / len(margin)
    assert 0.01 < y.mean() < 0.1
    assert fit(name, logit(percentile), y)(logit(percentile)).mean() == pytest.approx(y.mean(), rel=0.01)


def test_beta_is_its_formula_and_finds_both_slopes():
    margin, y = drawn(lambda m: 2 * np.log(expit(m)) - 0.5 * np.log(expit(-m)) + 1, n=40_000, mean=0.0)
    calibrator = fit("beta", margin, y)
    (a, b, c), p = calibrator.parameters().values(), expit(margin)
    assert [a, b, c] == pytest.approx([2, 0.5, 1], rel=0.15)
    np.testing.assert_allclose(logit(calibrator(margin)), a * np.log(p) - b * np.log(1 - p) + c, rtol=1e-6, atol=1e-9)


def test_bare_isotonic_is_that_of_scikit_learn_within_its_floor_and_the_other_parts_its_ties():
    margin, y = drawn(lambda m: m, n=500)
    reference = IsotonicRegression(out_of_bounds="clip").fit(margin, y)
    bare = choose(margin, y, folds_of(500), ["isotonic"], rank_preserving=False).calibrator
    grid = np.linspace(-12, 10, 400)
    assert 0 in reference.predict(grid)
    np.testing.assert_allclose(bare(grid), reference.predict(grid).clip(1 / 502, 1 - 1 / 502), rtol=1e-9)
    strict = fit("isotonic", margin, y)(grid)
    assert (np.diff(strict) > 0).all()
    assert np.abs(strict - bare(grid)).max() < 0.05
    flat = Isotonic((0.0,), (0.5,), slope=100.0, intercept=0.0, share=0.05)  # where Platt's curve is 1 as well
    assert np.diff(flat(np.array([1.0, 2.0]))) > 0


@EVERY
@settings(deadline=None, max_examples=25)
@given(rows=LABELLED, margins=st.lists(st.integers(-14_000, 14_000), min_size=2, max_size=40, unique=True))
def test_every_calibrator_keeps_the_order_of_distinct_margins(name, rows, margins):
    margin, y = np.array(rows).T
    probability = fit(name, margin, y)(np.sort(margins) / 1000)
    told_apart = (probability[:-1] > 1e-14) & (probability[1:] < 1 - 1e-6)  # nearer to 0 and 1 floats are too coarse
    assert (np.diff(probability) >= 0).all()
    assert (np.diff(probability)[told_apart] > 0).all()


@EVERY
@pytest.mark.parametrize("table", list(HARD_TABLES))
def test_no_table_leads_out_of_the_open_interval_or_out_of_order(name, table):
    margin, y = HARD_TABLES[table]
    probability = fit(name, margin, y.astype(float))(np.array([-1e4, -13.8, -1.0, 0.0, 1.0, 13.8, 1e4]))
    assert ((probability >= EPSILON) & (probability <= 1 - EPSILON)).all()
    assert (np.diff(probability[1:-1]) > 0).all()


@pytest.mark.parametrize("name", ["temperature", "platt", "beta"])
def test_a_score_that_stands_upside_down_gets_the_least_slope(name):
    margin = np.linspace(-5, 5, 200)
    calibrator = fit(name, margin, (margin < 0).astype(float))
    rise = np.diff(logit(calibrator(np.array([-1.0, 1.0]))))
    assert rise == pytest.approx(2 * MIN_SLOPE, rel=1e-3)


@EVERY
def test_a_weight_counts_as_that_many_rows(name):
    margin, y = drawn(lambda m: 0.5 * m, n=300)
    weights = np.random.default_rng(1).integers(0, 4, size=300)
    repeated = fit(name, np.repeat(margin, weights), np.repeat(y, weights))(margin)
    np.testing.assert_allclose(fit(name, margin, y, weights.astype(float))(margin), repeated, rtol=1e-4)


@EVERY
def test_a_calibrator_comes_back_from_json_to_the_last_bit_and_sees_every_row_alone(name):
    margin, y = drawn(lambda m: 0.5 * m - 1, n=301)
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
    margin, y = drawn(truth, n=20_000, mean=-0.5)
    chosen = choose(margin, y, folds_of(len(y)), list(CALIBRATORS))
    assert chosen.name == expected
    assert chosen.calibrator == fit(expected, margin, y)


def test_a_candidate_is_scored_by_fits_that_never_saw_the_fold():
    margin, y = drawn(lambda m: m - 2, n=400)
    folds, probability = folds_of(400), np.zeros(400)
    for fold in range(4):
        seen, held = folds != fold, folds == fold
        probability[held] = fit("isotonic", margin[seen], y[seen])(margin[held])
    chosen = choose(margin, y, folds, ["isotonic", "none"])
    assert chosen.log_loss["isotonic"] == pytest.approx(log_loss(y, probability))
    assert chosen.log_loss["none"] == pytest.approx(log_loss(y, expit(margin)))


def test_the_order_of_candidates_and_of_rows_changes_nothing():
    margin, y = drawn(lambda m: m, n=1000)
    folds, order = folds_of(1000), np.random.default_rng(3).permutation(1000)
    one = choose(margin, y, folds, ["none", "temperature", "platt"])
    other = choose(margin[order], y[order], folds[order], ["platt", "none", "temperature"])
    assert one.name == other.name
    assert one.log_loss == pytest.approx(other.log_loss, rel=1e-6)


def test_noise_is_calibrated_to_the_base_rate():
    margin, y = drawn(lambda m: np.full_like(m, logit(0.1)), n=10_000)
    chosen = choose(margin, y, folds_of(len(y)), list(CALIBRATORS))
    assert chosen.log_loss["platt"] == pytest.approx(log_loss(y, np.full_like(y, y.mean())), rel=0.01)
    assert chosen.name == "platt"


def test_what_cannot_be_calibrated_is_named():
    margin, y = np.array([0.1, np.nan, np.inf, 0.4]), np.array([0.0, 1.0, 0.0, 1.0])
    with pytest.raises(InputFault, match=r"without a finite margin: 2 \(1, 2\)"):
        fit("platt", margin, y)
    with pytest.raises(InputFault, match="'plat'; did you mean 'platt'"):
        fit("plat", y, y)
    with pytest.raises(InputFault, match="0 candidates in 2 folds"):
        choose(y, y, folds_of(4) // 2, [])
    with pytest.raises(InputFault, match="1 candidates in 1 folds"):
        choose(y, y, np.zeros(4, dtype=int), ["platt"])


@given(st.lists(PROBABILITIES, min_size=1), PREVALENCES, PREVALENCES)
def test_shifting_the_prior_is_undone_by_shifting_it_back(values, trained, deployed):
    probability = np.array(values)
    there_and_back = shift_prior(shift_prior(probability, trained, deployed), deployed, trained)
    np.testing.assert_allclose(logit(there_and_back), logit(probability), atol=1e-3)
    np.testing.assert_allclose(shift_prior(probability, trained, trained), probability, rtol=1e-12)


@given(PREVALENCES, PREVALENCES)
def test_shifting_the_prior_keeps_the_order_the_ends_and_moves_the_prior_itself(trained, deployed):
    shifted = shift_prior(np.array([0.0, 0.01, 0.3, 0.6, 0.99, 1.0]), trained, deployed)
    assert (np.diff(shifted) > 0).all()
    assert (shifted[0], shifted[-1]) == (0, 1)
    assert shift_prior(np.array([trained]), trained, deployed) == pytest.approx(deployed)


@given(PREVALENCES, PREVALENCES, st.floats(-4, 4))
def test_shifting_the_prior_is_bayes_for_two_gaussians(trained, deployed, x):
    def posterior(prior):
        one, zero = prior * norm.pdf(x, 1), (1 - prior) * norm.pdf(x, 0)
        return np.array([one / (one + zero)])

    np.testing.assert_allclose(shift_prior(posterior(trained), trained, deployed), posterior(deployed), rtol=1e-9)


@given(PROBABILITIES, st.floats(0.001, 1), st.floats(0.001, 0.5))
def test_thinning_is_undone_by_the_formula_of_dal_pozzolo(p, kept, prevalence):
    thinned = prevalence / (prevalence + kept * (1 - prevalence))
    expected = kept * p / (kept * p - p + 1)
    assert shift_prior(np.array([p]), thinned, prevalence) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("trained", "deployed"), [(0.0, 0.5), (0.5, 1.0), (0.5, np.nan)])
def test_a_prevalence_outside_0_and_1_is_refused(trained, deployed):
    with pytest.raises(InputFault, match="must lie within 0 and 1"):
        shift_prior(np.array([0.5]), trained, deployed)
