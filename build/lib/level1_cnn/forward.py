"""A network as a plain function on arrays, by ONNX Runtime or by TensorFlow."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from level1_cnn.devices import Plan
from level1_cnn.onnx_inference import export, open_session
from level1_cnn.view_predictions import Forward

# Writing a network as ONNX takes 6 (Lite0) to 13 (B0) seconds of a core, and then a forward pass is shorter by 0.6 to
# 1.4 ms of a core (Lite0 at 64 px), 7 (Lite0 at 128 px) or 8 (B0 at 128 px). In pixels that is paid for after as many
# as 900 to 2,900 passes at 128 px have; this is the middle, and `make bench` measures it anew.
EXPORT_PAYS_FROM = 2000 * 128 * 128


def frozen_forward(model: keras.Model, path: Path, plan: Plan) -> Forward:
    """Return the forward pass of a network that will not be trained; on a CPU it is exported to ``path`` once."""
    return open_session(export(model, path)) if plan.onnx else live_forward(model, plan)


def fold_forward(model: keras.Model, live: Forward, path: Path, plan: Plan, passes: int) -> Forward:
    """Return how a network with the weights of one fold predicts ``passes`` pictures, every view counted.

    On a CPU, where there are enough of them to pay for it, it is exported to ``path``; else it is ``live``, the
    network's ``live_forward``. The choice follows from the numbers alone, so that a repeated run takes the same way.
    """
    side = model.inputs[0].shape[1]
    pays = plan.onnx and passes * side * side >= EXPORT_PAYS_FROM
    return open_session(export(model, path)) if pays else live


def live_forward(model: keras.Model, plan: Plan) -> "Live":
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
