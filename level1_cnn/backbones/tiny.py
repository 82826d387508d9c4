"""A very small convolutional network without pretrained weights, for tests and for a first run of a pipeline."""

from collections.abc import Mapping
from typing import NamedTuple

import keras

from level1_cnn.backbones import check_request, load_file, weights_file


class Variant(NamedTuple):
    """One tiny network: the output channels of each block, and a suitable picture side in px."""

    filters: tuple[int, ...]
    resolution: int


VARIANTS: Mapping[str, Variant] = {
    "tiny": Variant((8, 16, 32), 32),
    "small": Variant((16, 32, 64), 64),
}


def build(variant: str, *, image_size: int, weights: str = "none") -> keras.Model:
    """Build a network of three convolutions, each of which halves the side.

    Input: pixels 0 to 255, (batch, image_size, image_size, 3) float32, scaled by the first layer to (x - 127) / 128.
    Output: (batch, features) with 32 (tiny) or 64 (small) features. ``weights`` is ``"none"`` or a Keras weights file.
    Raises InputFault for an unknown variant, for unknown weights, and for a side below 32 pixels.
    """
    check_request(variant, VARIANTS, image_size)
    file = weights_file(weights, ())
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 128, -127 / 128, dtype="float32", name="normalise")(inputs)
    last = len(VARIANTS[variant].filters)
    for number, filters in enumerate(VARIANTS[variant].filters, start=1):
        x = _block(x, filters, "top_" if number == last else f"block{number}_")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="avg_pool")(x), name=f"tiny-{variant}")
    if file is not None:
        load_file(model, file)
    return model


def _block(x: keras.KerasTensor, filters: int, prefix: str) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"{prefix}conv")(x)
    x = keras.layers.BatchNormalization(name=f"{prefix}bn")(x)
    return keras.layers.ReLU(name=f"{prefix}activation")(x)
