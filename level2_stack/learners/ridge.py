"""Penalised logistic regression on all columns, curved in the logits: a smooth partner for the trees of a blend."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.interpolate import BSpline
from scipy.special import expit
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from features.settings import Settings
from level2_stack.learner_files import columns_seen, columns_told, read_facts, write_facts
from level2_stack.learners import Trial, matched, rising, without_unused_categories

USES: Literal["logits", "all"] = "all"
SEEDED = False
BASELINE = False
DEGREE = 3  # of the splines
PARTS = ("numbers", "logits", "texts")


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
        filled = _filled_numbers(X, self.numbers.names, self.numbers.medians)
        gaps = X[self.numbers.gappy].isna().to_numpy(np.float64)
        logits = _filled_numbers(X, self.splines.names, self.splines.medians)
        bent = [_bent(column, np.array(knots)) for column, knots in zip(logits.T, self.splines.knots, strict=True)]
        known = [_known(X[name], values) for name, values in zip(self.texts.names, self.texts.values, strict=True)]
        raw = np.column_stack([filled, gaps, *bent, *known])
        return np.asarray((raw - np.array(self.mean)) / np.array(self.scale))

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
        columns = np.ascontiguousarray(self.prepared.columns(matched(X, self.seen)))
        return np.asarray(columns * self.weights_of_columns, dtype=np.float64)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> Regression:
    """Return the regression of ``y`` (0/1) on ``X``; a gap counts as the median, and has a column of its own."""
    seen = without_unused_categories(X)
    prepare = _preparation(seen, params.knots)
    model = LogisticRegression(C=1 / params.l2, max_iter=5000)
    with threadpool_limits(1):  # sums in another order would make the fit depend on the number of cores
        model.fit(prepare.fit_transform(seen), y)
    return Regression(_prepared(prepare), model.coef_[0], float(model.intercept_[0]), seen)


def save(fitted: Regression, folder: Path) -> None:
    """Write all constants as JSON."""
    parts = {name: part._asdict() for name, part in fitted.prepared._asdict().items() if hasattr(part, "_asdict")}
    scale = {"mean": fitted.prepared.mean, "scale": fitted.prepared.scale}
    weights = {"weights": fitted.weights_of_columns.tolist(), "intercept": fitted.intercept}
    write_facts(folder, "ridge", columns=columns_told(fitted.seen), **parts, **scale, **weights)


def load(folder: Path) -> Regression:
    """Return the regression that ``save`` wrote; raise InputFault for a damaged folder, or another learner's."""
    facts = read_facts(folder, "ridge", "columns", *Prepared._fields, "weights", "intercept")
    parts = (Numbers(**facts["numbers"]), Splines(**facts["splines"]), Texts(**facts["texts"]))
    prepared, weights = Prepared(*parts, facts["mean"], facts["scale"]), np.array(facts["weights"], np.float64)
    return Regression(prepared, weights, float(facts["intercept"]), columns_seen(facts["columns"]))


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


def _prepared(prepare: ColumnTransformer) -> Prepared:
    """Return the constants of a fitted preparation."""
    names = [list(map(str, columns)) for _, _, columns in prepare.transformers_[:3]]
    steps = [prepare.named_transformers_[name] if found else None for name, found in zip(PARTS, names, strict=True)]
    numbers, logits, texts = (None if step is None else [each for _, each in step.steps] for step in steps)
    gappy = [names[0][place] for place in numbers[0].indicator_.features_] if numbers else []
    return Prepared(
        Numbers(names[0], numbers[0].statistics_.tolist() if numbers else [], gappy),
        Splines(
            names[1],
            logits[0].statistics_.tolist() if logits else [],
            [spline.t.tolist() for spline in logits[1].bsplines_] if logits else [],
        ),
        Texts(names[2], [_plain(found) for found in texts[0].categories_] if texts else []),
        [number for step in (numbers, logits, texts) if step for number in step[-1].mean_.tolist()],
        [number for step in (numbers, logits, texts) if step for number in step[-1].scale_.tolist()],
    )


def _plain(values: Iterable[str | float | None]) -> list[str | None]:
    return [None if pd.isna(value) else str(value) for value in values]


def _filled_numbers(X: pd.DataFrame, names: list[str], medians: list[float]) -> NDArray[np.float64]:
    values = X[names].to_numpy(np.float64)
    return np.where(np.isnan(values), np.array(medians), values)


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


def _filled(*, gaps: bool) -> SimpleImputer:
    # What it fills in place is the copy that the column transformer has taken.
    return SimpleImputer(strategy="median", add_indicator=gaps, keep_empty_features=True, copy=False)


def _standardised(steps: Iterable[object]) -> Pipeline:
    # In place: at 401,059 rows every copy of the prepared columns is 0.4 GB, in each of the fits that run side by side.
    return make_pipeline(*steps, StandardScaler(copy=False))
