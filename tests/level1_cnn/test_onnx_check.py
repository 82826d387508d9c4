"""Tests that crafted ONNX files are refused with a reason before ONNX Runtime reads them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from benchmarks.fuzzing.bundles import SIDE, network_bytes
from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.onnx_session import open_session
from runtime.errors import InputFault


@pytest.fixture
def model() -> onnx.ModelProto:
    return onnx.load_model_from_string(network_bytes(np.random.default_rng(0)))


def refusal(model: onnx.ModelProto, folder: Path) -> str:
    (folder / "network.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputFault) as error:
        read_onnx(folder / "network.onnx")
    return str(error.value)


def test_a_sound_network_is_run(model: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(model.SerializeToString())
    maps, features = open_session(tmp_path / "network.onnx", threads=1)(np.zeros((3, SIDE, SIDE, 3)))
    assert (len(maps), len(features)) == (3, 3)


def test_data_in_another_file_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    assert "data in another file" in refusal(model, tmp_path)


@pytest.mark.parametrize("operator", ["Loop", "If", "ConstantOfShape", "Expand", "Tile", "RandomNormal"])
def test_an_operator_that_no_exported_network_has_is_refused(
    model: onnx.ModelProto, tmp_path: Path, operator: str
) -> None:
    model.graph.node[2].op_type = operator
    assert f"{operator!r} is not allowed" in refusal(model, tmp_path)


def test_an_operator_of_another_domain_is_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.graph.node[2].domain = "com.example"
    assert "not allowed" in refusal(model, tmp_path)


def test_a_cycle_of_nodes_is_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.graph.node[0].input[0] = "maps"
    assert "no earlier node" in refusal(model, tmp_path)


def test_a_tensor_with_other_sizes_than_its_data_is_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.graph.initializer[0].dims[0] = 10**9
    assert "values for the sizes" in refusal(model, tmp_path)


def test_a_number_that_is_not_finite_is_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights.flat[0] = np.inf
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "weights"))
    assert "not a finite number" in refusal(model, tmp_path)


def test_a_huge_padding_and_a_function_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    function = helper.make_function("local", "f", ["x"], ["y"], [], [helper.make_opsetid("", 15)])
    model.functions.append(function)
    assert "the field 25" in refusal(model, tmp_path)
    del model.functions[:]
    next(one for one in model.graph.node[1].attribute if one.name == "pads").ints[0] = 10**9
    assert "larger than" in refusal(model, tmp_path)


def with_8_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with its first value rounded to 8 bits."""
    values = {"scale": np.array(0.5, np.float32), "zero_point": np.array(3, np.uint8)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    source = model.graph.node[0].output[0]
    quantise = helper.make_node("QuantizeLinear", [source, *values], ["integers"])
    back = helper.make_node("DequantizeLinear", ["integers", *values], ["rounded"])
    later = [node for node in model.graph.node][1:]
    for node in later:
        node.input[:] = ["rounded" if name == source else name for name in node.input]
    del model.graph.node[1:]
    model.graph.node.extend([quantise, back, *later])
    return model


def test_a_network_of_8_bit_integers_is_run(model: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(with_8_bits(model).SerializeToString())
    assert len(open_session(tmp_path / "network.onnx", threads=1)(np.zeros((3, SIDE, SIDE, 3)))[0]) == 3


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("scale", np.array(0, np.float32), "scales are not fixed numbers above 0"),
        ("scale", np.array([0.5, -0.5], np.float32), "scales are not fixed numbers above 0"),
        ("zero_point", np.array([3, 4], np.uint8), "a fixed zero point for every scale"),
    ],
)
def test_wrong_scales_and_zero_points_are_refused(
    model: onnx.ModelProto, tmp_path: Path, name: str, value: np.ndarray, reason: str
) -> None:
    model = with_8_bits(model)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(value, name))
    assert reason in refusal(model, tmp_path)


def test_a_scale_that_is_computed_and_another_attribute_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    model = with_8_bits(model)
    (node,) = (node for node in model.graph.node if node.op_type == "DequantizeLinear")
    node.attribute.append(helper.make_attribute("block_size", 2))
    assert "DequantizeLinear has other attributes than axis: 1 (block_size)" in refusal(model, tmp_path)
    del node.attribute[:]
    node.input[1] = "integers"
    assert "not fixed numbers" in refusal(model, tmp_path)
