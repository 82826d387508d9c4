"""Speed of inference as ratios within one run: eight views of a picture through ONNX Runtime and through TensorFlow."""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import median

import keras
import numpy as np
import onnxruntime
import tensorflow as tf

from level1_cnn import backbones
from level1_cnn.hardware.devices import Plan, plan_devices
from level1_cnn.inference.forward import tensorflow_forward
from level1_cnn.inference.onnx_export import export, open_session
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.views import SYMMETRIES, apply_view
from runtime.progress import say

PICTURES, ROUNDS = 16, 7
NETWORKS = (("efficientnet_lite", "lite0", 64), ("efficientnet_lite", "lite0", 128), ("efficientnet", "b0", 128))


def run_benchmark(networks: Sequence[tuple[str, str, int]] = NETWORKS) -> None:
    """Print views per second of each (family, variant, side), the two ways taking turns, and their ratio.

    Weights are drawn, not trained: they change no speed.
    """
    versions = (
        f"TensorFlow {tf.__version__}, ONNX Runtime {onnxruntime.__version__}, Python {platform.python_version()}"
    )
    say(f"machine: {platform.machine()}, {os.cpu_count()} cores; {versions}")
    plan = plan_devices()
    for family, variant, side in networks:
        model = backbones.find(family).build(variant, image_size=side, weights="none")
        say(f"{variant} at {side} px: " + _compare(model, side, plan))


def _compare(model: keras.Model, side: int, plan: Plan) -> str:
    pictures = np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3)).astype(np.uint8)
    live = tensorflow_forward(model, plan)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        frozen = open_session(export(model, Path(folder) / "network.onnx"))
        seconds = time.process_time() - started
        ways = {name: _eight_views(run, pictures) for name, run in (("TensorFlow", live), ("ONNX Runtime", frozen))}
        first, second = (run() for run in ways.values())
        measured = _interleaved(ways)
    rates, per_core = ({name: PICTURES * len(SYMMETRIES) / one[i] for name, one in measured.items()} for i in (0, 1))
    ratio, core_ratio = (one["ONNX Runtime"] / one["TensorFlow"] for one in (rates, per_core))
    difference = float(np.abs(first - second).max() / np.abs(first).max())
    parts = [
        ", ".join(f"{name} {rate:.0f} views/s" for name, rate in rates.items()),
        f"{rates['ONNX Runtime'] / len(SYMMETRIES):.0f} pictures/s in all eight views",
        f"ratio {ratio:.2f}, by time of a core {core_ratio:.2f}",
        f"largest difference {difference:.0e} of the largest output",
        f"export {seconds:.1f} s of a core, paid for after {_break_even(seconds, per_core)}",
    ]
    return "; ".join(parts)


def _break_even(seconds: float, rates: dict[str, float]) -> str:
    saved = 1 / rates["TensorFlow"] - 1 / rates["ONNX Runtime"]
    return f"{seconds / saved:.0f} views" if saved > 0 else "no number of views"


def _eight_views(forward: Forward, pictures: np.ndarray) -> Callable[[], np.ndarray]:
    """Return a call that makes the views of the pictures and predicts them, 32 views to a forward pass."""

    def run() -> np.ndarray:
        outputs = []
        for start in range(0, len(pictures), 4):
            views = [apply_view(pictures[start : start + 4], name) for name in SYMMETRIES]
            outputs += forward(np.concatenate(views).astype(np.float32), None)
        return np.concatenate(outputs)

    return run


def _interleaved(ways: dict[str, Callable[[], np.ndarray]]) -> dict[str, tuple[float, float]]:
    """Return seconds of the clock and of a core of each way: medians of rounds in which they take turns.

    The time of a core says what a busy machine's clock does not.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _, (name, run) in product(range(ROUNDS + 1), ways.items()):
        clock, core = time.perf_counter(), time.process_time()
        run()
        seconds[name].append((time.perf_counter() - clock, time.process_time() - core))
    # The first round warms up.
    return {
        name: (median(a for a, _ in rounds[1:]), median(b for _, b in rounds[1:])) for name, rounds in seconds.items()
    }
