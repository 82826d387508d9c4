"""Feature block: the distance of a lesion from its patient's other lesions in the embeddings of each network."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.blocks import Need, Sources
from runtime.errors import InputFault, list_names

Floats = NDArray[np.float64]

ACQUISITION: tuple[str, ...] = ()
NEEDS: tuple[Need, ...] = ("embeddings",)
# Values of a patient's only picture: usual distance, same direction, as dense as its neighbours, middle rank.
NEUTRAL = {"distance_ratio": 1.0, "cosine_distance": 0.0, "outlier_factor": 1.0, "distance_rank": 0.5}
LEAST_FOR_OUTLIER_FACTOR = 4  # pictures; fewer are too few to estimate a density
MOST_NEIGHBOURS = 10
NEAREST = 0.1  # least distance, as a share of the mean: closer duplicates would have an infinite density
SAME = 1e-9  # share of an embedding's length below which a distance is a rounding error


def build(cases: pd.DataFrame, sources: Sources) -> pd.DataFrame:
    """Return the four values of ``within_patient`` for each case and each model of ``sources.embeddings``.

    Patients are not compared with each other, since patients of two folds were embedded by two networks. Raises
    InputFault if a table of embeddings lacks a case or holds NaN.
    """
    rows_of = [np.asarray(rows) for rows in cases.groupby("patient_id").indices.values()]
    parts = [
        _of_model(model, sources.embeddings[model](), cases.index, rows_of) for model in sorted(sources.embeddings)
    ]
    return pd.concat(parts, axis=1)


def _of_model(model: str, table: pd.DataFrame, index: pd.Index, rows_of: Sequence[NDArray[np.intp]]) -> pd.DataFrame:
    embeddings = _embeddings(model, table, index)
    values = np.tile(list(NEUTRAL.values()), (len(index), 1))
    for rows in rows_of:
        if len(rows) > 1:
            values[rows] = within_patient(embeddings[rows].astype(np.float64))
    return pd.DataFrame(values, index=index, columns=[f"{model}_{name}" for name in NEUTRAL])


def within_patient(embeddings: Floats) -> Floats:
    """Return the four values of each row of ``embeddings`` (n pictures of one patient, n >= 2): (n, 4), as in NEUTRAL.

    * distance_ratio: Euclidean distance from the mean of the patient's other rows, divided by the median of these
    distances;
    * cosine_distance: 1 - cosine of the angle to the mean of the others;
    * outlier_factor: local outlier factor (Breunig et al. 2000) of the patient's rows, 1 with fewer than 4 of them;
    * distance_rank: rank of the distance within the patient, 0 (nearest) to 1 (farthest).
    """
    n = len(embeddings)
    centres = (embeddings.sum(axis=0) - embeddings) / (n - 1)
    distances = np.linalg.norm(embeddings - centres, axis=1)
    median = float(np.median(distances))
    if median <= SAME * float(np.linalg.norm(embeddings, axis=1).max()):
        return np.tile(list(NEUTRAL.values()), (n, 1))
    ranks = (pd.Series(distances).rank().to_numpy() - 1) / (n - 1)
    return np.column_stack([distances / median, _cosine(embeddings, centres), _outlier_factor(embeddings), ranks])


def _embeddings(model: str, table: pd.DataFrame, index: pd.Index) -> NDArray[np.float16]:
    absent = index.difference(table.index)
    if len(absent):
        raise InputFault(f"{model}: {len(index)} cases need embeddings; missing for {list_names(absent)}")
    embeddings = table.to_numpy()[table.index.get_indexer(index)]
    is_invalid = ~np.isfinite(embeddings).all(axis=1)
    if is_invalid.any():
        raise InputFault(
            f"{model}: embeddings must be finite numbers; they are not for {list_names(index[is_invalid])}"
        )
    return embeddings


def _cosine(embeddings: Floats, centres: Floats) -> Floats:
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(centres, axis=1)
    products = (embeddings * centres).sum(axis=1)
    return np.asarray(1 - products / np.maximum(lengths, np.finfo(np.float64).tiny))


def _outlier_factor(embeddings: Floats) -> Floats:
    n = len(embeddings)
    if n < LEAST_FOR_OUTLIER_FACTOR:
        return np.ones(n)
    # Slow to import, and not needed without embeddings or in a second run.
    from scipy.spatial.distance import pdist, squareform
    from sklearn.neighbors import LocalOutlierFactor

    pairs = pdist(embeddings)
    distances = squareform(np.maximum(pairs, NEAREST * pairs.mean()))
    model = LocalOutlierFactor(n_neighbors=min(n - 1, MOST_NEIGHBOURS), metric="precomputed").fit(distances)
    return -np.asarray(model.negative_outlier_factor_, dtype=np.float64)
