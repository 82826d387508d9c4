"""Nested cross-validation of level two: every score comes from fits that used neither of its two folds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from level2_stack.crossval.nested import Scores, count_fits, cross_validate, fold_aucs
from level2_stack.design.assemble import Design
from level2_stack.learner_contract import STAGES
from level2_stack.learners import lgbm, logistic
from runtime.errors import InputFault
from tests.level2_stack.small_designs import SMALL, flip_targets, make_design, recipe


def margins(predict, X: pd.DataFrame) -> np.ndarray:
    return logit(np.clip(predict(X), 1e-9, 1 - 1e-9)).astype(np.float32)


def fit_without(learner, params, design: Design, excluded_folds: tuple[int, ...], columns: list[str], seed: int = 0):
    training = np.flatnonzero(~np.isin(design.folds, excluded_folds))
    return learner.fit(
        params,
        design.X[columns].iloc[training],
        design.y[training],
        groups=design.groups[training].astype(str),
        seed=seed,
    )


LOGITS = ["logit.n0", "logit.n1"]
ALL = [*LOGITS, "metadata.age"]


def test_an_entry_is_the_score_of_a_fit_without_the_outer_fold_and_the_rows_own_fold():
    design = make_design()
    result = cross_validate(design, recipe("logistic"))
    for outer in range(4):
        for inner in range(4):
            rows = np.flatnonzero(design.folds == inner)
            predict = fit_without(logistic, logistic.Params(), design, (outer, inner), LOGITS)
            expected = margins(predict, design.X[LOGITS].iloc[rows])
            np.testing.assert_array_equal(result.scores["logistic"].train[outer, rows], expected)


def test_test_rows_get_scores_from_the_fits_without_one_fold():
    design = make_design()
    result = cross_validate(design, recipe("logistic")).scores["logistic"]
    assert result.test.shape == (4, 24)
    for fold in range(4):
        predict = fit_without(logistic, logistic.Params(), design, (fold,), LOGITS)
        np.testing.assert_array_equal(result.test[fold], margins(predict, design.test[LOGITS]))


def test_the_outer_scores_are_those_of_the_rows_own_fold():
    table = np.arange(12.0).reshape(3, 4)
    scores = Scores(train=table, test=np.zeros((3, 0)), by_seed=np.zeros((1, 4)))
    assert scores.outer(np.array([2, 0, 1, 2])).tolist() == [8, 1, 6, 11]


def test_flipping_a_folds_targets_leaves_its_row_of_scores_and_its_rounds_alone():
    design, stack = make_design(120, 6), recipe("lgbm", "logistic", seeds=2)
    before = cross_validate(design, stack)
    for fold in range(4):
        after = cross_validate(flip_targets(design, fold), stack)
        others = [other for other in range(4) if other != fold]
        for name, scores in before.scores.items():
            np.testing.assert_array_equal(after.scores[name].train[fold], scores.train[fold])
            np.testing.assert_array_equal(after.scores[name].test[fold], scores.test[fold])
            own = design.folds == fold
            np.testing.assert_array_equal(after.scores[name].by_seed[:, own], scores.by_seed[:, own])
            assert all(not np.array_equal(after.scores[name].test[i], scores.test[i]) for i in others)
        assert [after.stage[name][fold] for name in after.stage] == [before.stage[name][fold] for name in before.stage]


def test_every_pair_of_folds_is_fitted_once_and_on_fit_is_called_for_every_fit():
    design, stack = make_design(), recipe("lgbm", "logistic", seeds=3, inner_seeds=2)
    tasks = []
    cross_validate(design, stack, on_fit=tasks.append)
    assert len({(task.learner, task.excluded_folds, task.seed) for task in tasks}) == len(tasks)
    assert len(tasks) == count_fits(design, stack) == (4 * 3 + 6 * 2) + (4 + 6)


def test_parameters_tuned_for_an_outer_fold_are_used_for_its_row_only():
    design, stack = make_design(), recipe("logistic")
    weak, strong = logistic.Params(l2=0.1), logistic.Params(l2=100)
    params = [weak, weak, strong, strong]
    tuned_params = {("logistic", fold): each for fold, each in enumerate(params)}
    result = cross_validate(design, stack, tuned_params=tuned_params)
    # A pair with equal parameters, (0, 1) or (2, 3), is fitted once; each of the other four is fitted twice.
    assert count_fits(design, stack, tuned_params) == 4 + 2 + 2 * 4
    for outer in range(4):
        for inner in range(4):
            rows = np.flatnonzero(design.folds == inner)
            predict = fit_without(logistic, params[outer], design, (outer, inner), LOGITS)
            expected = margins(predict, design.X[LOGITS].iloc[rows])
            np.testing.assert_array_equal(result.scores["logistic"].train[outer, rows], expected)


def test_outer_scores_are_the_mean_logit_of_all_seeds_and_inner_ones_of_the_inner_seeds():
    design, stack = make_design(), recipe("lgbm", seeds=2, inner_seeds=1, choose_rounds=False)
    scores, own = cross_validate(design, stack).scores["lgbm"], np.flatnonzero(design.folds == 1)
    params, X = lgbm.Params(**SMALL["lgbm"]), design.X.iloc[own]
    seeds = [margins(fit_without(lgbm, params, design, (1,), ALL, seed), X) for seed in (0, 1)]
    np.testing.assert_allclose(scores.train[1, own], np.mean(seeds, axis=0), atol=1e-6)
    np.testing.assert_allclose(scores.by_seed[:, own], seeds, atol=1e-6)
    inner = margins(fit_without(lgbm, params, design, (1, 3), ALL), X)
    np.testing.assert_allclose(scores.train[3, own], inner, atol=1e-6)
    assert not np.allclose(seeds[0], seeds[1])


def test_rounds_are_those_with_the_lowest_log_loss_on_inner_folds():
    stack = recipe("lgbm", lgbm={"rounds": 60, "learning_rate": 0.3, "min_sum_hessian": 0.1})
    noise = cross_validate(make_design(signal=0), stack)
    assert max(noise.stage["lgbm"]) == STAGES[0]  # more rounds only fit noise
    slow = recipe("lgbm", lgbm={"rounds": 20, "learning_rate": 0.01})
    assert min(cross_validate(make_design(signal=3), slow).stage["lgbm"]) == STAGES[-1]


def test_without_the_choice_of_rounds_all_are_used():
    stack = recipe("lgbm", "logistic", choose_rounds=False)
    assert cross_validate(make_design(), stack).stage == {"lgbm": [1.0] * 4}


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.full)])
def test_the_result_does_not_depend_on_processes_or_the_order_of_learners(processes):
    design, learners = make_design(60, 6), ["lgbm", "xgb", "caruana", "rank_mean", "mean", "logistic"]
    one = cross_validate(design, recipe(*learners, seeds=2), processes=1)
    other_order = recipe(*reversed(learners), seeds=2)
    two = cross_validate(design, other_order, processes=processes, keep_models=True)
    for name, scores in one.scores.items():
        np.testing.assert_array_equal(two.scores[name].train, scores.train)
        np.testing.assert_array_equal(two.scores[name].test, scores.test)
    assert one.stage == two.stage
    assert one.importance == two.importance
    margins_of_model = two.models["mean", 2][0].margins(design.test[LOGITS])  # returned by its process, it still works
    np.testing.assert_array_equal(margins_of_model[0], one.scores["mean"].test[2])


def test_the_numbers_of_the_folds_do_not_matter():
    design = make_design()
    other_numbers = replace(design, folds=np.array([7, 2, 5, 3], dtype=np.int8)[design.folds])
    first, again = (cross_validate(each, recipe("logistic")) for each in (design, other_numbers))
    assert sorted(np.unique(again.folds)) == [0, 1, 2, 3]
    np.testing.assert_array_equal(
        again.scores["logistic"].outer(again.folds), first.scores["logistic"].outer(first.folds)
    )


def test_weights_and_importance_are_means_over_the_outer_fits():
    design = make_design()
    result = cross_validate(design, recipe("lgbm", "logistic"))
    fits = [fit_without(logistic, logistic.Params(), design, (fold,), LOGITS).weights for fold in range(4)]
    assert result.weights["logistic"]["logit.n0"] == pytest.approx(np.mean([each["logit.n0"] for each in fits]))
    assert max(result.importance["lgbm"], key=result.importance["lgbm"].get) == "logit.n0"


def test_models_are_kept_only_on_request_one_per_seed():
    stack = recipe("lgbm", "logistic", seeds=2)
    assert cross_validate(make_design(), stack).models == {}
    all_models = cross_validate(make_design(), stack, keep_models=True).models
    assert {key: len(models) for key, models in all_models.items()} == {
        (name, fold): count for name, count in (("lgbm", 2), ("logistic", 1)) for fold in range(4)
    }


def test_without_test_rows_there_are_only_train_scores():
    all_scores = cross_validate(make_design(tests=0), recipe("lgbm", "logistic")).scores
    assert {name: scores.test.shape for name, scores in all_scores.items()} == {"lgbm": (4, 0), "logistic": (4, 0)}


def test_fold_aucs_use_only_the_rows_with_a_score():
    y, folds = np.array([0, 1, 0, 1, 1, 0.0]), np.array([4, 4, 4, 9, 9, 9])
    scores = pd.DataFrame({"full": [1, 2, 3, 3, 2, 1.0], "gap": [1, 2, np.nan, np.nan, np.nan, 1.0]})
    aucs = fold_aucs(y, folds, scores)
    assert aucs.loc["full"].to_dict() == {4: 0.5, 9: 1.0}
    assert aucs.loc["gap", 4] == 1.0
    assert np.isnan(aucs.loc["gap", 9])


def test_a_patient_in_two_folds_is_refused_by_name():
    design = make_design()
    design.folds[0] = 3
    with pytest.raises(InputFault, match=r"more than one fold: 1 \(patient_0\)"):
        cross_validate(design, recipe("logistic"))


def test_fewer_than_three_folds_are_refused():
    with pytest.raises(InputFault, match=r"2 folds; nested cross-validation needs at least 3"):
        cross_validate(make_design(folds=2), recipe("logistic"))


def test_every_fold_with_one_class_is_refused_by_number():
    design = make_design()
    design.y[design.folds == 2] = 0
    design.y[design.folds == 0] = 1
    with pytest.raises(InputFault) as error:
        cross_validate(design, recipe("logistic"))
    assert "fold 0: 60 malignant of 60" in str(error.value)
    assert "fold 2: 0 malignant of 60" in str(error.value)
