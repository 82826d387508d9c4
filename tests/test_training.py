"""Tests for level1_cnn/training.py: the schedule, the exact reset, and a step in every precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from level1_cnn.devices import Plan
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.network import build_network
from level1_cnn.training import learning_rates, make_optimizer, make_train_step

SETTINGS = Finetune(method="finetune", epochs=5, batch_size=8, learning_rate=1e-2, warmup_epochs=1)


def experiment() -> Experiment:
    return Experiment(backbone="tiny", variant="tiny", weights="none", image_size=32, training=SETTINGS)


def batch() -> tuple[tf.Tensor, tf.Tensor]:
    """Bright pictures are malignant, dark ones are not."""
    rng = np.random.default_rng(0)
    targets = np.arange(8) % 2
    pictures = rng.uniform(0, 60, (8, 32, 32, 3)) + 150 * targets[:, None, None, None]
    return tf.constant(pictures, tf.float32), tf.constant(targets, tf.float32)


def test_the_learning_rate_warms_up_from_above_zero_peaks_and_falls_to_zero() -> None:
    rates = [float(learning_rates(SETTINGS, 100)(step)) for step in range(101)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(1e-2, rel=1e-3)
    assert np.argmax(rates) == 20
    assert np.all(np.diff(rates[:20]) > 0)
    assert np.all(np.diff(rates[21:]) < 0)
    assert rates[100] == pytest.approx(0, abs=1e-8)


def test_no_warm_up_starts_at_the_peak() -> None:
    rates = learning_rates(SETTINGS.model_copy(update={"warmup_epochs": 0}), 10)
    assert float(rates(0)) == pytest.approx(1e-2)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_step_learns_in_every_precision(precision: str) -> None:
    plan = Plan("CPU", False, precision, False, 8)
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        keras.utils.set_random_seed(0)
        network = build_network(experiment(), 0.0)
        optimizer = make_optimizer(SETTINGS, 60, plan)
        step = make_train_step(network, optimizer, 0.0, plan)
        losses = [float(step(*batch())) for _ in range(60)]
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.25 * losses[0]


def test_labels_are_smoothed_towards_one_half() -> None:
    network = build_network(experiment(), 0.0)
    optimizer = keras.optimizers.SGD(0.0)
    plan = Plan("CPU", False, "float32", False, 8)
    pictures, targets = batch()
    plain = float(make_train_step(network, optimizer, 0.0, plan)(pictures, targets))
    smoothed = float(make_train_step(network, optimizer, 0.2, plan)(pictures, targets))
    turned = float(make_train_step(network, optimizer, 0.0, plan)(pictures, 1 - targets))
    # The loss is linear in the target: 0.2 of smoothing is a tenth of the loss on turned labels.
    assert smoothed == pytest.approx(0.9 * plain + 0.1 * turned, rel=0.02)


def test_the_head_stands_on_the_backbones_own_output() -> None:
    network = build_network(experiment(), 0.2)
    assert not any(isinstance(layer, keras.Model) for layer in network.layers)
    assert [output.shape for output in network.outputs] == [(None, 32), (None, 1)]
    assert network.outputs[1].dtype == "float32"


def test_kept_batch_normalisation_does_not_move_in_training() -> None:
    network = build_network(experiment(), 0.0, train_batch_norm=False)
    normalisations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = [value.numpy().copy() for layer in normalisations for value in layer.variables]
    plan = Plan("CPU", False, "float32", False, 8)
    step = make_train_step(network, make_optimizer(SETTINGS, 10, plan), 0.0, plan)
    first, *_, last = [float(step(*batch())) for _ in range(10)]
    after = [value.numpy() for layer in normalisations for value in layer.variables]
    assert len(before) >= 4
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert last < first
