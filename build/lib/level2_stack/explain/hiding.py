"""Contributions of columns to any learner's score: what it gains as one column after another is shown to it."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST_ORDERS = 16  # in pairs of an order and its reverse
ADDITIVE = 1e-5  # log odds: an order and its reverse that agree so well say that the order does not matter


def by_hiding(score: Callable[[pd.DataFrame], Floats], X: pd.DataFrame) -> Floats:
    """Return (n, columns + 1): what every column of ``X`` adds to ``score`` (n,), and last the score of nothing known.

    A hidden column is missing in all rows, which every learner can take. A column's gain is averaged over orders in
    which columns are shown (Shapley values by permutation, Castro et al. 2009): all orders of up to three columns, of
    more a balanced choice. For every order, and so for the mean, gains and base add up to the score.
    """
    names = list(X.columns)
    blank = X.apply(lambda column: column.where(np.zeros(len(column), dtype=bool)))
    base = score(blank)
    gains: list[Floats] = []
    for order in _orders(len(names)):
        gains.append(_gains(score, X, blank, base, [names[place] for place in order]))
        if len(gains) == 2 and np.abs(gains[0] - gains[1]).max(initial=0.0) < ADDITIVE:
            break
    return np.column_stack([np.mean(gains, axis=0), base])


def _gains(
    score: Callable[[pd.DataFrame], Floats], X: pd.DataFrame, blank: pd.DataFrame, base: Floats, order: list[str]
) -> Floats:
    places, shown = X.columns.get_indexer(pd.Index(order)), dict(blank.items())
    gains, before = np.zeros(X.shape), base
    for place, name in zip(places, order, strict=True):
        shown[name] = X[name]
        after = score(pd.DataFrame(shown, index=X.index))
        gains[:, place] = after - before
        before = after
    return gains


def _orders(count: int) -> Iterator[list[int]]:
    """Yield orders of 0..count-1 in pairs of one and its reverse: rotations, spread evenly if there are too many."""
    rotations = np.unique(np.linspace(0, count - 1, min(count, MOST_ORDERS // 2)).round().astype(int))
    for first in rotations.tolist():
        order = [*range(first, count), *range(first)]
        yield order
        yield order[::-1]
