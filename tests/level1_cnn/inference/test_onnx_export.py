"""Tests of ONNX files and their sessions: a network has the same outputs by ONNX Runtime and by TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from level1_cnn import backbones
from level1_cnn.hardware.devices import Plan
from level1_cnn.inference import onnx_session
from level1_cnn.inference.forward import ONNX_FILE, TensorFlowForward, final_forward
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.onnx_outputs import picture_sizes, select_outputs
from level1_cnn.inference.onnx_session import open_session, session_options
from runtime.errors import InputFault

CPU = Plan("CPU", False, "float32", True, 32)
GPU = Plan("GPU", True, "float32", False, 32)


def with_probability(backbone: keras.Model) -> keras.Model:
    """Return a network with two outputs, as trained networks have: the features and, after dropout, a probability."""
    dropout = keras.layers.Dropout(0.5, seed=1)(backbone.output)
    head = keras.layers.Dense(1, activation="sigmoid", name="probability")(dropout)
    return keras.Model(backbone.input, [backbone.output, head])


def pictures(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def tiny() -> keras.Model:
    return with_probability(backbones.find("tiny").build("tiny", image_size=32, weights="none"))


@pytest.fixture(scope="module")
def with_metadata() -> keras.Model:
    """Return a network whose second output depends on pixels and on four numbers per case."""
    backbone = backbones.find("tiny").build("tiny", image_size=32, weights="none")
    metadata = keras.Input((4,), name="metadata")
    features = keras.layers.Concatenate()([backbone.output, keras.layers.Dense(3, activation="relu")(metadata)])
    return keras.Model([backbone.input, metadata], [backbone.output, keras.layers.Dense(2)(features)])


@pytest.fixture(scope="module")
def with_metadata_file(with_metadata, tmp_path_factory) -> Path:
    return export(with_metadata, tmp_path_factory.mktemp("onnx") / "two.onnx")


@pytest.fixture(scope="module")
def tiny_file(tiny, tmp_path_factory) -> Path:
    return export(tiny, tmp_path_factory.mktemp("onnx") / "tiny.onnx")


def assert_equal_outputs(model: keras.Model, path: Path, x: np.ndarray) -> None:
    expected = model(x, training=False)
    outputs = open_session(path, threads=1)(x)
    assert len(outputs) == len(expected)
    for ours, theirs in zip(outputs, map(np.asarray, expected), strict=True):
        assert ours.dtype == np.float32
        largest = float(np.abs(theirs).max())
        assert largest > 0
        # The features of an untrained network are so small that an absolute tolerance of 1e-4 would accept any values.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * min(1.0, largest))


# One call computes 36 pictures of 32 px, so that 150 pictures need five calls.
@pytest.mark.parametrize("batch", [1, 7, 36, 150])
def test_both_outputs_equal_those_of_tensorflow_for_any_batch(tiny, tiny_file, batch):
    assert_equal_outputs(tiny, tiny_file, pictures(batch, 32))


@pytest.mark.full
@pytest.mark.parametrize(
    ("family", "variant", "weights"), [("efficientnet_lite", "lite0", "imagenet"), ("efficientnet", "b0", "none")]
)
def test_a_whole_backbone_has_the_same_outputs_as_in_tensorflow(family, variant, weights, tmp_path):
    model = with_probability(backbones.find(family).build(variant, image_size=64, weights=weights))
    assert_equal_outputs(model, export(model, tmp_path / "network.onnx"), pictures(2, 64))


def test_an_empty_batch_gives_empty_outputs_of_the_right_shape(tiny_file):
    features, probability = open_session(tiny_file)(pictures(0, 32))
    assert features.shape == (0, 32)
    assert probability.shape == (0, 1)


@pytest.mark.parametrize("batch", [2, 100])
def test_a_network_with_metadata_has_the_same_outputs_as_in_tensorflow(with_metadata, with_metadata_file, batch):
    metadata = np.random.default_rng(1).normal(size=(batch, 4)).astype(np.float32)
    expected = [np.asarray(output) for output in with_metadata([pictures(batch, 32), metadata], training=False)]
    for forward in (open_session(with_metadata_file), TensorFlowForward(with_metadata, CPU)):
        for ours, theirs in zip(forward(pictures(batch, 32), metadata), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_too_few_or_too_many_inputs_are_refused(tiny_file, with_metadata_file):
    with pytest.raises(ValueError, match="1 arrays for a network with the inputs pixels, metadata"):
        open_session(with_metadata_file)(pictures(2, 32))
    with pytest.raises(ValueError, match="2 arrays for a network with the inputs pixels"):
        open_session(tiny_file)(pictures(2, 32), np.zeros((2, 4), np.float32))


def test_a_final_network_runs_from_the_onnx_file_of_the_bundle_on_a_cpu_and_by_tensorflow_on_a_gpu(tiny, tmp_path):
    by_tensorflow = TensorFlowForward(tiny, CPU)
    assert final_forward(tiny, tmp_path / "gpu", GPU, by_tensorflow) is by_tensorflow
    assert not (tmp_path / "gpu").exists()
    by_onnx = final_forward(tiny, tmp_path / "cpu", CPU, by_tensorflow)
    assert [file.name for file in (tmp_path / "cpu").iterdir()] == [ONNX_FILE]
    maps, *outputs = open_session(tmp_path / "cpu" / ONNX_FILE)(pictures(5, 32))
    assert maps.ndim == 4
    assert len(by_onnx(pictures(5, 32), None)) == len(outputs) == 2
    for ours, theirs, of_file in zip(
        by_onnx(pictures(5, 32), None), by_tensorflow(pictures(5, 32), None), outputs, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(ours, of_file)


def test_a_network_in_tensorflow_uses_its_current_weights_and_an_onnx_file_those_at_its_export(tmp_path):
    model = with_probability(backbones.find("tiny").build("tiny", image_size=32, weights="none"))
    by_tensorflow, by_onnx = TensorFlowForward(model, CPU), final_forward(model, tmp_path, CPU)
    before = by_tensorflow(pictures(2, 32), None)[1]
    model.get_layer("probability").bias.assign([3.0])
    assert (by_tensorflow(pictures(2, 32), None)[1] > before + 0.1).all()
    np.testing.assert_allclose(by_onnx(pictures(2, 32), None)[1], before, atol=1e-4)


def test_with_xla_a_smaller_last_batch_is_not_compiled_again_and_has_the_same_outputs(tiny):
    forward = TensorFlowForward(tiny, GPU)
    whole = forward(pictures(6, 32), None)
    part = forward(pictures(6, 32)[:2], None)
    for ours, theirs in zip(part, whole, strict=True):
        np.testing.assert_allclose(ours, theirs[:2], rtol=1e-5, atol=1e-6)
    assert forward.traces == 1


@pytest.mark.parametrize("batch", [1, 8, 150])
def test_threads_that_compute_parts_of_a_batch_change_no_bit(tiny_file, batch):
    """Few pictures, as the views of one lesion, go to all threads; many are computed in parts of the usual size."""
    alone = open_session(tiny_file, threads=1)(pictures(batch, 32))
    for threads in (2, 3, 16):
        for ours, theirs in zip(open_session(tiny_file, threads=threads)(pictures(batch, 32)), alone, strict=True):
            np.testing.assert_array_equal(ours, theirs)


FORK = """
import multiprocessing, sys
from pathlib import Path
import numpy as np
from level1_cnn.inference.onnx_session import open_session
run, pixels = open_session(Path(sys.argv[1]), threads=2), np.full((80, 32, 32, 3), 100.0)
def predict():
    return run(pixels)[0]
