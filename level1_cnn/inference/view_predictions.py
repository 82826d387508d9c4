"""What networks say of the views of pictures, and the tables that it is kept in."""

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
    """What one model says of n cases: a melanoma logit per view (n, views), and embeddings (n, d), their mean.

    ``embeddings`` is None where the method keeps them elsewhere.
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
        """Return the probability that each view gives, one column per view, named as it is."""
        return pd.DataFrame(self._probabilities(), index=_index(self.names), columns=list(self.views))

    def embedding_table(self) -> pd.DataFrame | None:
        """Return the embeddings as float16 columns e0000, e0001, ...; None when the method keeps them elsewhere."""
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
    """Return the outputs of ``forward`` for ``pictures`` (n, side, side, 3), stacked over ``views``: (n, views, ...).

    ``metadata`` (n, m) is given to a network with that input.
    """
    count, shape = len(pictures), pictures.shape[1:]
    pixels = np.empty((len(views), count, *shape), np.float32)
    for view, place in zip(views, pixels, strict=True):
        place[:] = apply_view(pictures, view)
    known = None if metadata is None else np.tile(metadata, (len(views), 1))
    outputs = forward(pixels.reshape(-1, *shape), known)
    return [one.reshape(len(views), count, *one.shape[1:]).swapaxes(0, 1) for one in outputs]


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


def _index(names: Sequence[str]) -> pd.Index:
    return pd.Index(list(names), name=INDEX, dtype="object")
