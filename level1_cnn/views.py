"""The named views over which predictions are averaged (test-time augmentation): symmetries, zooms, shifts."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from runtime.errors import Faults, InputFault, did_you_mean, list_names

IDENTITY = "identity"
# The index of a symmetry is a sum of bits: 1 swaps rows and columns, 2 then mirrors left and right, 4 then flips
# upside down.
SYMMETRIES = (IDENTITY, "transpose", "mirror", "rotate90", "flip", "rotate270", "rotate180", "antitranspose")
# Kind of view -> meaning of its numbers, lowest and highest value. Beyond them a view would show a quarter of the
# lesion or less.
NUMBERS = {"zoom": (("factor",), 0.5, 2.0), "shift": (("right", "down"), -0.5, 0.5)}
NEUTRAL = {"zoom": (1.0,), "shift": (0.0, 0.0)}
CUBIC = -0.5  # parameter of Keys' kernel; with this value the interpolation reproduces parabolas


def apply_view(pictures: np.ndarray, name: str) -> np.ndarray:
    """Apply the view ``name`` to square pictures (n, side, side, channels), values 0 to 255; keep their type.

    A symmetry moves pixels and changes no value. ``zoom:1.2`` enlarges about the centre by bicubic interpolation. A
    factor below 1 shrinks, with smoothing against aliasing, and reflects the picture at its edges. ``shift:0.1:-0.05``
    moves the content right and down by these shares of the side, rounded to whole pixels, and reflects at the edges.
    Raises InputFault for an unknown name.
    """
    if name in SYMMETRIES:
        return _symmetry(pictures, SYMMETRIES.index(name))
    kind, numbers = _parse(name)
    return _zoom(pictures, numbers[0]) if kind == "zoom" else _shift(pictures, *numbers)


def check_views(names: Sequence[str], where: str) -> None:
    """Raise one InputFault for ``where`` that lists every unknown or repeated view and a missing identity."""
    faults = Faults()
    spellings: dict[object, list[str]] = {}
    for name in names:
        try:
            spellings.setdefault(_meaning(name), []).append(name)
        except InputFault as fault:
            faults.add(str(fault))
    for same in spellings.values():
        if len(same) > 1:
            faults.add(f"one view several times: {list_names(same)}; name it once")
    if IDENTITY not in names:
        faults.add(f"{IDENTITY!r} is missing; add it, the unchanged picture must be among the views")
    faults.raise_if_any(f"{where}: views")


def _meaning(name: str) -> object:
    return name if name in SYMMETRIES else _parse(name)


def _parse(name: str) -> tuple[str, tuple[float, ...]]:
    """Return kind and numbers of a zoom or shift; raise InputFault for anything else."""
    kind, *texts = name.split(":")
    if kind not in NUMBERS:
        raise InputFault(f"{name!r} is not a view; {did_you_mean(kind, [*SYMMETRIES, *NUMBERS])}")
    meanings, lowest, highest = NUMBERS[kind]
    numbers = tuple(_number(text) for text in texts)
    if len(numbers) != len(meanings) or not all(lowest <= number <= highest for number in numbers):
        form = ":".join((kind, *meanings))
        raise InputFault(f"{name!r}: a {kind} is written {form}, each number from {lowest} to {highest}")
    if numbers == NEUTRAL[kind]:
        raise InputFault(f"{name!r} is the unchanged picture; write {IDENTITY!r}")
    return kind, numbers


def _number(text: str) -> float:
    """Return ``text`` as a number, or NaN, which no range contains, when it is not a number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _symmetry(pictures: np.ndarray, bits: int) -> np.ndarray:
    if bits & 1:
        pictures = pictures.transpose(0, 2, 1, 3)
    if bits & 2:
        pictures = pictures[:, :, ::-1]
    return pictures[:, ::-1] if bits & 4 else pictures


def _shift(pictures: np.ndarray, right: float, down: float) -> np.ndarray:
    side = pictures.shape[1]
    rows, columns = (_reflect(np.arange(side) - round(share * side), side) for share in (down, right))
    return pictures[:, rows[:, np.newaxis], columns]


def _zoom(pictures: np.ndarray, factor: float) -> np.ndarray:
    matrix = _zoom_matrix(pictures.shape[1], factor)
    zooms = np.empty(pictures.shape, np.float32)
    for picture, zoom in zip(pictures, zooms, strict=True):
        rows = _multiply_rows(matrix, picture.astype(np.float32))
        zoom[:] = _multiply_rows(matrix, rows.transpose(1, 0, 2)).transpose(1, 0, 2)
    zooms.clip(0, 255, out=zooms)  # a cubic kernel overshoots at edges
    return (np.rint(zooms) if np.issubdtype(pictures.dtype, np.integer) else zooms).astype(pictures.dtype)


def _multiply_rows(matrix: Any, picture: np.ndarray) -> np.ndarray:  # noqa: ANN401  SciPy has no types
    product: np.ndarray = matrix @ picture.reshape(len(picture), -1)
    return product.reshape(picture.shape)


@lru_cache(maxsize=64)
def _zoom_matrix(side: int, factor: float) -> Any:  # noqa: ANN401  SciPy has no types
    """Return the sparse matrix (side, side) that zooms a line of pixels about its centre.

    Bicubic interpolation (Keys 1981); the kernel is widened by 1/factor when the picture shrinks.
    """
    from scipy.sparse import coo_array  # slow to import, and most models have no zoom

    centre, stretch = (side - 1) / 2, max(1.0, 1 / factor)
    source = (centre + (np.arange(side) - centre) / factor)[:, np.newaxis]
    reach = math.ceil(2 * stretch)
    taps = np.floor(source).astype(int) + np.arange(1 - reach, reach + 1)
    weights = _cubic((taps - source) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(side), taps.shape[1])
    entries = (weights.ravel().astype(np.float32), (rows, _reflect(taps.ravel(), side)))
    return coo_array(entries, shape=(side, side)).tocsr()


def _cubic(distance: np.ndarray) -> np.ndarray:
    x = np.abs(distance)
    near = (CUBIC + 2) * x**3 - (CUBIC + 3) * x**2 + 1
    far = CUBIC * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _reflect(index: np.ndarray, side: int) -> np.ndarray:
    """Return indices reflected into 0..side-1 at the edge pixels, which are not repeated."""
    index = np.abs(index) % (2 * side - 2)
    return np.where(index < side, index, 2 * side - 2 - index)
