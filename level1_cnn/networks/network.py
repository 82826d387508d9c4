"""A backbone with a head: pooling, an optional branch for metadata, dropout, and the logits of a target scheme."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from level1_cnn import backbones
from level1_cnn.data.targets import count_outputs, melanoma_column
from level1_cnn.experiment import Experiment, Finetune, Targets
from runtime.errors import InputFault, did_you_mean

# The 2020 winner's branches were 512 -> 128 or 128 -> 32, of 14 columns; a smaller clinic has less to fit them with.
METADATA_UNITS = (64, 16)
METADATA_DROPOUT = 0.3
# Keras' 0.99 needs hundreds of steps to forget its start; this branch has no pretrained statistics to keep.
METADATA_MOMENTUM = 0.9
HEAD_DEVIATION = 0.01
GEM_POWER = 3.0
GEM_FLOOR = 1e-6
LAST_MAP = "top_activation"  # what every backbone calls the output of its last convolution


def build_backbone(experiment: Experiment) -> keras.Model:
    """Return pixels (n, side, side, 3) 0..255 -> pooled features (n, d), with the experiment's weights."""
    module = backbones.find(experiment.backbone)
    model: keras.Model = module.build(experiment.variant, image_size=experiment.image_size, weights=experiment.weights)
    if experiment.weights == "none":
        draw_weights(model, experiment.seed)
    return model


def with_last_map(model: keras.Model) -> keras.Model:
    """Return the network that gives its last map (n, rows, columns, channels) and then what ``model`` gives."""
    outputs = model.outputs if isinstance(model.output, list | tuple) else [model.output]
    # A name of its own: Keras would count, and the number would stand in the file that the network is exported to.
    return keras.Model(model.input, [model.get_layer(LAST_MAP).output, *outputs], name="with_last_map")


def draw_weights(model: keras.Model, seed: int) -> None:
    """Draw a network's first weights from ``seed``, the same in every process.

    Keras takes its seeds from Python's global generator, which other threads of a cluster's worker use as well.
    """
    for number, layer in enumerate(model.layers):
        drawn = getattr(layer, "depthwise_initializer", None) or getattr(layer, "kernel_initializer", None)
        if drawn is None or "seed" not in drawn.get_config():
            continue
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        seeded = type(drawn).from_config({**drawn.get_config(), "seed": own})
        layer.kernel.assign(seeded(layer.kernel.shape, layer.kernel.dtype))


def build_network(
    experiment: Experiment,
    settings: Finetune,
    metadata_width: int = 0,
    *,
    scheme: Targets | None = None,
    prior: float | None = None,
) -> keras.Model:
    """Return pixels (n, side, side, 3) 0..255 -> [pooled features of the picture (n, d), logits (n, outputs) float32].

    With ``metadata_width`` m the inputs are [pixels, metadata (n, m)]. ``scheme`` is what the outputs mean, if not the
    settings' targets; ``prior`` the melanoma probability that the untrained head gives (see head_bias).
    The head stands on the backbone's own tensors, not on a nested model, so that the layers stay reachable. Without
    ``train_batch_norm`` the backbone's batch normalisations keep weights and statistics, in training as well.
    """
    base = build_backbone(experiment)
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = settings.train_batch_norm
    features = _pooled(base, settings)
    inputs, known = base.input, features
    if metadata_width:
        metadata = keras.Input((metadata_width,), name="metadata")
        branch = _metadata_branch(metadata, experiment.seed)
        inputs = [base.input, metadata]
        known = keras.layers.Concatenate(dtype="float32", name="joined")([features, branch])
    logits = _head(known, settings, scheme or settings.targets, prior, experiment.seed)
    return keras.Model(inputs, [features, logits], name="network")


def head_bias(prior: float | None, scheme: Targets) -> np.ndarray:
    """Return the biases (outputs,) float32 whose melanoma probability is ``prior``; zeros for None.

    The other classes share the rest evenly. To start at the prevalence spares the first steps from learning it
    (Lin et al. 2017, arXiv 1708.02002, section 4.1). Raises InputFault when 0 < prior < 1 does not hold.
    """
    bias = np.zeros(count_outputs(scheme), np.float32)
    if prior is None:
        return bias
    if not 0 < prior < 1:
        raise InputFault(f"the share of melanomas among the training cases is {prior}; it must lie between 0 and 1")
    bias[melanoma_column(scheme)] = math.log(prior / (1 - prior)) + math.log(max(1, len(bias) - 1))
    return bias


