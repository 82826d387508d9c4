"""Tests for network.py: all forms of the head, its first predictions, and saving."""

import keras
import numpy as np
import pytest

from level1_cnn.data.metadata import COLUMNS
from level1_cnn.data.targets import count_outputs, melanoma_logits
from level1_cnn.inference.onnx_export import export
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.networks.head import MultiSampleDropout, head_bias
from level1_cnn.networks.network import GeneralizedMean, build_network
from level1_cnn.training_settings import Finetune
from runtime.errors import InputFault
from tests.level1_cnn.drawn_run import tiny_experiment

WIDTH = len(COLUMNS)
TINY = {"backbone": "tiny", "variant": "tiny", "image_size": 32}
LITE = {"backbone": "efficientnet_lite", "variant": "lite0", "image_size": 64}


def settings(**changes: object) -> Finetune:
    return Finetune(method="finetune", epochs=1, learning_rate=1e-3, **changes)


def network(family: dict[str, object] = TINY, width: int = 0, prior: float | None = None, **changes: object):
    options = settings(**changes)
    return build_network(tiny_experiment(options, **family), options, width, prior=prior)


def inputs(count: int, side: int, width: int = 0) -> list[np.ndarray] | np.ndarray:
    rng = np.random.default_rng(3)
    pictures = rng.uniform(0, 255, (count, side, side, 3)).astype(np.float32)
    return [pictures, rng.uniform(0, 1, (count, width)).astype(np.float32)] if width else pictures


def predict(model: keras.Model, x: list[np.ndarray] | np.ndarray, training: bool = False) -> list[np.ndarray]:
    return [np.asarray(output, np.float32) for output in model(x, training=training)]


def change_weights(model: keras.Model) -> None:
    """Change every weight by a random amount, as training would."""
    rng = np.random.default_rng(8)
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(np.asarray(variable) + np.abs(rng.normal(0, 0.05, variable.shape)))


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def precision(request) -> str:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(request.param)
    yield request.param
    keras.mixed_precision.set_dtype_policy(before)


# ---- Shape


@pytest.mark.parametrize("scheme", ["binary", "diagnosis3", "diagnosis9"])
@pytest.mark.parametrize("pooling", ["average", "gem"])
@pytest.mark.parametrize("width", [0, WIDTH])
def test_a_network_is_flat_and_outputs_features_and_logits(scheme, pooling, width) -> None:
    model = network(width=width, targets=scheme, pooling=pooling, dropout_samples=3)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert [tensor.shape for tensor in model.inputs] == [(None, 32, 32, 3), (None, width)][: 1 + bool(width)]
    assert [output.shape for output in model.outputs] == [(None, 32), (None, count_outputs(scheme))]
    assert model.outputs[1].dtype == "float32"


def test_a_stage_may_have_its_own_target_scheme() -> None:
    options = settings()
    assert build_network(tiny_experiment(options), options, scheme="diagnosis9").outputs[1].shape == (None, 9)


def test_average_pooling_is_the_backbones_own_output() -> None:
    model = network()
    assert model.outputs[0] is model.get_layer("avg_pool").output


def test_the_features_of_a_picture_do_not_depend_on_the_metadata() -> None:
    model = network(width=WIDTH)
    change_weights(model)
    pictures, metadata = inputs(3, 32, WIDTH)
    features, logits = predict(model, [pictures, metadata])
    other_features, other_logits = predict(model, [pictures, 1 - metadata])
    np.testing.assert_array_equal(features, other_features)
    assert (np.abs(logits - other_logits) > 1e-4).all()


@pytest.mark.parametrize("width", [0, WIDTH])
@pytest.mark.parametrize("pooling", ["average", "gem"])
def test_logits_are_float32_and_every_weight_has_a_gradient_in_every_precision(precision, pooling, width) -> None:
    import tensorflow as tf

    model = network(width=width, pooling=pooling, targets="diagnosis3", head_dropout=0.0)
    with tf.GradientTape() as tape:
        logits = model(inputs(8, 32, width), training=True)[1]
        loss = tf.reduce_sum(logits**2)
    gradients = [np.asarray(gradient, np.float32) for gradient in tape.gradient(loss, model.trainable_variables)]
    assert logits.dtype == tf.float32
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


# ---- Batch normalisation


