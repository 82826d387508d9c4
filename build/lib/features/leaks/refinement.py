"""How alike two pictures are when one is laid exactly on the other: a local search on 64 px squares."""

from dataclasses import dataclass

import numpy as np

from features.leaks.alignment import Floats, Numbers, Placement

SIDE = 64  # px
# Steps of zoom and shift (px), coarse to fine: the first reach half a step of the search on 32 px squares.
ROUNDS = ((0.04, 1.0), (0.04, 1.0), (0.02, 0.5), (0.01, 0.25))
MOVES = [(zoom, shift) for zoom in (0, -1, 1) for shift in (0, -2, -1, 1, 2)]
MIDDLE = (SIDE - 1) / 2


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
