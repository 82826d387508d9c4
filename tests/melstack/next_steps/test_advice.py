"""Tests of the ranking and the summary: the order, the figures, and at most fifteen lines."""

import pandas as pd
import pytest

from level2_stack.evaluation.auc import Interval
from level2_stack.outlook.growth import COLUMNS, Growth
from level2_stack.outlook.networks import COLUMNS as NETWORK_COLUMNS
from melstack.next_steps.advice import BESIDE, Measurements, advice, summary
from melstack.next_steps.measure import METADATA_COLUMNS
from melstack.next_steps.views import COLUMNS as VIEW_COLUMNS


def _curve(what: str, gain: Interval) -> Growth:
    rows = [
        [what, "measured", 0.5, 50, 0.80, 0.78, 0.82, 0.79, 0.81],
        [what, "measured", 1.0, 100, 0.81, 0.79, 0.83, 0.8, 0.82],
    ]
    return Growth(pd.DataFrame(rows, columns=COLUMNS), Interval(0.01, 0.005, 0.015), gain)


@pytest.fixture
def results() -> Measurements:
    """Return measurements in which the head gains most beyond chance, and one more network may add nothing."""
    views = [
        ["a", "measured", 8, 0.8, 0.7, 0.9, 0.004, 0.002, 0.006],
        ["a", "predicted", 16, 0.8, 0.7, 0.9, 0.002, 0.001, 0.003],
    ]
    labels = pd.DataFrame({"wrong_if_assumed": [0.5, 0.3, 0.2]})
    return Measurements(
        [_curve("the stack", Interval(0.006, 0.001, 0.01)), _curve("the head of a", Interval(0.02, 0.01, 0.03))],
        pd.DataFrame([["without", "a", 1, 0.8, 0.01, -0.01, 0.02]], columns=NETWORK_COLUMNS),
        Interval(0.03, -0.01, 0.05),
        pd.DataFrame(views, columns=VIEW_COLUMNS),
        pd.DataFrame([[BESIDE, "blend", 9, 0.8, 0.04, 0.02, 0.06]], columns=METADATA_COLUMNS),
        labels,
    )


def test_gains_beyond_chance_come_first_and_labels_last(results: Measurements) -> None:
    table = advice(results)
    assert list(table["rank"]) == [1, 2, 3, 4, 5, 6]
    assert list(table["what"]) == [
        "twice the patients, the head of a",
        "twice the patients, the stack",
        "twice the views",
        "one more network",
        "columns beside the networks",
        "another look at labels",
    ]
    sentences = list(table["sentence"])
    assert "+0.0200 [+0.0100, +0.0300]" in sentences[0]
    assert sentences[3].endswith("it may be none")
    assert "of the first 3, 1.0 [0.0, 2.5] are expected to be wrong if 1% of all labels are" in sentences[5]


def test_the_summary_and_the_ranking_are_short_and_name_what_could_not_be_measured(results: Measurements) -> None:
    assert len(list(summary(results))) + len(advice(results)) + 1 <= 15
    one = results._replace(networks=results.networks.iloc[:0], views=results.views.iloc[:0], further=None)
    text = "\n".join(summary(one))
    assert "networks: only one is stacked" in text
    assert "no predictions per view" in text
    assert "AUC 0.800 (50%), 0.810 (100%)" in text
