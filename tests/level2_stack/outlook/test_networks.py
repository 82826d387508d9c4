"""Tests of the value of networks: a strong one adds, a useless one does not, and theory agrees with drawn scores."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc
from level2_stack.explain.explanations import StackDecisions
from level2_stack.outlook.networks import NetworkValues, diversity, gain_ratio, mean_auc, next_network
from level2_stack.outlook.refit import FrozenStack, Part
from tests.level2_stack.small_designs import make_design, recipe


def _stack(folds: int = 4) -> FrozenStack:
    weights = np.ones((folds, 1))
    return FrozenStack(recipe("ridge"), StackDecisions("ridge", [], ["ridge"], {}, weights, [], {}, None))


def _values(design: Design) -> NetworkValues:
    def design_of(names: tuple[str, ...]) -> Design:
        return design.without([f"logit.{name}" for name in design.networks if name not in names])

    return NetworkValues(_stack(), design.networks, design_of)


@pytest.fixture(scope="module")
def values() -> NetworkValues:
    """Return the values of an informative network, n0, and a useless one, n1, beside an informative column."""
    return _values(make_design(900, 0, signal=1.5))


def test_the_interval_of_a_strong_network_is_above_0_and_that_of_a_useless_one_holds_0(values: NetworkValues) -> None:
    table = values.leave_one_out().set_index("network")
    assert table.loc["n0", "low"] > 0.03
    assert table.loc["n1", "low"] <= 0 <= table.loc["n1", "high"]
    assert table.loc["mean of one", "adds"] == pytest.approx(table.loc[["n0", "n1"], "adds"].mean())


def test_the_strong_network_comes_first_in_the_greedy_order(values: NetworkValues) -> None:
    table = values.in_order()
    assert list(table["network"]) == ["n0", "n1"]
    assert list(table["networks"]) == [1, 2]
    assert table["adds"].isna().tolist() == [True, False]


def test_informative_columns_beside_the_networks_add(values: NetworkValues) -> None:
    assert values.score_without_columns(["metadata.age"]).low > 0


def test_a_single_network_has_no_value_of_its_own() -> None:
    assert _values(make_design(120, 0, networks=1)).leave_one_out().empty


def test_a_fit_to_all_patients_scores_like_a_fit_to_the_other_folds() -> None:
    design = make_design(240, 0)
    scores = _stack().scores(design, [Part(), Part(0.2, 1)])
    assert auc(design.y, scores[:, 0]) > 0.75
    assert (scores[:, 0] != scores[:, 1]).any()
    other = replace(design, y=np.where(design.folds == 2, 1 - design.y, design.y))
    own = design.folds == 2
    np.testing.assert_array_equal(scores[own, 0], _stack().scores(other, [Part()])[own, 0])


@pytest.mark.parametrize("correlation", [0.2, 0.7])
def test_theory_gives_the_auc_of_a_mean_of_drawn_networks(correlation: float) -> None:
    random, rows, count = np.random.default_rng(0), 40_000, 4
    y = (random.random(rows) < 0.3).astype(np.float64)
    common = random.normal(size=(rows, 1)) * np.sqrt(correlation)
    logits = common + random.normal(size=(rows, count)) * np.sqrt(1 - correlation) + y[:, np.newaxis]
    estimate, index = diversity(y, pd.DataFrame(logits))
    assert estimate == pytest.approx(correlation, abs=0.02)
    for number in (1, 2, 4):
        value = auc(y, logits[:, :number].mean(axis=1))
        assert mean_auc(index, estimate, number) == pytest.approx(value, abs=0.006)
    assert 0 < gain_ratio(y, pd.DataFrame(logits)) < 1


def test_one_more_network_adds_the_mean_of_one_times_the_ratio(values: NetworkValues) -> None:
    table = values.leave_one_out()
    mean = table[table["network"] == "mean of one"].iloc[0]
    assert next_network(table, 0.5) == pytest.approx((mean["adds"] / 2, mean["low"] / 2, mean["high"] / 2))
