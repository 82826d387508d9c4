"""Nested decisions: no choice behind a row's prediction used its target, so the choice is not biased upwards."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from level2_stack.calibration import calibrate
from level2_stack.crossval.decide import decide, predict
from level2_stack.crossval.nested import CrossValidation, Scores, cross_validate
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc
from level2_stack.recipe import Calibration, Recipe
from tests.level2_stack.small_designs import flip_targets, make_design, recipe

BASELINES = ["logistic", "mean", "rank_mean", "caruana"]
EVERYTHING = recipe(
    "lgbm",
    "xgb",
    *BASELINES,
    blend=["lgbm", "xgb", "logistic"],
    blend_weights="fitted",
    seeds=2,
    negatives_per_positive=1.5,
    calibration={"methods": ["none", "temperature", "platt", "beta", "isotonic"], "prevalence": 0.02},
)


def run_stack(design, stack: Recipe):
    """Return the nested cross-validation and its decisions."""
    cross_validation = cross_validate(design, stack, keep_models=True)
    return cross_validation, decide(design, stack, cross_validation)


@pytest.fixture(scope="module")
def design():
    return make_design(180, 12, folds=3)


@pytest.fixture(scope="module")
def everything(design):
    return run_stack(design, EVERYTHING)


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_flipping_a_folds_targets_does_not_change_its_predictions(design, everything, fold):
    (before_cv, result), (after_cv, after) = everything, run_stack(flip_targets(design, fold), EVERYTHING)
    own, other = design.folds == fold, design.folds != fold
    for name in ("lgbm", "xgb", *BASELINES):
        np.testing.assert_array_equal(after_cv.scores[name].train[fold], before_cv.scores[name].train[fold])
        np.testing.assert_array_equal(after_cv.scores[name].test[fold], before_cv.scores[name].test[fold])
    for name in ("lgbm", "xgb"):
        assert after_cv.stage[name][fold] == before_cv.stage[name][fold]
    assert after.blend_weights[fold] == result.blend_weights[fold]
    for name, choices in result.calibrators.items():
        assert after.calibrators[name][fold] == choices[fold]
    assert after.fold_preferences[fold] == result.fold_preferences[fold]
    before, now = result.probability.iloc[:180], after.probability.iloc[:180]
    pd.testing.assert_frame_equal(now[own], before[own], check_exact=True)
    assert not np.isclose(now[other], before[other]).all(axis=0).any()  # the other folds do learn from these targets


def test_every_row_has_a_probability_by_every_learner_the_blend_and_the_choice(design, everything):
    result = everything[1]
    assert set(result.probability) == {"lgbm", "xgb", *BASELINES, "blend", "choice"}
    assert set(result.raw_probability) == {"lgbm", "xgb", *BASELINES, "blend"}
    assert list(result.probability.index) == list(design.X.index)
    assert ((result.probability > 0) & (result.probability < 1)).all(axis=None)


def test_a_train_row_gets_its_outer_score_calibrated_by_its_outer_fold(design):
    stack = recipe("logistic", "mean", submit="logistic")
    cross_validation, result = run_stack(design, stack)
    for fold in range(3):
        own, scores = design.folds == fold, cross_validation.scores["mean"]
        choice = calibrate.choose(
            scores.train[fold, ~own], design.y[~own], design.folds[~own], stack.calibration.methods
        )
        np.testing.assert_array_equal(
            result.probability["mean"].iloc[:180][own], choice.calibrator(scores.train[fold, own])
        )


def test_the_choice_has_in_every_fold_the_model_that_its_inner_folds_chose(design, everything):
    result = everything[1]
    for fold, preference in enumerate(result.fold_preferences):
        own = np.flatnonzero(design.folds == fold)
        expected = result.probability[preference.choice].iloc[own]
        np.testing.assert_array_equal(result.probability["choice"].iloc[own], expected)
    assert result.headline == "choice"
    assert result.submitted_model == result.preference.choice


def test_test_rows_of_the_choice_are_the_mean_over_the_models_that_the_folds_chose(design):
    stack = recipe("logistic", "mean", "rank_mean")
    cross_validation, result = run_stack(design, stack)
    parts = []
    for fold, preference in enumerate(result.fold_preferences):
        name = preference.choice
        assert name != "blend"
        parts.append(result.calibrators[name][fold].calibrator(cross_validation.scores[name].test[fold]))
    np.testing.assert_allclose(result.probability["choice"].iloc[180:], np.mean(parts, axis=0))


def test_raw_probabilities_are_the_scores_themselves(design, everything):
    cross_validation, result = everything
    scores = cross_validation.scores["lgbm"]
    np.testing.assert_allclose(result.raw_probability["lgbm"].iloc[:180], expit(scores.outer(cross_validation.folds)))
    np.testing.assert_allclose(result.raw_probability["lgbm"].iloc[180:], expit(scores.test.mean(axis=0)))


def test_the_model_that_the_recipe_sets_is_submitted_without_a_choice(design):
    result = run_stack(design, recipe("logistic", "mean", "rank_mean", submit="mean"))[1]
    assert (result.submitted_model, result.headline, result.preference, result.fold_preferences) == (
        "mean",
        "mean",
        None,
        [],
    )
    assert "choice" not in result.probability


@pytest.mark.parametrize("prevalence", [None, 0.02])
@pytest.mark.parametrize("submit", ["blend", "lgbm", "rank_mean"])
def test_new_rows_get_the_predictions_of_test_rows(design, everything, submit, prevalence):
    calibration = Calibration(methods=["platt"], prevalence=prevalence)
    stack = EVERYTHING.model_copy(update={"submit": submit, "calibration": calibration})
    cross_validation, result = everything[0], decide(design, stack, everything[0])
    new = predict(design.test, stack, cross_validation, result, design.y)
    np.testing.assert_allclose(new, result.probability[submit].iloc[180:], atol=1e-6, rtol=1e-5)


def test_a_new_row_is_predicted_the_same_alone_and_with_others(design, everything):
    cross_validation, result = everything
    together = predict(design.test, EVERYTHING, cross_validation, result, design.y)
    alone = predict(design.test.iloc[[5]], EVERYTHING, cross_validation, result, design.y)
    np.testing.assert_allclose(alone, together[[5]], rtol=1e-6)


def test_weighted_to_the_deployment_prevalence_the_mean_probability_equals_it():
    design, prevalence = make_design(600, 0, networks=1), 0.05
    stack = recipe("logistic", submit="logistic", calibration={"prevalence": prevalence})
    probability = run_stack(design, stack)[1].probability["logistic"].to_numpy()
    weights = np.where(design.y == 1, prevalence / design.y.mean(), (1 - prevalence) / (1 - design.y.mean()))
    assert np.average(probability, weights=weights) == pytest.approx(prevalence, rel=0.1)
    assert np.average(probability) > 1.5 * prevalence  # the training rows have more positives than the clinic


def test_a_deployment_prevalence_changes_all_odds_of_a_fold_by_the_same_factor(design):
    default, deployment = (
        run_stack(design, recipe("logistic", submit="logistic", calibration={"prevalence": prevalence}))[1]
        for prevalence in (None, 0.02)
    )
    before, after = (result.probability["logistic"].iloc[:180].to_numpy() for result in (default, deployment))
    odds = (after / (1 - after)) / (before / (1 - before))
    for fold in range(3):
        training_share = design.y[design.folds != fold].mean()
        expected = (0.02 / 0.98) / (training_share / (1 - training_share))
        np.testing.assert_allclose(odds[design.folds == fold], expected, rtol=1e-6)


def noise(seed: int) -> tuple[Design, CrossValidation]:
    """Return a design with twelve learners whose scores are noise: a row's score is the same in every fit."""
    design, random = make_design(240, 0, signal=0, folds=3, seed=seed), np.random.default_rng(seed)
    tables = {f"learner_{i}": np.tile(random.normal(size=240), (3, 1)) for i in range(12)}
    scores = {name: Scores(table, np.zeros((3, 0)), table[:1]) for name, table in tables.items()}
    return design, CrossValidation(design.folds.astype(np.int64), scores)


