"""Penalised logistic regression on all columns, curved in the logits: a smooth partner for the trees of a blend."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from features.settings import Settings
from level2_stack.learners import Trial, matched, rising, without_unused_categories

USES: Literal["logits", "all"] = "all"
SEEDED = False
BASELINE = False


class Params(Settings):
    """Settings of the regression."""

    # Penalty l2/2 * |w|^2 beside the summed log loss, on standardised columns. On 33,126 rows a factor of three either
    # way changed the AUC by less than 0.001.
    l2: float = Field(default=30.0, gt=0)
    # Of each logit's cubic spline, evenly spaced from the smallest logit to the largest.
    knots: int = Field(default=6, ge=2)


class Regression:
    """A fitted regression: call it with a design to get probabilities."""

    def __init__(self, prepare: ColumnTransformer, model: LogisticRegression, seen: pd.DataFrame) -> None:
        self._prepare, self._model, self._seen = prepare, model, seen.iloc[:0]

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        Z = np.ascontiguousarray(self._prepare.transform(matched(X, self._seen)))
        # A sum row by row: a matrix product may round differently by the number of rows.
        return np.asarray(expit(self._model.intercept_[0] + (Z * self._model.coef_[0]).sum(axis=1)), dtype=np.float64)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> Regression:
    """Return the regression of ``y`` (0/1) on ``X``; a gap counts as the median, and has a column of its own."""
    seen = without_unused_categories(X)
    prepare = _preparation(seen, params.knots)
    model = LogisticRegression(C=1 / params.l2, max_iter=5000)
    with threadpool_limits(1):  # sums in another order would make the fit depend on the number of cores
        model.fit(prepare.fit_transform(seen), y)
    return Regression(prepare, model, seen)


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return parameters drawn from ``trial``: L2 from 1 to 1000, 3 to 10 knots."""
    return {"l2": trial.suggest_float("l2", 1.0, 1000.0, log=True), "knots": trial.suggest_int("knots", 3, 10)}


def _preparation(X: pd.DataFrame, knots: int) -> ColumnTransformer:
    """Return what makes standardised numbers of the columns of ``X``: values, gaps, splines of logits, categories."""
    texts = list(X.select_dtypes("category").columns)
    numbers = [name for name in X.columns if name not in texts]
    logits = [name for name, is_logit in zip(X.columns, rising(X), strict=True) if is_logit]
    spline = SplineTransformer(knots, extrapolation="linear", include_bias=False)
    return ColumnTransformer(
        [
            ("numbers", _standardised([_filled(gaps=True)]), numbers),
            ("logits", _standardised([_filled(gaps=False), spline]), logits),
            ("texts", _standardised([OneHotEncoder(handle_unknown="ignore", sparse_output=False)]), texts),
        ]
    )


def _filled(*, gaps: bool) -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=gaps, keep_empty_features=True)


def _standardised(steps: Iterable[object]) -> Pipeline:
    return make_pipeline(*steps, StandardScaler())
