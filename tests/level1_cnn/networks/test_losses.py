"""Tests for losses.py: the formulas in float64, their derivatives, and what a set of classes costs."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from level1_cnn.data.targets import encode, melanoma_column, melanoma_logits, outputs, soft
from level1_cnn.experiment import Finetune
from level1_cnn.networks.losses import make_loss
from tests.level1_cnn.data.diagnosed_cases import SCHEMES, SOFTMAX, cases

LOSSES = tuple(itertools.product(SCHEMES, ("cross_entropy", "focal"), (0.0, 0.1)))


def settings(scheme: str, loss: str = "cross_entropy", smoothing: float = 0.0, gamma: float = 2.0) -> Finetune:
    common = {"method": "finetune", "epochs": 1, "learning_rate": 1e-3}
    return Finetune(**common, targets=scheme, loss=loss, label_smoothing=smoothing, focal_gamma=gamma)


def computed(chosen: Finetune, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return make_loss(chosen)(tf.constant(logits, tf.float32), tf.constant(targets, tf.float32)).numpy()


def term(share: np.ndarray, p: np.ndarray, gamma: float) -> np.ndarray:
    return -share * (1 - p) ** gamma * np.log(p)


def naive(chosen: Finetune, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the loss of distributions and sets as a formula on probabilities, in float64."""
    gamma = chosen.focal_gamma if chosen.loss == "focal" else 0.0
    smoothing, z, t = chosen.label_smoothing, np.float64(logits), np.float64(targets)
    if chosen.targets == "binary":
        p, wanted = 1 / (1 + np.exp(-z[:, 0])), t[:, 0] * (1 - smoothing) + smoothing / 2
        return term(wanted, p, gamma) + term(1 - wanted, 1 - p, gamma)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    classes, column = z.shape[1], melanoma_column(chosen.targets)
    undecided = (t.sum(axis=1) - 1) / (classes - 2)
    losses = np.zeros(len(z))
    for k in range(classes):
        known = t[:, k] - (undecided if k != column else 0)
        wanted = (1 - smoothing) * known + smoothing / classes * np.where(k == column, 1, 1 - undecided)
        losses += term(wanted, p[:, k], gamma)
    return losses + term(undecided * (1 - smoothing / classes), 1 - p[:, column], gamma)


