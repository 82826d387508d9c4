"""Export a network to ONNX and run it with ONNX Runtime: faster than TensorFlow on a CPU, and without TensorFlow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnxruntime

from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.onnx_outputs import select_outputs
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.machine.cores import allowed_cores

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, np.dtype[Any]]


class Session(Protocol):
    """A network loaded for inference."""

    def __call__(self, pixels: Array, metadata: Array | None = None) -> list[Array]:
        """Return one float32 array (batch, ...) per output of pixels (batch, side, side, 3) and metadata (batch, m)."""
        ...


PROVIDERS = ("CPUExecutionProvider",)
# The levels of ONNX Runtime are 0 (verbose) to 4 (fatal); 3 shows errors only.
_LOG_ERRORS = 3
# Pixels of one call: four pictures of 128 px. With more, the activations do not fit the processor's cache: on two busy
# cores with 32 MB, calls of 32 pictures had 0.8 to 1.0 (Lite0) and 0.5 to 0.9 (B0) times the speed of calls of 4.
_CALL_PIXELS = 4 * 128 * 128


def export(model: keras.Model, path: Path) -> Path:
    """Write ``model`` (pixels, or pixels and metadata -> one or more outputs, float32, any batch size) as ONNX.

    Return ``path``. The file appears only when it is complete. As in Keras' inference, dropout is off, and batch
    normalisation uses its moving averages. Raises InputFault for a network with operators that no bundle may hold.
    """
    # Keras refuses to export a model that has never been called.
    blank = [np.zeros((1, *value.shape[1:]), np.float32) for value in model.inputs]
    model(blank if len(blank) > 1 else blank[0], training=False)
    with replacing(path) as temporary, warnings.catch_warnings():
        # Keras looks for `np.object`, and NumPy 2 warns that this name will get a new meaning.
        warnings.filterwarnings("ignore", message=r"In the future `np\.object`", category=FutureWarning)
        model.export(str(temporary), format="onnx", verbose=False)
        temporary.write_bytes(_bytes_with_numbers(_parse(temporary.read_bytes())))
        read_onnx(temporary)
    return path


def folded_network(content: bytes, source: Path) -> Any:  # noqa: ANN401  onnx has no types
    """Return the ONNX network in ``content`` with everything computed that does not depend on the pictures.

    Batch normalisations become part of the convolution before them. Raises InputFault, which names the ``source``, for
    a network that cannot be run.
    """
    with TemporaryDirectory() as folder:
        options = _options(None)
        # The basic level folds constants; higher levels use operators of this processor alone.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "network.onnx")
        try:
            onnxruntime.InferenceSession(content, options, providers=PROVIDERS)
        except Exception as error:  # ONNX Runtime's exceptions have no common class
            reason = str(error).partition("\n")[0]
            raise InputFault(f"{source}: ONNX Runtime cannot read the network ({reason})") from error
        network = _parse(Path(options.optimized_model_filepath).read_bytes())
    _clear_notes(network)
    return network


def write_network(network: Any, path: Path) -> None:  # noqa: ANN401
    """Write ``network`` to ``path`` in the form of exported networks; raise InputFault if no bundle may hold it."""
    _clear_notes(network)
    with replacing(path) as temporary:
        temporary.write_bytes(_bytes_with_numbers(network))
        read_onnx(temporary)


def _parse(content: bytes) -> Any:  # noqa: ANN401
    import onnx

    return onnx.load_model_from_string(content)


def _clear_notes(network: Any) -> None:  # noqa: ANN401
    """Remove what tools note in a network, and the versions of operators that it does not have."""
    versions = [opset for opset in network.opset_import if not opset.domain]
    del network.opset_import[:], network.metadata_props[:], network.functions[:], network.graph.value_info[:]
    network.opset_import.extend(versions)
    for node in network.graph.node:
        node.ClearField("metadata_props")
    for tensor in network.graph.initializer:
        if not tensor.data_location:
            tensor.ClearField("data_location")  # "in this file", which is what a tensor without the field says, too


def _bytes_with_numbers(network: Any) -> bytes:  # noqa: ANN401
    """Order the nodes, and name nodes, outputs, constants and intermediate values by numbers; inputs keep their names.

    The names by tf2onnx, and its order of nodes and constants, depend on the order of sets and on counters, which
    differ between processes.
    """
    graph = network.graph
    names = {value.name: value.name for value in graph.input}
    names |= {value.name: f"output_{number}" for number, value in enumerate(graph.output)}
    nodes = list(_in_order(graph))
    del graph.node[:]
    graph.node.extend(nodes)
    for number, node in enumerate(graph.node):
        node.name = f"node_{number}"
        for values in (node.input, node.output):
            # An optional input that is not used has an empty name.
            values[:] = [names.setdefault(value, f"value_{len(names)}") if value else "" for value in values]
    order = {name: number for number, name in enumerate(names)}
    constants = [constant for constant in graph.initializer if constant.name in names]
    constants.sort(key=lambda constant: order[constant.name])
    for value in (*constants, *graph.output):
        value.name = names[value.name]
    for size in [size for value in (*graph.input, *graph.output) for size in value.type.tensor_type.shape.dim]:
        if size.dim_param:
            size.dim_param = "batch"  # the only size that is not fixed
    del graph.initializer[:], graph.value_info[:]  # value_info holds shapes under the old names; nothing needs them
    graph.initializer.extend(constants)
    graph.name, graph.doc_string = "network", ""
    content: bytes = network.SerializeToString(deterministic=True)
    return content


def _in_order(graph: Any) -> Iterator[Any]:  # noqa: ANN401  onnx has no types
    """Yield the nodes that the outputs need, each after those that make its inputs, in the order of the inputs."""
    makers = {name: number for number, node in enumerate(graph.node) for name in node.output}
    pending, ready = [makers[value.name] for value in reversed(graph.output) if value.name in makers], set[int]()
    while pending:
        number = pending[-1]
        inputs = [makers[name] for name in reversed(graph.node[number].input) if name in makers]
        missing = [maker for maker in inputs if maker not in ready]
        if missing:
            pending += missing
            continue
        pending.pop()
        if number not in ready:
            ready.add(number)
            yield graph.node[number]


def open_session(path: Path, *, threads: int | None = None, outputs: Sequence[int] | None = None) -> Session:
    """Load an ONNX file for the CPU and return a function from pictures to the network's outputs.

    The function takes pixels 0 to 255, (batch, side, side, 3) of any number type, and metadata (batch, m) if the
    network has that input. It returns one float32 array per output, in the order of the Keras model's outputs. A batch
    of any size is computed in small parts. ``threads`` None uses every core that is ours. ``outputs`` are
    the indices of the outputs to return, in rising order; the others are not computed. Raises InputFault for a missing
    or damaged file.
    """
    if not path.is_file():
        raise InputFault(f"{path}: no such file; an ONNX network was expected")
    return _Network(path, _load(path, _options(threads), outputs))


class _Network:
    def __init__(self, path: Path, session: onnxruntime.InferenceSession) -> None:
        self._path, self._session = path, session
        self._inputs = [value.name for value in session.get_inputs()]
        batch = session.get_inputs()[0].shape[0]  # a name where any number of pictures is possible
        self._most = batch if isinstance(batch, int) else None

    def __call__(self, pixels: Array, metadata: Array | None = None) -> list[Array]:
        inputs = [np.asarray(array) for array in (pixels, metadata) if array is not None]
        if len(inputs) != len(self._inputs):
            raise ValueError(f"{len(inputs)} arrays for a network with the inputs {', '.join(self._inputs)}")
        step = self._most or max(1, _CALL_PIXELS // (pixels.shape[1] * pixels.shape[2]))
        if not len(pixels):  # one call, so that the outputs of an empty batch have the right shapes, too
            blank = [np.zeros((1, *array.shape[1:]), np.float32) for array in inputs]
            return [output[:0] for output in self._call(blank)]
        starts = range(0, len(pixels), step)
        calls = [self._call([array[start : start + step] for array in inputs]) for start in starts]
        return [np.concatenate(parts) for parts in zip(*calls, strict=True)]

    def _call(self, inputs: Sequence[Array]) -> list[Array]:
        arrays = [np.ascontiguousarray(array, np.float32) for array in inputs]
        try:
            outputs: list[Array] = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        except Exception as error:  # ONNX Runtime's exceptions have no common class
            raise InputFault(f"{self._path}: the network cannot be run on these pictures ({error})") from error
        return outputs


def _options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS
    # Threads that spin while they wait halve the throughput when another program uses the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = threads or allowed_cores()
    return options


def _load(
    path: Path, options: onnxruntime.SessionOptions, outputs: Sequence[int] | None
) -> onnxruntime.InferenceSession:
    content = read_onnx(path)
    try:
        content = content if outputs is None else select_outputs(content, outputs)
        return onnxruntime.InferenceSession(content, options, providers=PROVIDERS)
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        raise InputFault(f"{path}: not an ONNX network that can be run ({error})") from error
