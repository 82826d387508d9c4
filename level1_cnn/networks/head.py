"""The head of a fine-tuned network: standardisation for a fitted head, dropout, and the logits of a target scheme."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from level1_cnn.data.targets import count_outputs, melanoma_column
from level1_cnn.training_settings import Finetune, Targets
from runtime.errors import InputFault

HEAD_DEVIATION = 0.01
STANDARDISATION, LOGITS = "standardisation", "logits"  # names of layers


def build_head(
    features: keras.KerasTensor, settings: Finetune, scheme: Targets, prior: float | None, seed: int
) -> keras.KerasTensor:
    """Return logits (n, outputs) float32; small initial weights let the bias decide the first predictions."""
    dropout = MultiSampleDropout(
        settings.head_dropout, settings.dropout_samples, seed, dtype="float32", name="head_dropout"
    )
    dense = keras.layers.Dense(
        count_outputs(scheme),
        kernel_initializer=keras.initializers.RandomNormal(stddev=HEAD_DEVIATION, seed=seed),
        dtype="float32",
        name=LOGITS,
    )
    if settings.head == "fitted":
        features = Standardisation(dtype="float32", trainable=False, name=STANDARDISATION)(features)
    logits = dense(dropout(features))
    dense.bias.assign(head_bias(prior, scheme))
    return logits


def head_bias(prior: float | None, scheme: Targets) -> np.ndarray:
    """Return the biases (outputs,) float32 for which the melanoma probability is ``prior``; zeros for None.

    The other classes get equal probabilities. With these biases the first steps need not learn the prevalence
    (Lin et al. 2017, arXiv 1708.02002, section 4.1). Raises InputFault unless 0 < prior < 1.
    """
    bias = np.zeros(count_outputs(scheme), np.float32)
    if prior is None:
        return bias
    if not 0 < prior < 1:
        raise InputFault(
            f"the share of melanomas among the training cases is {prior}, but must be above 0 and below 1; "
            "train on cases of both classes"
        )
    bias[melanoma_column(scheme)] = math.log(prior / (1 - prior)) + math.log(max(1, len(bias) - 1))
    return bias


def head_of(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (d, outputs) and bias (outputs,) of the head of ``build_network``, for features as they are."""
    kernel, bias = (np.asarray(value, np.float32) for value in model.get_layer(LOGITS).get_weights())
    scaling = next((layer for layer in model.layers if isinstance(layer, Standardisation)), None)
    if scaling is None:
        return kernel, bias
    kernel = kernel / np.asarray(scaling.scale)[:, np.newaxis]
    return kernel, bias - np.asarray(scaling.mean) @ kernel


@keras.saving.register_keras_serializable(package="melstack")
class Standardisation(keras.layers.Layer):  # type: ignore[misc]
    """Subtract a fixed mean from features (n, d) and divide them by a fixed scale, both (d,) and not trained."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create mean and scale, which change nothing until they are set."""
        self.mean = self.add_weight(shape=input_shape[-1:], initializer="zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones", trainable=False, name="scale")

    def call(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Return the standardised features (n, d)."""
        return (features - self.mean) / self.scale


@keras.saving.register_keras_serializable(package="melstack")
class MultiSampleDropout(keras.layers.Layer):  # type: ignore[misc]
    """Average ``samples`` independent dropouts of the same features (n, d); does nothing at inference.

    Multi-sample dropout applies one dense layer to each sample and averages the logits (Inoue 2019, arXiv 1905.09788).
    Because the dense layer is linear, applying it once to the average of the samples gives the same result.
    """

    def __init__(self, rate: float, samples: int, seed: int, **options: Any) -> None:  # noqa: ANN401  Keras' own
        super().__init__(**options)
        self.rate, self.samples, self.seed = rate, samples, seed
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, features: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Return the average of the dropouts in training, the unchanged features otherwise."""
        if not training or self.rate == 0:
            return features
        copies = ops.repeat(ops.expand_dims(features, 0), self.samples, axis=0)
        return ops.mean(keras.random.dropout(copies, self.rate, seed=self.seeds), axis=0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that build the same layer again."""
        return {**super().get_config(), "rate": self.rate, "samples": self.samples, "seed": self.seed}
