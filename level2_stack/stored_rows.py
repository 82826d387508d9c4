"""Rows of a stored table as the workers of a cluster read them: to fit, to predict, and to know the texts in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from level2_stack.learner_contract import Predict
from level2_stack.partitions import Piece
from level2_stack.stored_labels import NUMBERS

Floats = NDArray[np.float64]
BATCH = 65_536  # rows that are turned into numbers at a time


@dataclass(frozen=True)
class Shape:
    """The features of a table in their order: None for a number, for text its categories over all files, sorted."""

    features: Mapping[str, tuple[str, ...] | None]

    def frame(self, rows: pa.Table) -> pd.DataFrame:
        """Return the features of ``rows``."""
        return pd.DataFrame({name: _column(rows[name], known) for name, known in self.features.items()})

    def seen(self) -> pd.DataFrame:
        """Return the columns without rows."""
        empty: dict[str, pa.Array] = {
            name: pa.array([], pa.float64() if known is None else pa.string()) for name, known in self.features.items()
        }
        return self.frame(pa.table(empty))


@dataclass(frozen=True)
class StoredPart:
    """A part of a fit: the rows with a target outside the fold ``left_out`` of some files."""

    files: tuple[Path, ...]
    shape: Shape
    left_out: int

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows and their targets, a bounded number at a time; done by the worker that fits them."""
        for rows, fold, target in (batch for path in self.files for batch in _batches(path, self.shape)):
            chosen = ~np.isnan(target) & (fold != self.left_out)
            yield self.shape.frame(rows.filter(pa.array(chosen))), target[chosen]

    def seen(self) -> pd.DataFrame:
        """Return the columns and categories, without rows."""
        return self.shape.seen()


def predicted(path: Path, shape: Shape, fold: int, model: Predict) -> tuple[Floats, Floats]:
    """Return what ``model`` says of the train rows of ``fold`` in the file, and of its test rows, in their order."""
    held_out, test = [np.zeros(0)], [np.zeros(0)]
    for rows, folds, target in _batches(path, shape):
        held_out += _said(model, shape, rows, ~np.isnan(target) & (folds == fold))
        test += _said(model, shape, rows, np.isnan(target))
    return np.concatenate(held_out), np.concatenate(test)


def texts_in(path: Path, columns: Sequence[str]) -> dict[str, set[str]]:
    """Return the different texts in each of the ``columns`` of a file."""
    found: dict[str, set[str]] = {name: set() for name in columns}
    for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=list(columns)):
        for name in columns:
            found[name] |= set(pc.unique(batch[name].cast(pa.string())).drop_null().to_pylist())
    return found


def _batches(path: Path, shape: Shape) -> Iterator[tuple[pa.Table, Floats, Floats]]:
    """Yield rows of a file with their folds and targets, a bounded number at a time."""
    for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=[*shape.features, *NUMBERS]):
        rows = pa.Table.from_batches([batch])
        fold, target = (_column(rows[name], None) for name in NUMBERS)
        yield rows, np.asarray(fold, np.float64), np.asarray(target, np.float64)


def _said(model: Predict, shape: Shape, rows: pa.Table, chosen: NDArray[np.bool_]) -> list[Floats]:
    return [model(shape.frame(rows.filter(pa.array(chosen))))] if chosen.any() else []


def _column(stored: pa.ChunkedArray, categories: Sequence[str] | None) -> Floats | pd.Categorical:
    if categories is None:
        return np.asarray(stored.cast(pa.float64()).to_numpy(), np.float64)
    texts = stored.cast(pa.string()).to_numpy()
    return pd.Categorical(texts, categories=list(categories))
