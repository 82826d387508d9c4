"""The blend of learners: a weighted mean of their logits, each outer fold's weights from its inner scores alone."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.crossval import Scores
from level2_stack.learners.logistic import Weighing

Floats = NDArray[np.float64]
TINY = 1e-12  # the spread of a member that says the same of every row


def blend(
    members: dict[str, Scores], y: Floats, folds: NDArray[np.int64], weights: Literal["equal", "fitted"]
) -> tuple[Scores, list[dict[str, float]]]:
    """Return the scores of the blend of ``members`` and, per outer fold, the weight of each.

    ``y`` (n,) is 0/1, ``folds`` (n,) 0..k-1. Equal weights make the mean of the members' logits. Fitted ones are those
    of a non-negative logistic regression of ``y`` on the members' inner scores, without its intercept: calibration has
    one.
    """
    names = list(members)
    found = [_weights(members, names, y, folds, fold, weights) for fold in range(int(folds.max()) + 1)]
    by_fold = np.array(found)
    seeds = max(len(scores.by_seed) for scores in members.values())
    train = sum(by_fold[:, [i]] * members[name].train for i, name in enumerate(names))
    test = sum(by_fold[:, [i]] * members[name].test for i, name in enumerate(names))
    by_seed = sum(by_fold[folds, i] * _per_seed(members[name].by_seed, seeds) for i, name in enumerate(names))
    scores = Scores(np.asarray(train), np.asarray(test), np.asarray(by_seed))
    return scores, [dict(zip(names, row, strict=True)) for row in by_fold.tolist()]


def _weights(
    members: dict[str, Scores],
    names: Sequence[str],
    y: Floats,
    folds: NDArray[np.int64],
    fold: int,
    how: Literal["equal", "fitted"],
) -> Floats:
    if how == "equal":
        return np.full(len(names), 1 / len(names))
    inner = folds != fold
    X = pd.DataFrame({name: members[name].train[fold, inner] for name in names})
    standardised = Weighing.fitted(X, y[inner], l2=1.0).weights
    return np.array([standardised[name] / max(float(X[name].std(ddof=0)), TINY) for name in names])


def _per_seed(by_seed: Floats, seeds: int) -> Floats:
    """Return one row per seed; a learner that has fewer seeds repeats its last."""
    return by_seed[np.minimum(np.arange(seeds), len(by_seed) - 1)]
