"""Reduce a picture to a grey square, cut off its black border, and frame what it shows: the largest centred disc."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

SIDE = 80  # px of the square
BLACK = 25  # grey levels; compression lightens a black border up to here
BLACK_SHARE = 0.2  # of the grey level of bright skin; in a dark picture, less is black
BRIGHT_SHARE = 0.02  # of the pixels of a line that belongs to the content
LEAST = 0.2  # share of the picture that must remain, else it is dark itself and nothing is cut off
Floats = NDArray[np.float32]


def framed_square(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Floats]:
    """Return the grey square, uint8 (SIDE, SIDE), of ``picture``, uint8 (height, width, 3), and its frame (4,).

    Grey is the mean of the channels, so that their order does not matter. A black border is cut off; 0 stands for
    pixels outside of the content: black corners of a turned picture or around a round vignette. The frame is the
    ellipse that shows the largest disc around the middle of the content: middle (down, right) and radii, in px.
    """
    grey = picture.mean(axis=2, dtype=np.float32)
    black = min(BLACK, BLACK_SHARE * float(np.percentile(grey, 90)))
    grey = _without_border(grey, black)
    small = np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX))
    inside = _content(small, black)
    square = np.where(inside, np.rint(small).clip(1, 255), 0).astype(np.uint8)
    return square, _frame(inside, grey.shape)


def _without_border(grey: Floats, black: float) -> Floats:
    bright = grey > black
    box = []
    for axis in (1, 0):
        lines = np.flatnonzero(bright.mean(axis=axis) > BRIGHT_SHARE)
        box.append(slice(lines[0], lines[-1] + 1) if len(lines) else slice(None))
    part = grey[tuple(box)]
    return part if part.size >= LEAST * grey.size and min(part.shape) > 1 else grey


def _content(small: Floats, black: float) -> NDArray[np.bool_]:
    """Return which pixels are content: not black, or black without a connection to a corner, as a dark lesion is."""
    is_black = small <= black
    labels, _ = ndimage.label(is_black)
    outside = np.isin(labels, labels[[0, 0, -1, -1], [0, -1, 0, -1]]) & is_black
    if not outside.any():
        return np.ones(small.shape, bool)
    # The pixels at the rim of the black are a mixture of both.
    outside = ndimage.binary_dilation(outside)
    return ~outside if outside.mean() <= 1 - LEAST else np.ones(small.shape, bool)


def _frame(inside: NDArray[np.bool_], shape: tuple[int, ...]) -> Floats:
    """Return middle and radii (px of the square) of the disc around the middle of ``inside`` that touches its rim."""
    pixel = np.array(shape) / min(shape) / SIDE  # height and width of a pixel of the square
    if inside.all():
        middle, radius = np.full(2, (SIDE - 1) / 2), 0.5
    else:
        middle = np.array(ndimage.center_of_mass(inside))
        distance = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=pixel)[1:-1, 1:-1]
        near = np.hypot(*((np.indices(inside.shape).T - middle) * pixel).T) <= 0.15
        radius = max(float((distance * near).max()), 0.1)
        middle = np.array(np.unravel_index((distance * near).argmax(), inside.shape), float)
    return np.concatenate([middle, radius / pixel]).astype(np.float32)
