"""Simulate a dermatoscope: cameras, hair, ruler marks, uneven light, dark corners, colour cast and noise."""

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.special import expit

Field = NDArray[np.float32]  # (height, width)
Picture = NDArray[np.float32]  # (height, width, 3), reflectance in [0, 1]
RULER_SHARE = 0.25  # share of the pictures that show the ruler, for cameras with an engraved one
HAIR_ABSORBANCE = np.array((1.5, 1.8, 2.0), np.float32)


@dataclass(frozen=True)
class Camera:
    """A dermatoscope: resolution in pixels, colour gain per channel, and its effects on a picture."""

    width: int
    height: int
    gain: tuple[float, float, float]
    vignette: float  # 0 none, 1 black corners
    blur: float  # standard deviation in pixels
    ruler: bool
    quality: int  # of the JPEG


CAMERAS = (
    Camera(344, 228, (1.02, 0.97, 0.99), 0.25, 0.5, True, 90),
    Camera(320, 240, (1.04, 0.96, 1.02), 0.10, 0.6, False, 92),
    Camera(280, 210, (0.92, 0.98, 0.92), 0.55, 0.4, True, 90),
    Camera(256, 256, (1.00, 0.95, 0.86), 0.90, 0.4, False, 88),
    Camera(360, 270, (0.96, 0.92, 1.05), 0.35, 0.8, True, 90),
)


def photograph(skin: Picture, camera: Camera, hair: float, rng: Generator) -> NDArray[np.uint8]:
    """Return the picture that ``camera`` takes of ``skin``, uint8 (height, width, 3); ``hair``: from 0 to 1."""
    shape = (camera.height, camera.width)
    hairy_skin = skin * np.exp(-_hairs(shape, hair, rng)[..., None] * HAIR_ABSORBANCE)
    light = _uneven_light(shape, rng) * _corners(shape, camera.vignette, rng)
    if camera.ruler and rng.random() < RULER_SHARE:
        light *= 1 - 0.75 * _ruler(shape, rng)
    cast = np.array(camera.gain, np.float32) * rng.normal(1.0, 0.012, 3).astype(np.float32)
    picture = gaussian_filter(hairy_skin * light[..., None] * cast, (camera.blur, camera.blur, 0), truncate=2.5)
    picture += 0.009 * rng.standard_normal(
        (*shape, 1), np.float32
    )  # noise in brightness only, since JPEG removes noise in colour
    return np.asarray(np.clip(picture, 0.0, 1.0) * 255 + 0.5, np.uint8)


def centred_grid(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Return y and x of every pixel, 0 in the centre, in units of the picture's short side."""
    height, width = shape
    y = (np.arange(height) - (height - 1) / 2) / min(shape)
    x = (np.arange(width) - (width - 1) / 2) / min(shape)
    rows, columns = np.meshgrid(y.astype(np.float32), x.astype(np.float32), indexing="ij")
    return rows, columns


def _hairs(shape: tuple[int, int], hair: float, rng: Generator) -> Field:
    height, width = (2 * side for side in shape)  # drawn at twice the size, so that thin lines are smooth
    sheet = Image.new("L", (width, height))
    pen = ImageDraw.Draw(sheet)
    for _ in range(rng.poisson(22 * max(hair - 0.35, 0.0))):
        points = _curve(rng) * min(shape) * 2 + np.array((width / 2, height / 2))
        pen.line([tuple(point) for point in points], fill=int(rng.uniform(110, 255)), width=int(rng.integers(2, 5)))
    small = sheet.reduce(2)
    return np.asarray(small, np.float32) / np.float32(255)


def _curve(rng: Generator) -> NDArray[np.float64]:
    # A quadratic Bezier curve of 12 points, long enough to cross a good part of the picture.
    start, along = rng.uniform(-0.7, 0.7, 2), rng.normal(0.0, 0.45, 2)
    middle, end = start + along / 2 + rng.normal(0.0, 0.10, 2), start + along
    t = np.linspace(0, 1, 12)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end)


def _ruler(shape: tuple[int, int], rng: Generator) -> Field:
    # Ticks along one edge; every fifth one is longer.
    upright = rng.random() < 0.5
    length = shape[0] if upright else shape[1]
    ticks = np.zeros((length, shape[1] if upright else shape[0]), np.float32)
    step, first = round(min(shape) * 0.045), int(rng.integers(2, 12))
    for count, position in enumerate(range(first, length, step)):
        ticks[position, 4 : 4 + round(min(shape) * (0.06 if count % 5 == 0 else 0.035))] = 1.0
    ruler: Field = ticks if upright else ticks.T
    return ruler[:, ::-1] if rng.random() < 0.5 else ruler


def _uneven_light(shape: tuple[int, int], rng: Generator) -> Field:
    y, x = centred_grid(shape)
    angle, slope = rng.uniform(0, 2 * np.pi), abs(rng.normal(0.0, 0.12))
    level = rng.normal(1.0, 0.045)
    return np.asarray(level + slope * (x * cos(angle) + y * sin(angle)), np.float32)


def _corners(shape: tuple[int, int], vignette: float, rng: Generator) -> Field:
    # Light falls off mildly everywhere; a strong vignette also shows the round edge of the lens.
    y, x = centred_grid(shape)
    away = np.hypot(x - rng.normal(0, 0.02), y - rng.normal(0, 0.02))
    fall = 1 - 0.35 * vignette * np.square(away)
    edge = expit((away - rng.uniform(0.56, 0.64)) / 0.012) if vignette > 0.5 else np.zeros(shape)
    return np.asarray(fall * (1 - 0.97 * edge), np.float32)
