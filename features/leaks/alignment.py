"""Where one picture lies on another: the best of eight views, several zooms and all small shifts, on 32 px squares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Floats = NDArray[np.float32]
Numbers = NDArray[np.float64]

COARSE = 32  # px
ZOOMS = (0.84, 0.92, 1.0, 1.09, 1.19)  # two crops that each keep 85 % of a side differ by these at most
SHIFT = 8  # px of 32
PADDED = 40  # px; holds a square enlarged by 1.19, or shifted by SHIFT
VIEWS_TRIED = 3  # of eight, those in which the blurred squares agree best
DETAIL_SCALE = 1.5  # px; what is coarser is light and shade, and the mole's mere presence
NOISE = 1.5  # grey levels; fainter detail than this is rounding
BLACK = 40  # grey levels; black corners are the dermatoscope's, and look alike in unrelated pictures
BLUR = 3.0  # px of 64
SIDE = 64  # px
# Steps of zoom and shift (px), coarse to fine: the first reach half a step of the search on 32 px squares.
ROUNDS = ((0.04, 1.0), (0.04, 1.0), (0.02, 0.5), (0.01, 0.25))
MIDDLE = (SIDE - 1) / 2


@dataclass(frozen=True)
class Placement:
    """How the second picture of each pair lies on the first: ``first`` at zoom * x + shift shows ``second`` at x.

    Zoom and shift (k, 2) are per axis (down, right), x and shift in shares of the side from the left upper corner;
    ``view`` (k,) is the view of the second picture, in the order of ``views``; ``alike`` (k,) their correlation.
    """

    alike: Numbers
    view: NDArray[np.intp]
    zoom: Numbers
    shift: Numbers

    def part(self, rows: NDArray[np.bool_]) -> "Placement":
        """Return the placement of the pairs in ``rows`` (k,) alone."""
        return Placement(self.alike[rows], self.view[rows], self.zoom[rows], self.shift[rows])


def views(squares: Floats) -> Floats:
    """Return the eight symmetric views (n, 8, side, side) of ``squares`` (n, side, side)."""
    sides = (squares, squares.swapaxes(1, 2))
    return np.stack([np.rot90(one, turn, (1, 2)) for one in sides for turn in range(4)], axis=1)


def detail(grey: NDArray[np.uint8] | Floats) -> Floats:
    """Return what is finer than DETAIL_SCALE in squares (n, side, side), its local strength evened out.

    Without the evening out, one mole outweighs everything and any two small moles correlate. Black is left out.
    """
    light, scale = grey.astype(np.float32), (0, DETAIL_SCALE, DETAIL_SCALE)
    fine = light - ndimage.gaussian_filter(light, scale)
    even = fine / (np.sqrt(ndimage.gaussian_filter(fine * fine, scale)) + NOISE)
    return np.asarray(even * (ndimage.grey_erosion(light, size=(1, 3, 3)) > BLACK), np.float32)


def halved(grey: NDArray[np.uint8]) -> Floats:
    """Return squares (n, side, side) at half their side."""
    side = grey.shape[1] // 2
    return np.asarray(grey.reshape(-1, side, 2, side, 2).mean(axis=(2, 4)), np.float32)


def blurred(grey: NDArray[np.uint8]) -> Floats:
    """Return squares (n, 64, 64) as soft ones (n, 16, 16) of mean 0 and length 1."""
    soft = ndimage.gaussian_filter(grey.astype(np.float32), (0, BLUR, BLUR))
    small = soft.reshape(-1, 16, 4, 16, 4).mean(axis=(2, 4))
    small -= small.mean(axis=(1, 2), keepdims=True)
    return np.asarray(small / np.sqrt(np.square(small).sum(axis=(1, 2), keepdims=True) + 1e-6), np.float32)


def place(one: Floats, other: Floats, soft_one: Floats, soft_other: Floats) -> Placement:
    """Return how each of ``other`` lies on its partner in ``one``: details (k, 32, 32) and soft squares (k, 16, 16).

    Cross-correlation by FFT for every view that is tried, every zoom whose axes differ by one step at most, and
    every shift; it is divided by the lengths of both squares, overlapping or not.
    """
    rows = np.arange(len(one))[:, None]
    agreement = np.einsum("kij,kvij->kv", soft_one, views(soft_other))
    tried = np.argsort(-agreement, axis=1, kind="stable")[:, :VIEWS_TRIED]
    turned = views(other)[rows, tried]
    downs, rights = ZOOM_STEPS.T
    zoomed = np.matmul(np.matmul(ZOOMED[downs], turned[:, :, None]), ZOOMED[rights].transpose(0, 2, 1))
    lengths = np.sqrt(np.square(zoomed).sum(axis=(3, 4)) * np.square(one).sum(axis=(1, 2))[:, None, None]) + 1e-6
    spectrum = fft.rfft2(one, (PADDED, PADDED))[:, None, None] * fft.rfft2(zoomed).conj()
    return _best(_small_shifts(fft.irfft2(spectrum, (PADDED, PADDED))) / lengths[..., None, None], tried)


def _best(alike: Floats, tried: NDArray[np.intp]) -> Placement:
    """Return the best of ``alike`` (k, views, zooms, down, right)."""
    flat = alike.reshape(len(alike), -1)
    best = flat.argmax(axis=1)
    view, zoom, down, right = np.unravel_index(best, alike.shape[1:])
    rows = np.arange(len(alike))
    sizes = np.array([_side(factor) for factor in ZOOMS]) / COARSE
    shift = (np.stack([down, right], axis=1) - SHIFT) / COARSE
    return Placement(flat[rows, best].astype(np.float64), tried[rows, view], sizes[ZOOM_STEPS[zoom]], shift)


def _small_shifts(correlation: Floats) -> Floats:
    """Return the shifts from -SHIFT to SHIFT of both axes; negative ones stand at the end of a cyclic correlation."""
    wanted = np.arange(-SHIFT, SHIFT + 1)
    return correlation[..., wanted[:, None], wanted]


def _side(factor: float) -> int:
    return round(COARSE * factor)


def _zoom_matrix(factor: float) -> Floats:
    """Return the matrix (PADDED, COARSE) that enlarges a line of pixels linearly and fills it up with 0."""
    side = _side(factor)
    source = ((np.arange(side) + 0.5) * COARSE / side - 0.5).clip(0, COARSE - 1)
    matrix = np.zeros((PADDED, COARSE), np.float32)
    matrix[:side] = np.maximum(0, 1 - np.abs(source[:, None] - np.arange(COARSE)))
    return matrix


def _zoom_steps() -> NDArray[np.intp]:
    steps = range(len(ZOOMS))
    return np.array([(down, right) for down in steps for right in steps if abs(down - right) <= 1], np.intp)


ZOOMED = np.stack([_zoom_matrix(factor) for factor in ZOOMS])
ZOOM_STEPS = _zoom_steps()


MOVES = [(zoom, shift) for zoom in (0, -1, 1) for shift in (0, -2, -1, 1, 2)]


@dataclass
class _Axis:
    """Zoom and shift (px, of the middle) of every pair along one axis."""

    zoom: Numbers
    shift: Numbers

    def matrix(self) -> Floats:
        """Return linear interpolation (k, 64, 64) of the first square's lines at the second's pixels; 0 outside."""
        place = self.zoom[:, None] * (np.arange(SIDE) - MIDDLE) + self.shift[:, None] + MIDDLE
        weights = np.maximum(0, 1 - np.abs(place[:, :, None] - np.arange(SIDE)))
        weights[(place < 0) | (place > SIDE - 1)] = 0
        return np.asarray(weights, np.float32)


def likeness(one: Floats, other: Floats, start: Placement) -> Numbers:
    """Return the correlation (k,) of the details ``one`` and ``other`` (k, 64, 64) where they overlap, best placed.

    ``other`` is given in the view that ``start`` names. From there zoom and shift are searched axis by axis; along
    one axis the other's interpolation is fixed, so that a move costs one product of matrices.
    """
    axes = [_start(start, 0), _start(start, 1)]
    best = np.zeros(len(one))
    for zoom_step, shift_step in ROUNDS:
        best = _improve(one, other, axes, zoom_step, shift_step)
        turned = one.swapaxes(1, 2), other.swapaxes(1, 2), axes[::-1]
        best = _improve(*turned, zoom_step, shift_step)
    return best


def _start(start: Placement, axis: int) -> _Axis:
    zoom = start.zoom[:, axis]
    return _Axis(zoom.copy(), SIDE * (start.shift[:, axis] + (zoom - 1) / 2))


def _improve(one: Floats, other: Floats, axes: list[_Axis], zoom_step: float, shift_step: float) -> Numbers:
    """Move the first of ``axes`` to the best of MOVES and return the correlation there."""
    moving, across = axes[0], axes[1].matrix()
    squeezed, covered = one @ across.swapaxes(1, 2), _covered(across)
    best, zoom, shift = np.full(len(one), -np.inf), moving.zoom, moving.shift
    moved = _Axis(zoom.copy(), shift.copy())
    for zoom_move, shift_move in MOVES:
        tried = _Axis(zoom + zoom_move * zoom_step, shift + shift_move * shift_step)
        lines = tried.matrix()
        found = _correlation(lines @ squeezed, other, _covered(lines), covered)
        better = found > best
        best[better], moved.zoom[better], moved.shift[better] = found[better], tried.zoom[better], tried.shift[better]
    moving.zoom, moving.shift = moved.zoom, moved.shift
    return best


def _covered(matrix: Floats) -> Floats:
    return np.asarray(matrix.any(axis=2), np.float32)


def _correlation(laid: Floats, other: Floats, rows: Floats, columns: Floats) -> Numbers:
    """Return the correlation (k,) within the covered ``rows`` and ``columns`` (k, 64); 0 where nothing is left."""
    energy = np.einsum("ki,kij,kj->k", rows, other * other, columns, optimize=True)
    lengths = np.sqrt(np.square(laid).sum(axis=(1, 2)) * energy)
    return np.asarray((laid * other).sum(axis=(1, 2)) / (lengths + 1e-3), np.float64)
