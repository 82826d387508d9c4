"""Export a network to ONNX and run it with ONNX Runtime: faster than TensorFlow on a CPU, and without TensorFlow."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnxruntime

from runtime.errors import InputFault
from runtime.files import replacing

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, np.dtype[Any]]


class Session(Protocol):
    """A network loaded for inference."""

    def __call__(self, pixels: Array, metadata: Array | None = None) -> list[Array]:
        """Return one float32 array (batch, ...) per output of pixels (batch, side, side, 3) and metadata (batch, m)."""
        ...


# ONNX Runtime's levels are 0 (verbose) to 4 (fatal); 3 shows errors only.
_LOG_ERRORS = 3
# Pixels of one call: four pictures at 128 px. The activations of more leave the processor's cache: on two busy cores
# with 32 MB, calls of 32 pictures gave 0.8 to 1.0 (Lite0) and 0.5 to 0.9 (B0) of the pictures per second of calls of 4.
_CALL_PIXELS = 4 * 128 * 128


def export(model: keras.Model, path: Path) -> Path:
    """Write ``model`` (pixels, or pixels and metadata -> one or more outputs, float32, any batch size) as ONNX.

    Return ``path``. The file appears only when it is complete. Dropout is left out and batch normalisation uses its
    moving averages, as in Keras' inference.
    """
    # Keras refuses to export a model that has never been called.
    blank = [np.zeros((1, *one.shape[1:]), np.float32) for one in model.inputs]
    model(blank if len(blank) > 1 else blank[0], training=False)
    with replacing(path) as temporary, warnings.catch_warnings():
        # Keras asks NumPy 2 whether it still has the old name, and is told that it will come back.
        warnings.filterwarnings("ignore", message=r"In the future `np\.object`", category=FutureWarning)
        model.export(str(temporary), format="onnx", verbose=False)
        _number_names(temporary)
    return path


def _number_names(path: Path) -> None:
    """Name nodes, outputs, constants and what flows between them by their places in an ONNX file; inputs keep theirs.

    tf2onnx names them, and orders constants, by the order of sets and by counters, which differ between processes.
    """
    import onnx

    network = onnx.load(path)
    graph = network.graph
    names = {value.name: value.name for value in graph.input}
    names |= {value.name: f"output_{number}" for number, value in enumerate(graph.output)}
    for number, node in enumerate(graph.node):
        node.name = f"node_{number}"
        for values in (node.input, node.output):
            # An input that is left out has no name.
            values[:] = [names.setdefault(value, f"value_{len(names)}") if value else "" for value in values]
    places = {name: place for place, name in enumerate(names)}
    constants = sorted((one for one in graph.initializer if one.name in names), key=lambda one: places[one.name])
    for value in (*constants, *graph.output):
        value.name = names[value.name]
    for size in [size for value in (*graph.input, *graph.output) for size in value.type.tensor_type.shape.dim]:
        if size.dim_param:
            size.dim_param = "batch"  # the only size that is open
    del graph.initializer[:], graph.value_info[:]  # the latter are shapes for readers, under the old names
    graph.initializer.extend(constants)
    graph.name, graph.doc_string = "network", ""
    path.write_bytes(network.SerializeToString(deterministic=True))


def open_session(path: Path, *, threads: int | None = None, outputs: Sequence[int] | None = None) -> Session:
    """Load an ONNX file for the CPU and return a function from pictures to the network's outputs.

    The function takes pixels 0 to 255, (batch, side, side, 3) of any number type, and metadata (batch, m) if the
    network has that input. It returns one float32 array per output, in the order of the Keras model's outputs. A batch
    of any size is taken in small parts. ``threads`` None uses every core; ``outputs`` names those that are wanted by
    their places, and what the others alone need is not computed. A missing or damaged file is an InputFault.
    """
    if not path.is_file():
        raise InputFault(f"{path}: no such file; an ONNX network was expected")
    return _Network(_load(path, _options(threads)), outputs)


class _Network:
    def __init__(self, session: onnxruntime.InferenceSession, outputs: Sequence[int] | None = None) -> None:
        self._session = session
        names = [one.name for one in session.get_outputs()]
        self._outputs = None if outputs is None else [names[place] for place in outputs]
        self._inputs = [one.name for one in session.get_inputs()]

    def __call__(self, pixels: Array, metadata: Array | None = None) -> list[Array]:
        given = [np.asarray(one) for one in (pixels, metadata) if one is not None]
        if len(given) != len(self._inputs):
            raise ValueError(f"{len(given)} arrays for a network with the inputs {', '.join(self._inputs)}")
        step = max(1, _CALL_PIXELS // (pixels.shape[1] * pixels.shape[2]))
        # At least one call: the outputs of no pictures at all have the right shapes, too.
        starts = range(0, max(1, len(pixels)), step)
        calls = [self._call([one[start : start + step] for one in given]) for start in starts]
        return [np.concatenate(parts) for parts in zip(*calls, strict=True)]

    def _call(self, given: Sequence[Array]) -> list[Array]:
        arrays = [np.ascontiguousarray(one, np.float32) for one in given]
        outputs: list[Array] = self._session.run(self._outputs, dict(zip(self._inputs, arrays, strict=True)))
        return outputs


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
