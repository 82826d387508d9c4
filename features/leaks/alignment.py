"""Align pairs of pictures by an affine map, from the agreement of two discs to the correlation of fine detail.

The map is refined step by step (inverse compositional Lucas-Kanade; Baker and Matthews 2004), all pairs at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from features.leaks.discs import sample, smooth

Floats = NDArray[np.float32]
Numbers = NDArray[np.float64]

COARSE, MEDIUM, FINE = 24, 32, 64  # px of the squares around a disc
REACH = 1.05  # of a disc's radius: half the side of these squares
COARSE_SCALE = 5.0  # px of the trace; coarser structure is the mole as a whole
DETAIL_SCALE = 1.5  # px of a fine square; coarser structure is light and shade
NOISE = 1.5  # grey levels; weaker detail is a rounding error
STEP = 0.03  # of the medium structure, to store it in a byte
START_STEPS, COARSE_STEPS, DETAIL_STEPS = 4, 6, 6
MOST_STRETCH = 2.2  # of a direction by a map; more is a false alignment
LEAST_OVERLAP = 0.4  # share of the fine square
NEAREST_SHIFT, FARTHEST_SHIFT = 4, 24  # px of the fine square; the peak itself is wider than the former
SIDELOBE_FLOOR = 0.01  # correlation by chance that is always assumed


@dataclass(frozen=True)
class Maps:
    """Affine maps of k discs: a point p (down, right; in radii) of the disc is at ``middle`` + ``matrix`` p, in px."""

    matrix: Numbers
    middle: Numbers

    def positions(self, points: Floats) -> Floats:
        """Return the positions (k, ..., 2) of ``points`` (..., 2)."""
        matrix, middle = self.matrix.swapaxes(1, 2).astype(np.float32), self.middle.astype(np.float32)
        flat = points.reshape(-1, 2) @ matrix + middle[:, None]
        return np.asarray(flat.reshape(len(flat), *points.shape), np.float32)

    def part(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Maps":
        """Return the maps of ``rows``."""
        return Maps(self.matrix[rows], self.middle[rows])

    def after(self, step: "Maps", side: int) -> "Maps":
        """Return the maps after ``step``, a map from the points of ``grid`` to the pixels of squares of ``side``."""
        factor = side / (2 * REACH)
        matrix, shift = step.matrix / factor, (step.middle - (side - 1) / 2) / factor
        return Maps(self.matrix @ matrix, self.middle + np.einsum("kij,kj->ki", self.matrix, shift))

    def change_by(self, change: Numbers) -> "Maps":
        """Return the maps after the inverse of ``change`` (k, 6): matrix (4) less the identity, and shift (2)."""
        inverse = np.linalg.inv(np.eye(2) + change[:, :4].reshape(-1, 2, 2))
        matrix = self.matrix @ inverse
        return Maps(matrix, self.middle - np.einsum("kij,kj->ki", matrix, change[:, 4:]))


def disc_maps(places: Floats, angle: Numbers | float = 0.0, flip: Numbers | float = 1.0) -> Maps:
    """Return the maps of discs ``places`` (k, 4) after a turn by ``flip`` * direction + ``angle`` (radians)."""
    angle, flip = np.broadcast_to(angle, len(places)), np.broadcast_to(flip, len(places))
    sine, cosine = np.sin(angle), np.cos(angle)
    turn = np.stack([np.stack([flip * cosine, sine], 1), np.stack([-flip * sine, cosine], 1)], 1)
    return Maps(places[:, 2:, None].astype(np.float64) * turn, places[:, :2].astype(np.float64))


def grid(side: int) -> Floats:
    """Return the points (side, side, 2) of the square around a disc, in radii."""
    ticks = (np.arange(side) - (side - 1) / 2) * (2 * REACH / side)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=2).astype(np.float32)


def even(grey: Floats, inside: Floats | NDArray[np.bool_], scale: float) -> Floats:
    """Return the structure finer than ``scale`` in squares (n, side, side), divided by its local strength.

    Without the division, a mole would dominate and any two small moles would correlate. It is 0 where ``inside`` is.
    """
    blur = (0, scale, scale)
    weight = ndimage.gaussian_filter(np.asarray(inside, np.float32), blur, truncate=3) + 1e-3
    fine = (grey - ndimage.gaussian_filter(grey * inside, blur, truncate=3) / weight) * inside
    strength = np.sqrt(ndimage.gaussian_filter(fine * fine, blur, truncate=3) / weight)
    return np.asarray(fine / (strength + NOISE), np.float32)


def coarse_structure(grey: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the medium structure (n, side, side), in STEP, of grey squares; by it, pairs are first aligned."""
    inside = (grey > 0).astype(np.float32)
    soft = smooth(grey) / (smooth(inside) + 1e-3)
    structure = np.asarray(np.rint(even(soft, inside, COARSE_SCALE) / STEP).clip(-127, 127), np.int8)
    structure[:, [0, -1]], structure[:, :, [0, -1]] = 0, 0  # so that positions outside of the picture have no structure
    return structure


