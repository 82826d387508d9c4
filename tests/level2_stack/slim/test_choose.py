"""Tests for choose.py: the fewest networks within a loss of AUC, chosen without the fold that evaluates them."""

from dataclasses import replace

import numpy as np
import pytest

from level2_stack.design.assemble import Design
from level2_stack.slim.choose import Names, slim
from tests.level2_stack.small_designs import flip_targets, make_design, recipe

NETWORKS = ("n0", "n1", "n2")


def design_of(some: Names, whole: Design) -> Design:
    return replace(whole, X=whole.X[[f"logit.{name}" for name in some] + ["metadata.age"]])


def choose(whole: Design, max_loss: float):
    return slim(NETWORKS, lambda some: design_of(some, whole), recipe("lgbm", "ridge"), max_loss)


@pytest.fixture(scope="module")
def whole() -> Design:
    """Return a design: the first network is informative, the second is the first plus noise, the third is noise."""
    design = make_design(480, networks=3, signal=2.0)
    noise = np.random.default_rng(1).normal(size=len(design.X))
    return replace(design, X=design.X.assign(**{"logit.n1": design.X["logit.n0"] + noise}))


def test_one_network_is_enough_where_the_others_add_nothing(whole: Design) -> None:
    choice = choose(whole, 0.01)
    assert choice.networks == ("n0",)
    assert choice.by_fold == [("n0",)] * 4
    assert choice.steps["auc"].iloc[-1] >= choice.full - 0.01
    assert choice.loss.low < 0.01


def test_two_networks_with_different_information_are_both_chosen(whole: Design) -> None:
    random, y = np.random.default_rng(2), np.concatenate([whole.y, np.zeros(len(whole.X) - len(whole.y))])
    other = replace(whole, X=whole.X.assign(**{"logit.n2": random.normal(size=len(y)) + 1.5 * y}))
    networks = choose(other, 0.005).networks
    assert set(networks) >= {"n2"}
    assert len(networks) > 1
    assert len(choose(other, 0.4).networks) == 1


def test_without_an_allowed_loss_the_choice_is_as_good_as_all_networks_or_takes_all(whole: Design) -> None:
    choice = choose(whole, 0.0)
    assert 1 <= len(choice.networks) <= 3
    assert choice.steps["auc"].iloc[-1] >= choice.full or set(choice.networks) == set(NETWORKS)


def test_the_choice_of_a_fold_does_not_depend_on_its_own_targets(whole: Design) -> None:
    by_fold = choose(whole, 0.005).by_fold
    for fold in range(4):
        assert choose(flip_targets(whole, fold), 0.005).by_fold[fold] == by_fold[fold]


def test_the_loss_uses_the_own_choice_of_each_fold(whole: Design) -> None:
    choice = choose(whole, 1.0 - 1e-9)
    assert all(len(some) == 1 for some in choice.by_fold)
    assert choice.loss.low <= choice.loss.value <= choice.loss.high
