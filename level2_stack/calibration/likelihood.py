"""Logistic regression of a few columns for calibration: by Newton's method, or by a bounded search."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]
MIN_SLOPE = 1e-3  # log odds per unit of the margin; keeps the order of the cases even if the score is not informative
PRIOR = 1e-3  # weight, in rows, of a prior at slope 1; matters only if the data do not determine the slope
NEWTON_STEPS, NEWTON_TOLERANCE = 40, 1e-10


def fit_coefficients(columns: Sequence[Floats], y: Floats, weights: Floats, slopes: int) -> list[float]:
    """Return the coefficients of ``columns`` (each (n,)) with the lowest log loss on Platt's smoothed targets.

    The first ``slopes`` coefficients are at least MIN_SLOPE, with the penalty PRIOR / 2 * (slope - 1) ** 2. The targets
    are (n1 + 1) / (n1 + 2) for the n1 rows of class 1 and 1 / (n0 + 2) for the n0 rows of class 0. With them no sample
    is separable.
    """
    positives = weights @ y
    targets = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (weights.sum() - positives + 2))
    problem = _Logistic(np.stack(columns), targets, weights, np.arange(len(columns)) < slopes)
    solution = problem.solve_by_newton()
    return list(map(float, problem.solve_with_bounds() if solution is None else solution))


class _Logistic:
    """The penalised log loss of a few columns (p, n), to be minimised."""

    def __init__(self, columns: Floats, targets: Floats, weights: Floats, slope: NDArray[np.bool_]) -> None:
        self._columns, self._targets, self._weights, self._slope = columns, targets, weights, slope

    def solve_by_newton(self) -> Floats | None:
        """Return the solution within the bounds, or None if Newton's method does not find one."""
        solution = self._slope.astype(np.float64)
        loss, gradient, hessian = self._derivatives(solution)
        for _ in range(NEWTON_STEPS):
            step = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
            if np.abs(step).max() < NEWTON_TOLERANCE:
                return solution if (solution[self._slope] >= MIN_SLOPE).all() else None
            after = self._derivatives(solution - step)
            if not after[0] <= loss + NEWTON_TOLERANCE * abs(loss):
                return None
            solution, (loss, gradient, hessian) = solution - step, after
        return None

    def solve_with_bounds(self) -> Floats:
        """Return the solution within the bounds, by a search that is many times slower."""
        bounds = [(MIN_SLOPE if slope else None, None) for slope in self._slope]
        options, rows = {"ftol": 1e-15, "gtol": 1e-9}, self._weights.sum()

        def loss_and_gradient(solution: Floats) -> tuple[float, Floats]:
            """Return the mean loss per row and its gradient."""
            loss, gradient, _ = self._derivatives(solution)
            return loss / rows, gradient / rows

        start = 1.0 * self._slope
        result = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return np.asarray(result.x)

    def _derivatives(self, solution: Floats) -> tuple[float, Floats, Floats]:
        """Return loss, gradient (p,) and Hessian (p, p) at ``solution``."""
        # einsum does not use BLAS, whose threads would wait for each other longer than they work.
        score, distance = np.einsum("i,in->n", solution, self._columns), self._slope * (solution - 1)
        probability = expit(score)
        loss = (self._weights * (np.logaddexp(0.0, score) - self._targets * score)).sum() + PRIOR / 2 * (
            distance**2
        ).sum()
        gradient = np.einsum("in,n->i", self._columns, self._weights * (probability - self._targets)) + PRIOR * distance
        curvature = self._columns * (self._weights * probability * (1 - probability))
        hessian = np.einsum("in,jn->ij", curvature, self._columns) + PRIOR * np.eye(len(solution))
        return float(loss), gradient, hessian
