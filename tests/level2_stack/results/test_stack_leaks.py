"""What only a finished stack shows: an AUC that no honest model has, networks that shift, and which AUC to quote."""

import numpy as np
import pandas as pd
import pytest

from features.leaks.findings import BLOCKING, WARNING
from level2_stack.results.smaller_stack import SmallerStack, measure_smaller_stack
from level2_stack.results.stack_leaks import stack_leaks


def board(auc: float) -> pd.DataFrame:
    return pd.DataFrame({"auc": [auc], "low": [auc - 0.01], "high": [min(1.0, auc + 0.01)]}, index=["choice"])


@pytest.mark.parametrize(("auc", "severities"), [(0.98, []), (0.99, [BLOCKING]), (1.0, [BLOCKING])])
def test_a_stacked_auc_of_99_percent_stops_the_run(auc: float, severities: list[str]) -> None:
    findings = stack_leaks(board(auc), "choice", None, {})
    assert [finding.severity for finding in findings] == severities
    assert all(finding.name == "stacked-auc" for finding in findings)


def test_the_figure_without_the_networks_that_shift_is_paired_with_the_full_one() -> None:
    random = np.random.default_rng(0)
    y = (random.random(900) < 0.3).astype(float)
    groups = np.array([f"p{row // 3}" for row in range(900)], dtype=object)
    weak, noise = y + random.normal(0, 2, 900), random.normal(0, 0.5, 900)
    smaller = measure_smaller_stack({"b": "why"}, y, groups, pd.Series(y + noise), pd.Series(weak))
    facts = smaller.facts()
    assert 0.5 < facts["auc"] < 0.75
    assert facts["gain_low"] > 0.1
    (finding,) = stack_leaks(board(0.9), "choice", smaller, {})
    assert finding.severity == WARNING
    assert f"quote the AUC without them, {facts['auc']:.4f}" in finding.text()


def test_where_no_network_is_left_the_finding_says_so() -> None:
    smaller = measure_smaller_stack({"b": "why"}, np.ones(2), np.array(["p", "q"], object), pd.Series([1, 2]), None)
    assert smaller == SmallerStack({"b": "why"})
    (finding,) = stack_leaks(board(0.9), "choice", smaller, {})
    assert "no network is left" in finding.text()
