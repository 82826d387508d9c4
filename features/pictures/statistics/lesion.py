"""The lesion of a picture and the skin around it: regions by their distance from the colour of the skin."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from features.pictures.statistics.colour import TINY, Floats, srgb_to_lab
from features.pictures.statistics.shape import Mask

# Parts of the picture by elliptical radius: 1 is the middle of each edge, sqrt(2) is a corner.
CENTRE, RING, CORNER = 0.35, (0.8, 1.0), 1.2
SMOOTHING = 9  # px; with less, reflections leave holes in the lesion mask and hairs leave lines


def lesion_mask(picture: NDArray[np.uint8]) -> Mask:
    """Return the mask (height, width) of the lesion in ``picture``, uint8 RGB (height, width, 3); it may be empty."""
    lab = srgb_to_lab(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    return segment(lab, elliptical_radius(*lab.shape[1:]))[2]


def skin_colour(picture: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Return the median CIE L*, a*, b* of the skin in ``picture``, uint8 RGB (height, width, 3).

    Skin is what is inside the ellipse that touches the edges, outside of the lesion; only its lightest quarter counts,
    which leaves out hair and the shade of dark corners.
    """
    lab = srgb_to_lab(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    radius = elliptical_radius(*lab.shape[1:])
    _, skin, mask = segment(lab, radius)
    around = (radius < RING[1]) & ~ndimage.binary_dilation(mask, iterations=SMOOTHING)
    pixels = pixels_within(lab, around) if around.any() else skin[:, None]
    median = np.median(pixels[:, pixels[0] >= np.quantile(pixels[0], 0.75)], axis=-1)
    return float(median[0]), float(median[1]), float(median[2])


def otsu_threshold(values: Floats, bins: int = 256) -> float:
    """Return the threshold with the largest variance between the values below and above it (Otsu 1979).

    If all values are equal, or differ by less than ``bins`` steps of their precision, return the largest, so that no
    value is above it.
    """
    most = values.max()
    if most - values.min() < max(TINY, bins * np.spacing(np.abs(values).max())):
        return float(most)
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centres)
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(edges[1:-1][np.argmax(between)])


def segment(lab: Floats, radius: Floats) -> tuple[Floats, Floats, Mask]:
    """Return the pixels of the outer ring, their median, which is the skin's colour, and the mask of the lesion."""
    ring = pixels_within(lab, (radius > RING[0]) & (radius < RING[1]))
    skin = np.median(ring, axis=-1)
    return ring, skin, _mask(np.sqrt(np.square(lab - skin[:, None, None]).sum(axis=0)), radius)


def _mask(distance: Floats, radius: Floats) -> Mask:
    """Return the lesion: a connected region whose smoothed ``distance`` from the skin is above Otsu's threshold.

    Neighbouring moles, pen marks and hairs are other regions; the one with the largest sum of 1 - radius over its
    pixels is chosen, which prefers large and central regions.
    """
    smooth = ndimage.uniform_filter(distance, SMOOTHING)
    inner = radius <= RING[1]
    regions, count = ndimage.label((smooth > otsu_threshold(pixels_within(smooth, inner))) & inner)
    if count == 0:
        return np.zeros(radius.shape, dtype=np.bool_)
    weights = np.bincount(regions.ravel(), (1 - radius).ravel())
    return np.asarray(regions == 1 + np.argmax(weights[1:]))


def elliptical_radius(height: int, width: int) -> Floats:
    """Return the elliptical radius of every pixel: 0 in the centre, 1 at the middle of an edge."""
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    return np.hypot(y[:, None], x[None, :]).astype(np.float32)


def pixels_within(planes: Floats, region: Mask) -> Floats:
    """Return the pixels of ``planes`` (..., height, width) inside ``region``; all of them if ``region`` is empty."""
    pixels = np.flatnonzero(region if region.any() else ~region)
    return np.take(planes.reshape(*planes.shape[:-2], -1), pixels, axis=-1)