def test_without_train_batch_norm_only_the_batch_norms_of_the_backbone_stay_unchanged() -> None:
    model = network(width=WIDTH, train_batch_norm=False)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = {layer.name: [np.array(value) for value in layer.variables] for layer in layers}
    model(inputs(8, 32, WIDTH), training=True)
    trained_layers = {
        layer.name
        for layer in layers
        if any((np.array(value) != old).any() for value, old in zip(layer.variables, before[layer.name], strict=True))
    }
    assert len(layers) == 5
    assert trained_layers == {"metadata_1_bn", "metadata_2_bn"} == {layer.name for layer in layers if layer.trainable}


# ---- The first predictions


@pytest.mark.parametrize(("scheme", "prior"), [("binary", 0.0176), ("diagnosis3", 0.9), ("diagnosis9", 0.0176)])
def test_the_head_may_start_at_the_prevalence(scheme, prior) -> None:
    for share in (0.0176, 0.5, 0.9):
        expected = np.log(share / (1 - share))
        assert melanoma_logits(head_bias(share, scheme), scheme) == pytest.approx(expected, abs=1e-5)
    model = network(targets=scheme, prior=prior)
    logits = melanoma_logits(predict(model, inputs(16, 32))[1], scheme)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), prior, rtol=0.2)


def test_without_a_prior_the_biases_are_zero() -> None:
    assert not np.asarray(network(targets="diagnosis3").get_layer("logits").bias).any()


@pytest.mark.parametrize("prior", [0.0, 1.0, float("nan")])
def test_a_prevalence_of_zero_one_or_nan_is_refused(prior) -> None:
    with pytest.raises(InputFault, match="share of melanomas"):
        head_bias(prior, "binary")


def test_the_same_seed_gives_the_same_head() -> None:
    first, second = (network(width=WIDTH) for _ in range(2))
    names = ("logits", "metadata_1_dense", "metadata_2_dense")
    for name in names:
        kernels = [np.asarray(model.get_layer(name).kernel) for model in (first, second)]
        np.testing.assert_array_equal(*kernels)
        assert kernels[0].std() > 0


# ---- Pooling


def power_mean(maps: np.ndarray, power: float) -> np.ndarray:
    return (np.maximum(np.float64(maps), 1e-6) ** power).mean(axis=(1, 2)) ** (1 / power)


@pytest.mark.parametrize("power", [1.0, 3.0, 6.5])
def test_generalized_mean_is_the_power_mean(power) -> None:
    maps = np.random.default_rng(0).normal(1, 1, (4, 5, 7, 3)).astype(np.float32)
    layer = GeneralizedMean()
    layer.build(maps.shape)
    assert float(layer.power) == 3
    layer.power.assign(power)
    np.testing.assert_allclose(np.asarray(layer(maps)), power_mean(maps, power), rtol=1e-5)


def test_generalized_mean_is_between_the_average_and_the_maximum() -> None:
    maps = np.random.default_rng(0).uniform(0.1, 2, (4, 5, 5, 3)).astype(np.float32)
    layer = GeneralizedMean()
    layer.build(maps.shape)
    layer.power.assign(1)
    np.testing.assert_allclose(np.asarray(layer(maps)), maps.mean(axis=(1, 2)), rtol=1e-5)
    layer.power.assign(2000)
    np.testing.assert_allclose(np.asarray(layer(maps)), maps.max(axis=(1, 2)), rtol=0.01)


@pytest.mark.parametrize("power", [1.0, 3.0, 50.0])
@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-4, 6.0, 1e4])
def test_generalized_mean_of_constant_maps_is_the_constant_with_finite_gradients(power, value) -> None:
    import tensorflow as tf

    maps = tf.Variable(np.full((1, 4, 4, 2), value, np.float32))
    layer = GeneralizedMean()
    layer.build(maps.shape)
    layer.power.assign(power)
    with tf.GradientTape() as tape:
        means = layer(maps)
    np.testing.assert_allclose(means.numpy(), max(value, 1e-6), rtol=1e-4)
    gradients = tape.gradient(means, [maps, layer.power.value])
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)


def test_generalized_mean_of_half_precision_maps_is_computed_in_float32(precision) -> None:
    maps = np.random.default_rng(0).uniform(0, 2, (2, 9, 9, 3)).astype(np.float32)
    means = GeneralizedMean()(keras.ops.cast(maps, "bfloat16"))
    assert keras.backend.standardize_dtype(means.dtype) == "float32"
    half_precision = np.asarray(keras.ops.cast(keras.ops.cast(maps, "bfloat16"), "float32"))
    np.testing.assert_allclose(np.asarray(means), power_mean(half_precision, 3), rtol=1e-5)


