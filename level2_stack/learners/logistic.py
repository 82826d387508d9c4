"""Logistic regression on the networks' logits, with weights that are never negative."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from level2_stack.learner_contract import Trial
from level2_stack.learner_files import read_facts, write_facts
from runtime.settings import Settings

USES: Literal["logits", "all"] = "logits"
USES_SEED = False
BASELINE = False


class Params(Settings):
    """Settings of the regression."""

    l2: float = Field(1.0, ge=0)  # penalty l2/2 * |w|^2 beside the summed log loss, on standardised logits


class NonNegativeRegression:
    """A fitted regression: call it with a design to get probabilities; ``weights`` are per standardised logit."""

    def __init__(self, mean: pd.Series, std: pd.Series, solution: NDArray[np.float64]) -> None:
        self.mean, self.std, self.solution = mean, std, solution
        self.weights: dict[str, float] = dict(zip(mean.index, solution[1:].tolist(), strict=True))

    @classmethod
    def fit(cls, X: pd.DataFrame, y: NDArray[np.float64], l2: float) -> "NonNegativeRegression":
        """Return the regression of ``y`` (0/1) on the columns of ``X``."""
        mean, std = X.mean().fillna(0.0), X.std(ddof=0).replace(0.0, 1.0).fillna(1.0)
        return cls(mean, std, _solve(_standardised(X, mean, std), y, l2))

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        # A sum row by row: a matrix product may round differently by the number of rows.
        margin = self.solution[0] + (self._standardised(X) * self.solution[1:]).sum(axis=1)
        return np.asarray(expit(margin), dtype=np.float64)

    def contributions(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return (n, columns + 1): what each logit adds from its training mean, last the base; ``share`` is unused.

        A missing network has the part of what it is filled with.
        """
        return np.column_stack([self._standardised(X) * self.solution[1:], np.full(len(X), self.solution[0])])

    def _standardised(self, X: pd.DataFrame) -> NDArray[np.float64]:
        return _standardised(X, self.mean, self.std)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> NonNegativeRegression:
    """Return the non-negative logistic regression of ``y`` (0/1) on the columns of ``X`` (logits)."""
    with threadpool_limits(1):  # threads that wait for each other made small fits many times slower on a busy machine
        return NonNegativeRegression.fit(X, y, params.l2)


def save(fitted: NonNegativeRegression, folder: Path) -> None:
    """Write means, deviations and weights as JSON."""
    numbers = {"mean": fitted.mean.tolist(), "std": fitted.std.tolist(), "solution": fitted.solution.tolist()}
    write_facts(folder, "logistic", columns=list(fitted.mean.index), **numbers)


def load(folder: Path) -> NonNegativeRegression:
    """Return the regression that ``save`` wrote; raise InputFault for a damaged folder, or another learner's."""
    facts = read_facts(folder, "logistic", "columns", "mean", "std", "solution")
    mean, std = (pd.Series(facts[name], index=facts["columns"], dtype=np.float64) for name in ("mean", "std"))
    return NonNegativeRegression(mean, std, np.array(facts["solution"], np.float64))


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return the penalty drawn from ``trial``: 0.01 to 1000, where only the networks' common direction is left."""
    return {"l2": trial.suggest_float("l2", 0.01, 1000.0, log=True)}


def loss_and_gradient(
    solution: NDArray[np.float64], Z: NDArray[np.float64], y: NDArray[np.float64], l2: float
) -> tuple[float, NDArray[np.float64]]:
    """Return the penalised summed log loss at ``solution`` (intercept, then weights) and its gradient."""
    margin = solution[0] + Z @ solution[1:]
    error = expit(margin) - y
    loss = np.logaddexp(0.0, margin).sum() - y @ margin + l2 / 2 * solution[1:] @ solution[1:]
    return float(loss), np.concatenate([[error.sum()], Z.T @ error + l2 * solution[1:]])


def _standardised(X: pd.DataFrame, mean: pd.Series, std: pd.Series) -> NDArray[np.float64]:
    """Return standardised logits; a missing network counts as the mean of the row's others, or as average."""
    Z = (X[mean.index] - mean) / std
    others = Z.mean(axis=1).fillna(0.0).to_numpy()[:, np.newaxis]
    return np.where(Z.isna(), others, Z)


def _solve(Z: NDArray[np.float64], y: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    bounds = [(None, None)] + [(0.0, None)] * Z.shape[1]
    result = minimize(
        loss_and_gradient, np.zeros(1 + Z.shape[1]), (Z, y, l2), method="L-BFGS-B", jac=True, bounds=bounds
    )
    return np.asarray(result.x, dtype=np.float64)
