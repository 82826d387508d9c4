"""Pairs of pictures whose descriptors are close in what a crop does not change: worth comparing pixel by pixel."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ALL_PAIRS = 24  # up to so many pictures every pair is compared: a second or two
DIMENSIONS = 32  # of 200; with 16 to 64 the original was among the 5 nearest of 10,013 for 199 of 200 planted copies
NEIGHBOURS = 8  # per picture
FAR = 450.0  # squared distance in units of a crop's changes: 99 % of planted copies were within 380
MANY = 1000  # pictures; from fewer, the unit of distance is not well known
FLAT = 1e-4  # share of the largest variance below which a crop's change counts as this much


def propose(descriptors: Floats, cropped: Floats) -> NDArray[np.intp]:
    """Return pairs of rows (k, 2), first < second, in order, that may show the same.

    ``descriptors`` (n, d) are of the pictures, ``cropped`` (n, d) of one crop of each. A pair is proposed when one is
    among the NEIGHBOURS nearest of the other and, of MANY pictures, not FAR. n rows take n^2 * 64
    operations: 44,000 half a minute.
    """
    count = len(descriptors)
    if count <= ALL_PAIRS:
        return np.stack(np.triu_indices(count, 1), axis=1).astype(np.intp)
    points = crop_proof(descriptors, cropped)
    pairs = np.concatenate([_near(points, start) for start in range(0, count, 512)])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def crop_proof(descriptors: Floats, cropped: Floats) -> Floats:
    """Return points (n, 32) in which a crop moves a picture by about 1 per axis, and pictures are far apart.

    Linear discriminant analysis (Fisher 1936) with every picture and its crop as one class: the descriptors are
    scaled so that the changes by cropping have unit covariance, then the axes of largest variance are kept. The fewer
    pictures there are, the more the covariance is shrunk to its diagonal: of few, it is 0 in most directions.
    """
    changes = (cropped - descriptors).astype(np.float64)
    spread = changes.T @ changes / len(changes)
    own = changes.shape[1] / (changes.shape[1] + len(changes))
    variances, axes = np.linalg.eigh((1 - own) * spread + own * np.diag(np.diag(spread)))
    scaling = axes / np.sqrt(np.maximum(variances, FLAT * variances[-1] + 1e-12))
    points = (descriptors - descriptors.mean(axis=0)) @ scaling
    _, main = np.linalg.eigh(points.T @ points / len(points))
    return np.asarray(points @ main[:, ::-1][:, :DIMENSIONS], np.float32)


def _near(points: Floats, start: int) -> NDArray[np.intp]:
    block, squares = points[start : start + 512], np.einsum("ij,ij->i", points, points)
    rows = np.arange(len(block))
    distance = squares[start : start + 512, None] + squares - 2 * block @ points.T
    distance[rows, start + rows] = np.inf
    nearest = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    farthest = FAR if len(points) >= MANY else np.inf
    row, place = np.nonzero(np.take_along_axis(distance, nearest, axis=1) <= farthest)
    return np.stack([start + row, nearest[row, place]], axis=1)