def test_training_cannot_lower_the_power_below_one() -> None:
    model = network(pooling="gem")
    power = model.get_layer("gem_pool").power
    optimizer = keras.optimizers.SGD(10.0)
    optimizer.apply([keras.ops.ones(())], [power])
    assert float(power) == 1


# ---- Dropout


def test_several_dropouts_are_the_mean_of_that_many_masks_and_do_nothing_at_inference() -> None:
    features = np.ones((200, 50), np.float32)
    single, multiple = (MultiSampleDropout(0.5, samples, seed=1) for samples in (1, 4))
    assert set(np.unique(np.asarray(single(features, training=True)))) == {0, 2}
    assert set(np.unique(np.asarray(multiple(features, training=True)))) == {0, 0.5, 1, 1.5, 2}
    np.testing.assert_array_equal(np.asarray(multiple(features, training=False)), features)


def test_several_dropouts_vary_less_around_the_same_logits() -> None:
    single, multiple = (
        network(dropout_samples=samples, head_dropout=0.5, train_batch_norm=False) for samples in (1, 8)
    )
    change_weights(single)
    multiple.set_weights(single.get_weights())
    x = np.repeat(inputs(1, 32), 2000, axis=0)
    expected = predict(single, x)[1]
    np.testing.assert_array_equal(predict(multiple, x)[1], expected)
    single_logits, multiple_logits = (predict(model, x, training=True)[1] for model in (single, multiple))
    assert multiple_logits.mean() == pytest.approx(expected.mean(), abs=4 * multiple_logits.std() / np.sqrt(2000))
    assert multiple_logits.var() == pytest.approx(single_logits.var() / 8, rel=0.2)


def test_dropout_differs_between_steps_and_repeats_from_the_same_state() -> None:
    layer = MultiSampleDropout(0.5, 2, seed=1)
    features = np.ones((8, 64), np.float32)
    start = np.array(layer.variables[0])
    first, second = (np.asarray(layer(features, training=True)) for _ in range(2))
    assert (first != second).any()
    layer.variables[0].assign(start)
    np.testing.assert_array_equal(np.asarray(layer(features, training=True)), first)


# ---- Saving


FORMS = [
    ({}, 0),
    ({"pooling": "gem", "dropout_samples": 3, "targets": "diagnosis9", "train_batch_norm": False}, WIDTH),
]
ROUND_TRIPS = [
    ("float32", TINY, FORMS[0]),
    ("mixed_bfloat16", TINY, FORMS[0]),
    ("float32", TINY, FORMS[1]),
    ("mixed_bfloat16", TINY, FORMS[1]),
    # test_contract.py saves the weights of B0.
    pytest.param(
        "float32",
        {"backbone": "efficientnet_lite", "variant": "lite0", "image_size": 64},
        FORMS[1],
        marks=pytest.mark.full,
    ),
]


@pytest.mark.parametrize(("precision", "family", "form"), ROUND_TRIPS, indirect=["precision"])
def test_predictions_are_the_same_after_saving_and_loading_weights(precision, family, form, tmp_path) -> None:
    changes, width = form
    model, again = (network(family, width, **changes) for _ in range(2))
    change_weights(model)
    x = inputs(2, family["image_size"], width)
    model.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    expected = predict(model, x)
    assert np.abs(expected[1]).max() > 1e-3
    for output, expected_output in zip(predict(again, x), expected, strict=True):
        np.testing.assert_array_equal(output, expected_output)


def test_a_whole_model_file_gives_the_same_predictions(tmp_path) -> None:
    model = network(width=WIDTH, pooling="gem", dropout_samples=2, prior=0.02)
    change_weights(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = inputs(2, 32, WIDTH)
    for output, expected in zip(predict(again, x), predict(model, x), strict=True):
        np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_network_exported_to_onnx_predicts_the_same(form, tmp_path) -> None:
    changes, width = form
    model = network(TINY, width, **changes)
    change_weights(model)
    x = inputs(3, 32, width)
    session = open_session(export(model, tmp_path / "network.onnx"), threads=1)
    outputs = session(*x) if width else session(x)
    for output, expected in zip(outputs, predict(model, x), strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-5)
