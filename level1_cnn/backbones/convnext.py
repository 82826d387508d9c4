"""ConvNeXt tiny, small, base, large and xlarge of keras.applications, with the preprocessing inside the network."""

from collections.abc import Mapping
from typing import NamedTuple

import keras

from level1_cnn.backbones import IMAGENET_OFFSET, IMAGENET_SCALE, check_request, load_file, weights_file
from level1_cnn.downloads import download_faults

STEM, DOWN = 4, 2  # sides of the patches that become one cell, before the first stage and between stages
WIDER = 4  # inside a block, the number of channels rises by this factor and falls again
EPSILON = 1e-6
# Layer of a block -> how keras.applications ends its name.
KERAS_NAMES = {
    "depthwise": "depthwise_conv",
    "norm": "layernorm",
    "wider": "pointwise_conv_1",
    "narrower": "pointwise_conv_2",
    "scale": "layer_scale",
}


class Variant(NamedTuple):
    """One network: its builder in keras.applications, channels of its first stage, blocks of its third, side in px."""

    builder: str
    channels: int  # of the first stage; twice as many in every following one
    blocks: int  # of the third stage; the others have three
    resolution: int


VARIANTS: Mapping[str, Variant] = {
    "tiny": Variant("ConvNeXtTiny", 96, 9, 224),
    "small": Variant("ConvNeXtSmall", 96, 27, 224),
    "base": Variant("ConvNeXtBase", 128, 27, 224),
    "large": Variant("ConvNeXtLarge", 192, 27, 224),
    "xlarge": Variant("ConvNeXtXLarge", 256, 27, 224),
}


def build(variant: str, *, image_size: int, weights: str = "imagenet") -> keras.Model:
    """Build one ConvNeXt (Liu et al. 2022, arXiv 2201.03545) without its classifier and its last normalisation.

    Input: pixels 0 to 255, (batch, image_size, image_size, 3) float32; the first layer scales them as in its
    training. Output: (batch, 768), for base 1024, large 1536, xlarge 2048. ``weights``: ``"imagenet"``, downloaded once
    into Keras' cache; ``"none"``; or a Keras weights file of this network. Raises InputFault for weights that do not
    exist or cannot be downloaded.
    """
    check_request(variant, VARIANTS, image_size)
    file = weights_file(weights, ("imagenet",))
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    # float32 also under a mixed-precision policy, which would round the pixels.
    x = keras.layers.Rescaling(IMAGENET_SCALE, IMAGENET_OFFSET, dtype="float32", name="normalise")(pixels)
    x = _stages(x, VARIANTS[variant].channels, (3, 3, VARIANTS[variant].blocks, 3))
    last_map = keras.layers.Identity(name="top_activation")(x)
    features = keras.layers.GlobalAveragePooling2D(name="avg_pool")(last_map)
    model = keras.Model(pixels, features, name=f"convnext-{variant}")
    if weights == "imagenet":
        builder = getattr(keras.applications, VARIANTS[variant].builder)
        with download_faults(weights, f"the weights of {VARIANTS[variant].builder} of keras.applications"):
            of_keras = builder(weights="imagenet", include_top=False)
        take_weights(model, of_keras)
    elif file is not None:
        load_file(model, file)
    return model


def _stages(x: keras.KerasTensor, channels: int, blocks: tuple[int, ...]) -> keras.KerasTensor:
    for stage, count in enumerate(blocks):
        width = channels * 2**stage
        if stage == 0:
            x = keras.layers.Conv2D(width, STEM, strides=STEM, name="stem_conv")(x)
            x = keras.layers.LayerNormalization(epsilon=EPSILON, name="stem_norm")(x)
        else:
            x = keras.layers.LayerNormalization(epsilon=EPSILON, name=f"down{stage}_norm")(x)
            x = keras.layers.Conv2D(width, DOWN, strides=DOWN, name=f"down{stage}_conv")(x)
        for number in range(count):
            x = _block(x, width, f"block{stage}-{number}_")
    return x


def _block(x: keras.KerasTensor, width: int, prefix: str) -> keras.KerasTensor:
    """Return the output of a block, written so that it can be exported to ONNX and computed with 8-bit integers.

    keras.applications has a grouped convolution, dense layers, Keras' GELU and a scale of the channels here. The first
    and the third do not export, integers are for convolutions alone, and the scale is part of the last convolution.
    """
    branch = keras.layers.DepthwiseConv2D(7, padding="same", name=f"{prefix}depthwise")(x)
    branch = keras.layers.LayerNormalization(epsilon=EPSILON, name=f"{prefix}norm")(branch)
    branch = keras.layers.Conv2D(WIDER * width, 1, name=f"{prefix}wider")(branch)
    branch = keras.layers.Activation(_gelu, name=f"{prefix}gelu")(branch)
    branch = keras.layers.Conv2D(width, 1, name=f"{prefix}narrower")(branch)
    return keras.layers.Add(name=f"{prefix}add")([x, branch])


def _gelu(x: keras.KerasTensor) -> keras.KerasTensor:
    return 0.5 * x * (1 + keras.ops.erf(x * 0.5**0.5))


def take_weights(model: keras.Model, of_keras: keras.Model) -> None:
    """Set the weights of ``model`` to those of the same network of keras.applications without its classifier."""
    layers = {part.name: part for layer in of_keras.layers for part in getattr(layer, "layers", [layer])}
    for layer in model.layers:
        if not layer.weights:
            continue
        part, kind = layer.name.split("_")
        kernel, bias = layers[f"{of_keras.name}_{_keras_name(part, kind)}"].get_weights()
        if kind == "depthwise":
            kernel = kernel.transpose(0, 1, 3, 2)
        elif kind == "narrower":
            (scale,) = layers[f"{of_keras.name}_{_keras_name(part, 'scale')}"].get_weights()
            kernel, bias = kernel * scale, bias * scale
        layer.set_weights([kernel.reshape(layer.weights[0].shape), bias])


def _keras_name(part: str, kind: str) -> str:
    """Return how keras.applications names a layer of a block, of the stem, or between stages."""
    if part == "stem":
        return "stem_conv" if kind == "conv" else "stem_layernorm"
    if part.startswith("down"):
        name = "conv" if kind == "conv" else "layernorm"
        return f"downsampling_{name}_{int(part.removeprefix('down')) - 1}"
    stage, number = part.removeprefix("block").split("-")
    return f"stage_{stage}_block_{number}_{KERAS_NAMES[kind]}"
