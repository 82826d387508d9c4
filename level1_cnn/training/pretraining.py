"""The files of a pretraining stage: weights for the folds of its model, and a backbone for other models."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from level1_cnn.experiment import Experiment
from level1_cnn.job import BACKBONE_FILE
from level1_cnn.networks.network import build_backbone
from level1_cnn.training.checkpoint import load_weights, save_weights
from runtime.files import replacing

WEIGHTS = "weights.npz"


def save_stage(folder: Path, experiment: Experiment, weights: Mapping[str, np.ndarray]) -> None:
    """Write the weights of a stage for the model's folds, and the weights of its backbone as a Keras weights file.

    ``weights`` maps the path in the whole network to values. A TOML file can name the Keras file as ``weights``.
    """
    save_weights(folder / WEIGHTS, weights)
    backbone = build_backbone(experiment.model_copy(update={"weights": "none"}))
    assign_weights(backbone, weights)
    with replacing(folder / BACKBONE_FILE) as temporary:
        backbone.save_weights(temporary)


def stage_files(folder: Path) -> list[Path]:
    """Return the paths of the files of a finished stage."""
    return [folder / WEIGHTS, (folder / WEIGHTS).with_suffix(".json"), folder / BACKBONE_FILE]


def starting_weights(folder: Path, network_weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of a stage whose path and shape also occur in the new network's ``network_weights``.

    A head for other targets has another shape, and keeps its own first weights.
    """
    weights = load_weights(folder / WEIGHTS)
    return {
        path: value
        for path, value in weights.items()
        if path in network_weights and network_weights[path].shape == value.shape
    }


def assign_weights(model: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Set the variables of the model whose paths are in ``weights``."""
    for variable in model.variables:
        if variable.path in weights:
            variable.assign(weights[variable.path])
