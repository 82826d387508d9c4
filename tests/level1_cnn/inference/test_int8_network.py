"""Tests for int8_network.py: a network of 8-bit integers is close to its original, and the same in every process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from level1_cnn.experiment import Experiment
from level1_cnn.inference.int8_network import quantise, weight_scales
from level1_cnn.inference.onnx_check import read_onnx
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.networks.network import build_backbone, draw_weights, with_last_map
from level1_cnn.training_settings import FrozenFeatures, PictureInput
from runtime.errors import InputFault
from tests.sources import ROOT


def pictures(count: int = 12, side: int = 64) -> np.ndarray:
    """Return smooth pictures with noise; values of noise alone nearly cancel in a mean."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (count, 4, 4, 3)).repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    return (0.8 * coarse + rng.integers(0, 52, (count, side, side, 3))).astype(np.uint8)


def inverted_residual() -> keras.Model:
    """Return a network with the parts of an EfficientNet-Lite, and normalisations whose scales differ by channel."""
    layers = keras.layers
    inputs = keras.Input((64, 64, 3), name="pixels")
    x = layers.Rescaling(1 / 128, -127 / 128)(inputs)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    shortcut = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(5, padding="same", use_bias=False)(shortcut)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Add()([layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(x)), shortcut])
    x = layers.ReLU(6.0, name="top_activation")(layers.Conv2D(32, 1)(x))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D(name="avg_pool")(x))
    draw_weights(model, 3)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            scale, shift, *statistics = layer.get_weights()
            layer.set_weights(
                [scale * rng.uniform(0.1, 3, scale.shape), shift + rng.uniform(0, 1, shift.shape), *statistics]
            )
    return model


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(with_last_map(inverted_residual()), tmp_path_factory.mktemp("int8") / "network.onnx")


@pytest.fixture(scope="module")
def integers(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(shutil.copy(original, tmp_path_factory.mktemp("int8") / "network.onnx"))
    quantise(path, pictures(), "drawn")
    return path


def relative_error(values: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(values - expected) / np.linalg.norm(expected))


def test_features_and_map_are_close_to_those_of_the_original(original: Path, integers: Path) -> None:
    maps, features = open_session(integers)(pictures())
    maps_before, features_before = open_session(original)(pictures())
    assert relative_error(features, features_before) < 0.02
    assert relative_error(maps, maps_before) < 0.03
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), features, rtol=1e-4, atol=1e-5)


def test_inputs_that_share_the_weights_of_a_network_are_close_to_the_original(tmp_path: Path) -> None:
    sides = FrozenFeatures(method="frozen", layers="all", inputs=(PictureInput(side=64), PictureInput(side=40)))
    lite0 = Experiment(backbone="efficientnet_lite", variant="lite0", weights="imagenet", image_size=64, training=sides)
    path = export(with_last_map(build_backbone(lite0)), tmp_path / "network.onnx")
    expected = open_session(path)(pictures().astype(np.float32))[1]
    quantise(path, pictures(), "shared")
    error = relative_error(open_session(path)(pictures().astype(np.float32))[1], expected)
    assert 0 < error < 0.2


def test_a_bundle_may_hold_the_file(integers: Path) -> None:
    assert read_onnx(integers) == integers.read_bytes()


def test_every_convolution_computes_with_integers_and_no_limit_or_normalisation_is_left(integers: Path) -> None:
    operators = [node.op_type for node in onnx.load(integers).graph.node]
    assert "Clip" not in operators
    assert "BatchNormalization" not in operators
    assert operators.count("Mul") == 1  # of the pixels
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(integers.with_name("optimised.onnx"))
    onnxruntime.InferenceSession(integers.read_bytes(), options, providers=["CPUExecutionProvider"])
    after = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert after.count("QLinearConv") == operators.count("Conv") == 4
    assert "Conv" not in after


def test_no_sum_of_two_products_saturates_16_bits(integers: Path) -> None:
    # Without optimisations ONNX Runtime computes the same network with floating-point numbers, which never saturate.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    exact = onnxruntime.InferenceSession(integers.read_bytes(), options, providers=["CPUExecutionProvider"])
    expected = exact.run(None, {"pixels": pictures().astype(np.float32)})[1]
    assert relative_error(open_session(integers)(pictures())[1], expected) < 0.005


def test_the_largest_weight_and_the_largest_pair_decide_the_scale_of_a_channel() -> None:
    weights = np.zeros((4, 4, 1, 1), np.float32)
    weights[:, :, 0, 0] = [[1, 0, 0.5, 0], [1, -1, 0, 0], [0.5, 0.1, -0.9, 0.7], [0, 0, 0, 0]]
    np.testing.assert_allclose(weight_scales(weights) * 127, [1, 2, 1.6, 127], rtol=1e-6)
    depthwise = np.ones((2, 1, 3, 3), np.float32)
    np.testing.assert_allclose(weight_scales(depthwise) * 127, [1, 1], rtol=1e-6)


def test_neighbours_are_counted_with_the_inputs_first_and_last() -> None:
    weights = np.zeros((1, 2, 1, 2), np.float32)
    weights[0, :, 0, 0] = 1  # neighbours if the inputs are last
    np.testing.assert_allclose(weight_scales(weights) * 127, [2])
    np.testing.assert_allclose(weight_scales(weights.transpose(0, 3, 2, 1)) * 127, [2])


def test_a_network_without_convolutions_is_refused(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 4]) for name in ("pixels", "features")]
    weights = numpy_helper.from_array(np.eye(4, dtype=np.float32), "weights")
    node = helper.make_node("MatMul", ["pixels", "weights"], ["features"])
    graph = helper.make_graph([node], "dense", value[:1], value[1:], [weights])
    path = tmp_path / "network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)
    with pytest.raises(InputFault, match=r"DINO: precision = 'int8' computes convolutions .* has 0 of them"):
        quantise(path, pictures(), "DINO")


QUANTISE = """
import sys
from pathlib import Path
from level1_cnn.experiment import Experiment
from level1_cnn.inference.int8_network import quantise
from tests.level1_cnn.inference.test_int8_network import pictures
quantise(Path(sys.argv[1]), pictures(), "drawn")
"""


@pytest.mark.full
def test_every_process_writes_the_same_file(original: Path, integers: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):  # the order of sets of texts depends on the seed of hashes
        path = shutil.copy(original, tmp_path / f"{seed}.onnx")
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", QUANTISE, path], env=environment, check=True)
        assert path.read_bytes() == integers.read_bytes()
