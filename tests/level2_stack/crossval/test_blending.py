"""The blend: means of logits, and weights fitted to a fold's inner scores only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from level2_stack.crossval.decide import blend
from level2_stack.crossval.nested import Scores

FOLDS = np.arange(240) % 3
Y = (np.random.default_rng(0).random(240) < 0.4).astype(float)


def member(strength: float, seed: int = 0, seeds: int = 1, scale: float = 1.0) -> Scores:
    """Return scores with the target times ``strength`` added; every entry has noise of its own."""
    random = np.random.default_rng(seed)
    return Scores(
        train=scale * (strength * Y + random.normal(size=(3, 240))),
        test=scale * random.normal(size=(3, 10)),
        by_seed=scale * random.normal(size=(seeds, 240)),
    )


def test_equal_weights_give_the_mean_of_logits():
    a, b = member(2, 0), member(1, 1)
    result, weights = blend({"a": a, "b": b}, Y, FOLDS, "equal")
    np.testing.assert_allclose(result.train, (a.train + b.train) / 2)
    np.testing.assert_allclose(result.test, (a.test + b.test) / 2)
    np.testing.assert_allclose(result.by_seed, (a.by_seed + b.by_seed) / 2)
    assert weights == [{"a": 0.5, "b": 0.5}] * 3


def test_every_fold_has_its_own_fitted_weights_which_are_never_negative():
    members = {"good": member(2, 0), "fair": member(1, 1), "useless": member(0, 2), "wrong": member(-2, 3)}
    result, weights = blend(members, Y, FOLDS, "fitted")
    for fold, row in enumerate(weights):
        assert row["good"] > row["fair"] > row["useless"] >= row["wrong"] == 0
        expected = sum(row[name] * each.train[fold] for name, each in members.items())
        np.testing.assert_allclose(result.train[fold], expected)
        np.testing.assert_allclose(
            result.test[fold], sum(row[name] * each.test[fold] for name, each in members.items())
        )


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_weights_of_a_fold_do_not_depend_on_its_rows_or_other_folds_scores(fold):
    members = {"a": member(2, 0), "b": member(1, 1)}
    before = blend(members, Y, FOLDS, "fitted")[1]
    flipped_y = np.where(fold == FOLDS, 1 - Y, Y)
    assert blend(members, flipped_y, FOLDS, "fitted")[1][fold] == before[fold]
    for scores in members.values():
        scores.train[fold, fold == FOLDS] += 7
        scores.train[np.arange(3) != fold] = 0
    assert blend(members, Y, FOLDS, "fitted")[1][fold] == before[fold]


def test_fitted_weights_are_per_unit_of_each_members_logit():
    original = blend({"a": member(2, 0), "b": member(1, 1)}, Y, FOLDS, "fitted")
    scaled_blend = blend({"a": member(2, 0, scale=10), "b": member(1, 1)}, Y, FOLDS, "fitted")
    np.testing.assert_allclose(scaled_blend[0].train, original[0].train, rtol=1e-4, atol=1e-4)
    assert 10 * scaled_blend[1][0]["a"] == pytest.approx(original[1][0]["a"], rel=1e-4)


@settings(max_examples=20)
@given(order=st.permutations(["a", "b", "c"]))
def test_the_order_of_members_does_not_matter(order):
    members = {"a": member(2, 0), "b": member(1, 1, seeds=2), "c": member(0.5, 2)}
    first, other_order = (blend(each, Y, FOLDS, "fitted")[0] for each in (members, {n: members[n] for n in order}))
    np.testing.assert_allclose(other_order.train, first.train, atol=1e-3)
    np.testing.assert_allclose(other_order.by_seed, first.by_seed, atol=1e-3)


def test_a_member_with_fewer_seeds_repeats_its_last_seed():
    a, b = member(1, 0, seeds=3), member(1, 1, seeds=1)
    result, _ = blend({"a": a, "b": b}, Y, FOLDS, "equal")
    np.testing.assert_allclose(result.by_seed, (a.by_seed + b.by_seed[[0, 0, 0]]) / 2)


def test_a_blend_of_one_member_keeps_its_order_of_cases():
    alone = member(2)
    result, _ = blend({"a": alone}, Y, FOLDS, "fitted")
    for fold in range(3):
        np.testing.assert_array_equal(np.argsort(result.train[fold]), np.argsort(alone.train[fold]))
