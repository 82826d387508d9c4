"""Speed of inference through ONNX Runtime and TensorFlow, as ratios in one run: eight views of every picture."""

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
from level1_cnn.inference.forward import TensorFlowForward
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.views import SYMMETRIES, apply_view
from runtime.machine.cores import allowed_cores
from runtime.progress import say

PICTURES, ROUNDS = 16, 7
NETWORKS = (("efficientnet_lite", "lite0", 64), ("efficientnet_lite", "lite0", 128), ("efficientnet", "b0", 128))


def run_benchmark(networks: Sequence[tuple[str, str, int]] = NETWORKS) -> None:
    """Print views per second of both runtimes, which take turns, and their ratio, for each (family, variant, side).

    Weights are random, not trained: they do not change the speed.
    """
    versions = (
        f"TensorFlow {tf.__version__}, ONNX Runtime {onnxruntime.__version__}, Python {platform.python_version()}"
    )
    say(f"machine: {platform.machine()}, {allowed_cores()} cores; {versions}")
    plan = plan_devices()
    for family, variant, side in networks:
        model = backbones.find(family).build(variant, image_size=side, weights="none")
        say(f"{variant} at {side} px: " + _compare(model, side, plan))


def _compare(model: keras.Model, side: int, plan: Plan) -> str:
    pictures = np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3)).astype(np.uint8)
    live = TensorFlowForward(model, plan)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        onnx = open_session(export(model, Path(folder) / "network.onnx"))
        export_seconds = time.process_time() - start
        ways = {name: _eight_views(run, pictures) for name, run in (("TensorFlow", live), ("ONNX Runtime", onnx))}
        first, second = (run() for run in ways.values())
        seconds = _in_turns(ways)
    rates, cpu_rates = ({name: PICTURES * len(SYMMETRIES) / pair[i] for name, pair in seconds.items()} for i in (0, 1))
    ratio, cpu_ratio = (rate["ONNX Runtime"] / rate["TensorFlow"] for rate in (rates, cpu_rates))
    difference = float(np.abs(first - second).max() / np.abs(first).max())
    parts = [
        ", ".join(f"{name} {rate:.0f} views/s" for name, rate in rates.items()),
        f"{rates['ONNX Runtime'] / len(SYMMETRIES):.0f} pictures/s in all eight views",
        f"ratio {ratio:.2f}, of CPU time {cpu_ratio:.2f}",
        f"largest difference {difference:.0e} of the largest output",
        f"export {export_seconds:.1f} s of CPU time, saved again after {_break_even(export_seconds, cpu_rates)}",
    ]
    return "; ".join(parts)


def _break_even(seconds: float, rates: dict[str, float]) -> str:
    gain = 1 / rates["TensorFlow"] - 1 / rates["ONNX Runtime"]  # seconds per view
    return f"{seconds / gain:.0f} views" if gain > 0 else "no number of views"


def _eight_views(forward: Forward, pictures: np.ndarray) -> Callable[[], np.ndarray]:
    """Return a function that makes all views of the pictures and predicts them, 32 views per forward pass."""

    def run() -> np.ndarray:
        outputs = []
        for start in range(0, len(pictures), 4):
            views = [apply_view(pictures[start : start + 4], name) for name in SYMMETRIES]
            outputs += forward(np.concatenate(views).astype(np.float32), None)
        return np.concatenate(outputs)

    return run


def _in_turns(ways: dict[str, Callable[[], np.ndarray]]) -> dict[str, tuple[float, float]]:
    """Return the median wall-clock and CPU seconds of each way over rounds in which they take turns.

    Other programs on the machine hardly change the CPU seconds.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _, (name, run) in product(range(ROUNDS + 1), ways.items()):
        clock, cpu = time.perf_counter(), time.process_time()
        run()
        seconds[name].append((time.perf_counter() - clock, time.process_time() - cpu))
    # The first round is a warm-up.
    return {
        name: (median(a for a, _ in rounds[1:]), median(b for _, b in rounds[1:])) for name, rounds in seconds.items()
    }
