"""Align pairs of pictures: the best of eight views, several zooms and all small shifts, on squares of 32 px."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Floats = NDArray[np.float32]
Numbers = NDArray[np.float64]

COARSE = 32  # px
ZOOMS = (0.84, 0.92, 1.0, 1.09, 1.19)  # the range by which two crops that keep 85 % of a side can differ
SHIFT = 8  # px of 32
PADDED_SIDE = 40  # px; room for a square enlarged by 1.19 or shifted by SHIFT
BEST_VIEWS = 3  # of eight: the views in which the blurred squares agree best
DETAIL_SCALE = 1.5  # px; coarser structure is light and shade, or the mole as a whole
NOISE = 1.5  # grey levels; weaker detail is a rounding error
BLACK = 40  # grey levels; black corners come from the dermatoscope and are similar in unrelated pictures
BLUR = 3.0  # px of 64
SIDE = 64  # px
# Steps of zoom and shift (px), coarse to fine; the first are half a step of the search on 32 px squares.
ROUNDS = ((0.04, 1.0), (0.04, 1.0), (0.02, 0.5), (0.01, 0.25))
MIDDLE = (SIDE - 1) / 2


@dataclass(frozen=True)
class Alignment:
    """The alignment of k pairs: ``first`` at the position zoom * x + shift shows the same as ``second`` at x.

    Zoom and shift (k, 2) are per axis (down, right); x and shift are shares of the side, from the upper left corner.
    ``view`` (k,) is the view of the second picture, in the order of ``views``; ``alike`` (k,) is the correlation.
    """

    alike: Numbers
    view: NDArray[np.intp]
    zoom: Numbers
    shift: Numbers

    def part(self, rows: NDArray[np.bool_]) -> "Alignment":
        """Return the alignment of the pairs for which ``rows`` (k,) is true."""
        return Alignment(self.alike[rows], self.view[rows], self.zoom[rows], self.shift[rows])


def views(squares: Floats) -> Floats:
    """Return the eight symmetric views (n, 8, side, side) of ``squares`` (n, side, side)."""
    sides = (squares, squares.swapaxes(1, 2))
    return np.stack([np.rot90(side, turn, (1, 2)) for side in sides for turn in range(4)], axis=1)


def detail(grey: NDArray[np.uint8] | Floats) -> Floats:
    """Return the structure finer than DETAIL_SCALE in squares (n, side, side), divided by its local strength.

    Without the division, a mole would dominate and any two small moles would correlate. Black pixels are set to 0.
    """
    light, scale = grey.astype(np.float32), (0, DETAIL_SCALE, DETAIL_SCALE)
    fine = light - ndimage.gaussian_filter(light, scale)
    even = fine / (np.sqrt(ndimage.gaussian_filter(fine * fine, scale)) + NOISE)
    return np.asarray(even * (ndimage.grey_erosion(light, size=(1, 3, 3)) > BLACK), np.float32)


def halve(grey: NDArray[np.uint8]) -> Floats:
    """Return squares (n, side, side) at half their side."""
    side = grey.shape[1] // 2
    return np.asarray(grey.reshape(-1, side, 2, side, 2).mean(axis=(2, 4)), np.float32)


def blur(grey: NDArray[np.uint8]) -> Floats:
    """Return squares (n, 64, 64) blurred and reduced to (n, 16, 16), with mean 0 and length 1."""
    soft = ndimage.gaussian_filter(grey.astype(np.float32), (0, BLUR, BLUR))
    small = soft.reshape(-1, 16, 4, 16, 4).mean(axis=(2, 4))
    small -= small.mean(axis=(1, 2), keepdims=True)
    return np.asarray(small / np.sqrt(np.square(small).sum(axis=(1, 2), keepdims=True) + 1e-6), np.float32)


def align(first: Floats, second: Floats, blurred_first: Floats, blurred_second: Floats) -> Alignment:
    """Return the alignment of every pair: square i of ``second`` with square i of ``first``.

    ``first`` and ``second`` are results of ``detail`` (k, 32, 32), the blurred ones of ``blur`` (k, 16, 16). The
        cross-correlation (by FFT) is computed for the BEST_VIEWS best views, every zoom whose axes differ by at most
        one
    step, and every shift; it is divided by the lengths of both whole squares.
    """
    rows = np.arange(len(first))[:, None]
    agreement = np.einsum("kij,kvij->kv", blurred_first, views(blurred_second))
    best_views = np.argsort(-agreement, axis=1, kind="stable")[:, :BEST_VIEWS]
    candidate_views = views(second)[rows, best_views]
    downs, rights = ZOOM_STEPS.T
    enlarged_views = np.matmul(
        np.matmul(ZOOM_MATRICES[downs], candidate_views[:, :, None]), ZOOM_MATRICES[rights].transpose(0, 2, 1)
    )
    lengths = (
        np.sqrt(np.square(enlarged_views).sum(axis=(3, 4)) * np.square(first).sum(axis=(1, 2))[:, None, None]) + 1e-6
    )
    spectrum = fft.rfft2(first, (PADDED_SIDE, PADDED_SIDE))[:, None, None] * fft.rfft2(enlarged_views).conj()
    return _best(_small_shifts(fft.irfft2(spectrum, (PADDED_SIDE, PADDED_SIDE))) / lengths[..., None, None], best_views)


def _best(alike: Floats, best_views: NDArray[np.intp]) -> Alignment:
    """Return the alignment with the largest correlation in ``alike`` (k, views, zooms, down, right)."""
    flat = alike.reshape(len(alike), -1)
    best = flat.argmax(axis=1)
    view, zoom, down, right = np.unravel_index(best, alike.shape[1:])
    rows = np.arange(len(alike))
    sizes = np.array([_side(factor) for factor in ZOOMS]) / COARSE
    shift = (np.stack([down, right], axis=1) - SHIFT) / COARSE
    return Alignment(flat[rows, best].astype(np.float64), best_views[rows, view], sizes[ZOOM_STEPS[zoom]], shift)


def _small_shifts(correlation: Floats) -> Floats:
    """Return the shifts from -SHIFT to SHIFT on both axes; a cyclic correlation has negative shifts at its end."""
    shifts = np.arange(-SHIFT, SHIFT + 1)
    return correlation[..., shifts[:, None], shifts]


def _side(factor: float) -> int:
    return round(COARSE * factor)


def _zoom_matrix(factor: float) -> Floats:
    """Return the matrix (PADDED_SIDE, COARSE) that enlarges a line of pixels linearly and pads it with 0."""
    side = _side(factor)
    source = ((np.arange(side) + 0.5) * COARSE / side - 0.5).clip(0, COARSE - 1)
    matrix = np.zeros((PADDED_SIDE, COARSE), np.float32)
    matrix[:side] = np.maximum(0, 1 - np.abs(source[:, None] - np.arange(COARSE)))
    return matrix


def _zoom_steps() -> NDArray[np.intp]:
    steps = range(len(ZOOMS))
    return np.array([(down, right) for down in steps for right in steps if abs(down - right) <= 1], np.intp)


ZOOM_MATRICES = np.stack([_zoom_matrix(factor) for factor in ZOOMS])
ZOOM_STEPS = _zoom_steps()


MOVES = [(zoom, shift) for zoom in (0, -1, 1) for shift in (0, -2, -1, 1, 2)]


@dataclass
class _Axis:
    """Zoom and shift (px, at the middle) of every pair along one axis."""

    zoom: Numbers
    shift: Numbers

    def matrix(self) -> Floats:
        """Return the matrices (k, 64, 64) that interpolate the first square at the second's pixels; 0 outside."""
        position = self.zoom[:, None] * (np.arange(SIDE) - MIDDLE) + self.shift[:, None] + MIDDLE
        weights = np.maximum(0, 1 - np.abs(position[:, :, None] - np.arange(SIDE)))
        weights[(position < 0) | (position > SIDE - 1)] = 0
        return np.asarray(weights, np.float32)


