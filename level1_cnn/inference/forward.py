"""A network as a plain function on arrays, by ONNX Runtime or by TensorFlow."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from level1_cnn.hardware.devices import Plan
from level1_cnn.inference.onnx_export import export, open_session
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.networks.network import with_last_map

EXPORTED = "network.onnx"  # a network whose weights are settled, beside them; a bundle takes this file over


def final_forward(model: keras.Model, folder: Path, plan: Plan, live: Forward | None = None) -> Forward:
    """Return the forward pass of a network that will not be trained any more.

    On a CPU it is written to ``folder`` as ONNX, with its last map, and run from there: the very file that a bundle
    holds, so that run and bundle say the same to the last bit. Elsewhere it is ``live``, its ``tensorflow_forward``.
    """
    if not plan.onnx:
        return live or tensorflow_forward(model, plan)
    wanted = range(1, 1 + len(model.outputs))
    return open_session(export(with_last_map(model), folder / EXPORTED), outputs=wanted)


def tensorflow_forward(model: keras.Model, plan: Plan) -> "Live":
    """Return the forward pass of a network with the weights it has at each call; traced once."""
    return Live(model, plan)


class Live:
    """A network run by TensorFlow: pixels (n, side, side, 3), metadata (n, m) or None -> float32 outputs (n, ...)."""

    def __init__(self, model: keras.Model, plan: Plan) -> None:
        self.traces = 0  # how often the graph was built

        @tf.function(jit_compile=plan.xla, reduce_retracing=True)  # type: ignore[untyped-decorator]
        def run(inputs: list[tf.Tensor]) -> list[tf.Tensor]:
            self.traces += 1  # runs while the graph is built, and never again
            outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
            return list(outputs) if isinstance(outputs, list | tuple) else [outputs]

        self._run, self._fixed, self._rows = run, plan.xla, 0

    def __call__(self, pixels: np.ndarray, metadata: np.ndarray | None = None) -> list[np.ndarray]:
        """Return the outputs for a batch of any size."""
        count = len(pixels)
        given = [one for one in (pixels, metadata) if one is not None]
        # XLA compiles anew for every batch size: the last, smaller batch is filled up to the size of the others.
        self._rows = max(self._rows, count) if self._fixed else count
        outputs = self._run([tf.constant(_filled(one, self._rows), tf.float32) for one in given])
        return [np.asarray(output, dtype=np.float32)[:count] for output in outputs]


def _filled(rows: np.ndarray, count: int) -> np.ndarray[Any, Any]:
    missing = count - len(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows
