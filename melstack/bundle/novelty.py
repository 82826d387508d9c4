"""How unlike the training pictures a picture is: the distance of its embedding to the nearest of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from melstack.bundle.manifest import MetadataColumn
from runtime.files import read_arrays, write_arrays

Floats = NDArray[np.float32]
FILE = "reference.npz"
DIMENSIONS = 64  # principal axes that are kept
ROWS_AT_ONCE = 1024
FAR = 0.99  # of the training pictures have a nearer neighbour than a picture that is told of


@dataclass(frozen=True)
class Space:
    """The training pictures as one network sees them: principal axes, their places, and their own distances, sorted."""

    mean: Floats  # (d,)
    axes: Floats  # (d, dimensions)
    points: Floats  # (n, dimensions)
    distances: Floats  # (n,): from each to the nearest picture of another patient

    def unusual(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return per row of ``embeddings`` (m, d) the share of training pictures that have a nearer neighbour, (m,)."""
        nearest = _nearest(_projected(embeddings, self.mean, self.axes), self.points)
        return np.asarray(np.searchsorted(self.distances, nearest) / len(self.distances), np.float32)


@dataclass(frozen=True)
class Novelty:
    """One space where all folds see with one network, else one per fold, with the cases that its network never saw."""

    spaces: Sequence[Space]

    def unusual(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return how unusual pictures are, 0 to 1, from their ``embeddings`` (folds or 1, m, d): the mean over spaces.

        It is the share of the training pictures whose nearest neighbour, of another patient, is nearer: a picture from
        the training distribution has any value with equal probability (nearest-neighbour distance on normalised
        features: Sun et al. 2022, arXiv 2204.06507).
        """
        return np.asarray(np.mean([space.unusual(one) for space, one in zip(self.spaces, embeddings, strict=True)], 0))


def learn_novelty(embeddings: pd.DataFrame, patients: pd.Series, folds: pd.Series | None) -> Novelty:
    """Return the novelty of the training pictures' ``embeddings`` (n x d); ``folds`` where each has its own network."""
    rows = embeddings.to_numpy(np.float32)
    owner = pd.factorize(patients.loc[embeddings.index])[0]
    if folds is None:
        return Novelty([_learn(rows, owner)])
    fold = folds.loc[embeddings.index].to_numpy()
    return Novelty([_learn(rows[fold == each], owner[fold == each]) for each in range(int(fold.max()) + 1)])


def write_novelty(novelty: Novelty, folder: Path) -> None:
    """Write ``novelty`` into ``folder``."""
    arrays = {
        f"{name}_{number}": value.astype(np.float16) if name == "points" else value
        for number, space in enumerate(novelty.spaces)
        for name, value in vars(space).items()
    }
    write_arrays(folder / FILE, arrays)


def read_novelty(folder: Path) -> Novelty:
    """Return what ``write_novelty`` wrote; raise InputFault when it is missing or damaged."""
    names = list(Space.__dataclass_fields__)
    held = read_arrays(folder / FILE, *(f"{name}_0" for name in names))
    spaces = range(len(held) // len(names))
    return Novelty([Space(*(held[f"{name}_{number}"].astype(np.float32) for name in names)) for number in spaces])


def _learn(rows: Floats, owner: NDArray[np.intp]) -> Space:
    mean = _normalised(rows).mean(axis=0)
    centred = _normalised(rows) - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = np.ascontiguousarray(axes[:, ::-1][:, :DIMENSIONS])
    # As they are stored: a distance of 0 must be one, too.
    points = (centred @ axes).astype(np.float16).astype(np.float32)
    return Space(mean, axes, points, np.sort(_nearest(points, points, owner)))


def _projected(rows: NDArray[np.floating], mean: Floats, axes: Floats) -> Floats:
    return np.asarray((_normalised(rows.astype(np.float32)) - mean) @ axes, np.float32)


def _normalised(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _nearest(rows: Floats, points: Floats, owner: NDArray[np.intp] | None = None) -> Floats:
    """Return the distance of every row to the nearest of ``points``; with ``owner`` (n,) of both, of another owner."""
    found = []
    squares = np.square(points).sum(axis=1)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        distance = np.square(part).sum(axis=1)[:, np.newaxis] + squares - 2 * part @ points.T
        if owner is not None:
            distance[owner[start : start + ROWS_AT_ONCE, np.newaxis] == owner] = np.inf
        found.append(np.sqrt(np.maximum(distance.min(axis=1), 0)))
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def notices(
    cases: pd.DataFrame, metadata: Mapping[str, MetadataColumn], unusual: Sequence[float]
) -> dict[str, list[str]]:
    """Return per case the sentences about a picture unlike all training pictures, and values that none of them had.

    ``unusual`` (n,) is NaN where it is not known.
    """
    return {
        str(name): [*_of_picture(share), *_of_values(row, metadata)]
        for (name, row), share in zip(cases.iterrows(), unusual, strict=True)
    }


def _of_picture(share: float) -> list[str]:
    if not share > FAR:
        return []
    return [
        f"the picture is unlike the training pictures: {100 * share:.1f} % of them have a nearer neighbour than it has"
    ]


def _of_values(row: pd.Series, metadata: Mapping[str, MetadataColumn]) -> list[str]:
    found = []
    for name, column in metadata.items():
        value = row.get(name)
        if value is None or pd.isna(value):
            continue
        if column.kind == "number" and not _within(float(value), column):
            found.append(f"{name} {value:g} lies outside the training cases' {column.low:g} to {column.high:g}")
        if column.kind == "text" and str(value) not in column.values:
            found.append(f"{name} {str(value)!r} is not among the training cases' values")
    return found


def _within(value: float, column: MetadataColumn) -> bool:
    return column.low is not None and column.high is not None and column.low <= value <= column.high
