"""The rows of one fit in parts, each for another worker of a cluster: for tables that outgrow a machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.learner_contract import Coder, Predict, without_unused_categories
from runtime.errors import InputFault, named
from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.cluster.scheduler import Cluster

Floats = NDArray[np.float64]
Piece: TypeAlias = tuple[pd.DataFrame, Floats]


class Part(Protocol):
    """Some of the rows of a fit; where they come from is their own matter."""

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows (n x features) and their targets, all or some at a time; done by the worker that fits them."""

    def seen(self) -> pd.DataFrame:
        """Return a table without rows: the columns and categories; of the first part, done by who starts the fit."""


@dataclass(frozen=True)
class Rows:
    """Rows that are sent to the worker."""

    X: pd.DataFrame
    y: Floats

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows and their targets."""
        yield self.X, self.y

    def seen(self) -> pd.DataFrame:
        """Return the columns, with the categories that occur."""
        return without_unused_categories(self.X).iloc[:0]


@dataclass(frozen=True)
class StoredRows:
    """Rows that the worker reads itself, from a Parquet file whose column ``target`` holds their targets."""

    path: Path
    target: str

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows and their targets."""
        frame = pd.read_parquet(self.path)
        yield frame.drop(columns=self.target), frame[self.target].to_numpy(np.float64)

    def seen(self) -> pd.DataFrame:
        """Return the columns, with the categories that occur; they are read for that."""
        return without_unused_categories(next(self.pieces())[0]).iloc[:0]


@runtime_checkable
class Spreading(Protocol):
    """A learner that can make one fit of parts that no machine holds together."""

    def fit_parts(self, params: Settings, parts: Sequence[Part], *, seed: int, cluster: Cluster) -> Predict:
        """Learn from the rows of all ``parts``, each on a worker of its own; equal parts give an equal model."""


def partitions(params: Settings | None) -> int:
    """Return over how many workers a fit with ``params`` is spread; 1: it is done by one process, as most are."""
    return int(getattr(params, "partitions", 1))


def dealt(X: pd.DataFrame, y: Floats, count: int) -> list[Rows]:
    """Return the rows in ``count`` parts, dealt like cards: every part is like the whole, as LightGBM's bins assume."""
    return [Rows(X.iloc[start::count], y[start::count]) for start in range(count)]


def coded(part: Part, seen: pd.DataFrame, rank: int) -> tuple[Floats, Floats]:
    """Return the rows of ``part`` as numbers, and their targets; raise InputFault where it is unlike ``seen``.

    Besides the numbers themselves a worker never holds more than a piece of the part, and once all pieces' numbers.
    """
    coder, rows, targets = Coder(seen), [], []
    for X, y in part.pieces():
        _refuse_unlike(X, seen, rank)
        rows.append(coder(X))
        targets.append(y)
    return (rows[0] if len(rows) == 1 else np.concatenate(rows)), np.concatenate(targets)


def _refuse_unlike(X: pd.DataFrame, seen: pd.DataFrame, rank: int) -> None:
    others = set(X.columns) ^ set(seen.columns)
    if others:
        raise InputFault(f"part {rank}: columns that not all parts have: {named(sorted(map(str, others)))}")
    for name, column in seen.select_dtypes("category").items():
        new = set(X[name].dropna().unique()) - set(column.cat.categories)
        if new:
            raise InputFault(f"part {rank}: {name}: categories that the first part does not name: {named(sorted(new))}")
