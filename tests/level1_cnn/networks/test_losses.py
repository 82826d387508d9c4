"""Tests for losses.py: the formulas in float64, their derivatives, and the loss of "not a melanoma"."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from level1_cnn.data.targets import count_outputs, encode_targets, melanoma_column, melanoma_logits, soft_targets
from level1_cnn.networks.losses import make_loss
from level1_cnn.training_settings import Finetune
from tests.level1_cnn.data.diagnosed_cases import SCHEMES, SOFTMAX, cases

LOSSES = tuple(itertools.product(SCHEMES, ("cross_entropy", "focal"), (0.0, 0.1)))


def settings(scheme: str, loss: str = "cross_entropy", smoothing: float = 0.0, gamma: float = 2.0) -> Finetune:
    common = {"method": "finetune", "epochs": 1, "learning_rate": 1e-3}
    return Finetune(**common, targets=scheme, loss=loss, label_smoothing=smoothing, focal_gamma=gamma)


def compute_loss(options: Finetune, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return make_loss(options)(tf.constant(logits, tf.float32), tf.constant(targets, tf.float32)).numpy()


def term(share: np.ndarray, p: np.ndarray, gamma: float) -> np.ndarray:
    return -share * (1 - p) ** gamma * np.log(p)


def naive_loss(options: Finetune, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the loss by its formula on probabilities, in float64."""
    gamma = options.focal_gamma if options.loss == "focal" else 0.0
    smoothing, z, t = options.label_smoothing, np.float64(logits), np.float64(targets)
    if options.targets == "binary":
        p, share = 1 / (1 + np.exp(-z[:, 0])), t[:, 0] * (1 - smoothing) + smoothing / 2
        return term(share, p, gamma) + term(1 - share, 1 - p, gamma)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    classes, column = z.shape[1], melanoma_column(options.targets)
    any_benign = (t.sum(axis=1) - 1) / (classes - 2)
    losses = np.zeros(len(z))
    for k in range(classes):
        share = t[:, k] - (any_benign if k != column else 0)
        share = (1 - smoothing) * share + smoothing / classes * np.where(k == column, 1, 1 - any_benign)
        losses += term(share, p[:, k], gamma)
    return losses + term(any_benign * (1 - smoothing / classes), 1 - p[:, column], gamma)