def correlate_details(first: Floats, second: Floats, start: Alignment) -> Numbers:
    """Return the correlation (k,) of the details ``first`` and ``second`` (k, 64, 64) in their overlap, best aligned.

    ``second`` must have the view of ``start``. Beginning there, zoom and shift are searched on one axis at a time; the
    interpolation along the other axis is then fixed, so that each step costs one product of matrices.
    """
    axes = [_start_axis(start, 0), _start_axis(start, 1)]
    best = np.zeros(len(first))
    for zoom_step, shift_step in ROUNDS:
        best = _search_axis(first, second, axes, zoom_step, shift_step)
        transposed_arguments = first.swapaxes(1, 2), second.swapaxes(1, 2), axes[::-1]
        best = _search_axis(*transposed_arguments, zoom_step, shift_step)
    return best


def _start_axis(start: Alignment, axis: int) -> _Axis:
    zoom = start.zoom[:, axis]
    return _Axis(zoom.copy(), SIDE * (start.shift[:, axis] + (zoom - 1) / 2))


def _search_axis(first: Floats, second: Floats, axes: list[_Axis], zoom_step: float, shift_step: float) -> Numbers:
    """Change the first of ``axes`` by the best of MOVES and return the correlation there."""
    moving, across = axes[0], axes[1].matrix()
    interpolated_lines, columns = first @ across.swapaxes(1, 2), _covered_pixels(across)
    best, zoom, shift = np.full(len(first), -np.inf), moving.zoom, moving.shift
    best_axis = _Axis(zoom.copy(), shift.copy())
    for zoom_move, shift_move in MOVES:
        candidate = _Axis(zoom + zoom_move * zoom_step, shift + shift_move * shift_step)
        lines = candidate.matrix()
        correlation = _correlation(lines @ interpolated_lines, second, _covered_pixels(lines), columns)
        better = correlation > best
        best[better], best_axis.zoom[better], best_axis.shift[better] = (
            correlation[better],
            candidate.zoom[better],
            candidate.shift[better],
        )
    moving.zoom, moving.shift = best_axis.zoom, best_axis.shift
    return best


def _covered_pixels(matrix: Floats) -> Floats:
    return np.asarray(matrix.any(axis=2), np.float32)


def _correlation(moved_first: Floats, second: Floats, rows: Floats, columns: Floats) -> Numbers:
    """Return the correlation (k,) inside the covered ``rows`` and ``columns`` (k, 64); 0 without an overlap."""
    energy = np.einsum("ki,kij,kj->k", rows, second * second, columns, optimize=True)
    lengths = np.sqrt(np.square(moved_first).sum(axis=(1, 2)) * energy)
    return np.asarray((moved_first * second).sum(axis=(1, 2)) / (lengths + 1e-3), np.float64)
