"""Features of the stages of a backbone, for one or several inputs: means and standard deviations over the cells.

The cells count the same, or those in the middle more: a lesion is in the middle of most pictures.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import keras
import numpy as np
from keras import ops

from level1_cnn.networks.crops import CentralCrop, Crop, crop_of
from level1_cnn.training_settings import Layers, PictureInput, Pooling

LAST_MAP = "top_activation"  # name of the layer, in every backbone, that outputs the last activation map
STAGES_MAP = "stages_map"  # name of the layer, in a fine-tuned network whose features are not the means of LAST_MAP
BLOCK = "block"  # the names of the layers of one block begin with this word and the block's number, then "_"
# Added to the variance, so that a constant channel has a gradient and a share in every cell.
SMALLEST_VARIANCE = 1e-12
CENTRE = 0.15  # standard deviation of the weights around the middle, as a share of the side


def stage_outputs(model: keras.Model) -> list[keras.KerasTensor]:
    """Return the outputs (n, rows, columns, channels) of all stages of a backbone, and its last activation map.

    A stage is a run of blocks with the same number of channels: EfficientNets have seven.
    """
    blocks = [layer for layer in model.layers if layer.name.startswith(BLOCK)]
    last_of_block = [list(layers)[-1] for _, layers in groupby(blocks, key=lambda layer: layer.name.partition("_")[0])]
    stages = [list(same)[-1].output for _, same in groupby(last_of_block, key=lambda layer: layer.output.shape[-1])]
    return [*stages, model.get_layer(LAST_MAP).output]


def stages_after(model: keras.Model) -> dict[str, int]:
    """Return path of a weight of a backbone -> number of stages that follow its stage; 0 for the last stage.

    The layers before the first block belong to the first stage, those after the last block to the last one.
    """
    ends = {keras_name(output) for output in stage_outputs(model)[:-1]}
    after, numbers = len(ends) - 1, dict[str, int]()
    for layer in model.layers:
        numbers |= dict.fromkeys((weight.path for weight in layer.weights), after)
        after = max(0, after - (layer.name in ends))
    return numbers


def keras_name(tensor: keras.KerasTensor) -> str:
    """Return the name of the layer that outputs ``tensor``."""
    name: str = tensor._keras_history.operation.name
    return name


def map_of_stages(base: keras.Model, layers: Layers, pooling: Pooling) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return the map of one or all stages of a backbone, (n, rows, columns, d), and its means (n, d).

    Both are made from its own tensors, so that every weight can be trained. The features are those of ``pool_stages``
    for the whole picture.
    """
    cells = base.get_layer(LAST_MAP).output.shape[1]
    maps, _ = _spread(_outputs(base, layers), layers, pooling, cells, CentralCrop(1.0))
    last_map = keras.layers.Concatenate(dtype="float32", name=STAGES_MAP)(maps)
    return last_map, keras.layers.GlobalAveragePooling2D(dtype="float32", name="stages_mean")(last_map)


def last_map(model: keras.Model) -> keras.KerasTensor:
    """Return the last map (n, rows, columns, d) of a network; its features are the means of that map."""
    names = {layer.name for layer in model.layers}
    return model.get_layer(STAGES_MAP if STAGES_MAP in names else LAST_MAP).output


