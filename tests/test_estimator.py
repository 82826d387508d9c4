"""Tests of the scikit-learn face: its contract, groups, kinds of columns, refusals."""

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
from sklearn.utils import estimator_checks

from level2_stack import estimator
from level2_stack.estimator import NestedStackingClassifier

# Trees that learn from two dozen rows: scikit-learn's checks have no more.
QUICK: dict[str, Any] = {
    "n_folds": 3,
    "seeds": 1,
    "calibration": ("platt",),
    "params": {
        "lgbm": {"rounds": 10, "learning_rate": 0.3, "min_child_samples": 2, "min_sum_hessian": 0.1},
        "xgb": {"rounds": 10, "eta": 0.3, "min_child_weight": 0.1},
    },
}
WITHOUT_SCORES = NestedStackingClassifier(**QUICK)
WITH_SCORES = NestedStackingClassifier(scores=[0], score_scale="logit", **QUICK)
LINEAR: dict[str, Any] = {"n_folds": 3, "calibration": ("platt",), "learners": ["logistic"]}
TWO_TO_EIGHTEEN = "its 20 samples have 2 of one class; nested evaluation needs 3 folds with both classes"
IMPOSSIBLE = dict.fromkeys(
    [
        "check_dict_unchanged",
        "check_dont_overwrite_parameters",
        "check_f_contiguous_array_estimator",
        "check_fit2d_predict1d",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
    ],
    TWO_TO_EIGHTEEN,
)


class Halved(NestedStackingClassifier):
    """The estimator under labels of which either class has half, so that no check is left out for its own labels."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> "Halved":
        first = np.asarray(X)[:, 0]
        return super().fit(X, np.where(first > np.median(first), *np.unique(y)[[0, -1]]), groups)


def patients_table(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Two networks (one with gaps), an age with gaps, a site and a sex that tell something; 60 patients of 4 pictures."""
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