def examples(scheme: str) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and targets: one-hot rows, sets, and random mixtures of both."""
    rng = np.random.default_rng(5)
    table = cases((1, None), (0, "nevus"), (0, "BCC"), (0, None), (0, "scar"), (1, "melanoma"))
    rows = np.vstack([encode(table, scheme), soft(np.array([0.0, 0.3, 1.0]), scheme)])
    mixed = rng.dirichlet(np.ones(len(rows)), 20) @ rows
    targets = np.vstack([rows, mixed])
    return rng.normal(0, 2, targets.shape), targets


@pytest.mark.parametrize(("scheme", "loss", "smoothing"), LOSSES)
def test_the_loss_is_the_formula_in_float64(scheme, loss, smoothing) -> None:
    logits, targets = examples(scheme)
    chosen = settings(scheme, loss, smoothing)
    found = computed(chosen, logits, targets)
    assert (found.shape, found.dtype) == ((len(logits),), np.float32)
    np.testing.assert_allclose(found, naive(chosen, logits, targets), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("scheme", "loss", "smoothing"), LOSSES)
def test_the_gradient_is_that_of_finite_differences(scheme, loss, smoothing) -> None:
    logits, targets = examples(scheme)
    chosen, step = settings(scheme, loss, smoothing), 1e-5
    variable = tf.Variable(logits, dtype=tf.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(make_loss(chosen)(variable, tf.constant(targets, tf.float32)))
    found = tape.gradient(total, variable).numpy()
    for column, shift in enumerate(step * np.eye(outputs(scheme))):
        slope = (naive(chosen, logits + shift, targets) - naive(chosen, logits - shift, targets)) / (2 * step)
        np.testing.assert_allclose(found[:, column], slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scheme", "loss", "smoothing"), LOSSES)
def test_extreme_logits_have_finite_losses_and_gradients(scheme, loss, smoothing) -> None:
    _, targets = examples(scheme)
    for values in ((1e4, -1e4, 0.0), (-1e4, 1e4, 1e4), (0.0, 0.0, -1e4)):
        logits = tf.Variable(np.resize(np.float32(values), targets.shape))
        with tf.GradientTape() as tape:
            losses = make_loss(settings(scheme, loss, smoothing))(logits, tf.constant(targets, tf.float32))
        assert np.isfinite(losses.numpy()).all()
        assert np.isfinite(tape.gradient(losses, logits).numpy()).all()


def test_a_wrong_certain_logit_costs_its_size_and_a_right_one_nothing() -> None:
    assert computed(settings("binary"), [[1e4], [-1e4], [1e4]], [[0], [1], [1]]).tolist() == [1e4, 1e4, 0]
    assert computed(settings("diagnosis3"), [[1e4, 0, 0], [1e4, 0, 0]], [[0, 1, 0], [1, 0, 0]]).tolist() == [1e4, 0]


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_benign_case_of_unknown_kind_is_pushed_towards_no_benign_class(loss, smoothing) -> None:
    """Its loss knows nothing but the melanoma log-odds: moving nevus against other, with those kept, is free."""
    log_odds, between = 0.7, np.linspace(-4, 4, 9)
    benign = np.stack([np.zeros(9), between], axis=1)
    melanoma = log_odds + np.log(np.exp(benign).sum(axis=1, keepdims=True))
    logits = np.hstack([melanoma, benign])
    np.testing.assert_allclose(melanoma_logits(logits, "diagnosis3"), log_odds)
    found = computed(settings("diagnosis3", loss, smoothing), logits, np.tile([0, 1, 1], (9, 1)))
    np.testing.assert_allclose(found, found[0], rtol=1e-5)
    known = computed(settings("diagnosis3", loss, smoothing), logits, np.tile([0, 1, 0], (9, 1)))
    assert np.ptp(known) > 0.5


@pytest.mark.parametrize("scheme", SOFTMAX)
@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_a_soft_melanoma_probability_costs_what_it_costs_in_the_binary_scheme(scheme, loss) -> None:
    rng = np.random.default_rng(2)
    logits, probability = rng.normal(0, 2, (30, outputs(scheme))), rng.uniform(0, 1, 30)
    found = computed(settings(scheme, loss), logits, soft(probability, scheme))
    binary = melanoma_logits(logits, scheme)[:, None]
    expected = computed(settings("binary", loss), binary, soft(probability, "binary"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scheme", "loss", "smoothing"), LOSSES)
def test_the_loss_of_mixed_targets_is_the_mixture_of_their_losses(scheme, loss, smoothing) -> None:
    logits, targets = examples(scheme)
    chosen, turned = settings(scheme, loss, smoothing), targets[::-1]
    mixed = computed(chosen, logits, 0.3 * targets + 0.7 * turned)
    apart = 0.3 * computed(chosen, logits, targets) + 0.7 * computed(chosen, logits, turned)
    np.testing.assert_allclose(mixed, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_focal_loss_without_focus_is_cross_entropy_and_with_it_spares_the_easy_cases(scheme) -> None:
    logits, targets = examples(scheme)
    plain = computed(settings(scheme), logits, targets)
    np.testing.assert_allclose(computed(settings(scheme, "focal", gamma=0.0), logits, targets), plain, rtol=1e-6)
    assert (computed(settings(scheme, "focal"), logits, targets) < plain).all()


def test_smoothing_takes_its_share_from_the_named_class_and_gives_it_to_all() -> None:
    smoothed = computed(settings("diagnosis3", smoothing=0.3), [[1.0, -1.0, 0.5]], [[1, 0, 0]])
    by_hand = computed(settings("diagnosis3"), [[1.0, -1.0, 0.5]], [[0.8, 0.1, 0.1]])
    np.testing.assert_allclose(smoothed, by_hand, rtol=1e-6)


def test_a_stage_with_targets_of_its_own_has_the_loss_of_those() -> None:
    logits, targets = examples("diagnosis9")
    loss = make_loss(settings("binary"), scheme="diagnosis9")
    found = loss(tf.constant(logits, tf.float32), tf.constant(targets, tf.float32)).numpy()
    np.testing.assert_array_equal(found, computed(settings("diagnosis9"), logits, targets))