here = predict()
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert np.array_equal(pool.apply_async(predict).get(timeout=60), here)
"""


@pytest.mark.full
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_makes_threads_of_its_own(tiny_file):
    subprocess.run([sys.executable, "-c", FORK, tiny_file], check=True)


def test_only_small_pictures_are_computed_side_by_side(tiny_file, tmp_path, monkeypatch):
    """Each picture that is computed at the same time needs memory of its own, so large ones follow one another."""
    large = tmp_path / "large.onnx"
    export(backbones.find("tiny").build("tiny", image_size=288, weights="none"), large)
    together = []
    monkeypatch.setattr(onnx_session, "session_options", lambda threads: together.append(threads) or session_options(1))
    for path in (tiny_file, large):
        open_session(path, threads=4)(pictures(4, 32 if path is tiny_file else 288))
    assert together == [1, 4]


def test_the_size_of_the_pictures_is_read_from_the_file(tiny_file):
    assert picture_sizes(tiny_file.read_bytes()) == (32, 32)


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


def test_a_failed_export_does_not_change_an_older_file(tmp_path):
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
    damaged_file = tmp_path / "damaged.onnx"
    damaged_file.write_bytes(b"not a graph")
    with pytest.raises(InputFault, match=r"damaged\.onnx: not an ONNX network"):
        open_session(damaged_file)


@pytest.mark.full
def test_the_module_does_not_need_tensorflow():
    code = "import sys, level1_cnn.inference.onnx_session; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_onnx_runtime_sends_no_usage_data(tmp_path):
    # When it is imported, it stores the number by which it would name the machine.
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", "import level1_cnn.inference.onnx_session"], env=home, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_an_output_that_the_file_lacks_is_refused(tiny_file):
    with pytest.raises(InputFault, match="it has 2 outputs; expected 3"):
        open_session(tiny_file, outputs=[2])


def test_a_selection_of_outputs_has_their_values_and_only_their_nodes(tiny_file):
    both, selection = tiny_file.read_bytes(), select_outputs(tiny_file.read_bytes(), [0])
    assert both.count(b"Sigmoid") == 1
    assert b"Sigmoid" not in selection
    (features,) = open_session(tiny_file, outputs=[0])(pictures(3, 32))
    np.testing.assert_array_equal(features, open_session(tiny_file)(pictures(3, 32))[0])
