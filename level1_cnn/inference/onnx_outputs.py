"""Reduce an ONNX file to some of its outputs, since ONNX Runtime computes every node of a network in every call."""

from collections.abc import Iterable, Sequence

from features.pictures.protobuf import BYTES, VARINT, MessageFault, fields

GRAPH = 7  # numbers of the fields in onnx.proto: of a model,
NODES, OUTPUTS = 1, 12  # of a graph,
NODE_INPUTS, NODE_OUTPUTS = 1, 2  # of a node,
VALUE_NAME = 1  # and of an output

Field = tuple[int, int | memoryview]


def select_outputs(content: bytes, indices: Sequence[int]) -> bytes:
    """Return the network in ``content``, a file that ``read_onnx`` has checked, with only the outputs ``indices``.

    Nodes that only other outputs need are left out. The order of the outputs stays that of the file. Raises
    MessageFault for a network with fewer outputs.
    """
    model = fields(memoryview(content))
    return _message((number, _graph(value, indices) if number == GRAPH else value) for number, value in model)


def _graph(content: int | memoryview, indices: Sequence[int]) -> memoryview:
    graph = list(fields(_bytes(content)))
    outputs = [value for number, value in graph if number == OUTPUTS]
    if max(indices) >= len(outputs):
        raise MessageFault(f"it has {len(outputs)} outputs; expected {max(indices) + 1}")
    selection = [output for index, output in enumerate(outputs) if index in indices]
    names = {name for output in selection for name in _texts(output, VALUE_NAME)}
    parts = list[Field]()
    for number, value in reversed(graph):  # every node stands after those that it reads
        if number == OUTPUTS or (number == NODES and names.isdisjoint(_texts(value, NODE_OUTPUTS))):
            continue
        if number == NODES:
            names.update(_texts(value, NODE_INPUTS))
        parts.append((number, value))
    return memoryview(_message([*reversed(parts), *((OUTPUTS, output) for output in selection)]))


def _texts(message: int | memoryview, field: int) -> list[bytes]:
    return [bytes(_bytes(value)) for number, value in fields(_bytes(message)) if number == field]


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise TypeError("a number where a message was expected: the file was not checked")
    return value


def _message(parts: Iterable[Field]) -> bytes:
    """Return the bytes of a message with the fields ``parts``, in this order."""
    content = bytearray()
    for number, value in parts:
        if isinstance(value, int):
            content += _varint(number << 3 | VARINT) + _varint(value)
        else:
            content += _varint(number << 3 | BYTES) + _varint(len(value)) + value
    return bytes(content)


def _varint(number: int) -> bytes:
    content = bytearray()
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])
