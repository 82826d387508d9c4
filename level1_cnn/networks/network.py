"""A backbone with a head: pooling, an optional branch for metadata, dropout, and the logits of a target scheme."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from level1_cnn import backbones
from level1_cnn.experiment import Experiment
from level1_cnn.networks.head import build_head
from level1_cnn.networks.stages import LAST_MAP, last_map, map_of_stages, pool_stages
from level1_cnn.training_settings import Finetune, FrozenFeatures, PictureInput, Targets
from runtime.errors import InputFault, did_you_mean

# The 2020 winner had 512 -> 128 or 128 -> 32 units for 14 columns; smaller units suit clinics with fewer cases.
METADATA_UNITS = (64, 16)
METADATA_DROPOUT = 0.3
# With Keras' default 0.99, the initial statistics fade only after hundreds of steps; here they are worth nothing,
# because this branch is not pretrained.
METADATA_MOMENTUM = 0.9
GEM_POWER = 3.0
GEM_FLOOR = 1e-6


def build_backbone(experiment: Experiment) -> keras.Model:
    """Return the network pixels (n, side, side, 3) 0..255 -> features (n, d), with the experiment's weights.

    The features are the mean of the last activation map, or those of ``pool_stages`` for a frozen network with other
    layers, inputs or pooling.
    """
    training = experiment.training
    is_plain = training.layers == "last" and training.pooling == "average"
    if not isinstance(training, FrozenFeatures) or (is_plain and not training.inputs):
        return _load(experiment, experiment.image_size)
    inputs = training.inputs or [PictureInput(side=experiment.image_size)]
    load = partial(_load, experiment)
    return pool_stages(load, experiment.image_size, inputs, training.layers, training.pooling)


def _load(experiment: Experiment, side: int) -> keras.Model:
    """Return the experiment's backbone for pictures of ``side`` px."""
    module = backbones.find(experiment.backbone)
    model: keras.Model = module.build(experiment.variant, image_size=side, weights=experiment.weights)
    if experiment.weights == "none":
        draw_weights(model, experiment.seed)
    return model


def with_last_map(model: keras.Model) -> keras.Model:
    """Return the network with outputs [its last activation map (n, rows, columns, channels), *outputs of ``model``]."""
    outputs = model.outputs if isinstance(model.output, list | tuple) else [model.output]
    # Without a fixed name, Keras would number the model, and the number would appear in the exported file.
    return keras.Model(model.input, [last_map(model), *outputs], name="with_last_map")


def draw_weights(model: keras.Model, seed: int) -> None:
    """Set the initial weights of a network from ``seed``, the same in every process.

    Keras itself takes seeds from Python's global generator, which other threads of a cluster worker use too.
    """
    for number, layer in enumerate(model.layers):
        initializer = getattr(layer, "depthwise_initializer", None) or getattr(layer, "kernel_initializer", None)
        if initializer is None or "seed" not in initializer.get_config():
            continue
        state = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        initializer = type(initializer).from_config({**initializer.get_config(), "seed": state})
        layer.kernel.assign(initializer(layer.kernel.shape, layer.kernel.dtype))


def build_network(
    experiment: Experiment,
    settings: Finetune,
    metadata_width: int = 0,
    *,
    scheme: Targets | None = None,
    prior: float | None = None,
) -> keras.Model:
    """Return the network pixels (n, side, side, 3) 0..255 -> [pooled features (n, d), logits (n, outputs) float32].

    With ``metadata_width`` m, the inputs are [pixels, metadata (n, m)]. ``scheme`` replaces the target scheme of the
    settings; ``prior`` is the melanoma probability that the untrained head outputs (see head_bias).
    The head uses the backbone's own tensors instead of a nested model, so that all layers are accessible. Without
    ``train_batch_norm``, the backbone's batch normalisations keep their weights and statistics even in training.
    """
    base = build_backbone(experiment)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = settings.train_batch_norm
    features = _pool(base, settings)
    inputs, head_input = base.input, features
    if metadata_width:
        metadata = keras.Input((metadata_width,), name="metadata")
        branch = _metadata_branch(metadata, experiment.seed)
        inputs = [base.input, metadata]
        head_input = keras.layers.Concatenate(dtype="float32", name="joined")([features, branch])
    logits = build_head(head_input, settings, scheme or settings.targets, prior, experiment.seed)
    return keras.Model(inputs, [features, logits], name="network")


