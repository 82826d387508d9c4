"""Tests for linear_head.py: the same fit as scikit-learn's, and a regularisation that suits the data."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from level1_cnn.networks.head import LOGITS, STANDARDISATION
from level1_cnn.training.first_head import first_head
from level1_cnn.training.linear_head import CHOICES, WITHOUT_FOLDS, choose_regularisation, fit_head

FOLD_OF = np.arange(80) % 4


def loss_of(choice, rows, target, held_out):
    """Return the log loss of the ``held_out`` rows by a fit to the others."""
    model = LogisticRegression(C=choice, max_iter=1000).fit(rows[~held_out], target[~held_out])
    return log_loss(target[held_out], model.predict_proba(rows[held_out])[:, 1], labels=[0, 1])


def rows_of(features, strength, seed=0):
    """Return rows (80, features), whose first number has a mean that depends on the target, and the target."""
    random = np.random.default_rng(seed)
    target = (random.random(80) < 0.4).astype(int)
    rows = random.normal(3, 2, (80, features)).astype(np.float32)
    rows[:, 0] += strength * target
    return rows, target


@pytest.mark.parametrize("features", [10, 300])  # fewer and more than rows
def test_a_head_is_the_logistic_regression_on_standardised_rows(features):
    rows, target = rows_of(features, 1.0)
    points = StandardScaler().fit_transform(rows)
    expected = LogisticRegression(C=0.01, max_iter=1000, tol=1e-8).fit(points, target).decision_function(points)
    head = fit_head(rows.copy(), target, 0.01, FOLD_OF)
    assert head.regularisation == 0.01
    np.testing.assert_allclose(rows @ head.weights + head.intercept, expected, atol=2e-3)


def test_a_number_that_hardly_varies_in_training_decides_nothing_elsewhere():
    rows, target = rows_of(300, 1.0)
    rows[:, 7] = 1.0 + 1e-6 * target
    rows[:, 8] = 1.0
    head = fit_head(rows.copy(), target, 0.01, FOLD_OF)
    assert abs(head.weights[7]) < 1  # with its own scale, tens of thousands
    assert head.weights[8] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("features", [10, 300])
def test_the_first_head_of_fine_tuning_is_the_frozen_one_also_for_numbers_that_hardly_vary(features):
    rows, target = rows_of(features, 1.0)
    rows[:, 7] = 1.0 + 1e-6 * target
    cases = pd.DataFrame({"target": target, "fold": FOLD_OF})
    weights = first_head(pd.DataFrame(rows), cases)
    mean, scale = (weights[f"{STANDARDISATION}/{name}"] for name in ("mean", "scale"))
    logits = (rows - mean) / scale @ weights[f"{LOGITS}/kernel"] + weights[f"{LOGITS}/bias"]
    head = fit_head(rows.copy(), target, "auto", FOLD_OF)
    np.testing.assert_allclose(logits[:, 0], rows @ head.weights + head.intercept, atol=1e-4)
    assert scale.min() > 0.005 * np.median(scale)


def test_a_probability_counts_as_so_much_of_both_classes():
    rows, target = rows_of(10, 1.0)
    soft = np.where(target == 1, 0.75, 0.25)
    four = np.concatenate([rows] * 4)  # three of them with the label, and one without
    labels = np.concatenate([target, target, target, 1 - target])
    head, of_copies = fit_head(rows.copy(), soft, 0.04, FOLD_OF), fit_head(four, labels, 0.01, np.tile(FOLD_OF, 4))
    np.testing.assert_allclose(head.weights, of_copies.weights, atol=1e-4)


@pytest.mark.parametrize("strength", [0.0, 4.0])
def test_auto_takes_the_lowest_log_loss_on_held_out_folds(strength):
    rows, target = rows_of(6, strength)
    loss = {
        choice: np.mean([loss_of(choice, rows, target, fold == FOLD_OF) for fold in range(4)]) for choice in CHOICES
    }
    assert choose_regularisation(rows, target, FOLD_OF) == min(loss, key=loss.__getitem__)


def test_noise_is_regularised_more_than_a_signal():
    noise, signal = (choose_regularisation(*rows_of(60, strength), FOLD_OF) for strength in (0.0, 8.0))
    assert noise < signal


def test_rows_that_are_never_held_out_are_in_every_fit():
    rows, target = rows_of(6, 4.0)
    folds = np.where(np.arange(80) < 40, -1, FOLD_OF)
    opposite = np.where(folds == -1, 1 - target, target)
    assert choose_regularisation(rows, opposite, folds) < choose_regularisation(rows, target, folds)


@pytest.mark.parametrize("folds", [np.zeros(80), np.full(80, -1)])
def test_without_two_folds_the_default_is_taken(folds):
    assert fit_head(*rows_of(6, 4.0), "auto", folds).regularisation == WITHOUT_FOLDS
