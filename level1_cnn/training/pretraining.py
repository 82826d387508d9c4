"""What a pretraining stage leaves for the folds of its model, and for models that start from its backbone."""

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
    """Write a stage's weights, for its own folds, and those of its backbone as a Keras weights file, for any network.

    ``weights`` are by their path in the whole network; the file can be named as ``weights`` in a TOML too.
    """
    save_weights(folder / WEIGHTS, weights)
    backbone = build_backbone(experiment.model_copy(update={"weights": "none"}))
    assign_weights(backbone, weights)
    with replacing(folder / BACKBONE_FILE) as temporary:
        backbone.save_weights(temporary)


def stage_files(folder: Path) -> list[Path]:
    """Return the files that a finished stage has."""
    return [folder / WEIGHTS, (folder / WEIGHTS).with_suffix(".json"), folder / BACKBONE_FILE]


def starting_weights(folder: Path, wanted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a stage's weights that a network with the weights ``wanted`` has too: a head for other targets is new."""
    found = load_weights(folder / WEIGHTS)
    return {path: value for path, value in found.items() if path in wanted and wanted[path].shape == value.shape}


def assign_weights(model: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Set every variable of the model that ``weights`` names by its path."""
    for variable in model.variables:
        if variable.path in weights:
            variable.assign(weights[variable.path])
