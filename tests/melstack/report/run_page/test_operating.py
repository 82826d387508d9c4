import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from level2_stack.calibration.reliability import class_weights
from level2_stack.evaluation.auc import PatientROC
from level2_stack.evaluation.metrics import sensitivity_at
from level2_stack.evaluation.subgroups import common_threshold
from melstack.report.run_page.operating import choose_thresholds, operating_points, presets

Y = np.array([0.0, 0, 1, 0, 1, 1])
SCORE = np.array([0.1, 0.2, 0.2, 0.4, 0.6, 0.9])
PATIENTS = np.array(["a", "b", "c", "d", "e", "f"], dtype=object)


def test_every_threshold_has_the_confusion_matrix_counted_by_hand() -> None:
    table = operating_points(Y, SCORE, PATIENTS, replicates=50)
    assert table["threshold"].tolist() == [0.1, 0.2, 0.4, 0.6, 0.9]
    assert table["true_positives"].tolist() == [3, 3, 2, 2, 1]
    assert table["false_positives"].tolist() == [3, 2, 1, 0, 0]
    assert table["sensitivity"].tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3])
    assert table["specificity"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert table["ppv"].tolist() == pytest.approx([3 / 6, 3 / 5, 2 / 3, 1, 1])
    assert table["npv"].tolist()[1:] == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])
    assert np.isnan(table["npv"][0])  # no case is predicted benign


def test_net_benefit_follows_the_formula_of_vickers_and_elkin() -> None:
    table = operating_points(Y, SCORE, PATIENTS, replicates=10)
    assert table["benefit"][2] == pytest.approx(2 / 6 - 1 / 6 * (0.4 / 0.6))


def test_limits_contain_the_estimate_and_are_equal_to_it_for_a_single_patient() -> None:
    table = operating_points(Y, SCORE, PATIENTS, replicates=200)
    assert (table["sensitivity_low"] <= table["sensitivity"]).all()
    assert (table["sensitivity"] <= table["sensitivity_high"]).all()
    one_patient = operating_points(Y, SCORE, np.array(["a"] * 6, dtype=object), replicates=20)
    assert one_patient["ppv_low"].tolist() == one_patient["ppv_high"].tolist() == one_patient["ppv"].tolist()


def test_class_weights_change_predictive_values_but_not_sensitivity_and_counts() -> None:
    plain = operating_points(Y, SCORE, PATIENTS, replicates=10)
    rare = operating_points(Y, SCORE, PATIENTS, class_weights(Y, 0.1), replicates=10)
    for name in ("sensitivity", "specificity", "true_positives", "false_positives"):
        assert rare[name].tolist() == pytest.approx(plain[name].tolist())
    row = plain.iloc[2]
    bayes = 0.1 * row["sensitivity"] / (0.1 * row["sensitivity"] + 0.9 * (1 - row["specificity"]))
    assert rare["ppv"][2] == pytest.approx(bayes)


def test_a_missing_class_has_no_measures() -> None:
    table = operating_points(np.zeros(3), np.array([0.1, 0.2, 0.3]), PATIENTS[:3], replicates=5)
    assert table["sensitivity"].isna().all()
    assert table["sensitivity_low"].isna().all()
    assert table["specificity"].tolist() == pytest.approx([0, 1 / 3, 2 / 3])


def test_many_scores_are_thinned_and_the_preset_sensitivities_stay_among_the_thresholds() -> None:
    random = np.random.default_rng(0)
    score = random.random(5000)
    y = (random.random(5000) < 0.1).astype(np.float64)
    thresholds = choose_thresholds(y, score, max_count=100)
    assert len(thresholds) <= 103
    assert {thresholds[0], thresholds[-1]} == {score.min(), score.max()}
    assert {common_threshold(y, score, percent) for percent in (80, 90, 95)} <= set(thresholds)


def test_thinned_thresholds_have_the_counts_of_all_rows() -> None:
    random = np.random.default_rng(1)
    score, y = random.random(3000), (random.random(3000) < 0.2).astype(np.float64)
    table = operating_points(y, score, np.arange(3000).astype(object), max_thresholds=50, replicates=2)
    for row in table.iloc[::10].itertuples():
        assert row.true_positives == int(((score >= row.threshold) & (y == 1)).sum())
        assert row.false_positives == int(((score >= row.threshold) & (y == 0)).sum())


def test_presets_are_the_highest_threshold_with_a_sensitivity_and_the_lowest_with_a_specificity() -> None:
    table = operating_points(Y, SCORE, PATIENTS, replicates=5)
    assert presets(table) == [
        {"label": "80 % sensitivity", "index": 1},
        {"label": "90 % sensitivity", "index": 1},
        {"label": "95 % sensitivity", "index": 1},
        {"label": "90 % specificity", "index": 3},
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=40))
def test_the_best_sensitivity_at_a_specificity_equals_that_of_the_metrics(rows: list[tuple[int, bool]]) -> None:
    score = np.array([rank / 10 for rank, _ in rows])
    y = np.array([float(malignant) for _, malignant in rows])
    assume(0 < y.sum() < len(y))
    patients = np.arange(len(y))
    table: pd.DataFrame = operating_points(y, score, patients.astype(object), replicates=1)
    sensitivities = table.loc[table["specificity"] >= 0.9 - 1e-12, "sensitivity"]
    roc = PatientROC(y, score, patients, len(y))(np.ones((len(y), 1)))
    best = sensitivities.max() if len(sensitivities) else 0.0
    assert best == pytest.approx(sensitivity_at(roc, 90)[0])