@estimator_checks.parametrize_with_checks(
    [WITHOUT_SCORES, WITH_SCORES], expected_failed_checks=lambda _: IMPOSSIBLE, xfail_strict=True
)
def test_scikit_learns_checks_pass(estimator: NestedStackingClassifier, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("scores", [{}, {"scores": [0], "score_scale": "logit"}], ids=["features", "scores"])
@pytest.mark.parametrize("name", sorted(IMPOSSIBLE))
def test_checks_with_too_few_of_a_class_pass_with_enough(name: str, scores: dict[str, Any]) -> None:
    getattr(estimator_checks, name)("Halved", Halved(**QUICK, **scores))


def test_the_examples_of_the_docstring_run() -> None:
    outcome = doctest.testmod(estimator)
    assert outcome.attempted > 5
    assert outcome.failed == 0


def test_out_of_fold_predictions_rank_better_than_the_networks_they_combine(stack: NestedStackingClassifier) -> None:
    X, y, _ = patients_table()
    assert roc_auc_score(y, stack.oof_) > stack.leaderboard_.loc[["net_a", "net_b"], "auc"].max() - 0.02
    assert stack.leaderboard_.loc["choice", "auc"] == pytest.approx(roc_auc_score(y, stack.oof_))
    assert {"lgbm", "xgb", "logistic", "blend", "mean", "rank_mean", "caruana"} < set(stack.leaderboard_.index)


def test_out_of_fold_predictions_of_noise_are_worth_nothing() -> None:
    X, y, patient = patients_table()
    noise = np.random.default_rng(1).permutation(y)
    blind = NestedStackingClassifier(**QUICK).fit(X.drop(columns=NETS), noise, groups=patient)
    assert abs(roc_auc_score(noise, blind.oof_) - 0.5) < 0.12  # three standard errors at 84 positives of 240


def test_no_patient_spans_two_folds(stack: NestedStackingClassifier) -> None:
    _, _, patient = patients_table()
    assert pd.Series(stack.folds_).groupby(patient).nunique().eq(1).all()
    assert set(stack.folds_) == {0, 1, 2}


def test_every_learner_and_fold_has_a_calibrator_and_every_booster_its_gains(stack: NestedStackingClassifier) -> None:
    assert {len(chosen) for chosen in stack.calibrators_.values()} == {3}
    assert set(stack.importance_.columns) == {"lgbm", "xgb"}
    assert {"logit.net_a", "table.age", "table.site", "difference.net_b"} < set(stack.importance_.index)
    assert (stack.importance_ >= 0).all(axis=None)


def test_names_of_columns_are_remembered_and_asked_for(stack: NestedStackingClassifier) -> None:
    X, _, patient = patients_table()
    assert stack.feature_names_in_.tolist() == ["net a", "net_b", "age", "site", "sex"]
    assert stack.n_features_in_ == 5
    with pytest.raises(ValueError, match="feature names should match"):
        stack.predict_proba(X.rename(columns={"age": "years"}), groups=patient)


def test_a_prediction_depends_on_the_rows_of_its_patient_alone_in_any_order(stack: NestedStackingClassifier) -> None:
    X, _, patient = patients_table(seed=5)
    whole = stack.predict_proba(X, groups=patient)
    order = np.random.default_rng(2).permutation(240)
    np.testing.assert_array_equal(stack.predict_proba(X.iloc[order], groups=patient[order]), whole[order])
    some = np.isin(patient, ["p03", "p17"])
    np.testing.assert_array_equal(stack.predict_proba(X[some], groups=patient[some]), whole[some])


def test_a_copy_by_pickle_predicts_the_same(stack: NestedStackingClassifier) -> None:
    X, _, patient = patients_table(seed=5)
    copy = pickle.loads(pickle.dumps(stack))
    np.testing.assert_array_equal(copy.predict_proba(X, groups=patient), stack.predict_proba(X, groups=patient))


def test_a_clone_has_the_parameters_and_is_not_fitted(stack: NestedStackingClassifier) -> None:
    copy = clone(stack).set_params(submit="blend")
    assert copy.get_params() == {**stack.get_params(), "submit": "blend"}
    with pytest.raises(NotFittedError):
        copy.predict(patients_table()[0])


def test_the_number_of_processes_changes_nothing(stack: NestedStackingClassifier) -> None:
    X, y, patient = patients_table()
    parallel = clone(stack).set_params(n_jobs=2).fit(X, y, groups=patient)
    np.testing.assert_array_equal(parallel.oof_, stack.oof_)
    pd.testing.assert_frame_equal(parallel.leaderboard_, stack.leaderboard_)


def test_a_column_of_patients_is_the_same_as_groups_and_no_feature(stack: NestedStackingClassifier) -> None:
    X, y, patient = patients_table()
    named = clone(stack).set_params(group_column="patient").fit(X.assign(patient=patient), y)
    np.testing.assert_array_equal(named.oof_, stack.oof_)
    fresh, _, _ = patients_table(seed=5)
    expected = stack.predict_proba(fresh, groups=patient)
    np.testing.assert_array_equal(named.predict_proba(fresh.assign(patient=patient)), expected)


def test_labels_may_be_words_and_predictions_are_in_them() -> None:
    X, y, patient = patients_table()
    words = np.where(y == 1, "melanoma", "benign")
    named = NestedStackingClassifier(NETS, **LINEAR).fit(X, words, groups=patient)
    numbered = NestedStackingClassifier(NETS, **LINEAR).fit(X, y, groups=patient)
    assert named.classes_.tolist() == ["benign", "melanoma"]
    np.testing.assert_array_equal(named.oof_, numbered.oof_)
    expected = np.where(numbered.predict(X, groups=patient) == 1, "melanoma", "benign")
    np.testing.assert_array_equal(named.predict(X, groups=patient), expected)


def test_logits_give_what_their_probabilities_give() -> None:
    X, y, patient = patients_table()
    logits = X.assign(**{name: np.log(X[name] / (1 - X[name])) for name in NETS})
    fits = [
        NestedStackingClassifier(NETS, score_scale=scale, **LINEAR).fit(table, y, groups=patient).oof_
        for scale, table in (("probability", X), ("logit", logits))
    ]
    np.testing.assert_allclose(*fits, rtol=1e-6)


def test_contrasts_come_with_groups_unless_refused(stack: NestedStackingClassifier) -> None:
    X, y, patient = patients_table()
    alone = NestedStackingClassifier(NETS, **QUICK).fit(X, y)
    refused = NestedStackingClassifier(NETS, contrasts=False, **QUICK).fit(X, y, groups=patient)
    families = {name.split(".")[0] for name in stack.importance_.index}
    assert families == {"logit", "table", "difference", "zscore", "rank", "level", "disagreement"}
    for other in (alone, refused):
        assert {name.split(".")[0] for name in other.importance_.index} == {"logit", "table"}


def test_predicting_without_the_groups_of_the_fit_warns(stack: NestedStackingClassifier) -> None:
    X, _, _ = patients_table()
    with pytest.warns(UserWarning, match="nothing to be contrasted with"):
        stack.predict_proba(X)


def test_unknown_categories_and_missing_values_are_predicted(stack: NestedStackingClassifier) -> None:
    X, _, patient = patients_table()
    strange = X.assign(site="tongue", sex=None, age=np.nan, net_b=np.nan)
    probability = stack.predict_proba(strange, groups=patient)
    assert np.isfinite(probability).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1)


def test_kinds_of_columns_are_those_of_the_fit() -> None:
    X, y, _ = patients_table()
    X = X[["age"]].assign(
        counted=pd.array(np.arange(240) % 7, dtype="Int64"), flag=y == 1, empty=None, mixed=["a", 1] * 120
    )
    X.loc[3, "counted"] = pd.NA
    fitted = NestedStackingClassifier(**QUICK).fit(X, y)
    whole = fitted.predict_proba(X)
    np.testing.assert_array_equal(fitted.predict_proba(X.astype({"flag": object})), whole)
    np.testing.assert_array_equal(fitted.predict_proba(X.iloc[[3]]), whole[[3]])
    assert roc_auc_score(y, fitted.oof_) > 0.99  # the flag says it


