"""Do two networks go together on test rows as they do out of fold? Spearman's correlations, with their intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

RESEMBLES = 0.5  # of the out-of-fold correlation: what is left when every second row is in a wrong place
WIDTH = 3.0  # standard errors; rows of one patient are not independent, so narrower would be too sure


@dataclass(frozen=True)
class Comparison:
    """How a network's columns go with those of ``other``: Spearman's correlation out of fold and on test rows.

    ``verdict``: agrees (test resembles out of fold), weak (above 0, below half of it), random (test not above 0
    and below half), silent (too few rows, or no relation out of fold: says nothing).
    """

    other: str
    oof: float
    test: float
    verdict: str

    def __str__(self) -> str:
        return f"{self.other} {self.oof:.2f} -> {self.test:.2f}"


def compare(other: str, oof: tuple[pd.Series, pd.Series], test: tuple[pd.Series, pd.Series]) -> Comparison:
    """Return how two networks' scores go together out of fold and on test rows; ``other`` names the second one."""
    (out_of_fold, train_rows), (on_test, test_rows) = _spearman(*oof), _spearman(*test)
    lowest, _ = _interval(out_of_fold, train_rows)
    low, high = _interval(on_test, test_rows)
    verdict = "silent"
    if lowest > 0 and high < RESEMBLES * out_of_fold:
        verdict = "weak" if low > 0 else "random"
    elif lowest > 0 and low > 0 and on_test >= RESEMBLES * out_of_fold:
        verdict = "agrees"
    return Comparison(other, out_of_fold, on_test, verdict)


def _spearman(one: pd.Series, other: pd.Series) -> tuple[float, int]:
    """Return the rank correlation over the rows both cover, and their number; a constant column has none: 0."""
    both = pd.DataFrame({"one": one, "other": other}).dropna()
    return float(np.nan_to_num(both.corr("spearman").to_numpy()[0, 1])), len(both)


def _interval(correlation: float, rows: int) -> tuple[float, float]:
    """Return the interval of a Spearman correlation: Fisher's z with the variance 1.06/(n-3) of Fieller et al. 1957."""
    if rows <= 3:
        return -1.0, 1.0
    centre, error = np.arctanh(np.clip(correlation, -0.999999, 0.999999)), np.sqrt(1.06 / (rows - 3))
    return float(np.tanh(centre - WIDTH * error)), float(np.tanh(centre + WIDTH * error))
