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
        self._sources = _sources(prepare)

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        # A sum row by row: a matrix product may round differently by the number of rows.
        return np.asarray(expit(self._model.intercept_[0] + self._terms(X).sum(axis=1)), dtype=np.float64)

    def contributions(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return (n, columns + 1): what each column adds to the logit, last the base; ``share`` has no effect.

        The terms of a column are its value, its gap, its spline or its categories, each from its training mean: the
        SHAP values of a linear model (Lundberg and Lee 2017, 4.2).
        """
        terms = pd.DataFrame(self._terms(X).T, index=self._sources).groupby(level=0).sum()
        parts = terms.reindex(self._seen.columns, fill_value=0.0).to_numpy().T
        return np.column_stack([parts, np.full(len(X), self._model.intercept_[0])])

    def _terms(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the term of every prepared column, (n, prepared columns)."""
        Z = np.ascontiguousarray(self._prepare.transform(matched(X, self._seen)))
        return np.asarray(Z * self._model.coef_[0], dtype=np.float64)


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


def _sources(prepare: ColumnTransformer) -> list[str]:
    """Return, for every prepared column in order, the column of the design that it was made of."""
    numbers, logits, texts = (list(columns) for _, _, columns in prepare.transformers_[:3])
    steps, places, sources = prepare.named_transformers_, prepare.output_indices_, list[str]()
    if numbers:
        sources += [*numbers, *(numbers[place] for place in steps["numbers"][0].indicator_.features_)]
    if logits:
        sources += np.repeat(logits, (places["logits"].stop - places["logits"].start) // len(logits)).tolist()
    if texts:
        sources += np.repeat(texts, [len(found) for found in steps["texts"][0].categories_]).tolist()
    return sources


def _filled(*, gaps: bool) -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=gaps, keep_empty_features=True)


def _standardised(steps: Iterable[object]) -> Pipeline:
    return make_pipeline(*steps, StandardScaler())
