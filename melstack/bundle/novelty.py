"""Novelty of new cases: how far a picture is from the training pictures, and metadata values outside theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from melstack.bundle.manifest import MetadataColumn
from runtime.files import read_arrays, write_arrays

Floats = NDArray[np.float32]
FILE = "reference.npz"
DIMENSIONS = 64  # number of principal axes in the file
MANY = 256  # pictures or numbers, from which on only the first axes are computed
ROWS_AT_ONCE = 1024
FAR = 0.99  # a picture gets a notice if more than this share of the training pictures have a nearer neighbour


@dataclass(frozen=True)
class ReferenceSpace:
    """The training pictures in the principal axes of one network's embeddings.

    The field names are the names of the arrays in ``reference.npz``.
    """

    mean: Floats  # (d,)
    axes: Floats  # (d, dimensions)
    points: Floats  # (n, dimensions): the training pictures
    distances: Floats  # (n,), sorted: from each training picture to the nearest one of another patient

    def unusual(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return per row of ``embeddings`` (m, d) the share of training pictures that have a nearer neighbour, (m,)."""
        return np.asarray(np.searchsorted(self.distances, self.nearest(embeddings)) / len(self.distances), np.float32)

    def nearest(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return the distance of every row of ``embeddings`` (m, d) to the nearest training picture, (m,)."""
        return _nearest_distances(_project(embeddings, self.mean, self.axes), self.points)


@dataclass(frozen=True)
class Novelty:
    """One space if all folds share a network; else one per fold, of the cases that its network was not trained on."""

    spaces: Sequence[ReferenceSpace]

    def unusual(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return how unusual pictures are, 0 to 1, from their ``embeddings`` (folds or 1, m, d): the mean over spaces.

        In each space it is the share of the training pictures whose nearest neighbour of another patient is nearer than
        the picture's nearest training picture. For pictures from the training distribution it is uniformly
        distributed (nearest-neighbour distance on normalised features: Sun et al. 2022, arXiv 2204.06507).
        """
        shares = [space.unusual(rows) for space, rows in zip(self.spaces, embeddings, strict=True)]
        return np.asarray(np.mean(shares, axis=0))

    @property
    def typical_distance(self) -> float:
        """Return the median distance of a training picture to the nearest one of another patient."""
        return float(np.median([np.median(space.distances) for space in self.spaces]))

    def nearest(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return the distance of every picture to the nearest training picture in any space, (m,).

        ``embeddings`` are (folds or 1, m, d). It is about 0 for a training picture.
        """
        return np.asarray(
            np.min([space.nearest(rows) for space, rows in zip(self.spaces, embeddings, strict=True)], axis=0)
        )


def learn_novelty(embeddings: pd.DataFrame, patients: pd.Series, folds: pd.Series | None) -> Novelty:
    """Return the novelty of the training pictures' ``embeddings`` (n x d); ``folds`` if each has its own network."""
    rows = embeddings.to_numpy(np.float32)
    owner = pd.factorize(patients.loc[embeddings.index])[0]
    if folds is None:
        return Novelty([_learn_space(rows, owner)])
    fold = folds.loc[embeddings.index].to_numpy()
    return Novelty([_learn_space(rows[fold == each], owner[fold == each]) for each in range(int(fold.max()) + 1)])


def write_novelty(novelty: Novelty, folder: Path) -> None:
    """Write the arrays of ``novelty`` as one .npz file into ``folder``."""
    arrays = {
        f"{name}_{number}": value.astype(np.float16) if name == "points" else value
        for number, space in enumerate(novelty.spaces)
        for name, value in vars(space).items()
    }
    write_arrays(folder / FILE, arrays)


def read_novelty(folder: Path) -> Novelty:
    """Return the novelty that ``write_novelty`` wrote; raise InputFault when the file is missing or damaged."""
    names = list(ReferenceSpace.__dataclass_fields__)
    arrays = read_arrays(folder / FILE, *(f"{name}_0" for name in names))
    return Novelty(
        [
            ReferenceSpace(*(arrays[f"{name}_{number}"].astype(np.float32) for name in names))
            for number in range(len(arrays) // len(names))
        ]
    )


def _learn_space(rows: Floats, owner: NDArray[np.intp]) -> ReferenceSpace:
    mean = _normalise(rows).mean(axis=0)
    deviations = _normalise(rows) - mean
    axes = _principal_axes(deviations)
    # Rounded as in the file, so that identical pictures have the distance 0 here and after reading.
    points = (deviations @ axes).astype(np.float16).astype(np.float32)
    return ReferenceSpace(mean, axes, points, np.sort(_nearest_distances(points, points, owner)))


def _principal_axes(deviations: Floats) -> Floats:
    """Return the first ``DIMENSIONS`` principal axes (d, axes) of ``deviations`` (n, d) from their mean."""
    least = min(deviations.shape)
    if least <= MANY:
        axes = np.linalg.svd(deviations, full_matrices=False)[2]
    else:
        # All axes of 16,512 numbers took more than ten minutes; the first ones, by the method of Lanczos, take seconds.
        start = np.random.default_rng(0).normal(size=least)
        axes = svds(deviations, DIMENSIONS, v0=start)[2][::-1]
    return np.ascontiguousarray(axes[:DIMENSIONS].T, np.float32)


def _project(rows: NDArray[np.floating], mean: Floats, axes: Floats) -> Floats:
    return np.asarray((_normalise(rows.astype(np.float32)) - mean) @ axes, np.float32)


def _normalise(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _nearest_distances(rows: Floats, points: Floats, owner: NDArray[np.intp] | None = None) -> Floats:
    """Return the distance of every row to the nearest of ``points``, (m,).

    With ``owner`` (n,), rows and points are the same pictures, and only points of another owner count.
    """
    distances = []
    squares = np.square(points).sum(axis=1)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        squared_distances = np.square(part).sum(axis=1)[:, np.newaxis] + squares - 2 * part @ points.T
        if owner is not None:
            squared_distances[owner[start : start + ROWS_AT_ONCE, np.newaxis] == owner] = np.inf
        distances.append(np.sqrt(np.maximum(squared_distances.min(axis=1), 0)))
    return np.concatenate(distances) if distances else np.zeros(0, np.float32)


def describe_differences(
    cases: pd.DataFrame, metadata: Mapping[str, MetadataColumn], unusual: Sequence[float]
) -> dict[str, list[str]]:
    """Return per case sentences on how it differs from the training cases: its picture, its metadata values.

    ``unusual`` (n,) is how unusual each picture is, 0 to 1, as ``Novelty.unusual`` returns it; NaN if unknown.
    """
    return {
        str(name): [*_picture_notices(share), *_value_notices(row, metadata)]
        for (name, row), share in zip(cases.iterrows(), unusual, strict=True)
    }


def _picture_notices(share: float) -> list[str]:
    if not share > FAR:  # NaN is not known: no notice
        return []
    return [
        f"the picture is unlike the training pictures: {100 * share:.1f} % of them have a nearer neighbour than it has"
    ]


def _value_notices(row: pd.Series, metadata: Mapping[str, MetadataColumn]) -> list[str]:
    sentences = []
    for name, column in metadata.items():
        value = row.get(name)
        if value is None or pd.isna(value):
            continue
        if column.kind == "number" and not _is_within(float(value), column):
            sentences.append(f"{name} {value:g} is outside the range of the training cases ({_range_of(column)})")
        if column.kind == "text" and str(value) not in column.values:
            sentences.append(f"{name} {str(value)!r} does not occur in the training cases")
    return sentences


def _range_of(column: MetadataColumn) -> str:
    return "none has a value" if column.low is None else f"{column.low:g} to {column.high:g}"


def _is_within(value: float, column: MetadataColumn) -> bool:
    return column.low is not None and column.high is not None and column.low <= value <= column.high
