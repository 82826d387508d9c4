"""Trainings on several devices; test_distribution.py starts each in a separate process, which writes its results."""

import sys
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from level1_cnn.hardware.devices import Plan, distribute, plan_devices
from level1_cnn.networks.network import build_network
from level1_cnn.training.step import Stepper
from level1_cnn.training_settings import Finetune
from tests.level1_cnn.drawn_run import tiny_experiment

STEPS, BATCH = 8, 8


def train(devices: str, target: str) -> None:
    """Train the tiny network twice, with batches split over the devices, and write losses and state to ``target``."""
    plan = plan_devices(devices, deterministic=True)
    # Without training of batch normalisation and without dropout a result does not depend on how a batch is split.
    settings = Finetune(
        method="finetune",
        epochs=2,
        learning_rate=1e-2,
        warmup_epochs=0.5,
        train_batch_norm=False,
        head_dropout=0,
    )
    stepper = _stepper(settings, plan)

    def make_batches(shard: tuple[int, int]) -> tf.data.Dataset:
        count, index = shard
        return (
            tf.data.Dataset.from_tensor_slices(_rows()).batch(BATCH // count, drop_remainder=True).shard(count, index)
        )

    def run() -> list[float]:
        return [float(stepper(batch)) for batch in distribute(plan, make_batches)]

    losses = run()
    state = stepper.state()
    stepper.reset()
    second = run()
    ranking = _stepper(settings.model_copy(update={"auc_margin_epochs": 1}), plan)
    pairs = []
    for step, batch in enumerate(distribute(plan, make_batches)):
        ranking.begin_epoch(step * 2 // STEPS)
        pairs.append(float(ranking(batch)))
    results = {"losses": losses, "second": second, "traces": stepper.traces, "replicas": plan.replicas, "pairs": pairs}
    np.savez(target, chief=plan.is_chief, **results, **{name.replace("/", "_"): value for name, value in state.items()})


def train_in_float16(target: str) -> None:
    """Train with dropout and moving batch statistics on two devices; the second of three batches overflows."""
    plan = replace(plan_devices("cpu:2"), precision="mixed_float16")
    keras.mixed_precision.set_global_policy(plan.precision)
    settings = Finetune(
        method="finetune", epochs=2, learning_rate=1e-2, accumulation=2, pooling="gem", head_dropout=0.5
    )
    with plan.strategy.scope():
        network = build_network(tiny_experiment(settings), settings)
    stepper = Stepper(network, settings, STEPS, plan, _loss)
    (pictures, metadata), targets, weights = (_first(part) for part in _rows())
    nan_targets = targets.copy()
    nan_targets[-1] = np.nan  # only the second device has this row
    changes = []
    for batch_targets in (targets, nan_targets, targets):
        before = {path: value for path, value in stepper.weights().items() if "moving" not in path}
        stepper(((pictures, metadata), batch_targets, weights))
        after = stepper.weights()
        changes.append(max(float(np.abs(after[path] - value).max()) for path, value in before.items()))
    copies = [[copy.numpy() for copy in variable.value.values] for variable in network.variables]
    equal = all(np.array_equal(*pair) for pair in copies)
    statistics = max(float(np.abs(v.numpy()).max()) for v in network.variables if v.name == "moving_mean")
    np.savez(target, changes=changes, equal=equal, statistics=statistics, count=len(copies), traces=stepper.traces)


def _stepper(settings: Finetune, plan: Plan) -> Stepper:
    keras.utils.set_random_seed(0)
    with plan.strategy.scope():
        network = build_network(tiny_experiment(settings), settings)
    return Stepper(network, settings, STEPS, plan, _loss)


def _loss(logits, targets):
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=1)


def _rows() -> tuple:
    """Return STEPS batches of bright malignant and dark benign pictures with different weights, in order."""
    rng = np.random.default_rng(0)
    count = STEPS * BATCH
    targets = (np.arange(count) % 2)[:, None].astype(np.float32)
    pictures = (rng.uniform(0, 60, (count, 32, 32, 3)) + 150 * targets[:, None, None]).astype(np.float32)
    return (pictures, np.zeros((count, 0), np.float32)), targets, rng.uniform(0.5, 2, count).astype(np.float32)


def _first(part):
    return tuple(_first(inner) for inner in part) if isinstance(part, tuple) else part[:BATCH]


if __name__ == "__main__":
    {"train": train, "train_in_float16": train_in_float16}[sys.argv[1]](*sys.argv[2:])
