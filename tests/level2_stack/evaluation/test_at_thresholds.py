import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from level2_stack.calibration.reliability import class_weights
from level2_stack.evaluation.at_thresholds import decision_measures, measures_at_thresholds
from level2_stack.evaluation.auc import PatientROC
from level2_stack.evaluation.metrics import sensitivity_at

Y = np.array([0.0, 0, 1, 0, 1, 1])
SCORE = np.array([0.1, 0.2, 0.2, 0.4, 0.6, 0.9])
PATIENTS = np.array(["a", "b", "c", "d", "e", "f"], dtype=object)


def at_every_score(y, score, groups, weights=None, **settings):
    return measures_at_thresholds(y, score, groups, np.unique(score), weights, **settings)


def test_every_threshold_has_the_confusion_matrix_counted_by_hand() -> None:
    table = at_every_score(Y, SCORE, PATIENTS, replicates=50)
    assert table["threshold"].tolist() == [0.1, 0.2, 0.4, 0.6, 0.9]
    assert table["true_positives"].tolist() == [3, 3, 2, 2, 1]
    assert table["false_positives"].tolist() == [3, 2, 1, 0, 0]
    assert table["sensitivity"].tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3])
    assert table["specificity"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert table["ppv"].tolist() == pytest.approx([3 / 6, 3 / 5, 2 / 3, 1, 1])
    assert table["npv"].tolist()[1:] == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])
    assert np.isnan(table["npv"][0])  # no case is predicted benign


def test_net_benefit_follows_the_formula_of_vickers_and_elkin() -> None:
    table = at_every_score(Y, SCORE, PATIENTS, replicates=10)
    assert table["net_benefit"][2] == pytest.approx(2 / 6 - 1 / 6 * (0.4 / 0.6))


def test_limits_contain_the_estimate_and_are_equal_to_it_for_a_single_patient() -> None:
    table = at_every_score(Y, SCORE, PATIENTS, replicates=200)
    assert (table["sensitivity_low"] <= table["sensitivity"]).all()
    assert (table["sensitivity"] <= table["sensitivity_high"]).all()
    one_patient = at_every_score(Y, SCORE, np.array(["a"] * 6, dtype=object), replicates=20)
    assert one_patient["ppv_low"].tolist() == one_patient["ppv_high"].tolist() == one_patient["ppv"].tolist()


def test_class_weights_change_predictive_values_but_not_sensitivity_and_counts() -> None:
    plain = at_every_score(Y, SCORE, PATIENTS, replicates=10)
    rare = at_every_score(Y, SCORE, PATIENTS, class_weights(Y, 0.1), replicates=10)
    for name in ("sensitivity", "specificity", "true_positives", "false_positives"):
        assert rare[name].tolist() == pytest.approx(plain[name].tolist())
    row = plain.iloc[2]
    bayes = 0.1 * row["sensitivity"] / (0.1 * row["sensitivity"] + 0.9 * (1 - row["specificity"]))
    assert rare["ppv"][2] == pytest.approx(bayes)


def test_a_missing_class_has_no_measures() -> None:
    table = at_every_score(np.zeros(3), np.array([0.1, 0.2, 0.3]), PATIENTS[:3], replicates=5)
    assert table["sensitivity"].isna().all()
    assert table["sensitivity_low"].isna().all()
    assert table["specificity"].tolist() == pytest.approx([0, 1 / 3, 2 / 3])


def test_a_part_of_the_thresholds_has_the_counts_of_all_rows() -> None:
    random = np.random.default_rng(1)
    score, y = random.random(3000), (random.random(3000) < 0.2).astype(np.float64)
    table = measures_at_thresholds(y, score, np.arange(3000).astype(object), np.unique(score)[::60], replicates=2)
    for row in table.iloc[::10].itertuples():
        assert row.true_positives == int(((score >= row.threshold) & (y == 1)).sum())
        assert row.false_positives == int(((score >= row.threshold) & (y == 0)).sum())


def test_decisions_have_the_measures_of_the_threshold_that_made_them() -> None:
    at_threshold = measures_at_thresholds(Y, SCORE, PATIENTS, np.array([0.4]), replicates=100, seed=3)
    decisions = decision_measures(Y, SCORE >= 0.4, PATIENTS, 0.4, replicates=100, seed=3)
    for name, interval in decisions.items():
        expected = at_threshold.loc[0, [name, f"{name}_low", f"{name}_high"]]
        assert list(interval) == pytest.approx(expected.tolist())


def test_the_share_that_is_referred_is_weighted_to_the_prevalence() -> None:
    rare = decision_measures(Y, SCORE >= 0.4, PATIENTS, 0.4, class_weights(Y, 0.1), replicates=5)
    assert rare["referred"].value == pytest.approx(0.1 * 2 / 3 + 0.9 * 1 / 3)
    assert rare["net_benefit"].value == pytest.approx(0.1 * 2 / 3 - 0.9 * 1 / 3 * 0.4 / 0.6)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=40))
def test_the_best_sensitivity_at_a_specificity_equals_that_of_the_metrics(rows: list[tuple[int, bool]]) -> None:
    score = np.array([rank / 10 for rank, _ in rows])
    y = np.array([float(malignant) for _, malignant in rows])
    assume(0 < y.sum() < len(y))
    patients = np.arange(len(y))
    table: pd.DataFrame = at_every_score(y, score, patients.astype(object), replicates=1)
    sensitivities = table.loc[table["specificity"] >= 0.9 - 1e-12, "sensitivity"]
    roc = PatientROC(y, score, patients, len(y))(np.ones((len(y), 1)))
    best = sensitivities.max() if len(sensitivities) else 0.0
    assert best == pytest.approx(sensitivity_at(roc, 90)[0])
