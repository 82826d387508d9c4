"""Tests for onnx_inference.py."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from features.faults import InputFault
from level1_cnn import backbones
from level1_cnn.onnx_inference import export, open_session


def with_probability(backbone: keras.Model) -> keras.Model:
    """Return the features and, after dropout, a probability: the two outputs a trained network is exported with."""
    dropped = keras.layers.Dropout(0.5, seed=1)(backbone.output)
    head = keras.layers.Dense(1, activation="sigmoid", name="probability")(dropped)
    return keras.Model(backbone.input, [backbone.output, head])


def pictures(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def tiny() -> keras.Model:
    return with_probability(backbones.find("tiny").build("tiny", image_size=32, weights="none"))


@pytest.fixture(scope="module")
def tiny_file(tiny, tmp_path_factory) -> Path:
    return export(tiny, tmp_path_factory.mktemp("onnx") / "tiny.onnx")


def assert_equal_outputs(model: keras.Model, path: Path, x: np.ndarray) -> None:
    expected = model(x, training=False)
    found = open_session(path, threads=1)(x)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, map(np.asarray, expected), strict=True):
        assert ours.dtype == np.float32
        largest = float(np.abs(theirs).max())
        assert largest > 0
        # An untrained network's features are tiny: 1e-4 alone would accept anything.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * min(1.0, largest))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_both_outputs_equal_those_of_tensorflow_for_any_batch(tiny, tiny_file, batch):
    assert_equal_outputs(tiny, tiny_file, pictures(batch, 32))


@pytest.mark.parametrize(
    ("family", "variant", "weights"), [("efficientnet_lite", "lite0", "imagenet"), ("efficientnet", "b0", "none")]
)
def test_a_whole_backbone_gives_what_tensorflow_gives(family, variant, weights, tmp_path):
    model = with_probability(backbones.find(family).build(variant, image_size=64, weights=weights))
    assert_equal_outputs(model, export(model, tmp_path / "network.onnx"), pictures(2, 64))


def test_pixels_may_be_bytes(tiny_file):
    x = pictures(2, 32).astype(np.uint8)
    run = open_session(tiny_file)
    for from_bytes, from_floats in zip(run(x), run(x.astype(np.float32)), strict=True):
        np.testing.assert_array_equal(from_bytes, from_floats)


def test_export_returns_its_path_prints_nothing_and_leaves_one_file(tiny, tmp_path, capfd):
    path = tmp_path / "deeper" / "network.onnx"
    assert export(tiny, path) == path
    assert [file.name for file in path.parent.iterdir()] == ["network.onnx"]
    assert capfd.readouterr().out == ""


def test_a_failed_export_leaves_the_older_file_alone(tmp_path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"older")
    inputs = keras.Input((32, 32, 3))
    eager_only = keras.layers.Lambda(lambda x: x + x.numpy().sum(), output_shape=(32, 32, 3))
    with pytest.raises(AttributeError, match="numpy"):
        export(keras.Model(inputs, eager_only(inputs)), path)
    assert path.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(InputFault, match=r"absent\.onnx: no such file"):
        open_session(tmp_path / "absent.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"not a graph")
    with pytest.raises(InputFault, match=r"damaged\.onnx: not an ONNX network"):
        open_session(damaged)


def test_the_module_does_not_need_tensorflow():
    code = "import sys, level1_cnn.onnx_inference; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
