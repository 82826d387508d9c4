"""Export a network to ONNX, write it in one form, and fold its constants."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.onnx_session import session_of, session_options
from runtime.files import replacing

if TYPE_CHECKING:
    import keras


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
        options = session_options(1)
        # The basic level folds constants; higher levels use operators of this processor alone.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "network.onnx")
        session_of(content, options, source)
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
