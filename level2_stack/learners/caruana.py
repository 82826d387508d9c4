"""Greedy ensemble selection (Caruana et al. 2004) on the networks' percentiles, bagged over patients."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from level2_stack.learner_files import read_facts, write_facts
from level2_stack.learners.rank_mean import Percentiles, load_percentiles, save_percentiles
from runtime.settings import Settings

USES: Literal["logits", "all"] = "logits"
USES_SEED = True
BASELINE = True


class Params(Settings):
    """Settings of the selection."""

    bags: int = Field(5, ge=1)
    picks: int = Field(15, ge=1)  # per bag; a weight is a multiple of 1 / picks before bagging
    fraction: float = Field(0.5, gt=0, le=1)  # of the patients, drawn without replacement for every bag


class Selection:
    """A weighted mean of percentiles: call it with a design to get scores in [0, 1]; ``weights`` sum to 1."""

    def __init__(self, percentiles: Percentiles, weights: dict[str, float]) -> None:
        self.percentiles = percentiles
        self.weights = weights

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return a score per row of ``X``, shape (n,); a missing network's weight goes to the row's others."""
        ranks = self.percentiles(X)
        weights = pd.Series(self.weights)[ranks.columns]
        present = ranks.notna().mul(weights).sum(axis=1)
        score = ranks.mul(weights).sum(axis=1) / present.where(present > 0)
        return score.fillna(0.5).clip(0.0, 1.0).to_numpy(dtype=np.float64)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> Selection:
    """Return the networks' weights that greedily raise the AUC on ``y`` (0/1), averaged over bags of patients."""
    percentiles = Percentiles.of(X)
    ranks = percentiles(X)
    # While selecting, a missing network says what the row's others say; it neither helps nor harms a row.
    filled = np.where(ranks.isna(), ranks.mean(axis=1).fillna(0.5).to_numpy()[:, np.newaxis], ranks)
    bags = _bags(params, groups, np.random.default_rng(seed))
    picked = np.concatenate([_select(filled[bag], y[bag] == 1, params.picks) for bag in bags])
    counts = np.bincount(picked, minlength=X.shape[1])
    return Selection(percentiles, dict(zip(map(str, X.columns), (counts / counts.sum()).tolist(), strict=True)))


def save(fitted: Selection, folder: Path) -> None:
    """Write the sorted logits of every network, and the weights as JSON."""
    save_percentiles(fitted.percentiles, folder)
    write_facts(folder, "caruana", weights=fitted.weights)


def load(folder: Path) -> Selection:
    """Return the selection that ``save`` wrote; raise InputFault for a damaged folder, or another learner's."""
    weights = read_facts(folder, "caruana", "weights")["weights"]
    return Selection(load_percentiles(folder), {str(name): float(weight) for name, weight in weights.items()})


def _bags(params: Params, groups: NDArray[np.object_], random: np.random.Generator) -> list[NDArray[np.bool_]]:
    patients, patient_of = np.unique(groups, return_inverse=True)
    return [(random.random(len(patients)) < params.fraction)[patient_of] for _ in range(params.bags)]


def _select(ranks: NDArray[np.float64], positive: NDArray[np.bool_], picks: int) -> NDArray[np.intp]:
    """Return the columns picked one after another, each the one that makes the sum's AUC largest."""
    total, picked, columns = np.zeros(len(ranks)), [], np.ascontiguousarray(ranks.T)
    for _ in range(picks):
        picked.append(np.argmax([_pairs_won(total + column, positive) for column in columns]))
        total = total + ranks[:, picked[-1]]
    return np.asarray(picked, dtype=np.intp)


def _pairs_won(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> int:
    """Return twice the number of pairs in which the positive stands above, ties half: the AUC, unscaled."""
    # Only the negatives are sorted: several times faster than ranks of all, and it runs thousands of times.
    negatives, positives = np.sort(score[~positive]), np.sort(score[positive])
    below, reached = (np.searchsorted(negatives, positives, side=side) for side in ("left", "right"))
    return int(below.sum() + reached.sum())
