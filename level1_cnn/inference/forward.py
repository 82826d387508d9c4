"""The forward pass of a network as a function on arrays, by ONNX Runtime or by TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from level1_cnn.experiment import Experiment
from level1_cnn.hardware.devices import Plan
from level1_cnn.inference.int8_network import quantise
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.networks.network import build_backbone, with_last_map
from level1_cnn.networks.onnx_file import write_backbone

ONNX_FILE = "network.onnx"  # in the folder of the network's final weights; a bundle copies this file
FLOAT = 4  # bytes


def final_forward(model: keras.Model, folder: Path, plan: Plan, forward: Forward | None = None) -> Forward:
    """Return the forward pass of a network that will not be trained any further.

    On a CPU the network, with its last map as an extra output, is written to ``folder`` as ONNX and run from that file.
    A bundle contains the same file, so that run and bundle predict the same to the last bit. On other devices it is
    ``forward``, the network's ``TensorFlowForward``.
    """
    if not plan.onnx:
        return forward or TensorFlowForward(model, plan)
    outputs = range(1, 1 + len(model.outputs))
    return open_session(export(with_last_map(model), folder / ONNX_FILE), outputs=outputs)


class FrozenBackbone(NamedTuple):
    """A network whose weights do not change: its ``forward`` returns [features (n, d)]."""

    forward: Forward
    features: int
    parameters: int


def open_backbone(
    experiment: Experiment, folder: Path, plan: Plan, calibration: Callable[[], np.ndarray] | None = None
) -> FrozenBackbone:
    """Return the frozen network of ``experiment``, and write it to ``folder`` as ONNX as ``final_forward`` does.

    ``calibration`` returns pictures uint8 (n, side, side, 3), from which a network of 8-bit integers takes its ranges;
    without it, such a network raises ValueError. It runs on the CPU, as a network from an ONNX file does.
    """
    path = folder / ONNX_FILE
    if experiment.onnx is not None:
        features = write_backbone(Path(experiment.weights), experiment.onnx, experiment.image_size, path)
        parameters = path.stat().st_size // FLOAT
    else:
        model = build_backbone(experiment)
        features, parameters = int(model.output.shape[-1]), int(model.count_params())
        if not experiment.is_int8:
            return FrozenBackbone(final_forward(model, folder, plan), features, parameters)
        export(with_last_map(model), path)
    if experiment.is_int8:
        if calibration is None:
            raise ValueError("a network of 8-bit integers needs pictures for its ranges")
        quantise(path, calibration(), experiment.variant)
    return FrozenBackbone(open_session(path, outputs=[1]), features, parameters)


class TensorFlowForward:
    """A network run by TensorFlow: pixels (n, side, side, 3), metadata (n, m) or None -> float32 outputs (n, ...).

    The graph is traced once; every call uses the weights that the network has at that moment.
    """

    def __init__(self, model: keras.Model, plan: Plan) -> None:
        self.traces = 0  # how often the graph was built

        @tf.function(jit_compile=plan.xla, reduce_retracing=True)  # type: ignore[untyped-decorator]
        def run(inputs: list[tf.Tensor]) -> list[tf.Tensor]:
            """Return the outputs of the network as a list."""
            self.traces += 1  # Python code of a tf.function runs only while its graph is built
            outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
            return list(outputs) if isinstance(outputs, list | tuple) else [outputs]

        self._run, self._pads_batches, self._rows = run, plan.xla, 0

    def __call__(self, pixels: np.ndarray, metadata: np.ndarray | None = None) -> list[np.ndarray]:
        """Return the outputs for a batch of any size."""
        count = len(pixels)
        inputs = [array for array in (pixels, metadata) if array is not None]
        # XLA compiles again for every batch size, so the last, smaller batch is padded to the size of the others.
        self._rows = max(self._rows, count) if self._pads_batches else count
        outputs = self._run([tf.constant(_pad(array, self._rows), tf.float32) for array in inputs])
        return [np.asarray(output, dtype=np.float32)[:count] for output in outputs]


def _pad(rows: np.ndarray, count: int) -> np.ndarray[Any, Any]:
    """Return ``rows`` with the last one repeated until there are ``count``."""
    missing = count - len(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows
