"""Tests that compare EfficientNet B0 to B7 with the publication: parameters, multiply-adds and scaling of pixels."""

import efficientnet.tfkeras as package
import keras
import numpy as np
import pytest

from level1_cnn.backbones import efficientnet
from level1_cnn.experiment import Experiment
from level1_cnn.networks.network import build_network
from level1_cnn.training_settings import Finetune

CLASSES = 1000

# Variant, side, parameters with the classifier and without it, multiply-adds of one picture with the classifier:
# counted in the frozen TensorFlow graph of efficientnet 1.1.1 (Tan and Le 2019, table 2, gives them rounded).
REFERENCE = {
    "b0": (224, 5_330_564, 4_049_564, 385_814_752),
    "b1": (240, 7_856_232, 6_575_232, 686_802_832),
    "b2": (260, 9_177_562, 7_768_562, 993_561_872),
    "b3": (300, 12_320_528, 10_783_528, 1_827_141_392),
    "b4": (380, 19_466_816, 17_673_816, 4_393_771_024),
    "b5": (456, 30_562_520, 28_513_520, 10_266_384_752),
    "b6": (528, 43_265_136, 40_960_136, 19_067_593_536),
    "b7": (600, 66_658_680, 64_097_680, 37_745_884_192),
}
# The same code makes all graphs, and they have several hundred layers, so only b0 is in the quick test run.
OURS = ["b0", *(pytest.param(name, marks=pytest.mark.full) for name in REFERENCE if name != "b0")]


def multiply_adds(layer: keras.layers.Layer) -> int:
    """Return the multiplications of one picture in a convolution or a dense layer, without bias and activation."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return int(np.prod(layer.kernel_size) * np.prod(layer.output.shape[1:]))
    if isinstance(layer, keras.layers.Conv2D):
        return int(np.prod(layer.kernel_size) * layer.input.shape[-1] * np.prod(layer.output.shape[1:]))
    return layer.input.shape[-1] * layer.units if isinstance(layer, keras.layers.Dense) else 0


def test_multiply_adds_equal_a_count_by_hand() -> None:
    x = keras.Input((8, 8, 3))
    convolution = keras.layers.Conv2D(5, 3, strides=2, padding="same")
    depthwise = keras.layers.DepthwiseConv2D(3, padding="same")
    dense = keras.layers.Dense(7)
    dense(keras.layers.GlobalAveragePooling2D()(depthwise(convolution(x))))
    assert multiply_adds(convolution) == 4 * 4 * 5 * 3 * 3 * 3
    assert multiply_adds(depthwise) == 4 * 4 * 5 * 3 * 3
    assert multiply_adds(dense) == 5 * 7


@pytest.mark.parametrize("variant", ["b0", pytest.param("b2", marks=pytest.mark.full)])
def test_a_network_with_its_classifier_has_the_published_size(variant) -> None:
    """This tests the package's own networks at two widths; the next test compares ours for all eight."""
    side, parameters, _, multiplications = REFERENCE[variant]
    model = getattr(package, efficientnet.VARIANTS[variant].builder)(include_top=True, weights=None)
    assert model.input_shape == (None, side, side, 3)
    assert (model.count_params(), sum(map(multiply_adds, model.layers))) == (parameters, multiplications)


@pytest.mark.parametrize("variant", OURS)
def test_our_networks_equal_those_of_the_package_without_the_classifier(variant) -> None:
    side, parameters, without, multiplications = REFERENCE[variant]
    _, resolution, features = efficientnet.VARIANTS[variant]
    model = efficientnet.build(variant, image_size=resolution, weights="none")
    assert resolution == side
    assert model.count_params() == without == parameters - CLASSES * (features + 1)
    assert sum(map(multiply_adds, model.layers)) == multiplications - CLASSES * features


def test_pixels_are_scaled_as_by_the_package_in_training_and_inference() -> None:
    settings = Finetune(method="finetune", epochs=1, learning_rate=1e-3)
    experiment = Experiment(backbone="efficientnet", variant="b0", weights="none", image_size=32, training=settings)
    network = build_network(experiment, settings)
    first = network.get_layer("normalise")
    assert first.input is network.inputs[0]
    assert network.get_layer("stem_conv").input is first.output
    prepare = keras.Model(first.input, first.output)
    # All values that a pixel can have, and values between them, in every channel.
    pixels = np.repeat(np.linspace(0, 255, 1024, dtype=np.float32).reshape(1, 32, 32, 1), 3, axis=3)
    expected = package.preprocess_input(pixels.copy())
    for training in (True, False):
        np.testing.assert_allclose(np.asarray(prepare(pixels, training=training)), expected, rtol=0, atol=1e-6)
