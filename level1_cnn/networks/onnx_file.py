"""A network of others, exported as ONNX, as a frozen backbone: pixels in, map and features out, as all our networks."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from level1_cnn.experiment import OnnxFile
from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.onnx_export import folded_network
from level1_cnn.inference.onnx_session import session_of, session_options
from runtime.errors import InputFault, list_names
from runtime.files import replacing

PREFIX = "melstack_"  # of the names of tensors that are added to the network of others
PIXELS = PREFIX + "pixels"


def write_backbone(source: Path, settings: OnnxFile, side: int, path: Path) -> int:
    """Write the network of ``source`` with our inputs and outputs to ``path``; return its number of features.

    Input: pixels 0 to 255, (1, side, side, 3) float32. Outputs: a map (1, rows, columns, d) and its mean (1, d). A
    network whose output is not a map has a map of one cell. The batch has one picture, so that sizes are constants and
    only plain operators are left. Raises InputFault that says what does not fit.
    """
    network = _load(source)
    graph = network.graph
    is_last = _feed(graph, settings, side, source)
    output = _output_of(graph, settings, source)
    values = _shape(network, output.name, source)
    features = _read(graph, output.name, values, settings, source, input_is_last=is_last)
    _fold_constants(network, path, source)
    return features


def _load(source: Path) -> Any:  # noqa: ANN401  onnx has no types
    if not source.is_file():
        raise InputFault(f"{source}: no such ONNX file; give the path of an exported network as weights")
    try:
        network = onnx.load(source)
    except Exception as error:  # onnx raises errors of protobuf and of the file system
        reason = str(error).partition("\n")[0]
        raise InputFault(f"{source}: not an ONNX network ({reason}); export it again, weights included") from error
    if not network.graph.node:
        raise InputFault(f"{source}: not an ONNX network, it has no nodes; export it again")
    return network


def _feed(graph: Any, settings: OnnxFile, side: int, source: Path) -> bool:  # noqa: ANN401
    """Put scaling, and the order of axes that the network needs, before its input; return whether colours are last."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = list_names([value.name for value in inputs])
        raise InputFault(f"{source}: {len(inputs)} inputs ({names}); a backbone has one, the pictures")
    _check_type(inputs[0], "input", source)
    sizes = [size.dim_value for size in inputs[0].type.tensor_type.shape.dim]
    if len(sizes) != 4 or 3 not in (sizes[1], sizes[3]):
        raise InputFault(f"{source}: its input has the sizes {sizes}; pictures of 3 colours were expected")
    if any(size not in (0, side) for size in (sizes[1:3] if sizes[3] == 3 else sizes[2:])):
        raise InputFault(f"{source}: its input has the sizes {sizes}, not image_size = {side}; set it to the side")
    name = inputs[0].name
    pixels_to_feed = PREFIX + "scaled" if sizes[3] != 3 else name
    _add_constant(graph, "mean", 255 * np.array(settings.mean, np.float32))
    _add_constant(graph, "std", 255 * np.array(settings.std, np.float32))
    nodes = [
        helper.make_node("Sub", [PIXELS, PREFIX + "mean"], [PREFIX + "centred"]),
        helper.make_node("Div", [PREFIX + "centred", PREFIX + "std"], [pixels_to_feed]),
    ]
    if pixels_to_feed != name:
        nodes.append(helper.make_node("Transpose", [pixels_to_feed], [name], perm=[0, 3, 1, 2]))
    old = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *old])
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.FLOAT, [1, side, side, 3]))
    return bool(sizes[3] == 3)


def _check_type(value: Any, role: str, source: Path) -> None:  # noqa: ANN401
    """Raise InputFault unless the input or output ``value`` has numbers of float32, or no type is given."""
    number = value.type.tensor_type.elem_type
    if number not in (TensorProto.UNDEFINED, TensorProto.FLOAT):
        raise InputFault(
            f"{source}: its {role} {value.name!r} has numbers of the type {TensorProto.DataType.Name(number).lower()}; "
            "export the network with inputs and outputs of float32"
        )