def test_the_mean_probability_meets_the_prevalence_asked_for() -> None:
    X, y, patient = patients_table()
    rare = NestedStackingClassifier(NETS, prevalence=0.02, **LINEAR).fit(X, y, groups=patient)
    assert 0.01 < rare.oof_.mean() < 0.06
    assert y.mean() > 0.3


def test_a_search_over_a_parameter_finds_one() -> None:
    X, y, patient = patients_table()
    grid = {"params": [{"logistic": {"l2": l2}} for l2 in (0.1, 10.0)], "blend_weights": ["equal", "fitted"]}
    stack = NestedStackingClassifier(NETS, group_column="patient", **LINEAR)
    search = GridSearchCV(stack, grid, scoring="roc_auc", cv=GroupKFold(3), error_score="raise", n_jobs=2)
    search.fit(X.assign(patient=patient), y, groups=patient)
    assert search.best_params_["params"] in grid["params"]
    assert search.best_score_ > 0.7


def test_cross_val_predict_gives_the_groups_to_fit() -> None:
    X, y, patient = patients_table()
    stack = NestedStackingClassifier(NETS, contrasts=False, **LINEAR)
    given: dict[str, Any] = {"cv": GroupKFold(3), "method": "predict_proba"}
    plain = cross_val_predict(stack, X, y, groups=patient, params={"groups": patient}, **given)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_val_predict(stack.set_fit_request(groups=True), X, y, params={"groups": patient}, **given)
    in_column = cross_val_predict(
        clone(stack).set_params(group_column="patient"), X.assign(patient=patient), y, groups=patient, **given
    )
    np.testing.assert_array_equal(routed, plain)
    np.testing.assert_array_equal(in_column, plain)
    assert roc_auc_score(y, plain[:, 1]) > 0.7


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scores": ["net c"]}, "scores: X has no column 'net c'"),
        ({"scores": "net a"}, "a list of columns is needed"),
        ({"scores": [17]}, "scores: X has no column 17"),
        ({"scores": ["age"]}, r"outside \[0, 1\]: 1 \(age\)"),
        ({"scores": ["net a", 0]}, "'net a' is named twice"),
        ({"scores": ["lgbm"]}, "'lgbm' would be mistaken for level two's own"),
        ({"scores": NETS, "score_scale": "percent"}, "score_scale = 'percent': must be one of probability, logit"),
        ({"group_column": "patient"}, "group_column: X has no column 'patient'"),
        ({"group_column": "site"}, "groups are given twice"),
        ({"learners": ["lgmb"]}, "no 'lgmb'; did you mean 'lgbm'"),
        ({"learners": ["logistic"]}, "logistic weigh networks' scores, and scores names no column"),
        ({"params": {"lgmb": {}}}, "params: no learner 'lgmb'; did you mean 'lgbm'"),
        ({"params": {"lgbm": {"round": 3}}}, "unknown key 'lgbm.round'; did you mean 'rounds'"),
        ({"submit": "best"}, "submit: no 'best'"),
        ({"seeds": 0}, "seeds = 0"),
        ({"calibration": ["plat"]}, "did you mean 'platt'"),
        ({"prevalence": 1.5}, "prevalence = 1.5"),
        ({"n_folds": 2}, "n_folds = 2: must be a whole number from 3"),
    ],
)
def test_a_parameter_that_cannot_be_is_a_value_error_that_says_why(parameters: dict[str, Any], message: str) -> None:
    X, y, patient = patients_table()
    quick = {key: value for key, value in QUICK.items() if key != "params"}
    with pytest.raises(ValueError, match=message):
        NestedStackingClassifier(**{**quick, **parameters}).fit(X.assign(lgbm=0.5), y, groups=patient)


@pytest.mark.parametrize(
    ("change", "groups", "message"),
    [
        ({"day": pd.Timestamp("2020-01-01")}, None, r"dates or durations: 1 \(day\)"),
        ({"age": np.inf}, None, "Input X contains infinity"),
        ({"net_a": 0.5}, None, "differ in brackets, quotes or spaces only"),
        ({"net a": np.nan}, None, "score 'net a' has no value"),
        ({}, np.arange(10), "groups: 10 of them, and X has 240 rows"),
        ({}, np.zeros((240, 2)), r"groups: shape \(240, 2\)"),
        ({}, [None, *range(239)], r"groups: rows without one: 1 \(0\)"),
        ({}, np.zeros(240), "1 and 1 groups of the classes"),
    ],
)
def test_a_table_or_groups_that_cannot_be_are_a_value_error_that_says_why(
    change: dict[str, Any], groups: Any, message: str
) -> None:
    X, y, _ = patients_table()
    with pytest.raises(ValueError, match=message):
        NestedStackingClassifier(["net a"], **LINEAR).fit(X.assign(**change), y, groups=groups)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(240), "y has 1 class"),
        (np.arange(240) % 3, "Only binary classification is supported. The type of the target is multiclass"),
        (np.zeros(7), "inconsistent numbers of samples"),
        (None, "requires y to be passed"),
    ],
)
def test_other_than_two_classes_for_the_rows_are_refused(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NestedStackingClassifier(**QUICK).fit(patients_table()[0], y)
