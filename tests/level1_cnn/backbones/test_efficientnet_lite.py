"""Tests for efficientnet_lite.py."""

from pathlib import Path

import keras
import numpy as np
import pytest

from level1_cnn.backbones import efficientnet_lite
from level1_cnn.torch_pickle import read_checkpoint
from runtime.errors import InputFault
from tests.level1_cnn.backbones.untrained import SIZE, network, picture


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    return efficientnet_lite.build("lite0", image_size=SIZE, weights="imagenet")


def test_lite0_with_its_classifier_has_4652008_parameters(lite0):
    assert sum(int(np.prod(weight.shape)) for weight in lite0.trainable_weights) + 1_281_000 == 4_652_008
    assert lite0.count_params() == 3_413_024


# The three highest of 1000 logits, computed on the same picture by the PyTorch network to which the checkpoints belong
# (efficientnet_lite_pytorch 0.1.0, torch 2.13). Odd and even sides have different paddings.
@pytest.mark.parametrize(
    ("variant", "millions", "side", "classes", "logits"),
    [
        ("lite0", 4.652, 64, [506, 115, 545], [20.0847, 19.9518, 17.7961]),
        ("lite0", 4.652, 75, [588, 545, 815], [13.9994, 11.1858, 9.7082]),
        ("lite1", 5.417, 75, [800, 811, 722], [13.5373, 13.2490, 12.9689]),
        ("lite2", 6.092, 64, [905, 811, 545], [25.4844, 22.5860, 18.5349]),
    ],
)
def test_lite_has_the_published_size_and_gives_the_logits_of_the_pytorch_original(
    variant, millions, side, classes, logits
):
    model = efficientnet_lite.build(variant, image_size=side, weights="imagenet")
    parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert round((parameters + 1_281_000) / 1e6, 3) == millions
    head = read_checkpoint(efficientnet_lite.checkpoint(variant))
    all_logits = np.asarray(model(picture(side)))[0] @ head["_fc.weight"].T + head["_fc.bias"]
    assert np.argsort(-all_logits)[:3].tolist() == classes
    np.testing.assert_allclose(all_logits[classes], logits, atol=1e-3)


def same_convolution(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Convolve x (row, column, in) with a PyTorch kernel (out, in, k, k); an odd padding pixel is at the far end.

    This is TensorFlow's padding "same".
    """
    side, width = x.shape[0], kernel.shape[2]
    padding = max((-(-side // stride) - 1) * stride + width - side, 0)
    x = np.pad(x, [(padding // 2, padding - padding // 2)] * 2 + [(0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (width, width), axis=(0, 1))[::stride, ::stride]
    return np.einsum("rcikl,oikl->rco", windows, kernel)


def normalised_relu6(x: np.ndarray, tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    mean, variance = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
    x = (x - mean) / np.sqrt(variance + 1e-3) * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
    return np.clip(x, 0, 6)


def test_the_first_layers_of_lite0_agree_with_plain_numpy(lite0):
    tensors = read_checkpoint(efficientnet_lite.checkpoint("lite0"))
    x = same_convolution((picture(SIZE)[0] - 127) / 128, tensors["_conv_stem.weight"], 2)
    x = normalised_relu6(x, tensors, "_bn0")
    depthwise = tensors["_blocks.0._depthwise_conv.weight"]
    x = np.concatenate([same_convolution(x[..., i : i + 1], depthwise[i : i + 1], 1) for i in range(32)], axis=-1)
    x = normalised_relu6(x, tensors, "_blocks.0._bn1")
    activation = keras.Model(lite0.input, lite0.get_layer("block0_activation").output)(picture(SIZE))
    np.testing.assert_allclose(np.asarray(activation)[0], x, atol=1e-4)


def test_every_weight_of_lite0_comes_from_its_checkpoint(lite0):
    random_network = network("efficientnet_lite", "lite0")
    kernels = [i for i, weight in enumerate(random_network.weights) if "kernel" in weight.name]
    weights, random_weights = lite0.get_weights(), random_network.get_weights()
    assert len(kernels) == 49
    assert all((weights[i] != random_weights[i]).mean() > 0.99 for i in kernels)
    parameters = sum(
        tensor.size
        for name, tensor in read_checkpoint(efficientnet_lite.checkpoint("lite0")).items()
        if not name.startswith("_fc") and not name.endswith("num_batches_tracked")
    )
    assert parameters == lite0.count_params()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("_bn1.bias"), r"missing for layer top_bn: 1 \(_bn1\.bias\)"),
        (
            lambda tensors: tensors.update(extra=np.zeros(3)),
            r"efficientnet-lite0 does not have: 1 \(extra\)",
        ),
        (lambda tensors: tensors.update({"_bn1.bias": np.zeros(3)}), r"layer top_bn needs .*\(1280,\).*\(3,\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_exactly_is_refused(lite0, change, message):
    tensors = read_checkpoint(efficientnet_lite.checkpoint("lite0"))
    change(tensors)
    with pytest.raises(InputFault, match=message):
        efficientnet_lite.assign(lite0, tensors, Path("changed.pth"))


def test_a_missing_wheel_is_named():
    with pytest.raises(InputFault, match="package efficientnet-lite9-pytorch-model; found 0"):
        efficientnet_lite.checkpoint("lite9")


def test_the_drop_connect_rate_grows_with_depth_and_stays_below_a_fifth(lite0):
    rates = {int(layer.name[5:-5]): layer.rate for layer in lite0.layers if layer.name.endswith("_drop")}
    assert len(rates) == 9
    assert rates == pytest.approx({block: 0.2 * block / 16 for block in rates})


def test_drop_connect_drops_whole_branches_of_single_pictures_in_training_only(lite0):
    drop = lite0.get_layer("block14_drop")
    branch = np.ones((400, 2, 2, 3), np.float32)
    output = np.asarray(drop(branch, training=True)).reshape(400, -1)
    stays = output[:, 0] > 0
    np.testing.assert_array_equal(output, np.where(stays, np.float32(1 / (1 - drop.rate)), 0)[:, None] * np.ones(12))
    assert 0.7 < stays.mean() < 0.95
    np.testing.assert_array_equal(np.asarray(drop(branch, training=False)), branch)


def test_inference_is_deterministic_and_training_is_not(lite0):
    pictures = np.repeat(picture(SIZE), 16, axis=0)
    np.testing.assert_array_equal(np.asarray(lite0(pictures)), np.asarray(lite0(pictures)))
    copy = keras.models.clone_model(lite0)  # training changes the statistics of its batch normalisations
    copy.set_weights(lite0.get_weights())
    features = np.asarray(copy(pictures, training=True))
    assert np.abs(features - features[0]).max() > 0.01
