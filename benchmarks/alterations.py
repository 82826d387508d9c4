"""Alter pictures as copies in collections differ from their originals: one function per kind of alteration."""

import io
from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageOps

Picture = NDArray[np.uint8]
Alteration = Callable[[Picture, Generator], Picture]

CROP = (0.85, 0.95)  # share of each side, at a random position
TIGHT_CROP = 0.75  # share of each side
GAIN = (0.9, 1.1)  # factor of the brightness
SCALE = (0.5, 1.25)  # factor of both sides
QUALITY = (50, 95)  # of the JPEG
POOR_QUALITY = 8  # of the JPEG
TURN = (5.0, 45.0)  # degrees, to either side
BORDER = (0.05, 0.15)  # width of the black border as a share of the shorter side
LENS = (0.9, 1.1)  # diameter of the round vignette as a share of the shorter side
SMALLEST = 32  # px


def alter(picture: Picture, rng: Generator) -> Picture:
    """Return an altered copy of ``picture``, uint8 RGB (height, width, 3).

    The copy is cropped, rotated, flipped, made brighter or darker, rescaled and compressed as JPEG again, each by a
    random amount within the limits of this module.
    """
    part = crop(picture, rng, rng.uniform(*CROP, 2))
    rotation = np.rot90(part, int(rng.integers(4)))
    view = rotation[:, ::-1] if rng.random() < 0.5 else rotation
    pixels = np.rint(view * rng.uniform(*GAIN)).clip(0, 255).astype(np.uint8)
    scale = rng.uniform(*SCALE)
    size = (max(SMALLEST, round(pixels.shape[1] * scale)), max(SMALLEST, round(pixels.shape[0] * scale)))
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    return compress(np.asarray(image), int(rng.integers(*QUALITY)))


def crop(picture: Picture, rng: Generator, shares: NDArray[np.float64]) -> Picture:
    """Return the part of ``picture`` with ``shares`` (2,) of its height and width, at a random position."""
    height, width = (round(side * share) for side, share in zip(picture.shape, shares, strict=False))
    y, x = rng.integers(0, picture.shape[0] - height + 1), rng.integers(0, picture.shape[1] - width + 1)
    return picture[y : y + height, x : x + width]


def compress(picture: Picture, quality: int) -> Picture:
    """Return ``picture`` after compression as JPEG of ``quality`` (1 to 95)."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def turn(picture: Picture, rng: Generator) -> Picture:
    """Turn ``picture`` by 5 to 45 degrees to either side; corners without a source are black, the size stays."""
    angle = rng.uniform(*TURN) * rng.choice([-1, 1])
    return np.asarray(Image.fromarray(picture).rotate(angle, Image.Resampling.BICUBIC))


def make_grey(picture: Picture, rng: Generator) -> Picture:
    """Replace the colours by their brightness."""
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


def swap_channels(picture: Picture, rng: Generator) -> Picture:
    """Store red as blue and blue as red."""
    return np.ascontiguousarray(picture[..., ::-1])


def apply_gamma(picture: Picture, rng: Generator, gamma: float) -> Picture:
    """Raise the brightness (0 to 1) to the power ``gamma``."""
    return np.asarray(np.rint(255 * (picture / 255) ** gamma), np.uint8)


def stretch_contrast(picture: Picture, rng: Generator) -> Picture:
    """Stretch every channel so that it reaches from 0 to 255."""
    return np.asarray(ImageOps.autocontrast(Image.fromarray(picture)))


def add_border(picture: Picture, rng: Generator) -> Picture:
    """Put ``picture`` into a black border."""
    width = round(min(picture.shape[:2]) * rng.uniform(*BORDER))
    return np.pad(picture, ((width, width), (width, width), (0, 0)))


def add_lens(picture: Picture, rng: Generator) -> Picture:
    """Make everything outside of a circle in the middle black, as a dermatoscope does."""
    height, width = picture.shape[:2]
    rows, columns = np.ogrid[:height, :width]
    radius = min(height, width) / 2 * rng.uniform(*LENS)
    return np.asarray(picture * (np.hypot(rows - height / 2, columns - width / 2) < radius)[..., None], np.uint8)


def crop_tightly(picture: Picture, rng: Generator) -> Picture:
    """Return three quarters of either side, at a random position."""
    return np.ascontiguousarray(crop(picture, rng, np.full(2, TIGHT_CROP)))


def compress_poorly(picture: Picture, rng: Generator) -> Picture:
    """Compress ``picture`` as a poor JPEG."""
    return compress(picture, POOR_QUALITY)


def mix_two(picture: Picture, rng: Generator) -> Picture:
    """Apply two different kinds of ``KINDS`` in random order."""
    pairs = list(combinations(SINGLE_KINDS, 2))
    names = rng.permutation(pairs[rng.integers(len(pairs))])
    for name in names:
        picture = SINGLE_KINDS[name](picture, rng)
    return picture


SINGLE_KINDS: dict[str, Alteration] = {
    "turned": turn,
    "grey": make_grey,
    "channels": swap_channels,
    "gamma-0.5": partial(apply_gamma, gamma=0.5),
    "gamma-2": partial(apply_gamma, gamma=2.0),
    "contrast": stretch_contrast,
    "border": add_border,
    "lens": add_lens,
    "crop-75": crop_tightly,
    "jpeg-8": compress_poorly,
}
KINDS: dict[str, Alteration] = {"light": alter, **SINGLE_KINDS, "mixture": mix_two}
