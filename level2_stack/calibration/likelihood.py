"""Least penalised log loss of a few columns, as calibration needs it: Newton's steps, or a bounded search."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]
MIN_SLOPE = 1e-3  # log odds per unit of the margin: what keeps the order of the cases even where a score says nothing
PRIOR = 1e-3  # rows' worth of belief in slope 1; decides only where the data leave it open, as one equal margin does
NEWTON_STEPS, NEWTON_TOLERANCE = 40, 1e-10


def fit_coefficients(columns: Sequence[Floats], y: Floats, weights: Floats, slopes: int) -> list[float]:
    """Return the coefficients of ``columns`` (each (n,)) with the least log loss on Platt's smoothed targets.

    The first ``slopes`` are at least MIN_SLOPE and pay PRIOR / 2 * (slope - 1) ** 2. The targets are
    (n1 + 1) / (n1 + 2) for 1 and 1 / (n0 + 2) for 0, n1 and n0 rows: no sample is separable by them.
    """
    positives = weights @ y
    targets = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (weights.sum() - positives + 2))
    problem = _Logistic(np.stack(columns), targets, weights, np.arange(len(columns)) < slopes)
    found = problem.by_newton()
    return list(map(float, problem.bounded() if found is None else found))


class _Logistic:
    """The penalised log loss of a few columns (p, n), to be made least."""

    def __init__(self, columns: Floats, targets: Floats, weights: Floats, slope: NDArray[np.bool_]) -> None:
        self._columns, self._targets, self._weights, self._slope = columns, targets, weights, slope

    def by_newton(self) -> Floats | None:
        """Return the solution within the bounds, or None where Newton's steps do not lead to one."""
        solution = self._slope.astype(np.float64)
        loss, gradient, hessian = self._around(solution)
        for _ in range(NEWTON_STEPS):
            step = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
            if np.abs(step).max() < NEWTON_TOLERANCE:
                return solution if (solution[self._slope] >= MIN_SLOPE).all() else None
            after = self._around(solution - step)
            if not after[0] <= loss + NEWTON_TOLERANCE * abs(loss):
                return None
            solution, (loss, gradient, hessian) = solution - step, after
        return None

    def bounded(self) -> Floats:
        """Return the solution within the bounds, many times slower."""
        bounds = [(MIN_SLOPE if slope else None, None) for slope in self._slope]
        options, rows = {"ftol": 1e-15, "gtol": 1e-9}, self._weights.sum()

        def loss_and_gradient(solution: Floats) -> tuple[float, Floats]:
            loss, gradient, _ = self._around(solution)
            return loss / rows, gradient / rows

        start = 1.0 * self._slope
        found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return np.asarray(found.x)

    def _around(self, solution: Floats) -> tuple[float, Floats, Floats]:
        """Return loss, gradient (p,) and Hessian (p, p) at ``solution``."""
        # Sums without BLAS, whose threads would wait for each other longer than they work.
        score, away = np.einsum("i,in->n", solution, self._columns), self._slope * (solution - 1)
        probability = expit(score)
        loss = (self._weights * (np.logaddexp(0.0, score) - self._targets * score)).sum() + PRIOR / 2 * (away**2).sum()
        gradient = np.einsum("in,n->i", self._columns, self._weights * (probability - self._targets)) + PRIOR * away
        curvature = self._columns * (self._weights * probability * (1 - probability))
        hessian = np.einsum("in,jn->ij", curvature, self._columns) + PRIOR * np.eye(len(solution))
        return float(loss), gradient, hessian
