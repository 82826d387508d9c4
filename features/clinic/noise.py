"""Smooth random fields, as in skin, pigment and clouds, and how a coarse field is enlarged."""

import numpy as np
from numpy.random import Generator
from PIL import Image

from features.clinic.camera import Field


def cloud(rng: Generator, shape: tuple[int, int], cells: float, octaves: int = 3) -> Field:
    """Return smooth noise (height, width), mean 0 and deviation 1, with ``cells`` bumps per short side.

    Each further octave has bumps of half the width and 0.6 times the height, as in clouds and skin.
    """
    # Octaves are added on the coarse grid of the finest one, so that only one enlargement has the picture's size.
    total = _grid(rng, shape, cells)
    for octave in range(1, octaves):
        finer = _grid(rng, shape, cells * 2**octave)
        total = enlarge(total, finer.shape) + 0.6**octave * finer
    smooth = enlarge(total, shape)
    return np.asarray((smooth - smooth.mean()) / (smooth.std() + 1e-6), np.float32)


def enlarge(grid: Field, shape: tuple[int, ...]) -> Field:
    """Return ``grid`` resized to ``shape`` (height, width), smoothly."""
    picture = Image.fromarray(np.ascontiguousarray(grid)).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _grid(rng: Generator, shape: tuple[int, int], cells: float) -> Field:
    height, width = (round(cells * side / min(shape)) + 2 for side in shape)
    return rng.standard_normal((height, width), np.float32)
