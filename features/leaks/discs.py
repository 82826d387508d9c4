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
AT_ONCE = 30_000  # positions; more than the processor's cache holds take seven times as long
SMOOTH = 1.2  # px; finer structure does not survive a poor JPEG
# Discs of a picture: radius as a share of the picture's own disc; number and distance of their middles along the
# shorter side and along the longer one, the distance as a share of half a side. A crop is described by its own disc,
# which is near one of these discs of the original.
GRIDS = (
    (1.0, (1, 0.0), (1, 0.0)),
    (0.9, (3, 0.11), (3, 0.11)),
    (0.76, (5, 0.12), (7, 0.08)),
    (0.64, (3, 0.12), (5, 0.08)),
)
SQUARE_RADII = (1.0, 0.86, 0.74)  # radii of the discs of the picture if it is stored again as a square


def _offsets() -> Numbers:
    """Return (discs, 3): radius, and the middle's offset along the shorter and the longer side in half sides."""
    rows = []
    for radius, *axes in GRIDS:
        shorter, longer = ((np.arange(count) - count // 2) * step for count, step in axes)
        rows += [(radius, one, other) for one in shorter for other in longer]
    return np.array(rows)


OFFSETS = _offsets()
DISCS = len(OFFSETS) + len(SQUARE_RADII)


def discs(frames: Floats, side: int) -> Floats:
    """Return the discs (n, DISCS, 4) of pictures with ``frames`` (n, 4): middle (down, right), radii (down, right).

    All in px of the squares of ``side`` to which the pictures were squeezed; the first disc is the picture's frame.
    """
    middles, radii, half = frames[:, None, :2], frames[:, None, 2:], side / 2
    is_wide = radii[..., :1] >= radii[..., 1:]
    offsets = half * np.where(is_wide, OFFSETS[:, 1:], OFFSETS[:, :0:-1])
    own = np.concatenate([middles + offsets, radii * OFFSETS[:, :1]], axis=2)
    as_square = np.array([(half - 0.5, half - 0.5, half * share, half * share) for share in SQUARE_RADII])
    return np.concatenate([own, np.broadcast_to(as_square, (len(frames), *as_square.shape))], axis=1).astype(np.float32)


def sample(squares: Floats, rows: NDArray[np.intp], positions: Floats) -> Floats:
    """Return the values (k, ...) of ``squares`` (n, side, side) at ``positions`` (k, ..., 2) in ``rows`` (k,)."""
    side = squares.shape[1]
    place = np.clip(positions, 0, np.float32(side - 1))
    corner = np.minimum(place.astype(np.int32), side - 2)
    down, right = (place[..., axis] - corner[..., axis] for axis in (0, 1))
    index = corner[..., 0] * side + corner[..., 1] + (rows * side * side).reshape(-1, *[1] * (corner.ndim - 2))
    flat = squares.reshape(-1)
    upper = flat.take(index) * (1 - right) + flat.take(index + 1) * right
    lower = flat.take(index + side) * (1 - right) + flat.take(index + side + 1) * right
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _polar_grid() -> Numbers:
    radius = (np.arange(RINGS) + 0.6) / RINGS
    angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
    return np.stack([radius[:, None] * np.sin(angle), radius[:, None] * np.cos(angle)], axis=2)


def _fourier_series() -> Numbers:
    """Return the matrix (ANGLES, 2 * ORDERS) from values along a ring to the real and imaginary parts of its series."""
    phase = 2 * np.pi * np.outer(np.arange(ANGLES), np.arange(ORDERS)) / ANGLES
    return np.concatenate([np.cos(phase), -np.sin(phase)], axis=1) / ANGLES


POLAR = _polar_grid().astype(np.float32)
SERIES = _fourier_series().astype(np.float32)


def smooth(grey: NDArray[np.uint8] | Floats) -> Floats:
    """Return ``grey`` squares (n, side, side) without their finest structure."""
    return np.asarray(ndimage.gaussian_filter(grey.astype(np.float32), (0, SMOOTH, SMOOTH), truncate=2))


def ring_spectra(squares: Floats, rows: NDArray[np.intp], places: Floats) -> Spectra:
    """Return the Fourier series (k, RINGS, ORDERS) along the rings of the discs ``places`` (k, 4) of ``rows`` (k,).

    Grey levels are replaced by their rank within the disc: gamma and contrast change no rank.
    """
    parts = blocks(len(rows), AT_ONCE // (RINGS * ANGLES))
    spectra = [_ring_spectra(squares, rows[part], places[part]) for part in parts]
    return np.concatenate(spectra) if spectra else np.empty((0, RINGS, ORDERS), np.complex64)


def _ring_spectra(squares: Floats, rows: NDArray[np.intp], places: Floats) -> Spectra:
    values = sample(squares, rows, places[:, None, None, :2] + places[:, None, None, 2:] * POLAR)
    order = values.reshape(len(values), -1).argsort(axis=1)
    ranks = np.empty(order.shape, np.float32)
    np.put_along_axis(ranks, order, np.linspace(-1, 1, order.shape[1], dtype=np.float32)[None], axis=1)
    series = (ranks.reshape(-1, ANGLES) @ SERIES).reshape(len(values), RINGS, 2, ORDERS)
    return np.asarray(series[:, :, 0] + 1j * series[:, :, 1], np.complex64)


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
    turns = np.exp(2j * np.pi * np.outer(np.arange(1, ORDERS), np.arange(steps)) / steps).astype(np.complex64)
    both = [(conjugate * other).sum(axis=1) @ turns for conjugate in (one.conj(), one)]
    curves = [curve.real / (lengths[0] * lengths[1])[:, None] for curve in both]
    agreement = np.concatenate(curves, axis=1)
    peaks = np.where(np.concatenate([_is_peak(curve) for curve in curves], axis=1), agreement, np.float32(-1))
    best = np.argsort(-peaks, axis=1, kind="stable")[:, :count]
    flips = np.where(best < steps, 1, -1)
    return np.take_along_axis(peaks, best, 1), 2 * np.pi * (best % steps) / steps, flips.astype(np.float32)


def _is_peak(curve: Floats) -> NDArray[np.bool_]:
    return (curve >= np.roll(curve, 1, axis=1)) & (curve > np.roll(curve, -1, axis=1))


def blocks(count: int, size: int) -> Iterator[slice]:
    """Yield slices that cover ``count`` rows in blocks of ``size``."""
    for start in range(0, count, size):
        yield slice(start, start + size)
