"""Level two's cross-validation: nobody is predicted by a fit that saw the patient, and all is summed up rightly."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from features.faults import InputFault
from level2_stack.assemble import Design
from level2_stack.crossval import cross_validate, number_of_fits
from level2_stack.evaluate import auc
from level2_stack.learners import lgbm as lgbm_learner
from level2_stack.learners import logistic, rank_mean
from level2_stack.recipe import Recipe

LINEAR = Recipe(learners=["logistic", "rank_mean"], blend=["logistic"])


class QuickRecipe(Recipe):
    """A recipe with the small booster of these tests."""

    lgbm: lgbm_learner.Params = lgbm_learner.Params(rounds=30, learning_rate=0.1)


BOOSTED = QuickRecipe(learners=["lgbm", "logistic"], blend=["lgbm", "logistic"], seeds=2)


def design(n_train=300, n_test=60, signal=1.5):
    random = np.random.default_rng(0)
    n = n_train + n_test
    y = (random.random(n) < 0.3).astype(float)
    X = pd.DataFrame(
        {"logit.a": signal * y + random.normal(size=n), "logit.b": random.normal(size=n), "metadata.age": y},
        index=[f"case_{i}" for i in range(n)],
    )
    X["metadata.age"] = random.normal(size=n)
    patients = np.array([f"patient_{i // 3}" for i in range(n_train)], dtype=object)
    folds = (np.arange(n_train) // 3 % 4).astype(np.int8)
    return Design(X, y[:n_train], folds, patients)


def test_a_train_row_is_predicted_by_the_fit_on_the_other_folds():
    data = design()
    found = cross_validate(data, LINEAR).probability["logistic"]
    fitted, held_out = np.flatnonzero(data.folds != 2), np.flatnonzero(data.folds == 2)
    X = data.X[["logit.a", "logit.b"]]
    predict = logistic.fit(logistic.Params(), X.iloc[fitted], data.y[fitted], groups=data.groups[fitted], seed=0)
    np.testing.assert_array_equal(found.iloc[held_out], predict(X.iloc[held_out]))


def test_a_test_row_is_the_mean_over_the_fold_models():
    data = design()
    found = cross_validate(data, LINEAR).probability["rank_mean"].iloc[300:]
    X, predictions = data.X[["logit.a", "logit.b"]], []
    for fold in range(4):
        kept = np.flatnonzero(data.folds != fold)
        fit = rank_mean.fit(rank_mean.Params(), X.iloc[kept], data.y[kept], groups=data.groups[kept], seed=0)
        predictions.append(fit(X.iloc[300:]))
    np.testing.assert_allclose(found, np.mean(predictions, axis=0))


def test_changing_a_folds_targets_leaves_its_own_predictions_alone():
    data = design()
    flipped = Design(data.X, np.where(data.folds == 1, 1 - data.y, data.y), data.folds, data.groups)
    before, after = (cross_validate(each, BOOSTED).probability.iloc[:300] for each in (data, flipped))
    own = data.folds == 1
    pd.testing.assert_frame_equal(before[own], after[own], check_exact=True)
    assert not np.allclose(before[~own], after[~own])


def test_the_blend_is_the_mean_of_logits_without_chosen_weights():
    found = cross_validate(design(), BOOSTED).probability
    np.testing.assert_allclose(logit(found["blend"]), logit(found[["lgbm", "logistic"]]).mean(axis=1))


def test_more_seeds_average_the_fits_of_each_seed():
    data = design()
    once, twice = (cross_validate(data, BOOSTED.model_copy(update={"seeds": n})).probability["lgbm"] for n in (1, 2))
    fitted, held_out = np.flatnonzero(data.folds != 0), np.flatnonzero(data.folds == 0)
    second = lgbm_learner.fit(BOOSTED.lgbm, data.X.iloc[fitted], data.y[fitted], groups=data.groups[fitted], seed=1)
    expected = (once.iloc[held_out] + second(data.X.iloc[held_out])) / 2
    np.testing.assert_allclose(twice.iloc[held_out], expected)


def test_only_seeded_learners_are_fitted_once_per_seed_and_every_fit_is_told():
    told = []
    cross_validate(design(), BOOSTED, lambda *fit: told.append(fit))
    assert len(told) == len(set(told)) == number_of_fits(design(), BOOSTED) == 4 * (2 + 1)
    assert ("logistic", 1, 0) not in told


def test_the_same_run_twice_gives_the_same_bits():
    first, second = (cross_validate(design(), BOOSTED) for _ in range(2))
    pd.testing.assert_frame_equal(first.probability, second.probability, check_exact=True)


def test_fold_aucs_are_those_of_the_out_of_fold_rows():
    data = design()
    result = cross_validate(data, LINEAR)
    fold = data.folds == 3
    expected = auc(data.y[fold], result.probability["logistic"].to_numpy()[:300][fold])
    assert result.fold_auc.loc["logistic", 3] == expected
    assert list(result.fold_auc.columns) == [0, 1, 2, 3]


def test_weights_and_importance_are_passed_on():
    result = cross_validate(design(), BOOSTED)
    assert result.weights["logistic"]["logit.a"] > result.weights["logistic"]["logit.b"] >= 0
    assert max(result.importance["lgbm"], key=result.importance["lgbm"].get) == "logit.a"


def test_a_target_of_pure_noise_gives_no_better_than_chance():
    data = design(n_train=900, n_test=0, signal=0)
    found = cross_validate(data, BOOSTED).probability
    assert (abs(np.array([auc(data.y, found[name].to_numpy()) for name in found]) - 0.5) < 0.07).all()


def test_without_test_rows_there_are_only_train_predictions():
    assert cross_validate(design(n_test=0), LINEAR).probability.shape == (300, 3)


def test_a_patient_in_two_folds_is_refused_by_name():
    data = design()
    data.folds[0] = 3
    with pytest.raises(InputFault, match=r"more than one fold: 1 \(patient_0\)"):
        cross_validate(data, LINEAR)


def test_a_fold_with_one_class_is_refused_by_number():
    data = design()
    data.y[data.folds == 2] = 0
    with pytest.raises(InputFault, match="fold 2: 0 malignant of 75"):
        cross_validate(data, LINEAR)
