"""Other cameras, drawn over real pictures: dark corners, another field of view, colour cast, blur, low resolution."""

import io
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from features.clinic.camera import Camera, photograph
from features.pictures.read import encode_jpeg, shrink

Picture = NDArray[np.uint8]
OWN = "own camera"
NARROW = 0.6  # share of a side that a narrow field of view shows
MARGIN = 0.25  # of a side, mirrored around the picture for a wide field of view
CAST = (1.1, 1.0, 0.78)  # warm light
BLUR = 0.012  # of the short side
COARSE, QUALITY = 72, 50  # long side in px, quality of the JPEG
NO_HAIR = 0.0


def _photograph(
    picture: Picture,
    seed: int,
    *,
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0),
    vignette: float = 0.0,
    blur: float = 0.0,
) -> Picture:
    height, width = picture.shape[:2]
    camera = Camera(width, height, gain, vignette, blur * min(height, width), ruler=False, quality=95)
    return photograph(picture.astype(np.float32) / np.float32(255), camera, NO_HAIR, np.random.default_rng(seed))


def central(picture: Picture, share: float) -> Picture:
    """Return the central ``share`` of both sides of ``picture`` (height, width, 3)."""
    height, width = picture.shape[:2]
    rows, columns = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    return picture[rows : height - rows, columns : width - columns]


def _wide(picture: Picture) -> Picture:
    rows, columns = (round(side * MARGIN) for side in picture.shape[:2])
    return np.pad(picture, ((rows, rows), (columns, columns), (0, 0)), mode="reflect")


def _coarse(picture: Picture) -> Picture:
    return np.asarray(Image.open(io.BytesIO(encode_jpeg(shrink(picture, COARSE), QUALITY))))


CAMERAS: dict[str, Callable[[Picture, int], Picture]] = {
    OWN: lambda picture, seed: picture,
    "dark corners": partial(_photograph, vignette=1.0),
    "narrow field": lambda picture, seed: central(picture, NARROW),
    "wide field": lambda picture, seed: _wide(picture),
    "colour cast": partial(_photograph, gain=CAST),
    "blur": partial(_photograph, blur=BLUR),
    "low resolution": lambda picture, seed: _coarse(picture),
}


def take(picture: Picture, camera: str, name: str) -> Picture:
    """Return ``picture`` (height, width, 3) as ``camera`` shows it; random amounts depend on the case's ``name``."""
    return CAMERAS[camera](picture, zlib.crc32(name.encode()))