@keras.saving.register_keras_serializable(package="melstack")
class GeneralizedMean(keras.layers.Layer):  # type: ignore[misc]
    """Pool a map (n, rows, columns, channels) to (n, channels) by a power mean whose power is trained.

    (mean x^p)^(1/p) over the cells (GeM: Radenovic et al. 2018, arXiv 1711.02512): p = 1 is the average, p towards
    infinity the maximum. Cells below a small positive floor count as the floor. Computed by logarithms, in float32:
    channels that are zero everywhere, or a large p, neither underflow nor overflow.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  Keras' own
        super().__init__(**{"dtype": "float32", **options})

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the one power of all channels; training cannot take it below 1."""
        self.power = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(GEM_POWER),
            constraint=lambda power: ops.maximum(power, 1.0),
            name="power",
        )

    def call(self, maps: keras.KerasTensor) -> keras.KerasTensor:
        """Return the power mean over rows and columns."""
        powers = self.power * ops.log(ops.maximum(maps, GEM_FLOOR))
        cells = maps.shape[1] * maps.shape[2]
        return ops.exp((ops.logsumexp(powers, axis=(1, 2)) - math.log(cells)) / self.power)


@keras.saving.register_keras_serializable(package="melstack")
class MultiSampleDropout(keras.layers.Layer):  # type: ignore[misc]
    """Average ``samples`` independent dropouts of the same features (n, d); nothing at inference.

    A shared dense layer on each, with the logits averaged, is what multi-sample dropout means (Inoue 2019, arXiv
    1905.09788); the layer being linear, it gives the same on the average of its inputs, once.
    """

    def __init__(self, rate: float, samples: int, seed: int, **options: Any) -> None:  # noqa: ANN401  Keras' own
        super().__init__(**options)
        self.rate, self.samples, self.seed = rate, samples, seed
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, features: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Return the features, dropped and averaged in training."""
        if not training or self.rate == 0:
            return features
        copies = ops.repeat(ops.expand_dims(features, 0), self.samples, axis=0)
        return ops.mean(keras.random.dropout(copies, self.rate, seed=self.seeds), axis=0)

    def get_config(self) -> dict[str, Any]:
        """Return what builds the layer again."""
        return {**super().get_config(), "rate": self.rate, "samples": self.samples, "seed": self.seed}


def check_experiment(name: str, experiment: Experiment) -> None:
    """Raise InputFault when the experiment names a backbone or variant that does not exist."""
    module = backbones.find(experiment.backbone)
    if experiment.variant not in module.VARIANTS:
        known = sorted(module.VARIANTS)
        raise InputFault(f"{name}: variant = {experiment.variant!r}; {did_you_mean(experiment.variant, known)}")


def _pooled(base: keras.Model, settings: Finetune) -> keras.KerasTensor:
    if settings.pooling == "average":
        return base.output
    return GeneralizedMean(name="gem_pool")(base.get_layer("top_activation").output)


def _metadata_branch(metadata: keras.KerasTensor, seed: int) -> keras.KerasTensor:
    """Return (n, 16) of metadata (n, m): two dense layers with normalisation and swish, dropout between; in float32."""
    wide, narrow = METADATA_UNITS
    x = _metadata_layer(metadata, wide, seed, "metadata_1")
    x = keras.layers.Dropout(METADATA_DROPOUT, seed=seed, dtype="float32", name="metadata_dropout")(x)
    return _metadata_layer(x, narrow, seed + 1, "metadata_2")


def _metadata_layer(x: keras.KerasTensor, units: int, seed: int, name: str) -> keras.KerasTensor:
    start = keras.initializers.GlorotUniform(seed=seed)
    x = keras.layers.Dense(units, use_bias=False, kernel_initializer=start, dtype="float32", name=f"{name}_dense")(x)
    x = keras.layers.BatchNormalization(momentum=METADATA_MOMENTUM, dtype="float32", name=f"{name}_bn")(x)
    return keras.layers.Activation("swish", dtype="float32", name=f"{name}_activation")(x)


def _head(
    known: keras.KerasTensor, settings: Finetune, scheme: Targets, prior: float | None, seed: int
) -> keras.KerasTensor:
    """Return logits (n, outputs) float32; small first weights, so that the bias decides the first predictions."""
    dropped = MultiSampleDropout(
        settings.head_dropout, settings.dropout_samples, seed, dtype="float32", name="head_dropout"
    )(known)
    dense = keras.layers.Dense(
        count_outputs(scheme),
        kernel_initializer=keras.initializers.RandomNormal(stddev=HEAD_DEVIATION, seed=seed),
        dtype="float32",
        name="logits",
    )
    logits = dense(dropped)
    dense.bias.assign(head_bias(prior, scheme))
    return logits
