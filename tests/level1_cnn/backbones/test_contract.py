"""Tests for backbones/: the contract of all families, and facts about single networks."""

import socket
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from level1_cnn import backbones, downloads
from level1_cnn.backbones import convnext, efficientnet, efficientnet_lite, efficientnet_v2, tiny
from level1_cnn.networks.network import draw_weights
from runtime.errors import InputFault
from tests.level1_cnn.backbones.untrained import B0_IN_FULL, SIZE, SMALLEST, network, picture

every_family = pytest.mark.parametrize(("family", "variant"), SMALLEST)  # the smallest network stands for its family


def test_families_are_the_modules_of_the_folder():
    files = {path.stem for path in Path(backbones.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(backbones.names()) == files >= {"efficientnet", "efficientnet_lite", "tiny"}


def test_a_new_file_is_a_new_family(tmp_path, monkeypatch):
    (tmp_path / "resnet_for_this_test.py").write_text("VARIANTS = {'r18': None}\n")
    monkeypatch.setattr(backbones, "__path__", [*backbones.__path__, str(tmp_path)])
    assert backbones.find("resnet_for_this_test").VARIANTS == {"r18": None}


def test_an_unknown_family_is_refused_with_the_nearest():
    with pytest.raises(InputFault, match=r"'efficientnet_light'; did you mean 'efficientnet_lite'\?.*tiny"):
        backbones.find("efficientnet_light")


def test_every_family_has_variants_with_a_native_resolution():
    for family in backbones.names():
        for variant in backbones.find(family).VARIANTS.values():
            assert variant.resolution >= backbones.SMALLEST_SIZE


@pytest.mark.parametrize(("network_of", "features"), [*zip(SMALLEST, (768, 1280, 1280, 1280, 32), strict=True)])
def test_a_backbone_is_flat_and_takes_pixels_and_gives_features(network_of, features):
    model = network(*network_of)
    assert not [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    assert model.input_shape == (None, SIZE, SIZE, 3)
    assert model.output_shape == (None, features)
    assert model.layers[1].name == "normalise"


@every_family
def test_the_output_is_the_mean_of_the_last_activation_map(family, variant):
    model = network(family, variant)
    both = keras.Model(model.input, [model.get_layer("top_activation").output, model.output])
    activation, features = (np.asarray(output) for output in both(picture(SIZE)))
    assert np.ptp(features) > 0
    np.testing.assert_allclose(features, activation.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6 * np.abs(features).max())


@pytest.mark.parametrize(("family", "variant"), B0_IN_FULL)
def test_weights_are_the_same_after_saving_and_a_second_build(family, variant, tmp_path):
    model, path = network(family, variant), tmp_path / "network.weights.h5"
    model.save_weights(path)
    again = backbones.find(family).build(variant, image_size=SIZE, weights=str(path))
    np.testing.assert_array_equal(np.asarray(again(picture(SIZE))), np.asarray(model(picture(SIZE))))


@pytest.mark.parametrize(
    "module", [convnext, efficientnet, efficientnet_v2, efficientnet_lite, tiny], ids=lambda module: module.__name__
)
def test_an_invalid_request_is_refused_with_the_valid_choices(module, tmp_path):
    first = next(iter(module.VARIANTS))
    with pytest.raises(InputFault, match=rf"unknown variant 'b99'; use one of: {first}"):
        module.build("b99", image_size=SIZE, weights="none")
    with pytest.raises(InputFault, match=r"weights = 'imagnet' is unknown; use .*'none'"):
        module.build(first, image_size=SIZE, weights="imagnet")
    with pytest.raises(InputFault, match=r"absent\.weights\.h5: no such weights file"):
        module.build(first, image_size=SIZE, weights=str(tmp_path / "absent.weights.h5"))
    with pytest.raises(InputFault, match="image_size = 16 is too small"):
        module.build(first, image_size=16, weights="none")


def test_the_weights_of_another_network_and_a_file_that_is_not_hdf5_are_refused(tmp_path):
    another, text = tmp_path / "small.weights.h5", tmp_path / "text.weights.h5"
    tiny.build("small", image_size=SIZE).save_weights(another)
    text.write_text("not weights")
    for path in (another, text):
        with pytest.raises(InputFault, match="not the weights of tiny-tiny"):
            tiny.build("tiny", image_size=SIZE, weights=str(path))


# ---- EfficientNet B0 to B7; test_efficientnet.py tests their sizes and how they scale pixels.


def test_efficientnet_reads_the_older_hdf5_layout_in_which_its_weights_are_published(tmp_path):
    source = network("efficientnet", "b0")
    path = tmp_path / "published_notop.h5"
    with h5py.File(path, "w") as file:
        layers = [layer for layer in source.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [weight.path.encode() for weight in layer.weights]
            for weight in layer.weights:
                group[weight.path] = np.asarray(weight)
    copy = efficientnet.build("b0", image_size=32, weights=str(path))
    for weights, source_weights in zip(copy.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, source_weights)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))


@pytest.mark.parametrize("weights", ["imagenet", "noisy-student"])
@pytest.mark.usefixtures("empty_cache")
def test_without_a_network_the_fault_names_the_file_and_the_alternatives(monkeypatch, weights):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed_port = server.getsockname()[1]
    for folder in ("IMAGENET_WEIGHTS_PATH", "NS_WEIGHTS_PATH"):
        monkeypatch.setattr(efficientnet.published, folder, f"http://127.0.0.1:{closed_port}/")
    with pytest.raises(
        InputFault, match=r"could not download .*efficientnet-b0.*_notop\.h5.*\"none\".*efficientnet_lite"
    ):
        efficientnet.build("b0", image_size=SIZE, weights=weights)


@pytest.mark.parametrize(
    ("module", "variant", "builder"),
    [(efficientnet_v2, "b0", "EfficientNetV2B0"), (convnext, "tiny", "ConvNeXtTiny")],
    ids=["efficientnet_v2", "convnext"],
)
@pytest.mark.usefixtures("empty_cache")
def test_without_a_network_the_weights_of_keras_applications_are_refused_too(monkeypatch, module, variant, builder):
    def get_file(*_arguments, **_options):
        raise OSError("no route to host")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(InputFault, match=rf"could not download .*{builder}.*no route to host.*efficientnet_lite"):
        module.build(variant, image_size=SIZE, weights="imagenet")


@pytest.mark.parametrize("variant", ["b0", pytest.param("s", marks=pytest.mark.full)])
def test_the_second_version_scales_pixels_as_keras_does(variant):
    ours = efficientnet_v2.build(variant, image_size=SIZE, weights="none")
    builder = getattr(keras.applications, efficientnet_v2.VARIANTS[variant].builder)
    theirs = builder(include_top=False, weights=None, pooling="avg", input_shape=(SIZE, SIZE, 3))
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(np.asarray(ours(picture(SIZE))), np.asarray(theirs(picture(SIZE))), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("variant", ["tiny", pytest.param("base", marks=pytest.mark.full)])
def test_convnext_with_the_weights_of_keras_gives_its_features(variant):
    builder = getattr(keras.applications, convnext.VARIANTS[variant].builder)
    theirs = builder(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    draw_weights(theirs, 1)
    for layer in theirs.layers:
        if layer.name.endswith("layer_scale"):  # at first all 1e-6, which hides the blocks
            layer.set_weights([np.random.default_rng(2).uniform(0.1, 1, layer.gamma.shape)])
    ours = convnext.build(variant, image_size=SIZE, weights="none")
    convnext.take_weights(ours, theirs)
    last_map = keras.Model(ours.input, ours.get_layer("top_activation").output)(picture(SIZE))
    np.testing.assert_allclose(theirs.layers[-1](last_map), theirs(picture(SIZE)), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("empty_cache")
def test_a_download_from_a_server_that_never_answers_times_out(monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(efficientnet.published, "IMAGENET_WEIGHTS_PATH", address)
        with pytest.raises(InputFault, match=r"could not download .*timed out"):
            efficientnet.build("b0", image_size=SIZE, weights="imagenet")
    assert socket.getdefaulttimeout() is None
