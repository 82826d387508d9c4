"""Crops inside a network: a central share, the field of view, or the square around the lesion of each picture."""

from abc import ABC, abstractmethod

import keras
import numpy as np
from keras import ops
from PIL import Image

from level1_cnn.networks import field_of_view, lesion_square
from level1_cnn.training_settings import PictureInput


class Crop(ABC):
    """A part of each picture that a network sees, and the way back from there to the whole picture."""

    @abstractmethod
    def resize(self, pictures: keras.KerasTensor, side: int) -> keras.KerasTensor:
        """Return this part of ``pictures`` (n, source, source, channels) as (n, side, side, channels)."""

    @abstractmethod
    def spread(self, values: keras.KerasTensor, cells: int) -> keras.KerasTensor:
        """Return ``values`` (n, rows, rows, channels) of this part as a map (n, cells, cells, channels) of the picture.

        The means of the map over the cells are the means of the values.
        """


class CentralCrop(Crop):
    """The central ``share`` of the sides."""

    def __init__(self, share: float) -> None:
        self._share = share

    def resize(self, pictures: keras.KerasTensor, side: int) -> keras.KerasTensor:
        """Return this part at another side."""
        return resample(pictures, resizing_matrix(pictures.shape[1], side, self._share))

    def spread(self, values: keras.KerasTensor, cells: int) -> keras.KerasTensor:
        """Return the map of ``values``."""
        return resample(values, spreading_matrix(values.shape[1], cells, self._share))


class FieldOfView(Crop):
    """The largest central part without the dark corners of a round lens, one of a few shares for each picture."""

    def __init__(self, pixels: keras.KerasTensor) -> None:
        self._choice = field_of_view.lit_share(_grid(pixels, field_of_view.GRID))

    def resize(self, pictures: keras.KerasTensor, side: int) -> keras.KerasTensor:
        """Return this part at another side."""
        matrices = [resizing_matrix(pictures.shape[1], side, share) for share in field_of_view.SHARES]
        return resample_each(pictures, self._choice, np.stack(matrices))

    def spread(self, values: keras.KerasTensor, cells: int) -> keras.KerasTensor:
        """Return the map of ``values``."""
        matrices = [spreading_matrix(values.shape[1], cells, share) for share in field_of_view.SHARES]
        return resample_each(values, self._choice, np.stack(matrices))


class LesionCrop(Crop):
    """The square around the lesion of each picture."""

    def __init__(self, pixels: keras.KerasTensor) -> None:
        squares = lesion_square.lesion_square(_grid(pixels, lesion_square.GRID))
        *self._starts, self._side = (squares[:, number, np.newaxis, np.newaxis] for number in range(3))

    def resize(self, pictures: keras.KerasTensor, side: int) -> keras.KerasTensor:
        """Return this part at another side, by a linear filter as wide as a new pixel."""
        source = pictures.shape[1]
        step = self._side * (source / side)  # of a new pixel, in old ones
        centres = step * np.arange(0.5, side, dtype=np.float32)[:, np.newaxis]
        old = np.arange(0.5, source, dtype=np.float32)
        matrices = []
        for start in self._starts:
            weights = ops.relu(1 - ops.abs(centres + start * source - old) / ops.maximum(step, 1.0))
            matrices.append(weights / ops.sum(weights, axis=2, keepdims=True))
        return _multiply(pictures, *matrices)

    def spread(self, values: keras.KerasTensor, cells: int) -> keras.KerasTensor:
        """Return the map of ``values``."""
        edges = self._side * np.linspace(0, 1, values.shape[1] + 1, dtype=np.float32)
        grid = np.linspace(0, 1, cells + 1, dtype=np.float32)[:, np.newaxis]
        matrices = []
        for start in self._starts:
            own = edges + start
            overlap = ops.minimum(grid[1:], own[:, :, 1:]) - ops.maximum(grid[:-1], own[:, :, :-1])
            matrices.append(ops.relu(overlap) * cells / self._side)
        return _multiply(values, *matrices)


def crop_of(view: PictureInput, pixels: keras.KerasTensor) -> Crop:
    """Return the crop of ``view``; what depends on each picture is found in ``pixels`` (n, side, side, 3) 0..255."""
    if isinstance(view.crop, float):
        return CentralCrop(view.crop)
    return FieldOfView(pixels) if view.crop == "field_of_view" else LesionCrop(pixels)


def _grid(pixels: keras.KerasTensor, cells: int) -> keras.KerasTensor:
    return resample(pixels, spreading_matrix(pixels.shape[1], cells, 1.0))


def _multiply(pictures: keras.KerasTensor, rows: keras.KerasTensor, columns: keras.KerasTensor) -> keras.KerasTensor:
    """Multiply rows and columns of each picture (side, side, channels) by matrices (n, new side, side) of its own."""
    _, side, _, channels = pictures.shape
    lines = ops.matmul(rows, ops.reshape(pictures, (-1, side, side * channels)))
    return ops.matmul(ops.expand_dims(columns, 1), ops.reshape(lines, (-1, rows.shape[1], side, channels)))


def resample(pictures: keras.KerasTensor, matrix: np.ndarray) -> keras.KerasTensor:
    """Multiply rows and columns of ``pictures`` (n, side, side, channels) by ``matrix`` (new side, side)."""
    if np.array_equal(matrix, np.eye(*matrix.shape)):
        return pictures
    side, channels = pictures.shape[1], pictures.shape[3]
    rows = ops.matmul(matrix, ops.reshape(pictures, (-1, side, side * channels)))
    return ops.matmul(matrix, ops.reshape(rows, (-1, len(matrix), side, channels)))


def resample_each(pictures: keras.KerasTensor, choice: keras.KerasTensor, matrices: np.ndarray) -> keras.KerasTensor:
    """Resample each picture (side, side, channels) of a batch by one of ``matrices`` (m, new side, side).

    ``choice`` (n, m) is 1 for the matrix of a picture and 0 for all others.
    """
    count, new, side = matrices.shape
    own = ops.reshape(ops.matmul(choice, matrices.reshape(count, new * side)), (-1, new, side))
    return _multiply(pictures, own, own)


def spreading_matrix(source: int, cells: int, crop: float) -> np.ndarray:
    """Return the matrix (cells, source) float32 that spreads ``source`` values over the cells by overlap.

    The values cover the central share ``crop`` of the line. The mean over the cells is the mean of the values.
    """
    edges = (1 - crop) / 2 + crop * np.linspace(0, 1, source + 1)
    grid = np.linspace(0, 1, cells + 1)[:, np.newaxis]
    overlap = np.minimum(grid[1:], edges[1:]) - np.maximum(grid[:-1], edges[:-1])
    return np.asarray(np.maximum(overlap, 0) * cells / crop, np.float32)


def resizing_matrix(source: int, side: int, crop: float) -> np.ndarray:
    """Return the matrix (side, source) float32 that resizes the central share ``crop`` of a line, as pictures are."""
    margin = source * (1 - crop) / 2
    identity = Image.fromarray(np.eye(source, dtype=np.float32))
    box = (0, margin, source, source - margin)
    return np.asarray(identity.resize((source, side), Image.Resampling.LANCZOS, box=box))
