"""Read and change an ONNX file without its library: the size of its pictures, and the file with only some outputs."""

from collections.abc import Iterable, Sequence

from features.pictures.protobuf import BYTES, VARINT, MessageFault, fields

GRAPH = 7  # numbers of the fields in onnx.proto: of a model,
NODES, INPUTS, OUTPUTS = 1, 11, 12  # of a graph,
NODE_INPUTS, NODE_OUTPUTS = 1, 2  # of a node,
VALUE_NAME = 1  # and of an input or output,
SIZES = (2, 1, 2, 1)  # whose sizes are: type, tensor, shape, dimension
FIXED_SIZE = 1  # of a dimension; another field holds the name of a size that is not fixed
PICTURE_AXES = 4

Field = tuple[int, int | memoryview]


def picture_sizes(content: bytes) -> tuple[int, int]:
    """Return the height and width in px of the first input of the network in ``content``; 0 for one that is not fixed.

    ``content`` is a file that ``read_onnx`` has checked. Raises MessageFault if the input is not (batch, height, width,
    channels).
    """
    graph = _values(memoryview(content), GRAPH)
    sizes = [_values(graph[0], INPUTS)[0]]
    for field in SIZES:
        sizes = [part for message in sizes for part in _values(message, field)]
    if len(sizes) != PICTURE_AXES:
        raise MessageFault(f"its first input has {len(sizes)} axes; expected batch, height, width, channels")
    height, width = (next(iter(_numbers(size, FIXED_SIZE)), 0) for size in sizes[1:3])
    return height, width


def select_outputs(content: bytes, indices: Sequence[int]) -> bytes:
    """Return the network in ``content``, as for ``picture_sizes``, with only the outputs ``indices``.

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


def _values(message: int | memoryview, field: int) -> list[int | memoryview]:
    return [value for number, value in fields(_bytes(message)) if number == field]


def _texts(message: int | memoryview, field: int) -> list[bytes]:
    return [bytes(_bytes(value)) for value in _values(message, field)]


def _numbers(message: int | memoryview, field: int) -> list[int]:
    return [value for value in _values(message, field) if isinstance(value, int)]


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
