"""Penalised logistic regression on all columns, with splines of the logits: a smooth member beside trees in a blend."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.interpolate import BSpline
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from level2_stack.learner_contract import Trial, monotone_constraints, without_unused_categories
from level2_stack.learner_files import columns_from_json, columns_to_json, read_facts, write_facts
from runtime.settings import Settings

USES: Literal["logits", "all"] = "all"
USES_SEED = False
BASELINE = False
DEGREE = 3  # of the splines
# Each call of the scaler or of pandas copies its columns, and has a cost of its own.
COLUMNS_AT_ONCE = 8
VALUES_AT_ONCE = 100_000  # of few rows, more columns


class Params(Settings):
    """Settings of the regression."""

    # Penalty l2/2 * |w|^2 added to the summed log loss, on standardised columns. On 33,126 rows three times as much or
    # a third of it changed the AUC by less than 0.001.
    l2: float = Field(default=30.0, gt=0)
    # Knots of each logit's cubic spline, evenly spaced from the smallest logit to the largest.
    knots: int = Field(default=6, ge=2)


class Numbers(NamedTuple):
    """Columns of numbers, the medians that replace gaps, and the ``gappy`` columns, which get an indicator."""

    names: list[str]
    medians: list[float]
    gappy: list[str]


class Splines(NamedTuple):
    """Columns of logits, the medians that replace missing values, and the knots of each cubic spline."""

    names: list[str]
    medians: list[float]
    knots: list[list[float]]


class Texts(NamedTuple):
    """Columns of text, and the values that have a column each; None is a missing value."""

    names: list[str]
    values: list[list[str | None]]


class ColumnEncoder(NamedTuple):
    """Encodes a design as standardised columns: numbers, missing-value indicators, splines of logits, texts."""

    numbers: Numbers
    splines: Splines
    texts: Texts
    mean: list[float]
    scale: list[float]

    def columns(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the standardised columns (n, encoded columns) of ``X``."""
        return self.standardise(self.raw_columns(X))

    def standardise(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standardise ``columns`` in place, with mean and scale of the training rows, and return them."""
        # At 401,059 rows a copy takes 0.4 GB in each of the parallel fits.
        columns -= np.array(self.mean)
        columns /= np.array(self.scale)
        return columns

    def raw_columns(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the columns (n, encoded columns) of ``X`` before they are standardised."""
        columns, end = np.empty((len(X), len(self.sources()))), 0
        for part in self._parts(X):
            begin, end = end, end + part.shape[1]
            columns[:, begin:end] = part
        return columns

    def _parts(self, X: pd.DataFrame) -> Iterator[NDArray[np.float64]]:
        """Yield the encoded columns, those of a few columns of ``X`` at a time: pandas' cost is per selection."""
        step = max(COLUMNS_AT_ONCE, VALUES_AT_ONCE // max(1, len(X)))
        for at in range(0, len(self.numbers.names), step):
            own = slice(at, at + step)
            values = X[self.numbers.names[own]].to_numpy(np.float64)
            yield np.where(np.isnan(values), self.numbers.medians[own], values)
        for at in range(0, len(self.numbers.gappy), step):
            yield X[self.numbers.gappy[at : at + step]].isna().to_numpy().astype(np.float64)
        for name, median, knots in zip(*self.splines, strict=True):
            yield _spline_columns(_fill_gaps(X[name], median), np.array(knots))
        for name, known_texts in zip(*self.texts, strict=True):
            yield _indicators(X[name], known_texts)

    def sources(self) -> list[str]:
        """Return, for every encoded column in order, the column of the design that it comes from."""
        splines = [len(knots) - DEGREE - 2 for knots in self.splines.knots]
        texts = [len(values) for values in self.texts.values]
        return [
            *self.numbers.names,
            *self.numbers.gappy,
            *np.repeat(self.splines.names, splines).tolist(),
            *np.repeat(self.texts.names, texts).tolist(),
        ]


class Regression:
    """A predictor: the probability of every row of a design."""

    def __init__(
        self, encoder: ColumnEncoder, weights: NDArray[np.float64], intercept: float, template: pd.DataFrame
    ) -> None:
        # Not named weights: these are of encoded columns, not of networks as in HasWeights.
        self.encoder, self.column_weights, self.intercept = encoder, weights, intercept
        self.template = template.iloc[:0]

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        # A sum per row: the rounding of a matrix product may depend on the number of rows.
        return np.asarray(expit(self.intercept + self._terms(X).sum(axis=1)), dtype=np.float64)

    def contributions(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return (n, columns + 1): what each column adds to the logit, then the base; ``share`` is not used.

        The terms of a column are its value, its missing-value indicator, its spline and its categories, each relative
        to its training mean: the SHAP values of a linear model (Lundberg and Lee 2017, 4.2).
        """
        parts = np.zeros((len(X), len(self.template.columns)))
        np.add.at(parts.T, self.template.columns.get_indexer(pd.Index(self.encoder.sources())), self._terms(X).T)
        return np.column_stack([parts, np.full(len(X), self.intercept)])

    def _terms(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the term of every encoded column, (n, encoded columns)."""
        columns = self.encoder.columns(X)
        columns *= self.column_weights
        return columns


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> Regression:
    """Fit the regression of ``y`` (0/1) on ``X``; a missing number counts as the median and has an indicator column."""
    rows = without_unused_categories(X)
    encoder = _fit_encoder(rows, params.knots)
    columns = encoder.raw_columns(rows)
    scalers = [
        StandardScaler().fit(columns[:, at : at + COLUMNS_AT_ONCE])
        for at in range(0, columns.shape[1], COLUMNS_AT_ONCE)
    ]
    mean, scale = ([float(each) for s in scalers for each in getattr(s, name)] for name in ("mean_", "scale_"))
    encoder = encoder._replace(mean=mean, scale=scale)
    model = LogisticRegression(C=1 / params.l2, max_iter=5000)
    with threadpool_limits(1):  # the order of sums, and so the fit, would depend on the number of cores
        model.fit(encoder.standardise(columns), y)
    return Regression(encoder, model.coef_[0], float(model.intercept_[0]), rows)


def save(predict: Regression, folder: Path) -> None:
    """Write all constants as JSON."""
    encoder = predict.encoder
    parts = {name: part._asdict() for name, part in encoder._asdict().items() if hasattr(part, "_asdict")}
    scale = {"mean": encoder.mean, "scale": encoder.scale}
    weights = {"weights": predict.column_weights.tolist(), "intercept": predict.intercept}
    write_facts(folder, "ridge", columns=columns_to_json(predict.template), **parts, **scale, **weights)


def load(folder: Path) -> Regression:
    """Read the regression that ``save`` wrote; raise InputFault if ``folder`` is damaged or holds another learner."""
    facts = read_facts(folder, "ridge", "columns", *ColumnEncoder._fields, "weights", "intercept")
    parts = (Numbers(**facts["numbers"]), Splines(**facts["splines"]), Texts(**facts["texts"]))
    encoder, weights = ColumnEncoder(*parts, facts["mean"], facts["scale"]), np.array(facts["weights"], np.float64)
    return Regression(encoder, weights, float(facts["intercept"]), columns_from_json(facts["columns"]))


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return the parameters that ``trial`` suggests: L2 from 1 to 1000, 3 to 10 knots."""
    return {"l2": trial.suggest_float("l2", 1.0, 1000.0, log=True), "knots": trial.suggest_int("knots", 3, 10)}


def _fit_encoder(X: pd.DataFrame, knots: int) -> ColumnEncoder:
    """Return an encoder of the columns of ``X``, without mean and scale: medians, gaps, knots and categories."""
    texts = list(map(str, X.select_dtypes("category").columns))
    numbers = [str(name) for name in X.columns if name not in texts]
    logits = [str(name) for name, is_logit in zip(X.columns, monotone_constraints(X), strict=True) if is_logit]
    medians = {name: _median(X[name]) for name in numbers}
    logit_knots = [_knots(_fill_gaps(X[name], medians[name]), knots) for name in logits]
    return ColumnEncoder(
        Numbers(numbers, list(medians.values()), [name for name in numbers if X[name].isna().any()]),
        Splines(logits, [medians[name] for name in logits], logit_knots),
        Texts(texts, [_to_text(OneHotEncoder().fit(X[[name]]).categories_[0]) for name in texts]),
        mean=[],
        scale=[],
    )


def _median(column: pd.Series) -> float:
    """Return the median of ``column``; 0 if it has no values."""
    values = column.to_numpy(np.float64)
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else 0.0


def _knots(values: NDArray[np.float64], knots: int) -> list[float]:
    spline = SplineTransformer(knots, degree=DEGREE).fit(values[:, np.newaxis])
    return [float(knot) for knot in spline.bsplines_[0].t]


def _to_text(values: Iterable[str | float | None]) -> list[str | None]:
    return [None if pd.isna(value) else str(value) for value in values]


def _fill_gaps(column: pd.Series, median: float) -> NDArray[np.float64]:
    values = column.to_numpy(np.float64)
    return np.where(np.isnan(values), median, values)


def _indicators(column: pd.Series, values: list[str | None]) -> NDArray[np.float64]:
    """Return a column per value; text that is not among ``values`` counts as missing."""
    places = {value: place for place, value in enumerate(values)}
    missing = places.get(None, -1)  # -1 is the place of no column
    # The code of a missing value is -1, the last entry.
    own_places = np.array([*(places.get(str(text), missing) for text in column.cat.categories), missing])
    return np.asarray(np.equal.outer(own_places[column.cat.codes], np.arange(len(values))), dtype=np.float64)


def _spline_columns(values: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic B-splines (n, splines - 1) at ``values``, continued as straight lines beyond the end knots.

    As in scikit-learn's SplineTransformer, the last spline is dropped: all of them sum to 1, which makes it redundant.
    """
    count = len(knots) - DEGREE - 1
    spline = BSpline.construct_fast(knots, np.eye(count), DEGREE)
    low, high = knots[DEGREE], knots[-DEGREE - 1]
    columns = spline(np.clip(values, low, high))
    for end, outside in ((low, values < low), (high, values > high)):
        slope = spline(end, nu=1)
        columns[outside] = spline(end) + np.subtract.outer(values[outside], end)[:, np.newaxis] * slope
    return np.asarray(columns[:, :-1])
