"""Networks with drawn weights, each built once per process, and a picture to show them."""

from functools import cache

import keras
import numpy as np
import pytest

from level1_cnn import backbones
from level1_cnn.networks.network import draw_weights

SIZE = 64
SMALLEST = [("efficientnet", "b0"), ("efficientnet_lite", "lite0"), ("tiny", "tiny")]  # of every family
B0_IN_FULL = [pytest.param(*SMALLEST[0], marks=pytest.mark.full), *SMALLEST[1:]]  # where the others show the same


def picture(side: int) -> np.ndarray:
    """Return one fixed colourful picture, (1, side, side, 3), that any program can draw again."""
    row, column, channel = np.meshgrid(np.arange(side), np.arange(side), np.arange(3), indexing="ij")
    return ((row * row + 3 * column + 5 * channel * column) % 256).astype(np.float32)[np.newaxis]


@cache
def network(family: str, variant: str) -> keras.Model:
    """Return the backbone for pictures of SIZE; nobody changes its weights."""
    model: keras.Model = backbones.find(family).build(variant, image_size=SIZE, weights="none")
    draw_weights(model, 0)
    return model
