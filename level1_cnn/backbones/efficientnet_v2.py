"""EfficientNetV2 B0 to B3, S, M and L of keras.applications, with the preprocessing of pixels inside the network."""

from collections.abc import Mapping
from typing import NamedTuple

import keras

from level1_cnn.backbones import IMAGENET_OFFSET, IMAGENET_SCALE, check_request, load_file, weights_file
from level1_cnn.downloads import download_faults


class Variant(NamedTuple):
    """One network of the family: its builder in keras.applications, and its native picture side in px."""

    builder: str
    resolution: int


VARIANTS: Mapping[str, Variant] = {
    "b0": Variant("EfficientNetV2B0", 224),
    "b1": Variant("EfficientNetV2B1", 240),
    "b2": Variant("EfficientNetV2B2", 260),
    "b3": Variant("EfficientNetV2B3", 300),
    "s": Variant("EfficientNetV2S", 384),
    "m": Variant("EfficientNetV2M", 480),
    "l": Variant("EfficientNetV2L", 480),
}


def build(variant: str, *, image_size: int, weights: str = "imagenet") -> keras.Model:
    """Build one EfficientNetV2 (Tan and Le 2021, arXiv 2104.00298) without its classifier.

    Input: pixels 0 to 255, (batch, image_size, image_size, 3) float32; the first layer scales them as in its
    training. Output: (batch, 1280), for B2 1408, for B3 1536. ``weights``: ``"imagenet"``, downloaded once into Keras'
    cache; ``"none"``; or a Keras weights file of this network. Raises InputFault for weights that do not exist or
    cannot be downloaded.
    """
    check_request(variant, VARIANTS, image_size)
    file = weights_file(weights, ("imagenet",))
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    options = {"include_top": False, "include_preprocessing": False, "input_tensor": _normalise(variant)(pixels)}
    builder = getattr(keras.applications, VARIANTS[variant].builder)
    if weights == "imagenet":
        with download_faults(weights, f"the weights of {VARIANTS[variant].builder} of keras.applications"):
            network = builder(weights="imagenet", **options)
    else:
        network = builder(weights=None, **options)
    features = keras.layers.GlobalAveragePooling2D(name="avg_pool")(network.output)
    model = keras.Model(pixels, features, name=f"efficientnet-v2-{variant}")
    if file is not None:
        load_file(model, file)
    return model


def _normalise(variant: str) -> keras.layers.Layer:
    """Return the layer that scales pixels; float32 also under a mixed-precision policy, which would round them."""
    if not variant.startswith("b"):
        return keras.layers.Rescaling(1 / 128, -1.0, dtype="float32", name="normalise")
    return keras.layers.Rescaling(IMAGENET_SCALE, IMAGENET_OFFSET, dtype="float32", name="normalise")
