"""Heat maps of melanoma over the last convolution, from the network of the fold that left the patient out."""

from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from level1_cnn.data.metadata import COLUMNS
from level1_cnn.data.targets import melanoma_column
from level1_cnn.finished import read_trained_experiment
from level1_cnn.inference.forward import ONNX_FILE
from level1_cnn.inference.onnx_session import open_session
from level1_cnn.job import Job, intact_fold_file
from level1_cnn.networks.network import build_backbone, build_network, with_last_map
from level1_cnn.training_settings import Finetune, Targets
from runtime.run_folder import Run


def activation_heat(maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return how much each cell of ``maps`` (n, rows, columns, channels) adds to the logit: (n, rows, columns).

    ``weights`` (channels,) are those of a linear head on the mean over the cells: a class activation map (Zhou et al.
    2016). It is exact: the sum over the cells of a picture is its logit minus the intercept.
    """
    cells = maps.shape[1] * maps.shape[2]
    return np.asarray(np.einsum("nijc,c->nij", maps, weights) / cells)


def gradient_heat(model: keras.Model, inputs: list[np.ndarray], scheme: Targets) -> np.ndarray:
    """Return Grad-CAM (Selvaraju et al. 2017, before its rectifier) of the log odds of melanoma: (n, rows, columns).

    ``model`` is ``with_last_map`` of a network with outputs [features, logits]; ``inputs`` are pixels (n, side, side,
    3), and metadata (n, m) if the network has that input. With average pooling and a linear head the result equals
    ``activation_heat``.
    """
    tensors = [tf.constant(array, tf.float32) for array in inputs]
    with tf.GradientTape() as tape:
        maps, _, logits = model(tensors if len(tensors) > 1 else tensors[0], training=False)
        odds = tf.reduce_sum(_melanoma_odds(logits, scheme))  # the odds of a picture depend only on its own map
    gradients = tape.gradient(odds, maps)
    weights = tf.reduce_mean(tf.cast(gradients, tf.float32), axis=(1, 2), keepdims=True)
    heat: np.ndarray = tf.reduce_sum(weights * tf.cast(maps, tf.float32), axis=-1).numpy()
    return heat


class HeatMaps:
    """Heat maps of one finished model of a run: class activation for a frozen model, else by gradients."""

    def __init__(self, run: Run, model: str) -> None:
        """Raise InputFault when the model was not trained in this run."""
        self._folder, self.experiment = run.level1 / model, read_trained_experiment(run, model)
        self._job = Job(run, model, self.experiment, "{}")

    @property
    def side(self) -> int:
        """The side of the model's pictures, in pixels."""
        return self.experiment.image_size

    @property
    def takes_metadata(self) -> bool:
        """Whether the model has metadata as a second input."""
        return isinstance(self.experiment.training, Finetune) and self.experiment.training.metadata

    def of_fold(self, fold: int, pixels: np.ndarray, metadata: np.ndarray | None = None) -> np.ndarray:
        """Return the heat (n, rows, columns) of ``pixels`` (n, side, side, 3), 0 to 255, by the network of ``fold``.

        A positive cell raises the log odds of melanoma. ``metadata`` (n, m) is needed if the model ``takes_metadata``.
        """
        training = self.experiment.training
        if isinstance(training, Finetune):
            self._network.load_weights(self._file(fold, "model.weights.h5"))
            inputs = [pixels] if metadata is None else [pixels, metadata]
            return gradient_heat(self._network_with_map, inputs, training.targets)
        with np.load(self._file(fold, "head.npz"), allow_pickle=False) as head:
            weights = head["weights"]
        return activation_heat(self._maps(pixels), weights)

    def _maps(self, pixels: np.ndarray) -> np.ndarray:
        """Return the map (n, rows, columns, d) of a frozen network, from its ONNX file where there is one."""
        path = self._folder / ONNX_FILE
        if path.is_file() or self.experiment.needs_onnx:
            return open_session(path, outputs=[0])(pixels)[0]
        return np.asarray(self._network_with_map(tf.constant(pixels, tf.float32), training=False)[0], np.float32)

    @cached_property
    def _network(self) -> keras.Model:
        training = self.experiment.training
        if not isinstance(training, Finetune):
            return build_backbone(self._job.network)
        # No download of first weights: the trained weights are read from the fold's file.
        experiment = self.experiment.model_copy(update={"weights": "none"})
        return build_network(experiment, training, len(COLUMNS) if training.metadata else 0)

    @cached_property
    def _network_with_map(self) -> keras.Model:
        return with_last_map(self._network)

    def _file(self, fold: int, name: str) -> Path:
        return intact_fold_file(self._folder / f"fold_{fold}" / name)


def _melanoma_odds(logits: Any, scheme: Targets) -> Any:  # noqa: ANN401  TensorFlow has no types
    """Return the log odds of melanoma (n,) as ``targets.melanoma_logits`` does, but with TensorFlow operations."""
    column = melanoma_column(scheme)
    if scheme == "binary":
        return logits[:, column]
    others = tf.concat([logits[:, :column], logits[:, column + 1 :]], axis=1)
    return logits[:, column] - tf.reduce_logsumexp(others, axis=1)