def pool_stages(
    build: Callable[[int], keras.Model],
    image_size: int,
    inputs: Sequence[PictureInput],
    layers: Layers,
    pooling: Pooling,
) -> keras.Model:
    """Return the network pixels (n, image_size, image_size, 3) -> features (n, d) of one or all stages of a backbone.

    ``build(side)`` returns the backbone for pictures of that side. It sees the picture once per input, resized and
    cropped inside the network, to the field of view of each picture where the input says so. The features of an input
    are the means over the cells of the last map or, for all layers, the means and standard deviations over the cells of
    every stage's output; with ``pooling`` "centre", the cells have the weights of ``centre_weights``.

    The layer ``top_activation`` is a map (n, rows, columns, d) that spreads each of these over the cells of the last
    activation map, so that its means are the features. A linear head on them is thereby a sum over cells, and a heat
    map by class activation is exact. The features themselves do not pass through the map, which costs more than they.
    """
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    bases = {side: build(side) for side in {view.side for view in inputs}}
    cells = max(base.get_layer(LAST_MAP).output.shape[1] for base in bases.values())
    maps, features = [], []
    for view in inputs:
        base = bases[view.side]
        crop = crop_of(view, pixels)
        picture = crop.resize(pixels, view.side)
        stages = keras.Model(base.input, _outputs(base, layers))
        parts = _spread(keras.tree.flatten(stages(picture)), layers, pooling, cells, crop)
        maps += parts[0]
        features += parts[1]
    features_beside_map = _First(name="avg_pool")([_join(features, "means"), _join(maps, LAST_MAP)])
    return keras.Model(pixels, features_beside_map, name="stages")


def centre_weights(cells: int) -> np.ndarray:
    """Return the weight of every cell of a map, float32 (cells, cells) with the mean 1: a Gaussian in the middle."""
    places = (np.arange(cells) + 0.5) / cells - 0.5
    line = np.exp(-0.5 * (places / CENTRE) ** 2)
    weights = np.outer(line, line)
    return np.asarray(weights / weights.mean(), np.float32)


def _outputs(base: keras.Model, layers: Layers) -> list[keras.KerasTensor]:
    return stage_outputs(base) if layers == "all" else [base.get_layer(LAST_MAP).output]


def _spread(
    stages: Sequence[keras.KerasTensor], layers: Layers, pooling: Pooling, cells: int, crop: Crop
) -> tuple[list[keras.KerasTensor], list[keras.KerasTensor]]:
    """Return a float32 map (n, cells, cells, channels) of every stage, and the means (n, channels) of all channels.

    For all layers, a map also has the deviations.
    """
    maps, features = [], []
    for stage in stages:
        values, means = _channels(ops.cast(stage, "float32"), layers, pooling)
        maps.append(crop.spread(values, cells))
        features += means
    return maps, features


class _First(keras.layers.Layer):  # type: ignore[misc]
    """Return the first of two tensors; the other belongs to the network, so that ``with_last_map`` finds it."""

    def call(self, tensors: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Return the first tensor."""
        return tensors[0]


def _channels(
    stage: keras.KerasTensor, layers: Layers, pooling: Pooling
) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
    """Return a map of ``stage`` (n, rows, columns, channels) and the means (n, channels) of its channels.

    For all layers, the map also has a channel for every channel whose mean is the standard deviation of that.
    """
    values = _weigh(stage, pooling)
    mean = _mean(values)
    if layers == "last":
        return values, [mean]
    squares = _weigh(ops.square(stage - _for_each_cell(mean)) + SMALLEST_VARIANCE, pooling)
    deviation = ops.sqrt(_mean(squares))
    return ops.concatenate([values, squares / _for_each_cell(deviation)], axis=-1), [mean, deviation]


def _weigh(maps: keras.KerasTensor, pooling: Pooling) -> keras.KerasTensor:
    if pooling == "average":
        return maps
    return maps * centre_weights(maps.shape[1])[np.newaxis, :, :, np.newaxis]


def _mean(maps: keras.KerasTensor) -> keras.KerasTensor:
    """Return the means (n, channels) of ``maps`` (n, rows, columns, channels) over the cells."""
    # A mean of one cell is exported to ONNX in several equal ways, and which one depends on the process, but the same
    # network must always be the same file.
    if maps.shape[1] == maps.shape[2] == 1:
        return ops.reshape(maps, (-1, maps.shape[3]))
    return ops.mean(maps, axis=(1, 2))


def _for_each_cell(values: keras.KerasTensor) -> keras.KerasTensor:
    return ops.reshape(values, (-1, 1, 1, values.shape[1]))


def _join(parts: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
    if len(parts) == 1:
        return keras.layers.Identity(dtype="float32", name=name)(parts[0])
    return keras.layers.Concatenate(dtype="float32", name=name)(parts)
