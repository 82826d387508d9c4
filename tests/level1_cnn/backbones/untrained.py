"""Networks with random weights, each built once per process, and a picture as their input."""

from functools import cache

import keras
import numpy as np
import pytest

from level1_cnn import backbones
from level1_cnn.networks.network import draw_weights

SIZE = 64
# One network of every family.
SMALLEST = [
    ("convnext", "tiny"),
    ("efficientnet", "b0"),
    ("efficientnet_v2", "b0"),
    ("efficientnet_lite", "lite0"),
    ("tiny", "tiny"),
]
# The same, with b0 only in the full test run, for tests that the other two cover well enough.
B0_IN_FULL = [pytest.param(*pair, marks=[pytest.mark.full] if pair[1] == "b0" else []) for pair in SMALLEST]


def picture(side: int) -> np.ndarray:
    """Return a colourful picture, (1, side, side, 3), computed by a formula that any program can repeat."""
    row, column, channel = np.meshgrid(np.arange(side), np.arange(side), np.arange(3), indexing="ij")
    return ((row * row + 3 * column + 5 * channel * column) % 256).astype(np.float32)[np.newaxis]


@cache
def network(family: str, variant: str) -> keras.Model:
    """Return the backbone for pictures of SIZE px; tests must not change its weights."""
    model: keras.Model = backbones.find(family).build(variant, image_size=SIZE, weights="none")
    draw_weights(model, 0)
    return model
