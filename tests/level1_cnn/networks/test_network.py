"""Tests for network.py: the head in all its forms, its first predictions, and what saving keeps."""

import keras
import numpy as np
import pytest

from level1_cnn.data.metadata import COLUMNS
from level1_cnn.data.targets import melanoma_logits, outputs
from level1_cnn.experiment import Finetune
from level1_cnn.inference.onnx_export import export, open_session
from level1_cnn.networks.network import GeneralizedMean, MultiSampleDropout, build_network, head_bias
from runtime.errors import InputFault
from tests.level1_cnn.drawn_run import tiny_experiment

WIDTH = len(COLUMNS)
TINY = {"backbone": "tiny", "variant": "tiny", "image_size": 32}
LITE = {"backbone": "efficientnet_lite", "variant": "lite0", "image_size": 64}


def settings(**changes: object) -> Finetune:
    return Finetune(method="finetune", epochs=1, learning_rate=1e-3, **changes)


def network(family: dict[str, object] = TINY, width: int = 0, prior: float | None = None, **changes: object):
    chosen = settings(**changes)
    return build_network(tiny_experiment(chosen, **family), chosen, width, prior=prior)


def inputs(count: int, side: int, width: int = 0) -> list[np.ndarray] | np.ndarray:
    rng = np.random.default_rng(3)
    pictures = rng.uniform(0, 255, (count, side, side, 3)).astype(np.float32)
    return [pictures, rng.uniform(0, 1, (count, width)).astype(np.float32)] if width else pictures


def predicted(model: keras.Model, x: list[np.ndarray] | np.ndarray, training: bool = False) -> list[np.ndarray]:
    return [np.asarray(output, np.float32) for output in model(x, training=training)]


def stir(model: keras.Model) -> None:
    """Give every weight a value of its own, as training would."""
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
def test_a_network_is_flat_and_gives_features_and_logits(scheme, pooling, width) -> None:
    model = network(width=width, targets=scheme, pooling=pooling, dropout_samples=3)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert [tensor.shape for tensor in model.inputs] == [(None, 32, 32, 3), (None, width)][: 1 + bool(width)]
    assert [output.shape for output in model.outputs] == [(None, 32), (None, outputs(scheme))]
    assert model.outputs[1].dtype == "float32"


def test_a_stage_may_have_targets_of_its_own() -> None:
    chosen = settings()
    assert build_network(tiny_experiment(chosen), chosen, scheme="diagnosis9").outputs[1].shape == (None, 9)


def test_average_pooling_is_the_backbones_own_output() -> None:
    model = network()
    assert model.outputs[0] is model.get_layer("avg_pool").output


def test_the_features_are_the_pictures_own_whatever_the_metadata() -> None:
    model = network(width=WIDTH)
    stir(model)
    pictures, metadata = inputs(3, 32, WIDTH)
    features, logits = predicted(model, [pictures, metadata])
    other_features, other_logits = predicted(model, [pictures, 1 - metadata])
    np.testing.assert_array_equal(features, other_features)
    assert (np.abs(logits - other_logits) > 1e-4).all()


@pytest.mark.parametrize("width", [0, WIDTH])
@pytest.mark.parametrize("pooling", ["average", "gem"])
def test_logits_are_float32_and_every_weight_learns_in_every_precision(precision, pooling, width) -> None:
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


def test_kept_batch_normalisation_is_the_backbones_only() -> None:
    model = network(width=WIDTH, train_batch_norm=False)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = {layer.name: [np.array(value) for value in layer.variables] for layer in layers}
    model(inputs(8, 32, WIDTH), training=True)
    moved = {
        layer.name
        for layer in layers
        if any((np.array(value) != old).any() for value, old in zip(layer.variables, before[layer.name], strict=True))
    }
    assert len(layers) == 5
    assert moved == {"metadata_1_bn", "metadata_2_bn"} == {layer.name for layer in layers if layer.trainable}


# ---- The first predictions


@pytest.mark.parametrize(("scheme", "prior"), [("binary", 0.0176), ("diagnosis3", 0.9), ("diagnosis9", 0.0176)])
def test_the_head_may_start_at_the_prevalence(scheme, prior) -> None:
    for share in (0.0176, 0.5, 0.9):
        expected = np.log(share / (1 - share))
        assert melanoma_logits(head_bias(share, scheme), scheme) == pytest.approx(expected, abs=1e-5)
    model = network(targets=scheme, prior=prior)
    logits = melanoma_logits(predicted(model, inputs(16, 32))[1], scheme)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), prior, rtol=0.2)