def refine_coarsely(coarse: Floats, pairs: NDArray[np.intp], own: Maps, maps: Maps) -> tuple[Numbers, Maps, Maps]:
    """Return per pair of pictures the best correlation (k,) of their medium structures, and the maps of both.

    ``coarse`` (k, 2, side, side) are the structures. Each of the starts, ``own`` in the first picture and ``maps`` in
    the second, belongs to the pair ``pairs`` (s,), sorted and with every pair; the best one is refined further.
    """
    score, maps = _refine_structure(coarse, pairs, own, maps, START_STEPS)
    order = np.lexsort([-score, pairs])
    best = order[np.diff(pairs[order], prepend=-1) > 0]
    own = own.part(best)
    score, maps = _refine_structure(coarse, pairs[best], own, maps.part(best), COARSE_STEPS)
    return score, own, maps


def _refine_structure(
    coarse: Floats, rows: NDArray[np.intp], own: Maps, maps: Maps, steps: int
) -> tuple[Numbers, Maps]:
    points = grid(COARSE)
    template = sample(coarse[:, 0], rows, own.positions(points))
    maps = refine(template, coarse[:, 1], rows, maps, steps)
    return correlation(template, sample(coarse[:, 1], rows, maps.positions(points))), maps


def refine(template: Floats, squares: Floats, rows: NDArray[np.intp], maps: Maps, steps: int) -> Maps:
    """Return ``maps`` changed so that ``squares`` (n, side, side) of ``rows`` (k,) agree best with ``template``.

    ``template`` (k, side, side) shows the square around a disc, which ``maps`` (k) looks up in ``squares``.
    """
    points = grid(template.shape[1])
    spacing = 2 * REACH / template.shape[1]
    down, right = (gradient / spacing for gradient in np.gradient(template, axis=(1, 2)))
    slopes = np.stack(
        [down * points[..., 0], down * points[..., 1], right * points[..., 0], right * points[..., 1], down, right], 1
    ).reshape(len(template), 6, -1)
    curvature = slopes @ slopes.swapaxes(1, 2)
    curvature += np.eye(6) * (1e-3 * np.trace(curvature, axis1=1, axis2=2)[:, None, None] + 1e-6)
    inverse = np.linalg.inv(curvature.astype(np.float64))
    flat = template.reshape(len(template), -1)
    for _ in range(steps):
        values = sample(squares, rows, maps.positions(points)).reshape(flat.shape)
        gain = (values * flat).sum(1) / ((values * values).sum(1) + 1e-6)
        error = (values * np.clip(gain, 0.5, 2)[:, None] - flat) * ((values != 0) & (flat != 0))
        change = np.einsum("kij,kj->ki", inverse, (slopes @ error[:, :, None])[..., 0])
        maps = maps.change_by(np.clip(change, -0.15, 0.15))
    return maps


