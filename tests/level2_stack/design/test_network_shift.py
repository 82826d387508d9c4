"""Networks whose test scores differ from their out-of-fold scores are found, and honest ones are not blamed."""

import numpy as np
import pandas as pd
import pytest

from level2_stack.design.assemble import Design
from level2_stack.design.network_shift import shifting_networks

TRAIN, TEST = 1500, 600


def make_design(random: np.random.Generator, names: list[str]) -> Design:
    """Return a design of networks that see the same signal, each with noise of its own."""
    target = (random.random(TRAIN + TEST) < 0.2).astype(float)
    signal = random.normal(size=TRAIN + TEST) + 1.5 * target
    logits = {f"logit.{name}": signal + 0.7 * random.normal(size=TRAIN + TEST) for name in names}
    patients = np.array([f"p{row // 3}" for row in range(TRAIN)], dtype=object)
    folds = (np.arange(TRAIN) // 3 % 4).astype(np.int8)
    return Design(pd.DataFrame(logits), target[:TRAIN], folds, patients)


def change_test_rows(design: Design, name: str, values: np.ndarray) -> None:
    design.X.iloc[TRAIN:, design.X.columns.get_loc(f"logit.{name}")] = values


@pytest.mark.parametrize("seed", range(5))
def test_honest_networks_do_not_shift(seed: int) -> None:
    assert shifting_networks(make_design(np.random.default_rng(seed), ["a", "b", "c"])) == {}


def test_networks_whose_test_rows_are_shuffled_alike_do_not_vouch_for_each_other() -> None:
    random = np.random.default_rng(1)
    design, order = make_design(random, ["a", "b", "c", "d", "e"]), random.permutation(TEST)
    for name in ("d", "e"):
        change_test_rows(design, name, design.test[f"logit.{name}"].to_numpy()[order])
    reasons = shifting_networks(design)
    assert sorted(reasons) == ["d", "e"]
    assert all(f"{other} 0." in reasons["d"] for other in ("a", "b", "c"))


def test_of_two_networks_that_disagree_on_the_test_rows_both_are_named() -> None:
    random = np.random.default_rng(2)
    design = make_design(random, ["a", "b"])
    change_test_rows(design, "b", random.permutation(design.test["logit.b"].to_numpy()))
    assert sorted(shifting_networks(design)) == ["a", "b"]


def test_a_network_on_another_scale_in_the_test_file_is_named_with_its_figure() -> None:
    design = make_design(np.random.default_rng(3), ["a", "b", "c"])
    change_test_rows(design, "b", design.test["logit.b"].to_numpy() + 3)
    assert list(shifting_networks(design)) == ["b"]
    assert "tell test from training cases, AUC 0.9" in shifting_networks(design)["b"]


def test_without_test_rows_nothing_shifting_networks() -> None:
    design = make_design(np.random.default_rng(4), ["a", "b"])
    train = Design(design.X.iloc[:TRAIN], design.y, design.folds, design.groups)
    assert shifting_networks(train) == {}