def examples(scheme: str) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and targets: distributions, "not a melanoma", and random mixtures of both."""
    rng = np.random.default_rng(5)
    table = cases((1, None), (0, "nevus"), (0, "BCC"), (0, None), (0, "scar"), (1, "melanoma"))
    rows = np.vstack([encode_targets(table, scheme), soft_targets(np.array([0.0, 0.3, 1.0]), scheme)])
    mixtures = rng.dirichlet(np.ones(len(rows)), 20) @ rows
    targets = np.vstack([rows, mixtures])
    return rng.normal(0, 2, targets.shape), targets


@pytest.mark.parametrize(("scheme", "loss", "smoothing"), LOSSES)
def test_the_loss_equals_the_formula_in_float64(scheme, loss, smoothing) -> None:
    logits, targets = examples(scheme)
    options = settings(scheme, loss, smoothing)
    loss_per_case = compute_loss(options, logits, targets)
    assert (loss_per_case.shape, loss_per_case.dtype) == ((len(logits),), np.float32)
    np.testing.assert_allclose(loss_per_case, naive_loss(options, logits, targets), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("scheme", "loss", "smoothing"), LOSSES)
def test_the_gradient_equals_finite_differences(scheme, loss, smoothing) -> None:
    logits, targets = examples(scheme)
    options, step = settings(scheme, loss, smoothing), 1e-5
    variable = tf.Variable(logits, dtype=tf.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(make_loss(options)(variable, tf.constant(targets, tf.float32)))
    gradient = tape.gradient(total, variable).numpy()
    for column, shift in enumerate(step * np.eye(count_outputs(scheme))):
        slope = (naive_loss(options, logits + shift, targets) - naive_loss(options, logits - shift, targets)) / (
            2 * step
        )
        np.testing.assert_allclose(gradient[:, column], slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scheme", "loss", "smoothing"), LOSSES)
def test_extreme_logits_have_finite_losses_and_gradients(scheme, loss, smoothing) -> None:
    _, targets = examples(scheme)
    for values in ((1e4, -1e4, 0.0), (-1e4, 1e4, 1e4), (0.0, 0.0, -1e4)):
        logits = tf.Variable(np.resize(np.float32(values), targets.shape))
        with tf.GradientTape() as tape:
            losses = make_loss(settings(scheme, loss, smoothing))(logits, tf.constant(targets, tf.float32))
        assert np.isfinite(losses.numpy()).all()
        assert np.isfinite(tape.gradient(losses, logits).numpy()).all()


def test_the_loss_of_a_confident_wrong_logit_is_its_size_and_of_a_right_one_zero() -> None:
    assert compute_loss(settings("binary"), [[1e4], [-1e4], [1e4]], [[0], [1], [1]]).tolist() == [1e4, 1e4, 0]
    assert compute_loss(settings("diagnosis3"), [[1e4, 0, 0], [1e4, 0, 0]], [[0, 1, 0], [1, 0, 0]]).tolist() == [1e4, 0]


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_benign_case_of_unknown_kind_favours_no_benign_class(loss, smoothing) -> None:
    """The loss depends only on the melanoma log-odds: the logits of nevus and other may move if these stay the same."""
    log_odds, other_logits = 0.7, np.linspace(-4, 4, 9)
    benign = np.stack([np.zeros(9), other_logits], axis=1)
    melanoma = log_odds + np.log(np.exp(benign).sum(axis=1, keepdims=True))
    logits = np.hstack([melanoma, benign])
    np.testing.assert_allclose(melanoma_logits(logits, "diagnosis3"), log_odds)
    unknown_kind = compute_loss(settings("diagnosis3", loss, smoothing), logits, np.tile([0, 1, 1], (9, 1)))
    np.testing.assert_allclose(unknown_kind, unknown_kind[0], rtol=1e-5)
    nevus = compute_loss(settings("diagnosis3", loss, smoothing), logits, np.tile([0, 1, 0], (9, 1)))
    assert np.ptp(nevus) > 0.5


@pytest.mark.parametrize("scheme", SOFTMAX)
@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_the_loss_of_a_soft_target_is_the_same_as_in_the_binary_scheme(scheme, loss) -> None:
    rng = np.random.default_rng(2)
    logits, probability = rng.normal(0, 2, (30, count_outputs(scheme))), rng.uniform(0, 1, 30)
    losses = compute_loss(settings(scheme, loss), logits, soft_targets(probability, scheme))
    binary = melanoma_logits(logits, scheme)[:, None]
    expected = compute_loss(settings("binary", loss), binary, soft_targets(probability, "binary"))
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scheme", "loss", "smoothing"), LOSSES)
def test_the_loss_of_a_mixture_of_targets_is_the_mixture_of_their_losses(scheme, loss, smoothing) -> None:
    logits, targets = examples(scheme)
    options, others = settings(scheme, loss, smoothing), targets[::-1]
    mixture_loss = compute_loss(options, logits, 0.3 * targets + 0.7 * others)
    expected = 0.3 * compute_loss(options, logits, targets) + 0.7 * compute_loss(options, logits, others)
    np.testing.assert_allclose(mixture_loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_focal_loss_equals_cross_entropy_for_gamma_zero_and_is_smaller_otherwise(scheme) -> None:
    logits, targets = examples(scheme)
    plain = compute_loss(settings(scheme), logits, targets)
    np.testing.assert_allclose(compute_loss(settings(scheme, "focal", gamma=0.0), logits, targets), plain, rtol=1e-6)
    assert (compute_loss(settings(scheme, "focal"), logits, targets) < plain).all()


def test_smoothing_moves_its_share_from_the_class_of_the_case_to_all_classes() -> None:
    loss = compute_loss(settings("diagnosis3", smoothing=0.3), [[1.0, -1.0, 0.5]], [[1, 0, 0]])
    by_hand = compute_loss(settings("diagnosis3"), [[1.0, -1.0, 0.5]], [[0.8, 0.1, 0.1]])
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


def test_a_stage_with_its_own_target_scheme_has_the_loss_of_that_scheme() -> None:
    logits, targets = examples("diagnosis9")
    loss = make_loss(settings("binary"), scheme="diagnosis9")
    losses = loss(tf.constant(logits, tf.float32), tf.constant(targets, tf.float32)).numpy()
    np.testing.assert_array_equal(losses, compute_loss(settings("diagnosis9"), logits, targets))
