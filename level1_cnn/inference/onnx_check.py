"""The check of an ONNX file before ONNX Runtime reads it: plain operators in order, no files outside, sound tensors."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from features.pictures.protobuf import MessageFault, fields, whole_numbers
from runtime.errors import InputFault, list_names

MAX_BYTES = 2**30  # EfficientNet-B7 has 256 MB
MAX_NODES = 20_000
MAX_SIZE = 4096  # of a kernel, a stride, a padding or an axis
DOMAINS = {"", "ai.onnx.ml"}  # tf2onnx names the second, no node uses it
NEWEST_OPSET = 26
# The operators of the exported networks, their heads, pooling and 8-bit form, and of networks of others. None has a
# graph inside, reads a file, or makes a tensor whose size is a value.
OPERATOR_NAMES = (
    "Abs Add And AveragePool BatchNormalization Cast Clip Concat Constant Conv DequantizeLinear Div Elu Equal Erf Exp "
    "Flatten Floor Gather Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GroupNormalization HardSigmoid HardSwish "
    "Identity InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less Log MatMul Max MaxPool Min Mul Neg "
    "Not Or PRelu Pow QuantizeLinear Reciprocal ReduceL2 ReduceMax ReduceMean ReduceSum Relu Reshape Shape Sigmoid "
    "Slice Softmax Softplus Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where"
)
OPERATORS = frozenset(OPERATOR_NAMES.split())
WITH_SCALES = {"QuantizeLinear", "DequantizeLinear"}
ITEM_TYPES = {1: "<f4", 2: "<u1", 3: "<i1", 6: "<i4", 7: "<i8", 9: "<u1", 10: "<f2", 11: "<f8"}  # of TensorProto
# Numbers of the fields in onnx.proto: those that a file may have.
MODEL = {1: "ir_version", 2: "producer", 3: "producer_version", 4: "domain", 5: "model_version", 6: "doc", 7: "graph"}
MODEL |= {8: "opsets", 14: "properties"}
GRAPH = {1: "nodes", 2: "name", 5: "tensors", 10: "doc", 11: "inputs", 12: "outputs", 13: "values"}
NODE = {1: "inputs", 2: "outputs", 3: "name", 4: "operator", 5: "attributes", 6: "doc", 7: "domain"}
ATTRIBUTE = {1: "name", 2: "float", 3: "integer", 4: "text", 5: "tensor", 7: "floats", 8: "integers", 20: "type"}
TENSOR = {1: "sizes", 2: "type", 4: "floats", 5: "integers", 7: "longs", 8: "name", 9: "bytes", 10: "doubles"}
OPSET = {1: "domain", 2: "version"}
VALUE = {1: "name", 2: "type", 3: "doc"}

Message = defaultdict[str, list[int | memoryview]]


def read_onnx(path: Path) -> bytes:
    """Return the bytes of the ONNX file at ``path`` after checking them; raise InputFault that says what is wrong.

    Refused: data in other files, functions and graphs inside of nodes, operators that no exported network has, a node
    that reads a value of a later one, a tensor whose size is not that of its data, and numbers that are not finite.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InputFault(f"{path}: {path.stat().st_size:,} bytes; a network may have at most {MAX_BYTES:,}")
    content = path.read_bytes()
    try:
        _check_model(_message(memoryview(content), MODEL, "the model"))
    except (MessageFault, UnicodeDecodeError) as error:
        raise InputFault(f"{path}: not an ONNX network that can be run: {error}") from error
    return content


def _message(content: int | memoryview, names: dict[int, str], where: str) -> Message:
    message: Message = defaultdict(list)
    for number, value in fields(_bytes(content, where)):
        _require(number in names, f"{where} has the field {number}, which exported networks do not have")
        message[names[number]].append(value)
    return message


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise MessageFault(reason)


def _bytes(value: int | memoryview, where: str) -> memoryview:
    if isinstance(value, int):
        raise MessageFault(f"{where}: a number where bytes were expected")
    return value


def _texts(values: list[int | memoryview], where: str) -> list[str]:
    return [bytes(_bytes(value, where)).decode("utf-8") for value in values]


def _text(values: list[int | memoryview], where: str) -> str:
    _require(len(values) <= 1, f"{where}: a field occurs twice")
    return "".join(_texts(values, where))


def _integers(values: list[int | memoryview]) -> list[int]:
    return [number for value in values for number in whole_numbers(value)]


def _check_model(model: Message) -> None:
    for content in model["opsets"]:
        opset = _message(content, OPSET, "an opset")
        domain, versions = _text(opset["domain"], "an opset"), _integers(opset["version"])
        _require(domain in DOMAINS, f"operators of {domain!r} are not allowed")
        _require(all(1 <= version <= NEWEST_OPSET for version in versions), f"opset {versions} is not known")
    _require(len(model["graph"]) == 1, f"{len(model['graph'])} graphs; expected 1")
    _check_graph(_message(model["graph"][0], GRAPH, "the graph"))


