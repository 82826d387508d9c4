"""Tests for onnx_file.py: networks of others, as they are exported, become frozen backbones with the same features."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from level1_cnn.experiment import Experiment, OnnxFile
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.networks.onnx_file import write_backbone
from level1_cnn.training_settings import FrozenFeatures
from runtime.errors import InputFault

SIDE, WIDTH, PATCH = 32, 12, 8
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
KERNEL = np.random.default_rng(0).normal(size=(WIDTH, 3, PATCH, PATCH)).astype(np.float32) / 10
CLASS_TOKEN = np.random.default_rng(1).normal(size=(1, 1, WIDTH)).astype(np.float32)


def settings(**changes) -> OnnxFile:
    return OnnxFile(**{"mean": MEAN, "std": STD, "licence": "MIT", **changes})


def pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.float32)


def patches(pixels: np.ndarray) -> np.ndarray:
    """Return the map (n, 4, 4, WIDTH) that the convolution of patches makes of ``pixels``."""
    standard = (pixels / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    cells = standard.reshape(-1, 4, PATCH, 4, PATCH, 3)
    return np.einsum("nipjqc,dcpq->nijd", cells, KERNEL)


def save(path: Path, nodes, outputs, constants=(), sizes=("batch", 3, SIDE, SIDE)) -> Path:
    """Write a network whose first node is the convolution of patches of the input ``images``."""
    first = helper.make_node("Conv", ["images", "kernel"], ["patches"], strides=[PATCH, PATCH])
    graph = helper.make_graph(
        [first, *nodes],
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(sizes))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(KERNEL, "kernel"), *constants],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def transformer(path: Path) -> Path:
    """Write a network with tokens as PyTorch exports them: one class token is repeated for every picture."""
    constant = {
        "class_token": CLASS_TOKEN,
        "zero": np.array([0], np.int64),
        "sizes": np.array([1, WIDTH], np.int64),
        "tokens_of": np.array([0, WIDTH, -1], np.int64),
        "scale": np.ones(WIDTH, np.float32),
        "shift": np.zeros(WIDTH, np.float32),
    }
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["count"]),
        helper.make_node("Concat", ["count", "sizes"], ["class_sizes"], axis=0),
        helper.make_node("Expand", ["class_token", "class_sizes"], ["class_tokens"]),
        helper.make_node("Reshape", ["patches", "tokens_of"], ["channels_first"]),
        helper.make_node("Transpose", ["channels_first"], ["patch_tokens"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["class_tokens", "patch_tokens"], ["tokens"], axis=1),
        helper.make_node("LayerNormalization", ["tokens", "scale", "shift"], ["last_hidden_state"]),
    ]
    arrays = [numpy_helper.from_array(values, name) for name, values in constant.items()]
    return save(path, nodes, ["last_hidden_state"], arrays)


def normalise(tokens: np.ndarray) -> np.ndarray:
    return (tokens - tokens.mean(axis=-1, keepdims=True)) / np.sqrt(tokens.var(axis=-1, keepdims=True) + 1e-5)


def features_of(source: Path, tmp_path: Path, **changes) -> tuple[np.ndarray, np.ndarray]:
    """Return map and features of three pictures by the backbone that is made of ``source``."""
    path = tmp_path / "backbone.onnx"
    assert write_backbone(source, settings(**changes), SIDE, path) == WIDTH
    maps, features = open_session(path)(pictures())
    return maps, features


def test_a_map_is_averaged_and_kept_for_heat_maps(tmp_path):
    maps, features = features_of(save(tmp_path / "net.onnx", [], ["patches"]), tmp_path)
    np.testing.assert_allclose(maps, patches(pictures()), atol=1e-4)
    np.testing.assert_allclose(features, patches(pictures()).mean(axis=(1, 2)), atol=1e-4)


def test_pictures_with_colours_at_the_end_are_fed_as_they_are(tmp_path):
    flip = helper.make_node("Transpose", ["images"], ["channels_first"], perm=[0, 3, 1, 2])
    convolve = helper.make_node("Conv", ["channels_first", "kernel"], ["patches"], strides=[PATCH, PATCH])
    back = helper.make_node("Transpose", ["patches"], ["map"], perm=[0, 2, 3, 1])
    graph = helper.make_graph(
        [flip, convolve, back],
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(KERNEL, "kernel")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "net.onnx")
    maps, _ = features_of(tmp_path / "net.onnx", tmp_path)
    np.testing.assert_allclose(maps, patches(pictures()), atol=1e-4)


@pytest.mark.parametrize("is_last", [True, False])
def test_a_map_with_as_many_channels_as_rows_and_columns_has_the_order_of_the_input(tmp_path, is_last):
    flip = [helper.make_node("Transpose", ["images"], ["pixels"], perm=[0, 3, 1, 2])] if is_last else []
    source = "pixels" if is_last else "images"
    convolve = helper.make_node("Conv", [source, "kernel"], ["patches"], strides=[PATCH, PATCH])
    back = [helper.make_node("Transpose", ["patches"], ["map"], perm=[0, 2, 3, 1])] if is_last else []
    graph = helper.make_graph(
        [*flip, convolve, *back],
        "network",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.FLOAT, [1, SIDE, SIDE, 3] if is_last else [1, 3, SIDE, SIDE]
            )
        ],
        [helper.make_tensor_value_info("map" if is_last else "patches", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(KERNEL[:4], "kernel")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "net.onnx")
    assert write_backbone(tmp_path / "net.onnx", settings(), SIDE, tmp_path / "backbone.onnx") == 4
    maps, _ = open_session(tmp_path / "backbone.onnx")(pictures())
    np.testing.assert_allclose(maps, patches(pictures())[..., :4], atol=1e-4)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.UINT8])
def test_an_input_or_output_of_other_numbers_is_refused_by_the_name_of_its_type(tmp_path, kind):
    name = TensorProto.DataType.Name(kind).lower()
    source = save(tmp_path / "net.onnx", [helper.make_node("Cast", ["patches"], ["y"], to=kind)], ["y"])
    network = onnx.load(source)
    network.graph.output[0].type.tensor_type.elem_type = kind
    onnx.save(network, source)
    with pytest.raises(InputFault, match=f"its output 'y' has numbers of the type {name}; export"):
        write_backbone(source, settings(), SIDE, tmp_path / "backbone.onnx")
    network.graph.input[0].type.tensor_type.elem_type = kind
    onnx.save(network, source)
    with pytest.raises(InputFault, match=f"its input 'images' has numbers of the type {name}; export"):
        write_backbone(source, settings(), SIDE, tmp_path / "backbone.onnx")


@pytest.mark.parametrize("tokens", ["mean", "first"])
def test_tokens_become_features_and_a_map_of_one_cell(tmp_path, tokens):
    maps, features = features_of(transformer(tmp_path / "vit.onnx"), tmp_path, tokens=tokens)
    each = np.concatenate([np.repeat(CLASS_TOKEN, 3, axis=0), patches(pictures()).reshape(3, 16, WIDTH)], axis=1)
    expected = normalise(each).mean(axis=1) if tokens == "mean" else normalise(each)[:, 0]
    np.testing.assert_allclose(features, expected, atol=1e-4)
    assert maps.shape == (3, 1, 1, WIDTH)
    np.testing.assert_allclose(maps[:, 0, 0], features, atol=1e-6)


def test_the_operator_of_a_size_that_is_a_value_is_folded_away(tmp_path):
    write_backbone(transformer(tmp_path / "vit.onnx"), settings(), SIDE, tmp_path / "backbone.onnx")
    operators = {node.op_type for node in onnx.load(tmp_path / "backbone.onnx").graph.node}
    assert "Expand" not in operators
    assert "LayerNormalization" in operators


def test_an_empty_batch_has_outputs_of_the_right_shapes(tmp_path):
    write_backbone(transformer(tmp_path / "vit.onnx"), settings(), SIDE, tmp_path / "backbone.onnx")
    maps, features = open_session(tmp_path / "backbone.onnx")(pictures()[:0])
    assert (maps.shape, features.shape) == ((0, 1, 1, WIDTH), (0, WIDTH))


def test_the_output_is_chosen_by_its_name(tmp_path):
    pool = helper.make_node("GlobalAveragePool", ["patches"], ["pooled"])
    flat = helper.make_node("Flatten", ["pooled"], ["embedding"])
    source = save(tmp_path / "net.onnx", [pool, flat], ["embedding", "patches"])
    with pytest.raises(InputFault, match=r"no output is named; set output in \[onnx\] to one of: embedding, patches"):
        write_backbone(source, settings(), SIDE, tmp_path / "backbone.onnx")
    with pytest.raises(InputFault, match="it has no output 'logits'"):
        write_backbone(source, settings(output="logits"), SIDE, tmp_path / "backbone.onnx")
    maps, features = features_of(source, tmp_path, output="embedding")
    assert maps.shape == (3, 1, 1, WIDTH)
    np.testing.assert_allclose(features, patches(pictures()).mean(axis=(1, 2)), atol=1e-4)


@pytest.mark.parametrize(
    ("nodes", "outputs", "sizes", "message"),
    [
        ([], ["patches"], ("batch", 3, 64, 64), "not image_size = 32; set it to the side"),
        ([], ["patches"], ("batch", 1, SIDE, SIDE), "pictures of 3 colours were expected"),
        ([helper.make_node("Gather", ["patches", "first"], ["y"], axis=0)], ["y"], None, "ONNX Runtime cannot read"),
        ([helper.make_node("Sinh", ["patches"], ["y"])], ["y"], None, "the operator 'Sinh' is not allowed"),
        ([helper.make_node("ReduceMax", ["patches"], ["y"], keepdims=0)], ["y"], None, "has the sizes"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path, nodes, outputs, sizes, message):
    source = save(tmp_path / "net.onnx", nodes, outputs, sizes=sizes or ("batch", 3, SIDE, SIDE))
    with pytest.raises(InputFault, match=message):
        write_backbone(source, settings(), SIDE, tmp_path / "backbone.onnx")
    assert not (tmp_path / "backbone.onnx").exists()


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07" * 40])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(InputFault, match=r"net\.onnx: "):
        write_backbone(tmp_path / "net.onnx", settings(), SIDE, tmp_path / "backbone.onnx")


MODEL = {"backbone": "onnx", "variant": "a", "weights": "a.onnx", "image_size": 32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "needed there: it has the licence"),
        ({"onnx": settings(), "weights": "imagenet"}, "must be the path of an .onnx file"),
        ({"onnx": settings(), "backbone": "tiny", "variant": "tiny"}, "belongs to backbone"),
        ({"onnx": settings(), "training": FrozenFeatures(method="frozen", layers="all")}, "fixed weights"),
        (
            {"onnx": settings(), "training": FrozenFeatures(method="frozen", pooling="centre")},
            "has no effect on an ONNX",
        ),
        ({"onnx": settings(), "training": {"method": "finetune", "epochs": 1, "learning_rate": 0.1}}, "fixed weights"),
    ],
)
def test_settings_that_do_not_fit_an_onnx_file_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        Experiment.model_validate({**MODEL, "training": FrozenFeatures(method="frozen"), **changes})
