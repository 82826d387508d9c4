"""Tests of the numbers in tables and figures against scikit-learn, SciPy and plain loops, within 1e-9."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

from melstack.report.paper.bands import BAND_PERCENTS, benefit_band, sensitivity_band
from melstack.report.paper.curves import curve_figures
from melstack.report.paper.flow import flow_boxes, flow_figure
from melstack.report.paper.forests import forest_figures
from melstack.report.paper.result_tables import headline_tests, leaderboard_table, paired_table, result_tables
from melstack.report.run_page.inputs import StackResults

CLOSE = {"abs": 1e-9, "rel": 0}


def points_of(stack: StackResults, name: str) -> pd.DataFrame:
    return next(figure.points for figure in curve_figures(stack) if figure.name == name)


def test_the_leaderboard_has_the_auc_of_scikit_learn(stack: StackResults) -> None:
    values = leaderboard_table(stack).values.set_index("name")
    for name in values.index:
        assert values.loc[name, "auc"] == pytest.approx(roc_auc_score(stack.y, stack.score(name)), **CLOSE)


def delong_by_loops(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the difference of two AUCs and its variance by the definition of DeLong et al. 1988."""
    parts = []
    for score in (a, b):
        wins = (score[y == 1][:, None] > score[y == 0]) + 0.5 * (score[y == 1][:, None] == score[y == 0])
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    (a1, a0), (b1, b0) = parts
    variance = 0.0
    for x, z in ((a1, b1), (a0, b0)):
        covariance = np.cov(x, z, ddof=1) / len(x)
        variance += covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return float(a1.mean() - b1.mean()), float(variance)


def test_paired_tests_are_those_of_delongs_definition_with_the_headline_first(stack: StackResults) -> None:
    values = paired_table(stack).values
    assert set(values["model"]) == {stack.headline}
    assert set(values["against"]) == set(stack.board.index) - {stack.headline}
    for row in values.to_dict("records"):
        own, other = stack.score(stack.headline), stack.score(row["against"])
        gain, variance = delong_by_loops(stack.y, own, other)
        assert row["gain"] == pytest.approx(gain, **CLOSE)
        if variance > 0:
            assert row["z_delong"] == pytest.approx(gain / np.sqrt(variance), **CLOSE)
            assert row["p_delong"] == pytest.approx(2 * norm.sf(abs(gain) / np.sqrt(variance)), **CLOSE)


def test_a_test_with_the_headline_second_is_turned_with_all_its_signs() -> None:
    row = {"model": "a", "against": "h", "auc": 0.7, "auc_against": 0.8, "gain": -0.1, "low": -0.2, "high": 0.05}
    exchange = headline_tests(pd.DataFrame([{**row, "z_delong": -1.5}]), "h").iloc[0]
    assert exchange[["model", "against"]].tolist() == ["h", "a"]
    assert exchange[["auc", "auc_against", "gain", "low", "high", "z_delong"]].tolist() == [
        0.8,
        0.7,
        0.1,
        -0.05,
        0.2,
        1.5,
    ]


def test_measures_and_calibration_are_those_of_scikit_learn(stack: StackResults) -> None:
    tables = {table.name: table.values for table in result_tables(stack)}
    measures = tables["measures"].set_index(["model", "metric"])["value"]
    score = stack.score("choice")
    assert measures["choice", "average_precision"] == pytest.approx(average_precision_score(stack.y, score), **CLOSE)
    fpr, tpr, _ = roc_curve(stack.y, score, drop_intermediate=False)
    assert measures["choice", "sensitivity_at_90_specificity"] == pytest.approx(tpr[fpr <= 0.1].max(), **CLOSE)
    brier = tables["calibration"].set_index("model")["brier"]["choice"]
    assert brier == pytest.approx(brier_score_loss(stack.y, score), **CLOSE)


def test_subgroups_have_the_auc_of_a_rank_test(stack: StackResults) -> None:
    values = next(table.values for table in result_tables(stack) if table.name == "subgroups")
    female = (stack.train["sex"] == "female").to_numpy()
    y, score = stack.y[female], stack.score(stack.headline)[female]
    expected = mannwhitneyu(score[y == 1], score[y == 0]).statistic / (y.sum() * (1 - y).sum())
    assert values.set_index("value")["auc"]["female"] == pytest.approx(expected, **CLOSE)


