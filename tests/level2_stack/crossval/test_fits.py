"""One fit of level two: the columns it uses, its predictions, and the correction for thin_negatives negatives."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level2_stack.crossval.fits import (
    Model,
    Task,
    build_table,
    choose_processes,
    fit_task,
    run_tasks,
    select_columns,
    thin_negatives,
)
from level2_stack.learner_contract import STAGES
from level2_stack.learners import lgbm, logistic, rank_mean
from tests.level2_stack.small_designs import make_design

QUICK = lgbm.Params(rounds=20, learning_rate=0.1)


def lgbm_task(excluded_folds: tuple[int, ...] = (0,), **settings: object) -> Task:
    return Task("lgbm", QUICK, excluded_folds, 0, **settings)


@given(
    ratio=st.floats(0.1, 5),
    seed=st.integers(0, 99),
    y=st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60).filter(lambda y: 0 < sum(y) < len(y)),
)
def test_thinning_keeps_all_positives_and_the_requested_number_of_negatives(ratio, seed, y):
    targets, rows = np.array(y), np.arange(len(y))
    rows_left, share = thin_negatives(rows, targets, Task("lgbm", QUICK, (1,), seed, thinning_ratio=ratio))
    positives, negatives = int(targets.sum()), int((targets == 0).sum())
    n_negatives = min(int(np.ceil(ratio * positives)), negatives)
    assert set(np.flatnonzero(targets == 1)) <= set(rows_left)
    assert len(rows_left) == len(set(rows_left)) == positives + n_negatives
    assert list(rows_left) == sorted(rows_left)
    assert share == pytest.approx(n_negatives / negatives)


def test_a_ratio_above_that_of_the_rows_changes_nothing():
    table = build_table(make_design(120))
    without_ratio = fit_task(lgbm_task(), table)
    high_ratio = fit_task(lgbm_task(thinning_ratio=50.0), table)
    np.testing.assert_array_equal(high_ratio.fold_scores[0], without_ratio.fold_scores[0])
    np.testing.assert_array_equal(high_ratio.test_scores, without_ratio.test_scores)


def test_fits_on_thinned_rows_predict_the_prevalence_of_all_rows():
    table = build_table(make_design(600, signal=1.0))
    task = Task("lgbm", lgbm.Params(rounds=60, learning_rate=0.1), (0,), 0, thinning_ratio=1.0)
    means = [1 / (1 + np.exp(-fit_task(task._replace(seed=seed), table).fold_scores[0][-1])) for seed in range(4)]
    assert np.mean(means) == pytest.approx(0.3, abs=0.05)  # 0.5 without the correction
    results = fit_task(task, table), fit_task(task._replace(thinning_ratio=None), table)
    assert np.corrcoef(*(each.fold_scores[0][-1] for each in results))[0, 1] > 0.8


def test_the_correction_multiplies_the_odds_by_the_share_of_negatives_kept():
    constant = Model(lambda X: np.full(len(X), 0.5), correction=float(np.log(0.1)))
    np.testing.assert_allclose(np.exp(constant.margins(pd.DataFrame(index=range(3)))), 0.1, rtol=1e-6)


def test_different_folds_and_seeds_keep_different_negatives():
    y = np.repeat([0.0, 1.0], [90, 10])
    first, again, other_seed, other_fold = (
        set(thin_negatives(np.arange(100), y, Task("lgbm", QUICK, excluded_folds, seed, thinning_ratio=2.0))[0])
        for excluded_folds, seed in (((0,), 0), ((0,), 0), ((0,), 1), ((0, 1), 0))
    )
    assert first == again
    assert first != other_seed
    assert first != other_fold


def test_scores_of_0_and_1_become_finite_logits():
    model = Model(lambda X: np.array([0.0, 1.0]), correction=0.0)
    low, high = model.margins(pd.DataFrame(index=range(2)))[0]
    assert (low, high) == (pytest.approx(-20.7, abs=0.1), pytest.approx(20.7, abs=0.1))


def test_a_fit_predicts_its_excluded_folds_and_the_test_rows_only_if_it_excludes_one():
    table = build_table(make_design(120, 12))
    pair, outer = fit_task(lgbm_task((0, 2)), table), fit_task(lgbm_task((2,), keep_model=True), table)
    assert {fold: scores.shape for fold, scores in pair.fold_scores.items()} == {
        0: (len(STAGES), 30),
        2: (len(STAGES), 30),
    }
    assert pair.test_scores is None
    assert pair.model is None
    assert outer.test_scores.shape == (len(STAGES), 12)
    np.testing.assert_array_equal(outer.model.margins(table.X.iloc[120:]), outer.test_scores)


def test_only_learners_with_weights_or_importance_return_them():
    table = build_table(make_design(120))
    lgbm_fit, logistic_fit, rank_mean_fit = (
        fit_task(Task(name, params, (0,), 0), table)
        for name, params in (("lgbm", QUICK), ("logistic", logistic.Params()), ("rank_mean", rank_mean.Params()))
    )
    assert set(lgbm_fit.importance) == set(table.X.columns)
    assert set(logistic_fit.weights) == {"logit.n0", "logit.n1"}
    assert (lgbm_fit.weights, logistic_fit.importance) == (None, None)
    assert (rank_mean_fit.weights, rank_mean_fit.importance) == (None, None)


def test_a_fit_does_not_get_the_columns_of_excluded_families():
    X = pd.DataFrame(columns=["logit.a", "spread.a", "metadata.age", "metadata.site", "patient.count"])
    assert list(select_columns("lgbm", X)) == list(X)
    assert list(select_columns("lgbm", X, ("metadata", "spread"))) == ["logit.a", "patient.count"]
    assert list(select_columns("rank_mean", X)) == ["logit.a"]


def test_an_excluded_column_has_no_influence():
    design = make_design(120)
    other = design.X.assign(**{"metadata.age": 0.0})
    task = lgbm_task(excluded_families=("metadata",))
    first, second = (
        fit_task(task, build_table(each))
        for each in (design, type(design)(other, design.y, design.folds, design.groups))
    )
    np.testing.assert_array_equal(first.fold_scores[0], second.fold_scores[0])


def test_a_table_numbers_folds_and_patients_and_keeps_each_row_s_patient():
    design = make_design(120)
    table = build_table(design)
    assert list(table.X.index) == list(range(len(design.X)))
    assert set(table.folds) == {0, 1, 2, 3}
    assert len(set(zip(table.groups, design.groups, strict=True))) == len(set(table.groups)) == 40


def test_outcomes_follow_the_order_of_the_tasks_and_on_fit_is_called_before_each():
    table, calls = build_table(make_design(60)), []
    tasks = [Task("rank_mean", rank_mean.Params(), (fold,), 0) for fold in (2, 0, 1)]
    outcomes = run_tasks(tasks, table, processes=1, on_fit=calls.append)
    assert next(outcomes)[0] == tasks[0] == calls[0]
    assert [list(outcome.fold_scores) for _, outcome in outcomes] == [[0], [1]]
    assert calls == tasks


def test_few_small_fits_use_one_process():
    table = build_table(make_design(60))
    assert choose_processes(100, table) == 1
    assert choose_processes(10**6, table) >= 1
    assert choose_processes(1, table) == 1
