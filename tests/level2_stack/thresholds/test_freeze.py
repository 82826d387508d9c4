"""Tests of frozen thresholds: which rows choose them, and which measure them."""

import numpy as np
import pytest

from level2_stack.crossval.decide import decide, inner_probability, mean_probability
from level2_stack.crossval.nested import cross_validate
from level2_stack.recipe import Recipe
from level2_stack.thresholds.freeze import NestedRows, freeze_threshold, freeze_thresholds, nested_rows
from tests.level2_stack.small_designs import make_design

LINEAR = Recipe(learners=["ridge", "logistic", "rank_mean"], blend=["ridge", "logistic"])


@pytest.fixture(scope="module")
def stack():
    design = make_design(400, 100, signal=1.0)
    cross_validation = cross_validate(design, LINEAR)
    return design, cross_validation, decide(design, LINEAR, cross_validation)


def rows_of(y, outer, *, inner=None, prevalence=None, folds=None):
    count = len(y)
    folds = np.arange(count) % 4 if folds is None else folds
    inner = [outer[folds != fold] for fold in range(4)] if inner is None else inner
    return NestedRows(y, np.arange(count).astype(object), folds, inner, outer, outer, prevalence)


def draw_rows(count=400, seed=0):
    random = np.random.default_rng(seed)
    y = (random.random(count) < 0.3).astype(float)
    return y, 1 / (1 + np.exp(-random.normal(2 * y - 1)))


def test_every_fold_is_measured_at_the_threshold_that_its_inner_folds_chose():
    y, score = draw_rows()
    rows = rows_of(y, score)
    point = freeze_threshold(rows, "sensitivity", 0.9)
    is_malignant = np.zeros(len(y), dtype=bool)
    for fold, threshold in enumerate(point.fold_thresholds):
        own = rows.folds == fold
        is_malignant[own] = score[own] >= threshold
    assert point.true_positives == (is_malignant & (y == 1)).sum()
    assert point.measures["sensitivity"].value == pytest.approx(is_malignant[y == 1].mean())
    assert point.measures["specificity"].value == pytest.approx(1 - is_malignant[y == 0].mean())
    assert point.true_positives + point.false_positives + point.true_negatives + point.false_negatives == len(y)


def test_no_threshold_depends_on_the_target_of_the_fold_that_measures_it():
    y, score = draw_rows()
    rows = rows_of(y, score)
    other_targets = np.where(rows.folds == 2, 1 - y, y)
    before = freeze_threshold(rows, "sensitivity", 0.9).fold_thresholds
    after = freeze_threshold(rows_of(other_targets, score), "sensitivity", 0.9).fold_thresholds
    assert before[2] == after[2]
    assert before[0] != after[0]


def test_pure_noise_that_fits_its_own_rows_reaches_nothing_on_the_outer_folds():
    random = np.random.default_rng(0)
    y = (random.random(800) < 0.3).astype(float)
    folds = np.arange(800) % 4
    perfect_inner = [0.1 + 0.8 * y[folds != fold] for fold in range(4)]
    point = freeze_threshold(rows_of(y, random.random(800), inner=perfect_inner), "specificity", 0.9)
    youden = point.measures["sensitivity"].value + point.measures["specificity"].value - 1
    assert abs(youden) < 0.1


def test_the_deployment_prevalence_moves_predictive_values_and_not_sensitivity():
    y, score = draw_rows()
    plain, rare = (freeze_threshold(rows_of(y, score, prevalence=each), "sensitivity", 0.9) for each in (None, 0.02))
    assert plain.measures["sensitivity"] == rare.measures["sensitivity"]
    sensitivity, specificity = (rare.measures[name].value for name in ("sensitivity", "specificity"))
    bayes = 0.02 * sensitivity / (0.02 * sensitivity + 0.98 * (1 - specificity))
    assert rare.measures["ppv"].value == pytest.approx(bayes)
    assert (plain.prevalence, rare.prevalence) == (y.mean(), 0.02)


def test_inner_probabilities_are_those_of_the_calibrated_inner_scores(stack):
    design, cross_validation, result = stack
    folds = cross_validation.folds
    model = result.fold_preferences[1].choice
    margins = result.scores[model].train[1, folds != 1]
    inner = inner_probability(result, 1, design.y, folds, LINEAR)
    assert inner == pytest.approx(result.calibrators[model][1].calibrator(margins))
    assert np.argsort(inner).tolist() == np.argsort(margins).tolist()


def test_thresholds_for_new_cases_come_from_means_over_fits_that_left_the_row_out(stack):
    design, cross_validation, result = stack
    folds = cross_validation.folds
    mean = mean_probability(result, design.y, folds, LINEAR)
    row = 7
    scores = result.scores[result.submitted_model].train[:, row]  # none of these fits used the row's fold
    calibrator = result.calibrators[result.submitted_model][folds[row]].calibrator
    assert mean[row] == pytest.approx(calibrator(scores).mean())
    rows = nested_rows(design, LINEAR, result, folds)
    (point, *_) = freeze_thresholds(rows, LINEAR)
    positives = mean[design.y == 1]
    assert (positives >= point.threshold).mean() == pytest.approx(0.8, abs=1.5 / len(positives))


def test_a_deployment_prevalence_moves_the_frozen_threshold_with_the_probabilities(stack):
    design, cross_validation, _ = stack
    rare = LINEAR.model_copy(update={"calibration": LINEAR.calibration.model_copy(update={"prevalence": 0.01})})
    result = decide(design, rare, cross_validation)
    rows = nested_rows(design, rare, result, cross_validation.folds)
    (point, *_) = freeze_thresholds(rows, rare)
    train = result.probability.loc[design.train.index, result.submitted_model].to_numpy()
    assert (train[design.y == 1] >= point.threshold).mean() == pytest.approx(0.8, abs=0.05)
    assert point.prevalence == 0.01
