"""About two hundred numbers of a picture that a turn, a flip and a change of light leave, and a crop changes little."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.fft import dctn

Floats = NDArray[np.float32]

SIDE = 64  # px of the squares that are described
EDGES = (4, 8, 12, 16, 20, 24, 28, 32, 38)  # px; the radii between which means and spreads are taken
SCALES = (2.0, 5.0)  # px; fine texture is below the first, middle texture between the two
FREQUENCIES = 10  # per axis, of the cosine transform
DARK = 8.0  # grey levels added before the logarithm, so that black corners do not outweigh the rest
FAINT = 0.01  # added to spreads before the logarithm


def describe(squares: NDArray[np.uint8]) -> Floats:
    """Return the descriptors, float32 (n, 200), of RGB ``squares``, uint8 (n, 64, 64, 3).

    Colours are logarithms relative to the picture's mean, so that brightness cancels. Means and spreads over rings
    about the centre do not change when the picture is turned by 90 degrees or flipped; neither do the magnitudes of
    the cosine transform once those of row-column and column-row frequency are put in order.
    """
    light = squares.astype(np.float32).transpose(0, 3, 1, 2)
    colours = np.log((light + DARK) / (light.mean(axis=(1, 2, 3), keepdims=True) + DARK))
    grey = colours.mean(axis=1)
    smooth, coarse = (ndimage.gaussian_filter(grey, (0, scale, scale)) for scale in SCALES)
    spreads = [_spread(grey - smooth), _spread(smooth - coarse), _spread(grey)]
    hues = colours - grey[:, None]
    means = [_over_rings(colours[:, channel]) for channel in range(3)]
    spreads += [_spread(hues[:, channel]) for channel in range(3)]
    logarithms = [np.log(spread + FAINT) for spread in spreads]
    return np.concatenate([*means, *logarithms, _frequencies(grey)], axis=1).astype(np.float32)


def _rings() -> Floats:
    """Return the weights (4096, rings) with which pixels enter the mean of each ring."""
    offsets = np.arange(SIDE) - (SIDE - 1) / 2
    ring = np.digitize(np.hypot(offsets[:, None], offsets), EDGES).ravel()
    members = (ring[:, None] == np.arange(len(EDGES) + 1)).astype(np.float32)
    return np.asarray(members / members.sum(axis=0), np.float32)


RINGS = _rings()


def _over_rings(plane: Floats) -> Floats:
    return np.asarray(plane.reshape(len(plane), -1) @ RINGS)


def _spread(plane: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(_over_rings(plane * plane) - _over_rings(plane) ** 2, 0)))


def _frequencies(grey: Floats) -> Floats:
    soft = ndimage.gaussian_filter(grey, (0, 1, 1))
    sizes = np.sqrt(np.abs(dctn(soft, axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES]))
    rows, columns = np.triu_indices(FREQUENCIES)
    one, other = sizes[:, rows, columns], sizes[:, columns, rows]
    return np.concatenate([np.maximum(one, other), np.minimum(one, other)], axis=1)
