"""Tests of the scikit-learn classifier: its contract, groups, kinds of columns and error messages."""

import doctest
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from level2_stack import estimator
from level2_stack.estimator import NestedStackingClassifier

# Trees that learn from two dozen rows, which is all that scikit-learn's checks have.
QUICK: dict[str, Any] = {
    "n_folds": 3,
    "seeds": 1,
    "calibration": ("platt",),
    "params": {
        "lgbm": {"rounds": 4, "learning_rate": 0.5, "min_child_samples": 2, "min_sum_hessian": 0.1},
        "xgb": {"rounds": 4, "eta": 0.5, "min_child_weight": 0.1},
    },
}
ONE_BOOSTER: dict[str, Any] = {**QUICK, "learners": ["lgbm"], "params": {"lgbm": QUICK["params"]["lgbm"]}}
WITHOUT_SCORES = NestedStackingClassifier(submit="blend", **QUICK)
WITH_SCORES = NestedStackingClassifier(
    scores=[0],
    score_scale="logit",
    **{**ONE_BOOSTER, "learners": ["lgbm", "logistic"]},
)
LINEAR: dict[str, Any] = {"n_folds": 3, "calibration": ("platt",), "learners": ["logistic"]}


def patients_table(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return X (two networks and features, with missing values), y and patients: 60 patients with 4 pictures each."""
    random = np.random.default_rng(seed)
    patient = np.repeat([f"p{i:02d}" for i in range(60)], 4)
    y = (random.random(240) < 0.35).astype(int)
    logits = random.normal(size=(2, 240)) + 1.5 * y - 1
    X = pd.DataFrame({"net a": 1 / (1 + np.exp(-logits[0])), "net_b": 1 / (1 + np.exp(-logits[1]))})
    X["age"] = np.where(random.random(240) < 0.1, np.nan, random.integers(20, 90, 240))
    X["site"] = pd.Categorical(random.choice(["head", "torso", "palm"], 240))
    X["sex"] = pd.Series(random.choice(["female", "male"], 240)).where(random.random(240) > 0.05)
    X.loc[:5, "net_b"] = np.nan
    return X, y, patient


NETS = ["net a", "net_b"]


@pytest.fixture(scope="module")
def stack() -> NestedStackingClassifier:
    X, y, patient = patients_table()
    return NestedStackingClassifier(scores=NETS, **QUICK).fit(X, y, groups=patient)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:X. :UserWarning")  # a column of the irises follows the target, as it should
@parametrize_with_checks([WITHOUT_SCORES, WITH_SCORES])
def test_scikit_learns_checks_pass(estimator: NestedStackingClassifier, check: Any) -> None:
    check(estimator)


def test_the_examples_of_the_docstring_run() -> None:
    outcome = doctest.testmod(estimator)
    assert outcome.attempted > 5
    assert outcome.failed == 0


def test_out_of_fold_predictions_rank_better_than_the_networks_they_combine(stack: NestedStackingClassifier) -> None:
    _, y, _ = patients_table()
    assert roc_auc_score(y, stack.oof_) > stack.leaderboard_.loc[["net_a", "net_b"], "auc"].max() - 0.02
    assert stack.leaderboard_.loc["choice", "auc"] == pytest.approx(roc_auc_score(y, stack.oof_))
    assert {"lgbm", "xgb", "logistic", "blend", "mean", "rank_mean", "caruana"} < set(stack.leaderboard_.index)


def test_out_of_fold_auc_on_noise_is_near_one_half() -> None:
    X, y, patient = patients_table()
    noise = np.random.default_rng(1).permutation(y)
    stack = NestedStackingClassifier(**QUICK).fit(X.drop(columns=NETS), noise, groups=patient)
    assert abs(roc_auc_score(noise, stack.oof_) - 0.5) < 0.12  # three standard errors with 84 positives of 240


def test_no_patient_spans_two_folds(stack: NestedStackingClassifier) -> None:
    _, _, patient = patients_table()
    assert pd.Series(stack.folds_).groupby(patient).nunique().eq(1).all()
    assert set(stack.folds_) == {0, 1, 2}


def test_every_learner_has_a_calibrator_per_fold_and_every_booster_has_importances(
    stack: NestedStackingClassifier,
) -> None:
    assert {len(by_fold) for by_fold in stack.calibrators_.values()} == {3}
    assert set(stack.importance_.columns) == {"lgbm", "xgb"}
    assert {"logit.net_a", "table.age", "table.site", "difference.net_b"} < set(stack.importance_.index)
    assert (stack.importance_ >= 0).all(axis=None)


def test_column_names_are_stored_and_checked_at_prediction(stack: NestedStackingClassifier) -> None:
    X, _, patient = patients_table()
    assert stack.feature_names_in_.tolist() == ["net a", "net_b", "age", "site", "sex"]
    assert stack.n_features_in_ == 5
    with pytest.raises(ValueError, match="feature names should match"):
        stack.predict_proba(X.rename(columns={"age": "years"}), groups=patient)


def test_a_prediction_depends_only_on_the_rows_of_its_patient_in_any_order(stack: NestedStackingClassifier) -> None:
    X, _, patient = patients_table(seed=5)
    whole = stack.predict_proba(X, groups=patient)
    order = np.random.default_rng(2).permutation(240)
    np.testing.assert_array_equal(stack.predict_proba(X.iloc[order], groups=patient[order]), whole[order])
    some = np.isin(patient, ["p03", "p17"])
    np.testing.assert_array_equal(stack.predict_proba(X[some], groups=patient[some]), whole[some])


def test_a_pickled_copy_predicts_the_same(stack: NestedStackingClassifier) -> None:
    X, _, patient = patients_table(seed=5)
    copy = pickle.loads(pickle.dumps(stack))
    np.testing.assert_array_equal(copy.predict_proba(X, groups=patient), stack.predict_proba(X, groups=patient))


def test_a_clone_has_the_parameters_but_no_fit(stack: NestedStackingClassifier) -> None:
    copy = clone(stack).set_params(submit="blend")
    assert copy.get_params() == {**stack.get_params(), "submit": "blend"}
    with pytest.raises(NotFittedError):
        copy.predict(patients_table()[0])


@pytest.mark.full
def test_the_number_of_processes_changes_nothing(stack: NestedStackingClassifier) -> None:
    X, y, patient = patients_table()
    parallel = clone(stack).set_params(n_jobs=2).fit(X, y, groups=patient)
    np.testing.assert_array_equal(parallel.oof_, stack.oof_)
    pd.testing.assert_frame_equal(parallel.leaderboard_, stack.leaderboard_)


def test_a_group_column_has_the_same_effect_as_groups_and_is_not_a_feature(stack: NestedStackingClassifier) -> None:
    X, y, patient = patients_table()
    with_column = clone(stack).set_params(group_column="patient").fit(X.assign(patient=patient), y)
    np.testing.assert_array_equal(with_column.oof_, stack.oof_)
    new_rows, _, _ = patients_table(seed=5)
    expected = stack.predict_proba(new_rows, groups=patient)
    np.testing.assert_array_equal(with_column.predict_proba(new_rows.assign(patient=patient)), expected)


def test_classes_may_be_words_and_predictions_use_them() -> None:
    X, y, patient = patients_table()
    words = np.where(y == 1, "melanoma", "benign")
    of_words = NestedStackingClassifier(NETS, **LINEAR).fit(X, words, groups=patient)
    of_numbers = NestedStackingClassifier(NETS, **LINEAR).fit(X, y, groups=patient)
    assert of_words.classes_.tolist() == ["benign", "melanoma"]
    np.testing.assert_array_equal(of_words.oof_, of_numbers.oof_)
    expected = np.where(of_numbers.predict(X, groups=patient) == 1, "melanoma", "benign")
    np.testing.assert_array_equal(of_words.predict(X, groups=patient), expected)


def test_logits_and_their_probabilities_give_the_same_result() -> None:
    X, y, patient = patients_table()
    logits = X.assign(**{name: np.log(X[name] / (1 - X[name])) for name in NETS})
    fits = [
        NestedStackingClassifier(NETS, score_scale=scale, **LINEAR).fit(table, y, groups=patient).oof_
        for scale, table in (("probability", X), ("logit", logits))
    ]
    np.testing.assert_allclose(*fits, rtol=1e-6)


def test_groups_add_contrasts_unless_they_are_switched_off(stack: NestedStackingClassifier) -> None:
    X, y, patient = patients_table()
    no_groups = NestedStackingClassifier(NETS, **ONE_BOOSTER).fit(X, y)
    no_contrasts = NestedStackingClassifier(NETS, contrasts=False, **ONE_BOOSTER).fit(X, y, groups=patient)
    families = {name.split(".")[0] for name in stack.importance_.index}
    assert {"logit", "table", "difference", "zscore", "rank", "level", "disagreement"} <= families
    for other in (no_groups, no_contrasts):
        assert {name.split(".")[0] for name in other.importance_.index} == {"logit", "table"}


def test_predicting_without_the_groups_of_the_fit_warns(stack: NestedStackingClassifier) -> None:
    X, _, _ = patients_table()
    with pytest.warns(UserWarning, match="fitted with groups, and predict got none"):
        stack.predict_proba(X)


def test_rows_with_unknown_categories_and_missing_values_get_probabilities(stack: NestedStackingClassifier) -> None:
    X, _, patient = patients_table()
    unusual = X.assign(site="tongue", sex=None, age=np.nan, net_b=np.nan)
    probability = stack.predict_proba(unusual, groups=patient)
    assert np.isfinite(probability).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1)


def test_kinds_of_columns_are_those_of_the_fit() -> None:
    X, y, _ = patients_table()
    X = X[["age"]].assign(
        count=pd.array(np.arange(240) % 7, dtype="Int64"),
        flag=np.where(np.arange(240) < 9, y == 0, y == 1),
        empty=None,
        mixed=["a", 1] * 120,
    )
    X.loc[3, "count"] = pd.NA
    with pytest.warns(
        UserWarning, match=r"flag: one rule \(.*\) is right in 9\d% of malignant and 9\d% of benign rows"
    ):
        stack = NestedStackingClassifier(**ONE_BOOSTER).fit(X, y)
    whole = stack.predict_proba(X)
    np.testing.assert_array_equal(stack.predict_proba(X.astype({"flag": object})), whole)
    np.testing.assert_array_equal(stack.predict_proba(X.iloc[[3]]), whole[[3]])
    assert roc_auc_score(y, stack.oof_) > 0.9  # the flag almost equals the target


def test_probabilities_are_for_the_requested_prevalence() -> None:
    X, y, patient = patients_table()
    rare = NestedStackingClassifier(NETS, prevalence=0.02, **LINEAR).fit(X, y, groups=patient)
    weights = np.where(y == 1, 0.02 / y.mean(), 0.98 / (1 - y.mean()))  # makes the classes as frequent as requested
    assert 0.015 < np.average(rare.oof_, weights=weights) < 0.03


def test_a_category_that_only_one_fold_has_is_accepted() -> None:
    X, y, patient = patients_table()
    rare = X[["age"]].assign(note=pd.Series(["seen", *[None] * 239], dtype=object))
    stack = NestedStackingClassifier(**ONE_BOOSTER).fit(rare, y, groups=patient)
    assert np.isfinite(stack.oof_).all()


def test_a_grid_search_chooses_a_parameter() -> None:
    X, y, patient = patients_table()
    grid = {"params": [{"logistic": {"l2": l2}} for l2 in (0.1, 10.0)], "n_folds": [3, 4]}
    stack = NestedStackingClassifier(NETS, group_column="patient", **LINEAR)
    search = GridSearchCV(stack, grid, scoring="roc_auc", cv=GroupKFold(2), error_score="raise")
    search.fit(X.assign(patient=patient), y, groups=patient)
    assert search.best_params_["params"] in grid["params"]
    assert search.best_score_ > 0.7


def test_cross_val_predict_passes_the_groups_to_fit() -> None:
    X, y, patient = patients_table()
    stack = NestedStackingClassifier(NETS, contrasts=False, **LINEAR)
    options: dict[str, Any] = {"cv": GroupKFold(2), "method": "predict_proba"}
    as_params = cross_val_predict(stack, X, y, groups=patient, params={"groups": patient}, **options)
    with sklearn.config_context(enable_metadata_routing=True):
        by_routing = cross_val_predict(stack.set_fit_request(groups=True), X, y, params={"groups": patient}, **options)
    as_column = cross_val_predict(
        clone(stack).set_params(group_column="patient"), X.assign(patient=patient), y, groups=patient, **options
    )
    np.testing.assert_array_equal(by_routing, as_params)
    np.testing.assert_array_equal(as_column, as_params)
    assert roc_auc_score(y, as_params[:, 1]) > 0.7


@pytest.mark.parametrize("n_folds", [2, 101, 4.5, "five"])
def test_an_invalid_number_of_folds_is_refused(n_folds: Any) -> None:
    X, y, patient = patients_table()
    with pytest.raises(ValueError, match="must be a whole number from 3 to 100"):
        NestedStackingClassifier(NETS, **{**LINEAR, "n_folds": n_folds}).fit(X, y, groups=patient)
