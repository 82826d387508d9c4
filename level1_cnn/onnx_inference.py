"""Export a network to ONNX and run it with ONNX Runtime: faster than TensorFlow on a CPU, and without TensorFlow."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from features.faults import InputFault
from features.files import replacing

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, np.dtype[Any]]
Session = Callable[[Array], list[Array]]

# ONNX Runtime's levels are 0 (verbose) to 4 (fatal); 3 shows errors only.
_LOG_ERRORS = 3


def export(model: keras.Model, path: Path) -> Path:
    """Write ``model`` (one input, one or more outputs, float32, any batch size) as ONNX and return ``path``.

    The file appears only when it is complete. Dropout is left out and batch normalisation uses its moving averages, as
    in Keras' inference.
    """
    # Keras refuses to export a model that has never been called.
    model(np.zeros((1, *model.input_shape[1:]), np.float32), training=False)
    with replacing(path) as temporary, warnings.catch_warnings():
        # Keras asks NumPy 2 whether it still has the old name, and is told that it will come back.
        warnings.filterwarnings("ignore", message=r"In the future `np\.object`", category=FutureWarning)
        model.export(str(temporary), format="onnx", verbose=False)
    return path


def open_session(path: Path, *, threads: int | None = None) -> Session:
    """Load an ONNX file for the CPU and return a function from pictures to the network's outputs.

    The function takes pixels 0 to 255, (batch, side, side, 3) of any number type, and returns one float32 array per
    output, in the order of the Keras model's outputs. ``threads`` None uses every core. A missing or damaged file is an
    InputFault.
    """
    if not path.is_file():
        raise InputFault(f"{path}: no such file; an ONNX network was expected")
    session = _load(path, _options(threads))
    pixels_name = session.get_inputs()[0].name

    def run(pixels: Array) -> list[Array]:
        outputs: list[Array] = session.run(None, {pixels_name: np.ascontiguousarray(pixels, np.float32)})
        return outputs

    return run


def _options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS
    # Threads that spin while they wait halve the throughput wherever another program wants the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _load(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no class of their own
        raise InputFault(f"{path}: not an ONNX network that can be run ({error})") from error
