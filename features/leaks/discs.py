"""Describe discs of pictures by numbers that do not change when a picture is turned, flipped, relit or recoloured."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]
Numbers = NDArray[np.float64]
Spectra = NDArray[np.complex64]

RINGS = 12
ANGLES = 48
ORDERS = 9  # of the Fourier series along a ring; higher ones are finer than what a shifted disc keeps
SMOOTH = 1.2  # px; finer structure does not survive a poor JPEG
# Radius of the discs as a share of the picture's own disc -> distance between their middles, the largest distance from
# the picture's middle. A crop is described by its own disc, which is near one of these discs of the original.
GRIDS = ((1.0, 1.0, 0.0), (0.9, 0.14, 0.2), (0.76, 0.16, 0.46), (0.64, 0.18, 0.3))
SQUARE_RADII = (1.0, 0.86, 0.74)  # radii of the discs of the picture if it is stored again as a square


def _offsets() -> Numbers:
    """Return (discs, 3): radius, and the middle's distance from the picture's (down, right), in the disc's radius."""
    rows = []
    for radius, step, farthest in GRIDS:
        ticks = np.arange(-3, 4) * step
        rows += [(radius, down, right) for down in ticks for right in ticks if np.hypot(down, right) <= farthest + 1e-9]
    return np.array(rows)


OFFSETS = _offsets()
DISCS = len(OFFSETS) + len(SQUARE_RADII)


def discs(frames: Floats, side: int) -> Floats:
    """Return the discs (n, DISCS, 4) of pictures with ``frames`` (n, 4): middle (down, right), radii (down, right).

    All in px of the squares of ``side`` to which the pictures were squeezed; the first disc is the picture's frame.
    """
    middles, radii = frames[:, None, :2], frames[:, None, 2:]
    own = np.concatenate([middles + radii * OFFSETS[:, 1:], radii * OFFSETS[:, :1]], axis=2)
    half = side / 2
    as_square = np.array([(half - 0.5, half - 0.5, half * share, half * share) for share in SQUARE_RADII])
    return np.concatenate([own, np.broadcast_to(as_square, (len(frames), *as_square.shape))], axis=1).astype(np.float32)


def sample(squares: Floats, rows: NDArray[np.intp], positions: Numbers | Floats) -> Floats:
    """Return the values (k, ...) of ``squares`` (n, side, side) at ``positions`` (k, ..., 2) in ``rows`` (k,)."""
    side = squares.shape[1]
    place = np.clip(positions, 0, side - 1.001).astype(np.float32)
    corner = place.astype(np.int32)
    part = place - corner
    index = corner[..., 0] * side + corner[..., 1] + (rows * side * side).reshape(-1, *[1] * (corner.ndim - 2))
    flat, down, right = squares.reshape(-1), part[..., 0], part[..., 1]
    upper = flat[index] * (1 - right) + flat[index + 1] * right
    lower = flat[index + side] * (1 - right) + flat[index + side + 1] * right
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _polar_grid() -> Numbers:
    radius = (np.arange(RINGS) + 0.6) / RINGS
    angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
    return np.stack([radius[:, None] * np.sin(angle), radius[:, None] * np.cos(angle)], axis=2)


POLAR = _polar_grid().astype(np.float32)


def smooth(grey: NDArray[np.uint8] | Floats) -> Floats:
    """Return ``grey`` squares (n, side, side) without their finest structure."""
    return np.asarray(ndimage.gaussian_filter(grey.astype(np.float32), (0, SMOOTH, SMOOTH)))


def ring_spectra(squares: Floats, rows: NDArray[np.intp], places: Floats) -> Spectra:
    """Return the Fourier series (k, RINGS, ORDERS) along the rings of the discs ``places`` (k, 4) of ``rows`` (k,).

    Grey levels are replaced by their rank within the disc: gamma and contrast change no rank.
    """
    values = sample(squares, rows, places[:, None, None, :2] + places[:, None, None, 2:] * POLAR)
    order = values.reshape(len(values), -1).argsort(axis=1)
    ranks = np.empty(order.shape, np.float32)
    np.put_along_axis(ranks, order, np.linspace(-1, 1, order.shape[1], dtype=np.float32)[None], axis=1)
    return np.fft.rfft(ranks.reshape(values.shape), axis=2)[:, :, :ORDERS].astype(np.complex64) / ANGLES


def invariants(spectra: Spectra) -> Floats:
    """Return numbers (k, d) from ``ring_spectra`` that neither a turn nor a flip changes.

    A turn adds to all phases of an order the same angle and a flip changes the sign of all phases: the sizes, and the
    real parts of products of one ring with the conjugate of another, stay.
    """
    products = [(spectra[:, : RINGS - gap, 1:] * spectra[:, gap:, 1:].conj()).real for gap in (0, 1, 3)]
    both = np.concatenate([product.reshape(len(spectra), -1) for product in products], axis=1)
    return np.concatenate([spectra[:, :, 0].real, np.sign(both) * np.sqrt(np.abs(both))], axis=1, dtype=np.float32)


def best_turns(
    first: NDArray[np.complex64], second: NDArray[np.complex64], count: int
) -> tuple[Floats, Numbers, Floats]:
    """Return the ``count`` best turns of discs: agreement (up to 1), angle (radians), flip (1 or -1); each (k, count).

    The values of ``first`` at an angle agree with those of ``second`` at flip * angle + turn.
    """
    steps, weight = 120, np.sqrt(np.arange(1, RINGS + 1))[:, None].astype(np.float32)
    lengths = [np.sqrt((np.abs(part[:, :, 1:] * weight) ** 2).sum((1, 2))) + 1e-6 for part in (first, second)]
    one, other = first[:, :, 1:] * weight, second[:, :, 1:] * weight
    curves = []
    for conjugate in (one.conj(), one):
        series = np.zeros((len(one), steps), np.complex64)
        series[:, 1:ORDERS] = (conjugate * other).sum(axis=1)
        curves.append(np.fft.ifft(series, axis=1).real * steps / (lengths[0] * lengths[1])[:, None])
    agreement = np.concatenate(curves, axis=1)
    peaks = np.where(np.concatenate([_is_peak(curve) for curve in curves], axis=1), agreement, np.float32(-1))
    best = np.argsort(-peaks, axis=1, kind="stable")[:, :count]
    flips = np.where(best < steps, 1, -1)
    return np.take_along_axis(peaks, best, 1), 2 * np.pi * (best % steps) / steps, flips.astype(np.float32)


def _is_peak(curve: Floats) -> NDArray[np.bool_]:
    return (curve >= np.roll(curve, 1, axis=1)) & (curve > np.roll(curve, -1, axis=1))


def blocks(count: int, size: int = 512) -> Iterator[slice]:
    """Yield slices that cover ``count`` rows in blocks of ``size``."""
    for start in range(0, count, size):
        yield slice(start, start + size)
