"""The shape of a lesion's mask: its area, its asymmetry about both principal axes, its compactness."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def mask_shape(mask: Mask) -> dict[str, float]:
    """Return area share, asymmetry about both principal axes and compactness of ``mask``; 0 if it is empty.

    Asymmetry is the share of the mask that its mirror image about an axis through the centroid does not cover.
    Compactness is 4 pi area / perimeter^2 (1 for a disc). The perimeter is pi / 4 times the number of changes between
    inside and outside along rows and columns (formula of Cauchy and Crofton).
    """
    names = ("lesion_area", "lesion_asymmetry_long", "lesion_asymmetry_short", "lesion_compactness")
    if not mask.any():
        return dict.fromkeys(names, 0.0)
    padded_mask = np.pad(mask, 1)
    steps = np.count_nonzero(padded_mask[1:] != padded_mask[:-1]) + np.count_nonzero(
        padded_mask[:, 1:] != padded_mask[:, :-1]
    )
    area = np.count_nonzero(mask)
    compactness = 4 * np.pi * area / (np.pi / 4 * steps) ** 2
    return dict(zip(names, (float(area / mask.size), *_asymmetries(mask), float(compactness)), strict=True))


def _asymmetries(mask: Mask) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    centroid = rows.mean(), columns.mean()
    y, x = rows - centroid[0], columns - centroid[1]
    # In a round lesion every axis is a principal one; arctan2(0, 0) = 0 then keeps the picture's axes.
    angle = 0.5 * np.arctan2(2 * (x * y).sum(), (x * x).sum() - (y * y).sum())
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    about_long, about_short = (
        (
            centroid[0] + sign * (along * np.sin(angle) - across * np.cos(angle)),
            centroid[1] + sign * (along * np.cos(angle) + across * np.sin(angle)),
        )
        for sign in (1, -1)
    )
    return _asymmetry(mask, *about_long), _asymmetry(mask, *about_short)


def _asymmetry(mask: Mask, y: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    """Return the share of the points ``y``, ``x`` whose nearest pixel is outside ``mask``."""
    rows, columns = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    return float(1 - np.count_nonzero(mask[rows[inside], columns[inside]]) / len(rows))
