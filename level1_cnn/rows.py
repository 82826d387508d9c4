"""The rows that a network is trained on: which cases, with which targets, weights and metadata."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingRows:
    """The n cases that one fit may see; a picture is found in the shards by its name, everything else stands here."""

    names: list[str]
    targets: np.ndarray  # float32 (n, outputs): probabilities of the classes; one column when binary
    weights: np.ndarray  # float32 (n,): what a row counts in the loss
    metadata: np.ndarray  # float32 (n, m); m = 0 without a metadata branch
    malignant: np.ndarray  # bool (n,): what is drawn more often with a malignant_share
