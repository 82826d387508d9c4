"""Tests for slimming: the fewest networks within a loss, chosen without the fold that judges them."""

from dataclasses import replace

import numpy as np
import pytest

from level2_stack.design.assemble import Design
from level2_stack.slim.choose import Names, slim
from tests.level2_stack.small_designs import flip_targets, make_design, recipe

NETWORKS = ("n0", "n1", "n2")


def design_of(some: Names, whole: Design) -> Design:
    return replace(whole, X=whole.X[[f"logit.{name}" for name in some] + ["metadata.age"]])


def slimmed(whole: Design, allowed: float):
    return slim(NETWORKS, lambda some: design_of(some, whole), recipe("lgbm", "ridge"), allowed)


@pytest.fixture(scope="module")
def whole() -> Design:
    """The first network knows, the second repeats what it says, the third is noise."""
    design = make_design(480, networks=3, signal=2.0)
    noise = np.random.default_rng(1).normal(size=len(design.X))
    return replace(design, X=design.X.assign(**{"logit.n1": design.X["logit.n0"] + noise}))


def test_one_network_is_enough_where_the_others_add_nothing(whole: Design) -> None:
    found = slimmed(whole, 0.01)
    assert found.networks == ("n0",)
    assert found.by_fold == [("n0",)] * 4
    assert found.steps["auc"].iloc[-1] >= found.full - 0.01
    assert found.loss.low < 0.01


def test_two_networks_that_know_different_things_are_both_needed(whole: Design) -> None:
    random, y = np.random.default_rng(2), np.concatenate([whole.y, np.zeros(len(whole.X) - len(whole.y))])
    other = replace(whole, X=whole.X.assign(**{"logit.n2": random.normal(size=len(y)) + 1.5 * y}))
    found = slimmed(other, 0.005).networks
    assert set(found) >= {"n2"}
    assert len(found) > 1
    assert len(slimmed(other, 0.4).networks) == 1


def test_nothing_to_lose_may_take_all_and_never_more(whole: Design) -> None:
    found = slimmed(whole, 0.0)
    assert 1 <= len(found.networks) <= 3
    assert found.steps["auc"].iloc[-1] >= found.full or set(found.networks) == set(NETWORKS)


def test_what_a_fold_chooses_does_not_depend_on_its_own_targets(whole: Design) -> None:
    by_fold = slimmed(whole, 0.005).by_fold
    for fold in range(4):
        assert slimmed(flip_targets(whole, fold), 0.005).by_fold[fold] == by_fold[fold]


def test_the_loss_is_that_of_each_folds_own_choice(whole: Design) -> None:
    found = slimmed(whole, 1.0 - 1e-9)
    assert all(len(some) == 1 for some in found.by_fold)
    assert found.loss.low <= found.loss.value <= found.loss.high
