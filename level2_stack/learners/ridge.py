"""Penalised logistic regression on all columns, curved in the logits: a smooth partner for the trees of a blend."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.interpolate import BSpline
from scipy.special import expit
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from level2_stack.learner_contract import Trial, match_columns, monotone_constraints, without_unused_categories
from level2_stack.learner_files import columns_from_json, columns_to_json, read_facts, write_facts
from runtime.settings import Settings

USES: Literal["logits", "all"] = "all"
USES_SEED = False
BASELINE = False
DEGREE = 3  # of the splines


class Params(Settings):
    """Settings of the regression."""

    # Penalty l2/2 * |w|^2 beside the summed log loss, on standardised columns. On 33,126 rows a factor of three either
    # way changed the AUC by less than 0.001.
    l2: float = Field(default=30.0, gt=0)
    # Of each logit's cubic spline, evenly spaced from the smallest logit to the largest.
    knots: int = Field(default=6, ge=2)


class Numbers(NamedTuple):
    """Columns of numbers: what a gap counts as, and the columns whose gaps have a column of their own."""

    names: list[str]
    medians: list[float]
    gappy: list[str]


class Splines(NamedTuple):
    """Columns of logits: what a gap counts as, and the knots of each cubic spline."""

    names: list[str]
    medians: list[float]
    knots: list[list[float]]


class Texts(NamedTuple):
    """Columns of text and the values that have a column each; None is the gap."""

    names: list[str]
    values: list[list[str | None]]


class Prepared(NamedTuple):
    """What makes standardised columns of a design, in this order: numbers, their gaps, splines of logits, texts."""

    numbers: Numbers
    splines: Splines
    texts: Texts
    mean: list[float]
    scale: list[float]

    def columns(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the standardised columns (n, prepared columns) of ``X``."""
        return self.standardised(self.unstandardised(X))

    def standardised(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``columns`` with mean and scale of the training rows taken out, in place."""
        # At 401,059 rows a copy is 0.4 GB, in each of the fits that run side by side.
        columns -= np.array(self.mean)
        columns /= np.array(self.scale)
        return columns

    def unstandardised(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the columns (n, prepared columns) of ``X`` before they are standardised."""
        columns, end = np.empty((len(X), len(self.sources()))), 0
        for part in self._parts(X):
            begin, end = end, end + part.shape[1]
            columns[:, begin:end] = part
        return columns

    def _parts(self, X: pd.DataFrame) -> Iterator[NDArray[np.float64]]:
        """Yield the columns that one column of ``X`` makes, one after the other."""
        for name, median in zip(self.numbers.names, self.numbers.medians, strict=True):
            yield _without_gaps(X[name], median)[:, np.newaxis]
        for name in self.numbers.gappy:
            yield X[[name]].isna().to_numpy().astype(np.float64)
        for name, median, knots in zip(*self.splines, strict=True):
            yield _bent(_without_gaps(X[name], median), np.array(knots))
        for name, values in zip(*self.texts, strict=True):
            yield _known(X[name], values)

    def sources(self) -> list[str]:
        """Return, for every prepared column in order, the column of the design that it is made of."""
        each = [len(knots) - DEGREE - 2 for knots in self.splines.knots]
        texts = [len(values) for values in self.texts.values]
        return [
            *self.numbers.names,
            *self.numbers.gappy,
            *np.repeat(self.splines.names, each).tolist(),
            *np.repeat(self.texts.names, texts).tolist(),
        ]


class Regression:
    """A fitted regression: call it with a design to get probabilities."""

    def __init__(self, prepared: Prepared, weights: NDArray[np.float64], intercept: float, seen: pd.DataFrame) -> None:
        self.prepared, self.weights_of_columns, self.intercept, self.seen = prepared, weights, intercept, seen.iloc[:0]

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        # A sum row by row: a matrix product may round differently by the number of rows.
        return np.asarray(expit(self.intercept + self._terms(X).sum(axis=1)), dtype=np.float64)

    def contributions(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return (n, columns + 1): what each column adds to the logit, last the base; ``share`` has no effect.

        The terms of a column are its value, its gap, its spline or its categories, each from its training mean: the
        SHAP values of a linear model (Lundberg and Lee 2017, 4.2).
        """
        terms = pd.DataFrame(self._terms(X).T, index=self.prepared.sources()).groupby(level=0).sum()
        parts = terms.reindex(self.seen.columns, fill_value=0.0).to_numpy().T
        return np.column_stack([parts, np.full(len(X), self.intercept)])

    def _terms(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the term of every prepared column, (n, prepared columns)."""
        columns = self.prepared.columns(match_columns(X, self.seen))
        columns *= self.weights_of_columns
        return columns


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> Regression:
    """Return the regression of ``y`` (0/1) on ``X``; a gap counts as the median, and has a column of its own."""
    seen = without_unused_categories(X)
    prepare = _prepared(seen, params.knots)
    columns = prepare.unstandardised(seen)
    scalers = [StandardScaler().fit(columns[:, [place]]) for place in range(columns.shape[1])]
    prepared = prepare._replace(mean=[float(s.mean_[0]) for s in scalers], scale=[float(s.scale_[0]) for s in scalers])
    model = LogisticRegression(C=1 / params.l2, max_iter=5000)
    with threadpool_limits(1):  # sums in another order would make the fit depend on the number of cores
        model.fit(prepared.standardised(columns), y)
    return Regression(prepared, model.coef_[0], float(model.intercept_[0]), seen)


def save(fitted: Regression, folder: Path) -> None:
    """Write all constants as JSON."""
    parts = {name: part._asdict() for name, part in fitted.prepared._asdict().items() if hasattr(part, "_asdict")}
    scale = {"mean": fitted.prepared.mean, "scale": fitted.prepared.scale}
    weights = {"weights": fitted.weights_of_columns.tolist(), "intercept": fitted.intercept}
    write_facts(folder, "ridge", columns=columns_to_json(fitted.seen), **parts, **scale, **weights)


def load(folder: Path) -> Regression:
    """Return the regression that ``save`` wrote; raise InputFault for a damaged folder, or another learner's."""
    facts = read_facts(folder, "ridge", "columns", *Prepared._fields, "weights", "intercept")
    parts = (Numbers(**facts["numbers"]), Splines(**facts["splines"]), Texts(**facts["texts"]))
    prepared, weights = Prepared(*parts, facts["mean"], facts["scale"]), np.array(facts["weights"], np.float64)
    return Regression(prepared, weights, float(facts["intercept"]), columns_from_json(facts["columns"]))


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return parameters drawn from ``trial``: L2 from 1 to 1000, 3 to 10 knots."""
    return {"l2": trial.suggest_float("l2", 1.0, 1000.0, log=True), "knots": trial.suggest_int("knots", 3, 10)}


def _prepared(X: pd.DataFrame, knots: int) -> Prepared:
    """Return what makes numbers of the columns of ``X``, not standardised yet: medians, gaps, knots and categories."""
    texts = list(map(str, X.select_dtypes("category").columns))
    numbers = [str(name) for name in X.columns if name not in texts]
    logits = [str(name) for name, is_logit in zip(X.columns, monotone_constraints(X), strict=True) if is_logit]
    medians = {name: _median(X[[name]]) for name in numbers}
    bent = [_knots(_without_gaps(X[name], medians[name]), knots) for name in logits]
    return Prepared(
        Numbers(numbers, list(medians.values()), [name for name in numbers if X[name].isna().any()]),
        Splines(logits, [medians[name] for name in logits], bent),
        Texts(texts, [_plain(OneHotEncoder().fit(X[[name]]).categories_[0]) for name in texts]),
        mean=[],
        scale=[],
    )


def _median(column: pd.DataFrame) -> float:
    """Return the median of the one ``column``; 0 where it is nothing but gaps."""
    return float(SimpleImputer(strategy="median", keep_empty_features=True).fit(column).statistics_[0])


def _knots(values: NDArray[np.float64], knots: int) -> list[float]:
    spline = SplineTransformer(knots, degree=DEGREE).fit(values[:, np.newaxis])
    return [float(knot) for knot in spline.bsplines_[0].t]


def _plain(values: Iterable[str | float | None]) -> list[str | None]:
    return [None if pd.isna(value) else str(value) for value in values]


def _without_gaps(column: pd.Series, median: float) -> NDArray[np.float64]:
    values = column.to_numpy(np.float64)
    return np.where(np.isnan(values), median, values)


def _known(column: pd.Series, values: list[str | None]) -> NDArray[np.float64]:
    text = column.astype(object)
    return np.column_stack([text.isna() if value is None else text == value for value in values]).astype(np.float64)


def _bent(values: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic B-splines (n, splines - 1) at ``values``, straight beyond the ends, without the last of them.

    As scikit-learn's SplineTransformer does it: all splines sum to 1, so one of them tells nothing new.
    """
    count = len(knots) - DEGREE - 1
    spline = BSpline.construct_fast(knots, np.eye(count), DEGREE)
    low, high = knots[DEGREE], knots[-DEGREE - 1]
    inside = np.clip(values, low, high)
    found = spline(inside)
    for end, outside in ((low, values < low), (high, values > high)):
        found[outside] = spline(end) + np.subtract.outer(values[outside], end)[:, np.newaxis] * spline(end, nu=1)
    return np.asarray(found[:, :-1])