def _output_of(graph: Any, settings: OnnxFile, source: Path) -> Any:  # noqa: ANN401
    names = [value.name for value in graph.output]
    name = settings.output or (names[0] if len(names) == 1 else None)
    if name not in names:
        missing = "no output is named" if name is None else f"it has no output {name!r}"
        raise InputFault(f"{source}: {missing}; set output in [onnx] to one of: {', '.join(names)}")
    output = graph.output[names.index(name)]
    _check_type(output, "output", source)
    return output


def _shape(network: Any, name: str, source: Path) -> list[int]:  # noqa: ANN401
    """Return the sizes of the output ``name`` for one picture, by running the network once."""
    session = session_of(network.SerializeToString(), session_options(1), source)
    side = session.get_inputs()[0].shape[1]
    try:
        (values,) = session.run([name], {PIXELS: np.zeros((1, side, side, 3), np.float32)})
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        reason = str(error).partition("\n")[0]
        raise InputFault(f"{source}: the network cannot be run on a picture of {side} px ({reason})") from error
    return list(values.shape)


def _read(
    graph: Any,  # noqa: ANN401
    name: str,
    sizes: list[int],
    settings: OnnxFile,
    source: Path,
    *,
    input_is_last: bool,
) -> int:
    """Append the nodes that make map and features from the output ``name``; return the number of features."""
    if len(sizes) == 4:
        is_last = _channels_are_last(sizes, input_is_last=input_is_last)
        channels, order = (3, [0, 1, 2, 3]) if is_last else (1, [0, 2, 3, 1])
        graph.node.append(helper.make_node("Transpose", [name], [PREFIX + "map"], perm=order))
        _pool(graph, name, [0, 3, 1, 2] if is_last else [0, 1, 2, 3])
        return _finish(graph, sizes[channels])
    if len(sizes) == 3 and settings.tokens == "mean":
        _pool(graph, name, [0, 2, 1])
    elif len(sizes) == 3:
        _add_constant(graph, "first", np.array(0, np.int64))
        graph.node.append(helper.make_node("Gather", [name, PREFIX + "first"], [PREFIX + "features"], axis=1))
    elif len(sizes) == 2:
        graph.node.append(helper.make_node("Identity", [name], [PREFIX + "features"]))
    else:
        raise InputFault(f"{source}: its output {name!r} has the sizes {sizes}; expected (n, d), tokens or a map")
    _add_constant(graph, "one_cell", np.array([1, 1, 1, sizes[-1]], np.int64))
    graph.node.append(helper.make_node("Reshape", [PREFIX + "features", PREFIX + "one_cell"], [PREFIX + "map"]))
    return _finish(graph, sizes[-1])


def _channels_are_last(sizes: list[int], *, input_is_last: bool) -> bool:
    """Return whether a map of square pictures has its channels at the end: its two other sizes are equal.

    With as many channels as rows and columns, the map has the order of the input.
    """
    return input_is_last if sizes[1] == sizes[2] == sizes[3] else sizes[1] == sizes[2]


def _pool(graph: Any, name: str, order: list[int]) -> None:  # noqa: ANN401
    """Append the mean over the cells or tokens of ``name``, whose channels ``order`` brings to the second place."""
    graph.node.append(helper.make_node("Transpose", [name], [PREFIX + "channels_first"], perm=order))
    graph.node.append(helper.make_node("GlobalAveragePool", [PREFIX + "channels_first"], [PREFIX + "pooled"]))
    graph.node.append(helper.make_node("Flatten", [PREFIX + "pooled"], [PREFIX + "features"], axis=1))


def _finish(graph: Any, features: int) -> int:  # noqa: ANN401
    del graph.output[:]
    for output in ("map", "features"):
        graph.output.append(helper.make_tensor_value_info(PREFIX + output, TensorProto.FLOAT, None))
    return features


def _add_constant(graph: Any, name: str, values: np.ndarray) -> None:  # noqa: ANN401
    graph.initializer.append(numpy_helper.from_array(values, PREFIX + name))


def _fold_constants(network: Any, path: Path, source: Path) -> None:  # noqa: ANN401
    """Write ``network`` to ``path`` with everything computed that depends on sizes alone; check it as bundles are."""
    plain = folded_network(network.SerializeToString(), source)
    with replacing(path) as temporary:
        temporary.write_bytes(plain.SerializeToString(deterministic=True))
        try:
            read_onnx(temporary)
        except InputFault as fault:
            raise InputFault(f"{source}: {str(fault).partition(': ')[2]}") from fault