def test_points_of_the_roc_curve_are_those_of_scikit_learn(stack: StackResults) -> None:
    points = points_of(stack, "roc")
    fpr, tpr, _ = roc_curve(stack.y, stack.score("choice"), drop_intermediate=False)
    own = points[points["line"] == "choice"]
    assert np.allclose(own[["one_minus_specificity", "sensitivity"]], np.column_stack([fpr, tpr]), atol=1e-9, rtol=0)


def test_points_of_precision_and_recall_are_those_of_scikit_learn(stack: StackResults) -> None:
    points = points_of(stack, "precision_recall")
    own = points[points["line"] == "choice"][["recall", "precision"]].to_numpy()
    precision, recall, _ = precision_recall_curve(stack.y, stack.score("choice"))
    theirs = np.column_stack([recall, precision])
    distance = np.abs(own[:, None] - theirs[None]).max(axis=2).min(axis=1)
    assert distance.max() < 1e-9


def test_points_of_the_decision_curve_are_net_benefit_by_its_formula(stack: StackResults) -> None:
    points = points_of(stack, "decision_curve")
    score, y = stack.score("choice"), stack.y
    for row in points[points["line"] == "choice"].to_dict("records"):
        t, is_malignant = row["threshold"], score >= row["threshold"]
        benefit = (y * is_malignant).mean() - ((1 - y) * is_malignant).mean() * t / (1 - t)
        assert row["net_benefit_per_case"] == pytest.approx(benefit, **CLOSE)


def test_the_band_of_the_decision_curve_holds_the_net_benefit(stack: StackResults) -> None:
    score, y = stack.score("choice"), stack.y
    band = benefit_band(stack, 0.6)
    assert (band[:, 1] <= band[:, 2]).all()
    for t, low, high in band[::10]:
        benefit = (y * (score >= t)).mean() - ((1 - y) * (score >= t)).mean() * t / (1 - t)
        assert low - 0.02 <= benefit <= high + 0.02


def test_the_band_of_the_roc_curve_holds_the_curve_and_is_wider_with_fewer_patients() -> None:
    random = np.random.default_rng(0)
    y = (random.random(400) < 0.4).astype(float)
    score, groups = y + random.normal(size=400), np.arange(400).astype(object)
    band = sensitivity_band(y, score, groups, 200)
    assert band.shape == (len(BAND_PERCENTS), 3)
    fpr, tpr, _ = roc_curve(y, score, drop_intermediate=False)
    best = np.array([tpr[fpr <= each + 1e-12].max() for each in band[:, 0]])
    assert np.mean((band[:, 1] <= best + 1e-9) & (best <= band[:, 2] + 1e-9)) > 0.97
    copies = np.repeat(np.arange(40), 10)  # ten pictures with the score of one: a tenth of the patients
    few = sensitivity_band(y[copies], score[copies], copies.astype(object), 200)
    assert (few[:, 2] - few[:, 1]).mean() > 2 * (band[:, 2] - band[:, 1]).mean()


def test_forests_have_a_row_per_model_and_subgroup_with_the_values_of_the_tables(stack: StackResults) -> None:
    models, subgroups = forest_figures(stack)
    assert models.points["auc"].tolist() == stack.board["auc"].tolist()
    assert len(subgroups.points) == len(stack.tables["subgroups"])
    assert subgroups.points["row"][0] == f"all pictures ({int(stack.y.sum())} / {len(stack.y)})"


def test_the_flow_adds_up(stack: StackResults) -> None:
    boxes = {box.key: box for box in flow_boxes(stack)}
    folds = [box for key, box in boxes.items() if key.startswith("fold_")]
    assert boxes["cases"].pictures == boxes["train"].pictures + boxes["test"].pictures == 120
    assert sum(box.pictures for box in folds) == boxes["train"].pictures == boxes["evaluated"].pictures
    assert sum(box.patients for box in folds) == boxes["train"].patients
    assert sum(box.malignant for box in folds) == boxes["train"].malignant
    assert boxes["predicted"].pictures == boxes["test"].pictures
    assert flow_figure(stack).points["key"].tolist() == list(boxes)
