"""EfficientNet B0 to B7 from the package ``efficientnet``, with the preprocessing of pixels inside the network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import efficientnet.tfkeras
import efficientnet.weights as published
import keras

from level1_cnn.backbones import IMAGENET_OFFSET, IMAGENET_SCALE, check_request, load_file, weights_file
from level1_cnn.downloads import download_faults


class Variant(NamedTuple):
    """One network of the family: its builder in the package, its native picture side in px, its number of features."""

    builder: str
    resolution: int
    features: int


VARIANTS: Mapping[str, Variant] = {
    "b0": Variant("EfficientNetB0", 224, 1280),
    "b1": Variant("EfficientNetB1", 240, 1280),
    "b2": Variant("EfficientNetB2", 260, 1408),
    "b3": Variant("EfficientNetB3", 300, 1536),
    "b4": Variant("EfficientNetB4", 380, 1792),
    "b5": Variant("EfficientNetB5", 456, 2048),
    "b6": Variant("EfficientNetB6", 528, 2304),
    "b7": Variant("EfficientNetB7", 600, 2560),
}

DOWNLOADS = ("imagenet", "noisy-student")


def build(variant: str, *, image_size: int, weights: str = "imagenet") -> keras.Model:
    """Build one EfficientNet (Tan and Le 2019, arXiv 1905.11946) without its classifier.

    Input: pixels 0 to 255, (batch, image_size, image_size, 3) float32; the first layer computes
    (pixel / 255 - ImageNet mean) / ImageNet standard deviation. Output: (batch, features).
    ``weights``: ``"imagenet"`` (AutoAugment) or ``"noisy-student"``, downloaded once into Keras' cache; ``"none"``; or
    a Keras weights file of this network. Raises InputFault for weights that do not exist or cannot be downloaded.
    """
    check_request(variant, VARIANTS, image_size)
    file = _download(variant, weights) if weights in DOWNLOADS else weights_file(weights, DOWNLOADS)
    builder = getattr(efficientnet.tfkeras, VARIANTS[variant].builder)
    shape = (image_size, image_size, 3)
    model = _with_preprocessing(builder(include_top=False, pooling="avg", weights=None, input_shape=shape), shape)
    if file is not None:
        load_file(model, file)
    return model


def _with_preprocessing(network: keras.Model, shape: tuple[int, int, int]) -> keras.Model:
    """Return a flat copy of ``network`` that scales its pixels first.

    A copy is needed because, under Keras 3, the package always makes its own input layer.
    """
    # float32 also under a mixed-precision policy, because half precision would round the pixels.
    normalise = keras.layers.Rescaling(IMAGENET_SCALE, IMAGENET_OFFSET, dtype="float32", name="normalise")

    def call(layer: keras.layers.Layer, x: Any, *rest: Any, **options: Any) -> Any:  # noqa: ANN401  Keras tensors
        """Call ``layer``, on normalised pixels if it is the first convolution."""
        return layer(normalise(x) if layer.name == "stem_conv" else x, *rest, **options)

    return keras.models.clone_model(network, input_tensors=keras.Input(shape, name="pixels"), call_function=call)


def _download(variant: str, weights: str) -> Path:
    """Return the package's weights file of one network in Keras' cache; download it if it is missing."""
    network = f"efficientnet-{variant}"
    if weights == "imagenet":
        name = f"{network}_weights_tf_dim_ordering_tf_kernels_autoaugment_notop.h5"
        folder, digest = published.IMAGENET_WEIGHTS_PATH, published.IMAGENET_WEIGHTS_HASHES[network][1]
    else:
        name = f"{network}_{weights}_notop.h5"
        folder, digest = published.NS_WEIGHTS_PATH, published.NS_WEIGHTS_HASHES[network][1]
    with download_faults(weights, folder + name):
        return Path(keras.utils.get_file(name, folder + name, cache_subdir="models", file_hash=digest))
