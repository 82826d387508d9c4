"""A network as a plain function on arrays, by ONNX Runtime or by TensorFlow."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from level1_cnn.devices import Plan
from level1_cnn.onnx_inference import export, open_session
from level1_cnn.predictions import Forward


def frozen_forward(model: keras.Model, path: Path, plan: Plan) -> Forward:
    """Return the forward pass of a network that will not be trained; on a CPU it is exported to ``path`` once."""
    return open_session(export(model, path)) if plan.onnx else live_forward(model, plan)


def live_forward(model: keras.Model, plan: Plan) -> Forward:
    """Return the forward pass of a network with the weights it has at each call; traced once."""

    @tf.function(jit_compile=plan.xla, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def forward(pixels: tf.Tensor) -> list[tf.Tensor]:
        outputs = model(pixels, training=False)
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]

    return lambda pixels: [np.asarray(output, dtype=np.float32) for output in forward(tf.constant(pixels))]
