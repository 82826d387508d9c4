"""Speed figures of level one as ratios within one run: ONNX Runtime against TensorFlow, training against inference."""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import tensorflow as tf

from features.progress import say
from level1_cnn.devices import plan_devices
from level1_cnn.experiment import Experiment, Finetune
from level1_cnn.forward import frozen_forward, live_forward
from level1_cnn.network import build_backbone, build_network
from level1_cnn.training import make_optimizer, make_train_step

BATCH, ROUNDS = 32, 7


def run_benchmark(sides: tuple[int, ...] = (64, 128)) -> None:
    """Print pictures per second of Lite0 at each side, the ways of running it taking turns, and their ratios."""
    versions = f"Python {platform.python_version()}, TensorFlow {tf.__version__}"
    say(f"machine: {platform.machine()}, {os.cpu_count()} cores; {versions}")
    for side in sides:
        rates = _rates(side)
        ratios = ", ".join(
            f"{name} / TensorFlow forward = {rate / rates['TensorFlow forward']:.2f}" for name, rate in rates.items()
        )
        say(f"{side} px: " + ", ".join(f"{name} {rate:.0f} pictures/s" for name, rate in rates.items()))
        say(f"{side} px: {ratios}")


def _rates(side: int) -> dict[str, float]:
    plan = plan_devices()
    settings = Finetune(method="finetune", epochs=1, batch_size=BATCH, learning_rate=1e-4)
    experiment = Experiment(
        backbone="efficientnet_lite", variant="lite0", weights="none", image_size=side, training=settings
    )
    pixels = np.random.default_rng(0).uniform(0, 255, (BATCH, side, side, 3)).astype(np.float32)
    backbone, network = build_backbone(experiment), build_network(experiment, 0.0)
    optimizer = make_optimizer(settings, 1000, plan)
    step = make_train_step(network, optimizer, 0.0, plan)
    targets = tf.constant(np.arange(BATCH) % 2, tf.float32)
    live = live_forward(backbone, plan)
    with tempfile.TemporaryDirectory() as folder:
        frozen = frozen_forward(backbone, Path(folder) / "backbone.onnx", plan)
        ways: dict[str, Callable[[], object]] = {
            "TensorFlow forward": lambda: live(pixels),
            "frozen forward": lambda: frozen(pixels),
            "training step": lambda: float(step(tf.constant(pixels), targets)),
        }
        return _interleaved(ways)


def _interleaved(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return pictures per second of each way: the median of rounds in which they take turns, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, run) in product(range(ROUNDS + 1), ways.items()):
        started = time.perf_counter()
        run()
        seconds[name].append(time.perf_counter() - started)
    return {name: BATCH / median(measured[1:]) for name, measured in seconds.items()}
