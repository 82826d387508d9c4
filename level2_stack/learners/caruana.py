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

    bags: int = Field(5, ge=1)  # selections that are averaged
    picks: int = Field(15, ge=1)  # per bag; a weight is a multiple of 1 / picks before bagging
    fraction: float = Field(0.5, gt=0, le=1)  # of the patients, drawn without replacement for every bag


class Selection:
    """A predictor: a score in [0, 1] per row of a design, the mean of percentiles with ``weights`` that sum to 1."""

    def __init__(self, percentiles: Percentiles, weights: dict[str, float]) -> None:
        self.percentiles = percentiles
        self.weights = weights

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return a score per row of ``X``, shape (n,); the row's other networks share the weight of a missing one."""
        ranks = self.percentiles(X)
        weights = pd.Series(self.weights)[ranks.columns]
        present = ranks.notna().mul(weights).sum(axis=1)
        score = ranks.mul(weights).sum(axis=1) / present.where(present > 0)
        return score.fillna(0.5).clip(0.0, 1.0).to_numpy(dtype=np.float64)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> Selection:
    """Choose the networks' weights greedily for the AUC on ``y`` (0/1), and average them over bags of patients."""
    percentiles = Percentiles.from_rows(X)
    ranks = percentiles(X)
    # During the selection a missing network gets the mean of the row's others, which neither helps nor harms the row.
    without_gaps = np.where(ranks.isna(), ranks.mean(axis=1).fillna(0.5).to_numpy()[:, np.newaxis], ranks)
    bags = _bags(params, groups, np.random.default_rng(seed))
    selection = np.concatenate([_select(without_gaps[bag], y[bag] == 1, params.picks) for bag in bags])
    counts = np.bincount(selection, minlength=X.shape[1])
    return Selection(percentiles, dict(zip(map(str, X.columns), (counts / counts.sum()).tolist(), strict=True)))


def save(predict: Selection, folder: Path) -> None:
    """Write the sorted logits of every network, and the weights as JSON."""
    save_percentiles(predict.percentiles, folder)
    write_facts(folder, "caruana", weights=predict.weights)


def load(folder: Path) -> Selection:
    """Read the selection that ``save`` wrote; raise InputFault if ``folder`` is damaged or holds another learner."""
    weights = read_facts(folder, "caruana", "weights")["weights"]
    return Selection(load_percentiles(folder), {str(name): float(weight) for name, weight in weights.items()})


def _bags(params: Params, groups: NDArray[np.object_], random: np.random.Generator) -> list[NDArray[np.bool_]]:
    patients, patient_of = np.unique(groups, return_inverse=True)
    return [(random.random(len(patients)) < params.fraction)[patient_of] for _ in range(params.bags)]


def _select(ranks: NDArray[np.float64], positive: NDArray[np.bool_], picks: int) -> NDArray[np.intp]:
    """Return the columns chosen one after another, each the one whose addition gives the sum the highest AUC."""
    total, selection, columns = np.zeros(len(ranks)), [], np.ascontiguousarray(ranks.T)
    for _ in range(picks):
        selection.append(np.argmax([_doubled_pair_wins(total + column, positive) for column in columns]))
        total = total + ranks[:, selection[-1]]
    return np.asarray(selection, dtype=np.intp)


def _doubled_pair_wins(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> int:
    """Return twice the number of pairs in which the positive has the higher score; ties count half.

    It is proportional to the AUC.
    """
    # Sorting only the negatives is several times faster than ranking all rows, and this runs thousands of times.
    negatives, positives = np.sort(score[~positive]), np.sort(score[positive])
    below, up_to = (np.searchsorted(negatives, positives, side=side) for side in ("left", "right"))
    return int(below.sum() + up_to.sum())