def correlation(one: Floats, other: Floats) -> Numbers:
    """Return the correlation (k,) of pairs of structures where both are content; 0 if that is too little."""
    both = (one != 0) & (other != 0)
    energies = np.square(one).sum(axis=(1, 2), where=both) * np.square(other).sum(axis=(1, 2), where=both)
    alike = (one * other).sum(axis=(1, 2)) / (np.sqrt(energies) + 1e-3)
    return np.asarray(alike * (both.mean(axis=(1, 2)) >= LEAST_OVERLAP), np.float64)


def stretch(first: Maps, second: Maps) -> Numbers:
    """Return the largest factor (k,) by which one of two maps stretches a direction more than the other."""
    sizes = np.linalg.svd(np.linalg.solve(first.matrix, second.matrix), compute_uv=False)
    return np.asarray(np.maximum(sizes[:, 0], 1 / np.maximum(sizes[:, 1], 1e-3)))


def refine_details(
    first: NDArray[np.uint8], second: NDArray[np.uint8], own: Maps, maps: Maps, side: int
) -> tuple[Numbers, Maps]:
    """Return the correlation (k,) of the detail of grey squares (k, side, side) after refining ``maps``, and the maps.

    ``own`` maps the discs of the first, ``maps`` the same discs in the second. The detail is that of squares of
    ``side`` px around the disc. A map that stretches a direction by more than MOST_STRETCH is false: 0.
    """
    rows, points = np.arange(len(first)), grid(side)
    template = _detail(first, rows, own.positions(points))
    moving = _detail(second, rows, maps.positions(points))
    maps = maps.after(refine(template, moving, rows, _straight(len(rows), side), DETAIL_STEPS), side)
    alike = correlation(template, _detail(second, rows, maps.positions(points)))
    return alike * (stretch(own, maps) <= MOST_STRETCH), maps


def prominence(first: NDArray[np.uint8], second: NDArray[np.uint8], own: Maps, maps: Maps, side: int) -> Numbers:
    """Return how far (k,) the correlation of the detail is above those of the same detail after a shift.

    Arguments as for ``refine_details``. This is the peak-to-sidelobe ratio of correlation filters (Bolme and others
    2010): coarse detail, of which there is little, correlates by chance at many shifts.
    """
    rows, points = np.arange(len(first)), grid(side)
    one = _detail(first, rows, own.positions(points))
    other = _detail(second, rows, maps.positions(points))
    both = (one != 0) & (other != 0)
    spectra = [fft.rfft2(part * both, s=(2 * side, 2 * side), axes=(1, 2)) for part in (one, other)]
    surface = fft.irfft2(spectra[0].conj() * spectra[1], axes=(1, 2))
    energies = [np.square(part).sum(axis=(1, 2), where=both) for part in (one, other)]
    surface /= (np.sqrt(energies[0] * energies[1]) + 1e-3)[:, None, None]
    shift = np.hypot(*np.meshgrid(*[np.fft.fftfreq(2 * side, 1 / (2 * side))] * 2))
    sidelobes = surface[:, (shift > NEAREST_SHIFT) & (shift < FARTHEST_SHIFT)]
    return np.asarray(surface[:, 0, 0] / (sidelobes.std(axis=1) + SIDELOBE_FLOOR), np.float64)


def _straight(count: int, side: int) -> Maps:
    """Return the maps from the points of ``grid`` to the pixels of squares of ``side``."""
    half = side / (2 * REACH)
    return Maps(np.tile(np.eye(2) * half, (count, 1, 1)), np.full((count, 2), (side - 1) / 2))


def _detail(grey: NDArray[np.uint8], rows: NDArray[np.intp], positions: Floats) -> Floats:
    return even(*_look_up(grey, rows, positions), DETAIL_SCALE)


def _look_up(grey: NDArray[np.uint8], rows: NDArray[np.intp], positions: Floats) -> tuple[Floats, Floats]:
    """Return grey levels and whether they are content (1 or 0) at ``positions`` (k, side, side, 2)."""
    side = grey.shape[1]
    inside = ((positions >= 0) & (positions <= side - 1)).all(axis=-1)
    values = sample(grey.astype(np.float32), rows, positions)
    content = sample((grey > 0).astype(np.float32), rows, positions) > 0.99
    return values, (inside & content).astype(np.float32)