def test_without_a_prior_the_biases_are_zero() -> None:
    assert not np.asarray(network(targets="diagnosis3").get_layer("logits").bias).any()


@pytest.mark.parametrize("prior", [0.0, 1.0, float("nan")])
def test_a_prevalence_of_none_or_all_is_refused(prior) -> None:
    with pytest.raises(InputFault, match="share of melanomas"):
        head_bias(prior, "binary")


def test_the_same_seed_draws_the_same_head() -> None:
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
        pooled = layer(maps)
    np.testing.assert_allclose(pooled.numpy(), max(value, 1e-6), rtol=1e-4)
    gradients = tape.gradient(pooled, [maps, layer.power.value])
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)


def test_generalized_mean_is_computed_in_float32_also_of_half_precision_maps(precision) -> None:
    maps = np.random.default_rng(0).uniform(0, 2, (2, 9, 9, 3)).astype(np.float32)
    pooled = GeneralizedMean()(keras.ops.cast(maps, "bfloat16"))
    assert keras.backend.standardize_dtype(pooled.dtype) == "float32"
    rounded = np.asarray(keras.ops.cast(keras.ops.cast(maps, "bfloat16"), "float32"))
    np.testing.assert_allclose(np.asarray(pooled), power_mean(rounded, 3), rtol=1e-5)


def test_an_optimiser_cannot_take_the_power_below_one() -> None:
    model = network(pooling="gem")
    power = model.get_layer("gem_pool").power
    optimizer = keras.optimizers.SGD(10.0)
    optimizer.apply([keras.ops.ones(())], [power])
    assert float(power) == 1


# ---- Dropout


def test_several_dropouts_are_the_mean_of_as_many_masks_and_nothing_at_inference() -> None:
    features = np.ones((200, 50), np.float32)
    once, often = (MultiSampleDropout(0.5, samples, seed=1) for samples in (1, 4))
    assert set(np.unique(np.asarray(once(features, training=True)))) == {0, 2}
    assert set(np.unique(np.asarray(often(features, training=True)))) == {0, 0.5, 1, 1.5, 2}
    np.testing.assert_array_equal(np.asarray(often(features, training=False)), features)


def test_several_dropouts_vary_less_around_the_same_logits() -> None:
    once, often = (network(dropout_samples=samples, head_dropout=0.5, train_batch_norm=False) for samples in (1, 8))
    stir(once)
    often.set_weights(once.get_weights())
    x = np.repeat(inputs(1, 32), 2000, axis=0)
    expected = predicted(once, x)[1]
    np.testing.assert_array_equal(predicted(often, x)[1], expected)
    spread_once, spread_often = (predicted(model, x, training=True)[1] for model in (once, often))
    assert spread_often.mean() == pytest.approx(expected.mean(), abs=4 * spread_often.std() / np.sqrt(2000))
    assert spread_often.var() == pytest.approx(spread_once.var() / 8, rel=0.2)


def test_dropout_draws_anew_at_every_step_and_again_from_the_same_state() -> None:
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
    # Those of B0 are saved in test_contract.py.
    pytest.param(
        "float32",
        {"backbone": "efficientnet_lite", "variant": "lite0", "image_size": 64},
        FORMS[1],
        marks=pytest.mark.full,
    ),
]


@pytest.mark.parametrize(("precision", "family", "form"), ROUND_TRIPS, indirect=["precision"])
def test_saving_and_loading_weights_changes_no_prediction(precision, family, form, tmp_path) -> None:
    changes, width = form
    model, again = (network(family, width, **changes) for _ in range(2))
    stir(model)
    x = inputs(2, family["image_size"], width)
    model.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    expected = predicted(model, x)
    assert np.abs(expected[1]).max() > 1e-3
    for ours, theirs in zip(predicted(again, x), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_whole_model_file_gives_the_same_predictions(tmp_path) -> None:
    model = network(width=WIDTH, pooling="gem", dropout_samples=2, prior=0.02)
    stir(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = inputs(2, 32, WIDTH)
    for ours, theirs in zip(predicted(again, x), predicted(model, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("form", FORMS)
def test_a_network_exported_to_onnx_predicts_the_same(form, tmp_path) -> None:
    changes, width = form
    model = network(TINY, width, **changes)
    stir(model)
    x = inputs(3, 32, width)
    session = open_session(export(model, tmp_path / "network.onnx"), threads=1)
    found = session(*x) if width else session(x)
    for ours, theirs in zip(found, predicted(model, x), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