def _check_graph(graph: Message) -> None:
    _require(1 <= len(graph["nodes"]) <= MAX_NODES, f"{len(graph['nodes'])} nodes; expected 1 to {MAX_NODES}")
    tensors = [_check_tensor(content) for content in graph["tensors"]]
    constants, names = dict(tensors), [name for name, _ in tensors]
    inputs, outputs = ([_value_name(content) for content in graph[name]] for name in ("inputs", "outputs"))
    _require(1 <= len(inputs) <= 2, f"{len(inputs)} inputs; expected pictures and at most metadata")
    _require(1 <= len(outputs) <= 3, f"{len(outputs)} outputs; expected 1 to 3")
    ready = {*names, *inputs}
    _require(len(ready) == len(names) + len(inputs), "two tensors or inputs have the same name")
    for content in graph["nodes"]:
        node = _message(content, NODE, "a node")
        _check_node(node, ready)
        _check_scale(node, constants)
    unknown_names = [name for name in outputs if name not in ready]
    _require(not unknown_names, f"no node makes the outputs {list_names(unknown_names)}")


def _value_name(content: int | memoryview) -> str:
    return _text(_message(content, VALUE, "an input or output")["name"], "an input or output")


def _check_node(node: Message, ready: set[str]) -> None:
    """Check one node, and add its outputs to the names that are ``ready`` before it."""
    operator = _text(node["operator"], "a node")
    _require(operator in OPERATORS and not _text(node["domain"], "a node"), f"the operator {operator!r} is not allowed")
    inputs, outputs = _texts(node["inputs"], operator), _texts(node["outputs"], operator)
    missing = [name for name in inputs if name and name not in ready]
    _require(not missing, f"{operator} reads values that no earlier node makes: {list_names(missing)}")
    _require(bool(outputs) and not ready & set(outputs), f"{operator} makes no value, or one that exists")
    ready.update(name for name in outputs if name)
    for content in node["attributes"]:
        _check_attribute(_message(content, ATTRIBUTE, f"an attribute of {operator}"), operator)


def _check_scale(node: Message, constants: dict[str, np.ndarray]) -> None:
    """Check that a node between numbers and 8-bit integers has fixed scales above 0, and a zero point for each."""
    operator = _text(node["operator"], "a node")
    if operator not in WITH_SCALES:
        return
    attributes = [_message(content, ATTRIBUTE, operator) for content in node["attributes"]]
    unknown_names = {_text(attribute["name"], operator) for attribute in attributes} - {"axis"}
    _require(not unknown_names, f"{operator} has other attributes than axis: {list_names(sorted(unknown_names))}")
    scale, *zero_points = (constants.get(name) for name in _texts(node["inputs"], operator)[1:])
    _require(scale is not None and bool((scale > 0).all()), f"{operator}: its scales are not fixed numbers above 0")
    for zero_point in zero_points:
        fits = zero_point is not None and scale is not None and zero_point.size == scale.size
        _require(fits, f"{operator}: it needs a fixed zero point for every scale")


def _check_attribute(attribute: Message, operator: str) -> None:
    numbers = _integers(attribute["integers"] + attribute["integer"])
    _require(all(abs(number) <= MAX_SIZE for number in numbers), f"{operator}: an attribute is larger than {MAX_SIZE}")
    name = _text(attribute["name"], operator)
    positive = name not in {"dilations", "strides", "kernel_shape", "group"} or all(number > 0 for number in numbers)
    not_negative = name != "pads" or all(number >= 0 for number in numbers)
    _require(positive and not_negative, f"{operator}: {name} must not be negative")
    for content in attribute["tensor"]:
        _check_tensor(content)


def _check_tensor(content: int | memoryview) -> tuple[str, np.ndarray]:
    """Return name and values of a tensor whose data have its size and are finite."""
    tensor = _message(content, TENSOR, "a tensor (data in another file are refused)")
    name, sizes, kinds = _text(tensor["name"], "a tensor"), _integers(tensor["sizes"]), _integers(tensor["type"])
    _require(len(kinds) == 1 and kinds[0] in ITEM_TYPES, f"tensor {name}: its type {kinds} is not allowed")
    _require(len(sizes) <= 8 and all(size >= 0 for size in sizes), f"tensor {name}: invalid sizes {sizes[:8]}")
    kind, count = np.dtype(ITEM_TYPES[kinds[0]]), math.prod(sizes)
    data = {key: tensor[key] for key in ("bytes", "floats", "integers", "longs", "doubles") if tensor[key]}
    _require(len(data) <= 1, f"tensor {name}: data of several types")
    values = _data(*next(iter(data.items())), kind) if data else np.zeros(0, kind)
    _require(len(values) == count, f"tensor {name}: {len(values)} values for the sizes {sizes}")
    _require(bool(np.isfinite(values).all()), f"tensor {name}: a value is not a finite number")
    return name, values


def _data(name: str, parts: list[int | memoryview], kind: np.dtype) -> np.ndarray:
    if name in ("integers", "longs"):
        return np.array(_integers(parts), np.float64)
    content = b"".join(bytes(_bytes(part, "a tensor")) for part in parts) if len(parts) > 1 else _bytes(parts[0], "")
    kinds: dict[str, np.dtype] = {"floats": np.dtype("<f4"), "doubles": np.dtype("<f8")}
    item = kinds.get(name, kind)
    _require(len(content) % item.itemsize == 0, "a tensor's data are cut off")
    return np.frombuffer(content, item)
