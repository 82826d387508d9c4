"""Tests for pair_loss.py: value and gradient of all pairs, computed pair by pair, and batches of one class."""

import numpy as np
import pytest
import tensorflow as tf

from level1_cnn.networks.pair_loss import class_sums, pair_loss

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(0, 2, (9, 1)).astype(np.float32)
TARGETS = np.array([[1], [0], [0], [1], [0], [0], [0], [1], [0]], np.float32)
WEIGHTS = RNG.uniform(0.5, 2, 9).astype(np.float32)


def by_pairs(logits: np.ndarray) -> float:
    """Return the weighted mean of the squared hinge over all pairs of a malignant and a benign case, in float64."""
    p, total, weight = 1 / (1 + np.exp(-np.float64(logits[:, 0]))), 0.0, 0.0
    for i in np.flatnonzero(TARGETS[:, 0] == 1):
        for j in np.flatnonzero(TARGETS[:, 0] == 0):
            pair = float(WEIGHTS[i]) * float(WEIGHTS[j])
            total, weight = total + pair * max(0.0, 1 - (p[i] - p[j])) ** 2, weight + pair
    return total / weight


def loss_and_gradient(
    logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, memory: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Return the weighted mean loss and its gradient; without a memory, that of the same cases."""
    variable = tf.Variable(logits)
    sums = class_sums(tf.constant(logits), tf.constant(targets), tf.constant(weights)) if memory is None else memory
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(pair_loss(variable, tf.constant(targets), sums) * weights) / weights.sum()
    return float(loss), tape.gradient(loss, variable).numpy()


def test_value_and_gradient_are_those_of_all_pairs() -> None:
    loss, gradient = loss_and_gradient(LOGITS, TARGETS, WEIGHTS)
    assert loss == pytest.approx(by_pairs(LOGITS), rel=1e-5)
    step = 1e-6
    for number, shift in enumerate(step * np.eye(9)[:, :, np.newaxis]):
        slope = (by_pairs(LOGITS + shift) - by_pairs(LOGITS - shift)) / (2 * step)
        assert gradient[number, 0] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_weights_that_are_the_same_within_a_class_change_nothing() -> None:
    weights = np.where(TARGETS[:, 0] == 1, WEIGHTS * 7, WEIGHTS).astype(np.float32)
    assert loss_and_gradient(LOGITS, TARGETS, weights)[0] == pytest.approx(by_pairs(LOGITS), rel=1e-5)


@pytest.mark.parametrize("target", [0, 1])
def test_a_batch_of_one_class_is_compared_with_the_remembered_other_class(target: int) -> None:
    memory = np.array([[10, 7], [30, 9]], np.float32)  # mean probabilities 0.7 of the malignant, 0.3 of the benign
    ones = np.ones(2, np.float32)
    loss, gradient = loss_and_gradient(np.zeros((2, 1), np.float32), np.full((2, 1), target, np.float32), ones, memory)
    assert loss == pytest.approx((0.8**2 - 0.6**2 / 2) / (0.25 if target else 0.75))
    assert np.isfinite(gradient).all()
    assert (np.sign(gradient) == (-1 if target else 1)).all()


def test_the_loss_without_memory_is_zero_and_extreme_logits_have_finite_losses_and_gradients() -> None:
    loss, gradient = loss_and_gradient(LOGITS, TARGETS, WEIGHTS, np.zeros((2, 2), np.float32))
    assert loss == 0
    assert not gradient.any()
    loss, gradient = loss_and_gradient(np.resize(np.float32([1e4, -1e4]), (9, 1)), TARGETS, WEIGHTS)
    assert np.isfinite([loss, *gradient[:, 0]]).all()


def test_a_soft_target_counts_in_both_classes_by_its_shares() -> None:
    memory = np.array([[10, 7], [30, 9]], np.float32)
    soft, malignant, benign = (
        pair_loss(tf.constant(LOGITS), tf.fill((9, 1), share), memory).numpy() for share in (0.3, 1.0, 0.0)
    )
    np.testing.assert_allclose(soft, 0.3 * malignant + 0.7 * benign, rtol=1e-5)
    sums = [class_sums(LOGITS, np.full((9, 1), share, np.float32), WEIGHTS).numpy() for share in (0.3, 1.0, 0.0)]
    np.testing.assert_allclose(sums[0], 0.3 * sums[1] + 0.7 * sums[2], rtol=1e-5)
