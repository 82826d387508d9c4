"""Predictions of one network over the eight views, and the tables they are kept in."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from features.tables import INDEX
from level1_cnn.pipeline import picture_batches
from level1_cnn.views import VIEWS, view

Forward = Callable[[np.ndarray], list[np.ndarray]]  # float32 pixels (n, side, side, 3) -> outputs (n, ...)


@dataclass(frozen=True)
class ViewPredictions:
    """What one model says of n cases: logits (n, 8), one per view, and embeddings (n, d), their mean over the views."""

    names: list[str]
    logits: np.ndarray
    embeddings: np.ndarray | None

    def table(self) -> pd.DataFrame:
        """Return probability (mean over views) and spread (standard deviation over views) per case."""
        probabilities = expit(self.logits.astype(np.float64))
        index = pd.Index(self.names, name=INDEX, dtype="object")
        columns = {"probability": probabilities.mean(axis=1), "spread": probabilities.std(axis=1)}
        return pd.DataFrame(columns, index=index)

    def embedding_table(self) -> pd.DataFrame | None:
        """Return the embeddings as float16 columns e0000, e0001, ...; None when the method keeps them elsewhere."""
        return None if self.embeddings is None else embedding_table(self.names, self.embeddings)


def embedding_table(names: Sequence[str], embeddings: np.ndarray) -> pd.DataFrame:
    """Return embeddings (n, d) as a case table of float16 columns e0000, e0001, ..."""
    columns = [f"e{number:04d}" for number in range(embeddings.shape[1])]
    index = pd.Index(list(names), name=INDEX, dtype="object")
    return pd.DataFrame(embeddings.astype(np.float16), index=index, columns=columns)


def over_views(
    forward: Forward, files: Sequence[Path], batch_size: int, advance: Callable[[int], None]
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Yield (image_names, outputs) per batch, every output stacked over the views: (n, 8, ...)."""
    for names, pictures in picture_batches(files, batch_size):
        pixels = pictures.astype(np.float32)
        outputs = [forward(np.ascontiguousarray(view(pixels, index))) for index in range(VIEWS)]
        yield names, [np.stack(parts, axis=1) for parts in zip(*outputs, strict=True)]
        advance(len(names))


def merge_folds(cases: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return one table over train and test cases from the tables of the fold models.

    A training case is taken from the one fold model that did not see its patient, a test case is the mean over all
    of them. Raises ValueError when a case is not covered: a missing prediction must never pass as a number.
    """
    rows = cases[cases["role"].isin(["train", "test"])]
    folds = rows["fold"].to_numpy()
    values = np.full((len(rows), tables[0].shape[1]), np.nan, dtype=np.float64)
    test = rows["role"].to_numpy() == "test"
    for fold, table in enumerate(tables):
        own = (folds == fold) & ~test
        values[own] = table.reindex(rows.index[own]).to_numpy(dtype=np.float64)
    if test.any():
        values[test] = np.mean([table.reindex(rows.index[test]).to_numpy(dtype=np.float64) for table in tables], axis=0)
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).any(axis=1).sum())} case(s) are not covered by the fold models")
    return pd.DataFrame(values, index=rows.index, columns=tables[0].columns)
