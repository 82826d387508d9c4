"""Quantise an exported network to 8-bit integers: the range of every value from pictures, weights by channel.

The network keeps its input and outputs in float32. In the trunk (the convolutions and what lies between them), every
value passes through QuantizeLinear and DequantizeLinear, and ONNX Runtime replaces these and the step between them by
one integer kernel. Batch normalisations are folded into the convolutions first: one scale per channel of the weights
follows them, while one scale for all channels of a map loses most of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from level1_cnn.inference.onnx_export import folded_network, write_network
from runtime.errors import InputFault

TRUNK = frozenset({"Conv", "Clip", "Relu", "Add", "Mul", "Sigmoid"})
ONE_VALUE = frozenset({"Clip", "Relu"})  # the other inputs of these nodes are limits
LEAST_CONVOLUTIONS = 2  # a transformer has one, which cuts the picture into tokens
LARGEST = 127  # of a weight of 8 bits
# A processor without VNNI adds the products of two values (0 to 255) and their weights in 16 bits, which end at 32,767:
# the weights of a pair may add up to 128. Rounding may add 1.
LARGEST_PAIR = 127


def quantise(path: Path, pictures: np.ndarray, name: str) -> None:
    """Replace the network in the ONNX file ``path`` by one whose trunk computes with 8-bit integers.

    ``pictures`` uint8 (n, side, side, 3) give the range of every value: from the smallest to the largest that occurs.
    The same network and pictures give the same file, and the file the same results on processors with and without
    VNNI. Raises InputFault, which begins with ``name``, for a network without convolutions.
    """
    network = folded_network(path.read_bytes(), path)
    _separate_biases(network.graph)
    nodes = list(_trunk(network.graph))
    weights = {node.input[1] for node in nodes if node.op_type == "Conv"}
    if len(weights) < LEAST_CONVOLUTIONS:
        raise InputFault(
            f"{name}: precision = 'int8' computes convolutions with integers, and this network has {len(weights)} of "
            "them; leave precision out"
        )
    names, scales = [node.name for node in nodes], _scales(network.graph, weights)
    write_network(_with_integers(network, names, scales, pictures), path)


def weight_scales(weights: np.ndarray) -> np.ndarray:
    """Return the scale (channels,) float32 of each output channel of ``weights`` (channels, inputs, rows, columns).

    The largest weight becomes 127 at most, and so does the sum of two neighbours where a convolution has several
    inputs. Two neighbours are multiplied and added together, in the order of the file or with the inputs last. A
    depthwise convolution, with one input, adds in 32 bits.
    """
    sizes = np.abs(weights)
    largest = sizes.reshape(len(sizes), -1).max(axis=1) / LARGEST
    if weights.shape[1] > 1:
        orders = (sizes, sizes.transpose(0, 2, 3, 1))
        largest = np.maximum.reduce([largest, *(_pair_sums(order) / LARGEST_PAIR for order in orders)])
    return np.where(largest > 0, largest, 1).astype(np.float32)


def _pair_sums(sizes: np.ndarray) -> np.ndarray:
    """Return the largest sum (channels,) of the first and second, third and fourth and so on of each channel."""
    flat = sizes.reshape(len(sizes), -1)
    even = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2)))
    return np.asarray((even[:, ::2] + even[:, 1::2]).max(axis=1))


def _separate_biases(graph: Any) -> None:  # noqa: ANN401
    """Give every convolution a bias of its own.

    Where inputs share the weights of a network, ONNX Runtime makes a copy of the bias for each of them itself, with a
    name that another value may have.
    """
    from onnx import TensorProto

    tensors, names = {tensor.name: tensor for tensor in graph.initializer}, set[str]()
    for number, node in enumerate(graph.node):
        bias = tensors.get(node.input[2]) if node.op_type == "Conv" and len(node.input) > 2 else None
        if bias is not None and bias.name in names:
            copy = TensorProto()
            copy.CopyFrom(bias)
            node.input[2] = copy.name = f"{bias.name} of node {number}"
            graph.initializer.append(copy)
        elif bias is not None:
            names.add(bias.name)


def _trunk(graph: Any) -> Iterator[Any]:  # noqa: ANN401  onnx has no types
    """Yield the convolutions, and the nodes whose inputs all come from the trunk."""
    values = set[str]()
    for node in graph.node:
        inputs = set(node.input[:1] if node.op_type in ONE_VALUE else node.input)
        if node.op_type == "Conv" or (node.op_type in TRUNK and inputs <= values):
            values.update(node.output)
            yield node


def _scales(graph: Any, names: set[str]) -> dict[str, list[dict[str, Any]]]:  # noqa: ANN401
    """Return the scales of the weights ``names`` as ONNX Runtime takes them: an entry per channel."""
    from onnx import numpy_helper
    from onnxruntime.quantization import QuantType

    overrides = {}
    for tensor in graph.initializer:
        if tensor.name in names:
            entries = [
                {"quant_type": QuantType.QInt8, "scale": scale, "zero_point": np.array(0, np.int8)}
                for scale in weight_scales(numpy_helper.to_array(tensor))
            ]
            overrides[tensor.name] = [entries[0] | {"axis": 0}, *entries[1:]]
    return overrides


def _with_integers(
    network: Any,  # noqa: ANN401
    nodes: Sequence[str],
    scales: dict[str, list[dict[str, Any]]],
    pictures: np.ndarray,
) -> Any:  # noqa: ANN401
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    pixels = network.graph.input[0].name
    batches = ({pixels: picture[np.newaxis].astype(np.float32)} for picture in pictures)
    add_pre_process_metadata(network)  # without it, a warning advises to fold the network
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        quantize_static(
            network,
            path,
            _Pictures(batches),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=sorted(TRUNK),
            nodes_to_quantize=list(nodes),
            extra_options={"TensorQuantOverrides": scales},
        )
        result = onnx.load(path)
        onnx.checker.check_model(result)
        return result


class _Pictures:
    """The inputs of the network one after the other, in the form that ONNX Runtime's calibration reads."""

    def __init__(self, batches: Iterator[dict[str, np.ndarray]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input; None after the last."""
        return next(self._batches, None)
