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

    l2: float = Field(1.0, ge=0)  # penalty l2/2 * |w|^2 added to the summed log loss, on standardised logits


class NonNegativeRegression:
    """A predictor: the probability of every row of a design; ``weights`` are per standardised logit."""

    def __init__(self, mean: pd.Series, std: pd.Series, solution: NDArray[np.float64]) -> None:
        self.mean, self.std, self.solution = mean, std, solution
        self.weights: dict[str, float] = dict(zip(mean.index, solution[1:].tolist(), strict=True))

    @classmethod
    def fit(cls, X: pd.DataFrame, y: NDArray[np.float64], l2: float) -> "NonNegativeRegression":
        """Return the regression of ``y`` (0/1) on the columns of ``X``."""
        mean, std = X.mean().fillna(0.0), X.std(ddof=0).replace(0.0, 1.0).fillna(1.0)
        return cls(mean, std, _solve(_standardise(X, mean, std), y, l2))

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        # A sum per row: the rounding of a matrix product may depend on the number of rows.
        margin = self.solution[0] + (self._standardise(X) * self.solution[1:]).sum(axis=1)
        return np.asarray(expit(margin), dtype=np.float64)

    def contributions(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return (n, columns + 1): what each logit adds relative to its training mean, then the base.

        ``share`` is not used. For a missing network it is the contribution of the value that replaces it.
        """
        return np.column_stack([self._standardise(X) * self.solution[1:], np.full(len(X), self.solution[0])])

    def _standardise(self, X: pd.DataFrame) -> NDArray[np.float64]:
        return _standardise(X, self.mean, self.std)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> NonNegativeRegression:
    """Return the non-negative logistic regression of ``y`` (0/1) on the columns of ``X`` (logits)."""
    with threadpool_limits(1):  # threads that wait for each other made small fits many times slower on a busy machine
        return NonNegativeRegression.fit(X, y, params.l2)


def save(predict: NonNegativeRegression, folder: Path) -> None:
    """Write means, deviations and weights as JSON."""
    numbers = {"mean": predict.mean.tolist(), "std": predict.std.tolist(), "solution": predict.solution.tolist()}
    write_facts(folder, "logistic", columns=list(predict.mean.index), **numbers)


def load(folder: Path) -> NonNegativeRegression:
    """Read the regression that ``save`` wrote; raise InputFault if ``folder`` is damaged or holds another learner."""
    facts = read_facts(folder, "logistic", "columns", "mean", "std", "solution")
    mean, std = (pd.Series(facts[name], index=facts["columns"], dtype=np.float64) for name in ("mean", "std"))
    return NonNegativeRegression(mean, std, np.array(facts["solution"], np.float64))


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return the penalty that ``trial`` suggests: 0.01 to 1000; 1000 leaves only the networks' common direction."""
    return {"l2": trial.suggest_float("l2", 0.01, 1000.0, log=True)}


def loss_and_gradient(
    solution: NDArray[np.float64], Z: NDArray[np.float64], y: NDArray[np.float64], l2: float
) -> tuple[float, NDArray[np.float64]]:
    """Return the penalised summed log loss at ``solution`` (intercept, then weights) and its gradient."""
    margin = solution[0] + Z @ solution[1:]
    error = expit(margin) - y
    loss = np.logaddexp(0.0, margin).sum() - y @ margin + l2 / 2 * solution[1:] @ solution[1:]
    return float(loss), np.concatenate([[error.sum()], Z.T @ error + l2 * solution[1:]])


def _standardise(X: pd.DataFrame, mean: pd.Series, std: pd.Series) -> NDArray[np.float64]:
    """Return standardised logits; a missing one gets the mean of the row's others, or 0 if the row has none."""
    Z = (X[mean.index] - mean) / std
    others = Z.mean(axis=1).fillna(0.0).to_numpy()[:, np.newaxis]
    return np.where(Z.isna(), others, Z)


def _solve(Z: NDArray[np.float64], y: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    bounds = [(None, None)] + [(0.0, None)] * Z.shape[1]
    result = minimize(
        loss_and_gradient, np.zeros(1 + Z.shape[1]), (Z, y, l2), method="L-BFGS-B", jac=True, bounds=bounds
    )
    return np.asarray(result.x, dtype=np.float64)