@keras.saving.register_keras_serializable(package="melstack")
class GeneralizedMean(keras.layers.Layer):  # type: ignore[misc]
    """Pool a map (n, rows, columns, channels) to (n, channels) by a power mean with a trainable power.

    The result is (mean x^p)^(1/p) over the cells (GeM: Radenovic et al. 2018, arXiv 1711.02512): p = 1 is the average,
    and p towards infinity the maximum. Values below a small positive floor are replaced by the floor. The computation
    uses logarithms in float32, so that channels of zeros and a large p neither underflow nor overflow.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  Keras' own
        super().__init__(**{"dtype": "float32", **options})

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the trainable power, one number for all channels, which training keeps at 1 or above."""
        self.power = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(GEM_POWER),
            constraint=lambda power: ops.maximum(power, 1.0),
            name="power",
        )

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """Return the power mean of ``maps`` over rows and columns, (n, channels)."""
        powers = self.power * ops.log(ops.maximum(maps, GEM_FLOOR))
        cells = maps.shape[1] * maps.shape[2]
        return ops.exp((ops.logsumexp(powers, axis=(1, 2)) - math.log(cells)) / self.power)


def check_experiment(name: str, experiment: Experiment) -> None:
    """Raise InputFault when the experiment names a backbone, variant or ONNX file that does not exist."""
    if (file := experiment.onnx_file) is not None:
        if not file.is_file():
            raise InputFault(
                f"{name}: weights: {file}: no such ONNX file, as seen from {Path.cwd()}; give its path from there, or "
                "from the root"
            )
        return
    module = backbones.find(experiment.backbone)
    if experiment.variant not in module.VARIANTS:
        hint = did_you_mean(experiment.variant, sorted(module.VARIANTS))
        raise InputFault(f"{name}: unknown variant = {experiment.variant!r} of {experiment.backbone}; {hint}")


def _pool(base: keras.Model, settings: Finetune) -> keras.KerasTensor:
    if settings.pooling == "gem":
        return GeneralizedMean(name="gem_pool")(base.get_layer(LAST_MAP).output)
    if settings.layers == "last" and settings.pooling == "average":
        return base.output
    return map_of_stages(base, settings.layers, settings.pooling)[1]


def _metadata_branch(metadata: keras.KerasTensor, seed: int) -> keras.KerasTensor:
    """Return features (n, 16) of metadata (n, m): two dense layers with dropout between them, all in float32."""
    wide, narrow = METADATA_UNITS
    x = _metadata_layer(metadata, wide, seed, "metadata_1")
    x = keras.layers.Dropout(METADATA_DROPOUT, seed=seed, dtype="float32", name="metadata_dropout")(x)
    return _metadata_layer(x, narrow, seed + 1, "metadata_2")


def _metadata_layer(x: keras.KerasTensor, units: int, seed: int, name: str) -> keras.KerasTensor:
    """Apply a dense layer, batch normalisation and swish."""
    kernel = keras.initializers.GlorotUniform(seed=seed)
    x = keras.layers.Dense(units, use_bias=False, kernel_initializer=kernel, dtype="float32", name=f"{name}_dense")(x)
    x = keras.layers.BatchNormalization(momentum=METADATA_MOMENTUM, dtype="float32", name=f"{name}_bn")(x)
    return keras.layers.Activation("swish", dtype="float32", name=f"{name}_activation")(x)
