"""Predictions of networks for several views of each picture, and their tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from level1_cnn.views import apply_view
from runtime.tables import INDEX

# Pixels float32 0..255 (n, side, side, 3), metadata float32 (n, m) or None -> outputs (n, ...), float32.
Forward = Callable[[np.ndarray, np.ndarray | None], list[np.ndarray]]


@dataclass(frozen=True)
class ViewPredictions:
    """Predictions of one model for n cases: melanoma logits (n, views) and embeddings (n, d), the mean over the views.

    ``embeddings`` is None for the frozen method, which stores them once for all folds.
    """

    names: list[str]
    logits: np.ndarray
    embeddings: np.ndarray | None
    views: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return probability (mean over views) and spread (standard deviation over views) per case."""
        probabilities = self._probabilities()
        columns = {"probability": probabilities.mean(axis=1), "spread": probabilities.std(axis=1)}
        return pd.DataFrame(columns, index=_index(self.names))

    def view_table(self) -> pd.DataFrame:
        """Return the probability by each view, in a column with the view's name."""
        return pd.DataFrame(self._probabilities(), index=_index(self.names), columns=list(self.views))

    def embedding_table(self) -> pd.DataFrame | None:
        """Return the embeddings as float16 columns e0000, e0001, ...; None for the frozen method."""
        return None if self.embeddings is None else embedding_table(self.names, self.embeddings)

    def _probabilities(self) -> np.ndarray:
        probabilities: np.ndarray = expit(self.logits.astype(np.float64))
        return probabilities


def embedding_table(names: Sequence[str], embeddings: np.ndarray) -> pd.DataFrame:
    """Return embeddings (n, d) as a case table of float16 columns e0000, e0001, ..."""
    columns = [f"e{number:04d}" for number in range(embeddings.shape[1])]
    return pd.DataFrame(embeddings.astype(np.float16), index=_index(names), columns=columns)


def predict_views(
    forward: Forward, pictures: np.ndarray, views: Sequence[str], metadata: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the outputs of ``forward`` for all ``views`` of ``pictures`` (n, side, side, 3), each (n, views, ...).

    ``metadata`` (n, m) is for a network with that input.
    """
    count, shape = len(pictures), pictures.shape[1:]
    pixels = np.empty((len(views), count, *shape), np.float32)
    for view, view_pixels in zip(views, pixels, strict=True):
        view_pixels[:] = apply_view(pictures, view)
    rows = None if metadata is None else np.tile(metadata, (len(views), 1))
    outputs = forward(pixels.reshape(-1, *shape), rows)
    return [output.reshape(len(views), count, *output.shape[1:]).swapaxes(0, 1) for output in outputs]


def merge_folds(cases: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return one table of train and test cases from the tables of all folds.

    A training case gets the values of the fold whose model was not trained on its patient; a test case gets
    the mean over the folds. Raises ValueError when a case has no prediction, because no number could replace
    it.
    """
    rows = cases[cases["role"].isin(["train", "test"])]
    folds = rows["fold"].to_numpy()
    values = np.full((len(rows), tables[0].shape[1]), np.nan, dtype=np.float64)
    test = rows["role"].to_numpy() == "test"
    for fold, table in enumerate(tables):
        validation = (folds == fold) & ~test
        values[validation] = table.reindex(rows.index[validation]).to_numpy(dtype=np.float64)
    if test.any():
        values[test] = np.mean([table.reindex(rows.index[test]).to_numpy(dtype=np.float64) for table in tables], axis=0)
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).any(axis=1).sum())} case(s) have no prediction by the fold models")
    return pd.DataFrame(values, index=rows.index, columns=tables[0].columns)


def _index(names: Sequence[str]) -> pd.Index:
    return pd.Index(list(names), name=INDEX, dtype="object")
