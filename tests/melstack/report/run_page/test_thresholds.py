import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score

from melstack.report.charts import Axis, Chart, Line, round_step, scale_over
from melstack.report.run_page.page import correlation_of, heat_scale
from melstack.report.run_page.thresholds import all_malignant_line, decision_line, precision_line, roc_line, thin_line

RANDOM = np.random.default_rng(0)
Y = (RANDOM.random(400) < 0.3).astype(np.float64)
SCORE = np.round(RANDOM.normal(size=400) + Y, 1)  # with ties
ONES = np.ones(400)


def test_the_area_under_the_roc_line_is_the_auc() -> None:
    line = roc_line(Y, SCORE, max_points=10_000)
    assert np.trapezoid(line[:, 1], line[:, 0]) == pytest.approx(roc_auc_score(Y, SCORE))
    assert line[0].tolist() == [0, 0]
    assert line[-1].tolist() == [1, 1]


def test_rows_without_a_score_are_left_out_of_every_line() -> None:
    score = np.r_[SCORE, np.nan, np.nan]
    y, ones = np.r_[Y, 1.0, 0.0], np.ones(402)
    assert roc_line(y, score).tolist() == roc_line(Y, SCORE).tolist()
    assert precision_line(y, score, ones).tolist() == precision_line(Y, SCORE, ONES).tolist()


def test_the_precision_line_equals_that_of_scikit_learn() -> None:
    precision, recall, _ = precision_recall_curve(Y, SCORE)
    expected = [(r, p) for r, p in zip(recall[::-1], precision[::-1], strict=True) if r > 0]
    assert precision_line(Y, SCORE, ONES, max_points=10_000).tolist() == [pytest.approx(point) for point in expected]


def test_predicting_every_case_malignant_has_the_known_net_benefit_at_zero_and_at_the_prevalence() -> None:
    line = all_malignant_line(0.2, np.array([0.0, 0.2]))
    assert line[:, 1].tolist() == pytest.approx([0.2, 0.0])


def test_a_decision_line_below_every_score_equals_that_of_predicting_every_case_malignant() -> None:
    probability = np.clip(SCORE / 10 + 0.5, 0.2, 0.9)
    thresholds = np.array([0.0, 0.1, 0.15])
    assert decision_line(Y, probability, ONES, thresholds) == pytest.approx(
        all_malignant_line(float(Y.mean()), thresholds)
    )
    assert decision_line(Y, probability, ONES, np.array([0.95]))[0, 1] == 0


def test_a_thinned_line_keeps_both_ends_and_a_short_line_is_unchanged() -> None:
    line = np.column_stack([np.linspace(0, 1, 1000), np.linspace(0, 1, 1000) ** 2])
    short = thin_line(line, 50)
    assert len(short) <= 52
    assert short[[0, -1]].tolist() == [[0, 0], [1, 1]]
    assert thin_line(line[:5], 50).tolist() == line[:5].tolist()


def test_ticks_are_round_numbers_within_the_axis_and_never_minus_zero() -> None:
    assert Axis("", 0, 1).ticks() == [0, 0.25, 0.5, 0.75, 1]
    assert [str(tick) for tick in Axis("", -0.04, 0.18).ticks()] == ["0.0", "0.05", "0.1", "0.15"]
    assert Axis("", 0, 0.15, is_square_root=True).ticks() == [0, 0.005, 0.02, 0.05, 0.1]
    assert Axis("", 0, 0.15, percent=True).tick_text(0.005) == "0.5 %"
    assert Axis("per 1,000", 0, 0.001, label_factor=1000).tick_text(0.00025) == "0.25"
    assert [round_step(step) for step in (0.24, 0.26, 7.0)] == pytest.approx([0.2, 0.25, 5.0])


def test_a_chart_has_its_corners_at_the_margins_and_its_lines_leave_out_nan() -> None:
    chart = Chart("", Axis("", 0, 1), Axis("", 0, 2))
    assert (chart.at_x(0), chart.at_x(1), chart.at_y(0), chart.at_y(2)) == (56, 384, 258, 10)
    line = Line("", "", np.array([[0.0, 0.0], [0.5, np.nan], [1.0, 2.0]]))
    assert chart.path(line) == "M56 258L384 10"
    assert chart.path(Line("", "", np.full((2, 2), np.nan))) == ""


def test_a_square_root_axis_has_a_quarter_of_its_maximum_at_the_middle() -> None:
    assert Axis("", 0, 0.16, is_square_root=True).fraction(0.04) == pytest.approx(0.5)


def test_a_scale_contains_every_known_value_and_clips_values_outside() -> None:
    scale = scale_over(np.array([0.7, np.nan]), np.array([0.9]), zero=0.5)
    assert 0 < scale.position(0.5) < scale.position(0.7) < scale.position(0.9) < 100
    assert (scale.position(-3), scale.position(3)) == (0, 100)
    assert scale_over(np.array([np.nan])).position(0.25) == 25


def test_networks_are_correlated_among_the_negatives_and_too_few_common_rows_give_nan() -> None:
    y = np.array([0.0, 0, 0, 0, 1, 1])
    scores = pd.DataFrame({"a": [1, 2, 3, 4, 9, 9], "b": [4, 3, 2, 1, 9, 9], "c": [1, np.nan, np.nan, 2, 9, 9]})
    correlation = correlation_of(scores, y)
    assert correlation.at["a", "b"] == pytest.approx(-1)
    assert np.isnan(correlation.at["a", "c"])
    assert heat_scale(correlation).position(1.0) == 100
    assert heat_scale(correlation_of(scores[["a"]], y)).position(0.5) == 50