def test_the_choice_is_unbiased_while_the_best_of_the_leaderboard_is_not():
    stack, aucs = Recipe(blend=["learner_0"], calibration=Calibration(methods=["none"])), []
    for seed in range(10):
        design, cross_validation = noise(seed)
        result = decide(design, stack, cross_validation)
        each = {name: auc(design.y, score.to_numpy()) for name, score in result.probability.items()}
        aucs.append((each["choice"], max(each.values())))
    (choice, best), error = np.mean(aucs, axis=0), np.std(aucs, axis=0, ddof=1) / np.sqrt(10)
    assert abs(choice - 0.5) < 3 * error[0]
    assert best - 0.5 > 3 * error[1]


def test_permuted_targets_leave_every_model_at_chance():
    design = make_design(600, 0, folds=3)
    y, random = design.y.copy(), np.random.default_rng(1)
    for fold in range(3):
        own = design.folds == fold
        y[own] = random.permutation(y[own])
    result = run_stack(replace(design, y=y), recipe("lgbm", "xgb", *BASELINES, calibration={"methods": ["platt"]}))[1]
    for name, score in result.probability.items():
        # Four standard errors of the AUC of 180 positives of 600.
        assert auc(y, score.to_numpy()) == pytest.approx(0.5, abs=0.102), name
