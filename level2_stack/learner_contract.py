"""The contract of a learner: a module with Params, fit, save and load; and the encoding of its columns as numbers."""

import weakref
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runtime.settings import Settings

if TYPE_CHECKING:
    import dask.dataframe as dd
    from distributed import Client


Predict = Callable[[pd.DataFrame], NDArray[np.float64]]
KEPT_ROWS = 1000  # rows that an encoder keeps
# The shares of a booster's rounds after which its probabilities are kept. The caller chooses the best share on inner
# folds: early stopping, without showing a learner the rows on which it is evaluated.
STAGES: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Learner(Protocol):
    """The contents of a module in ``learners/``.

    ``USES`` says which columns of the design the learner gets: only the networks' ``logit.*``, or all. ``USES_SEED``
    says whether the fit depends on the seed. ``BASELINE`` marks a learner that the leaderboard lists as a baseline.
    """

    USES: Literal["logits", "all"]
    USES_SEED: bool
    BASELINE: bool
    Params: type[Settings]

    def fit(
        self, params: Settings, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
    ) -> Predict:
        """Fit to training rows ``X`` (n x features), targets ``y`` (0/1, n) and patients ``groups`` (n).

        Return a function from m rows to m probabilities.
        """

    def save(self, predict: Predict, folder: Path) -> None:
        """Write what ``fit`` returned into ``folder``; ``load`` returns a function with the same predictions."""

    def load(self, folder: Path) -> Predict:
        """Read what ``save`` wrote, without unpickling; raise InputFault for a damaged or another learner's folder."""


@runtime_checkable
class HasWeights(Protocol):
    """A predictor that has a weight for each network."""

    weights: Mapping[str, float]


@runtime_checkable
class HasStages(Protocol):
    """A booster's predictor, which can also predict with a part of its rounds."""

    def stages(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities after each of ``STAGES``, shape (len(STAGES), n); the last row uses all rounds."""

    def after(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return the probabilities after ``share``, one of ``STAGES``, of the rounds, (n,), faster than all stages."""


class Trial(Protocol):
    """The part of an Optuna trial that suggests parameter values, each by its name and within limits."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number from ``low`` to ``high``, uniform, or uniform in its logarithm with ``log``."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""


@runtime_checkable
class Tunable(Protocol):
    """A learner that defines which of its parameters to search, and within which limits."""

    def suggest(self, trial: Trial) -> dict[str, int | float]:
        """Return the values that ``trial`` suggests for some fields of ``Params``."""


@runtime_checkable
class DistributedLearner(Protocol):
    """A learner that can spread one fit over several machines, where no machine holds all rows."""

    def fit_dask(self, params: Settings, X: "dd.DataFrame", y: "dd.Series", *, seed: int, client: "Client") -> Predict:
        """Return the fit to rows in the memory of Dask's workers; every partition of ``X`` must have all categories.

        Raises ConnectionError if the workers lose their connection.
        """


@runtime_checkable
class HasImportance(Protocol):
    """A predictor that has the mean gain of each feature in its fit."""

    importance: Mapping[str, float]


def stage_ends(rounds: int) -> list[int]:
    """Return the number of rounds at each of ``STAGES``, 1 or more: every stage needs a tree."""
    return [max(1, round(share * rounds)) for share in STAGES]


def monotone_constraints(X: "pd.DataFrame | dd.DataFrame") -> list[int]:
    """Return per column of ``X`` 1 where the probability must not fall as the column rises (logits), else 0."""
    return [int(str(name).startswith("logit.")) for name in X.columns]


def match_columns(X: pd.DataFrame, template: pd.DataFrame) -> pd.DataFrame:
    """Return ``X`` with the columns and categories of ``template``; a category that it lacks becomes missing."""
    by_column = {str(name): column.cat.categories for name, column in _categoricals(template).items()}
    return X[template.columns].assign(
        **{name: X[name].astype("category").cat.set_categories(categories) for name, categories in by_column.items()}
    )


class Encoder:
    """Encodes rows of a design as numbers like a booster does; for a few rows it takes a hundredth of a booster's time.

    A category becomes its index among ``categories``, which holds per position of a text column in ``names`` those that
    a booster was fitted with; missing values and other categories become NaN.
    """

    def __init__(self, names: tuple[str, ...], categories: tuple[tuple[int, tuple[str, ...]], ...]) -> None:
        self._arguments = names, categories
        self._names = pd.Index(names)
        self._categories = {position: pd.Index(values, dtype=object) for position, values in categories}
        self._numbers = [position for position in range(len(names)) if position not in self._categories]
        self._last = deque[tuple[weakref.ref[pd.DataFrame], NDArray[np.float64]]](maxlen=2)

    @staticmethod
    def of(template: pd.DataFrame) -> "Encoder":
        """Return the encoder for the columns and categories of ``template``: the same for all equal templates."""
        text = _categoricals(template)
        positions = {str(name): position for position, name in enumerate(template.columns)}
        categories = tuple((positions[str(name)], tuple(column.cat.categories)) for name, column in text.items())
        return _shared_encoder(tuple(positions), categories)

    def __reduce__(self) -> tuple[object, ...]:
        """Return how to make the encoder in another process: without the rows that it remembers."""
        return _shared_encoder, self._arguments

    @property
    def kinds(self) -> list[str]:
        """Return XGBoost's type of every column: "c" for a category, "float" for a number."""
        return ["c" if position in self._categories else "float" for position in range(len(self._names))]

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the rows of ``X`` as numbers, (n, columns); not to be changed, since a few rows are remembered.

        The boosters of all seeds, and both kinds of them, score the same rows and split the scores of some of them.
        """
        for rows, numbers in tuple(self._last):
            if rows() is X:
                return numbers
        numbers = self._encode(X)
        if len(X) <= KEPT_ROWS:
            self._last.append((weakref.ref(X), numbers))
        return numbers

    def _encode(self, X: pd.DataFrame) -> NDArray[np.float64]:
        rows = X if X.columns.equals(self._names) else X[self._names]
        numbers = np.empty(rows.shape)
        numbers[:, self._numbers] = rows.iloc[:, self._numbers].to_numpy(np.float64)
        for position, categories in self._categories.items():
            codes = categories.get_indexer(pd.Index(rows.iloc[:, position], dtype=object))
            numbers[:, position] = np.where(codes < 0, np.nan, codes)
        return numbers


@lru_cache(maxsize=64)
def _shared_encoder(names: tuple[str, ...], categories: tuple[tuple[int, tuple[str, ...]], ...]) -> Encoder:
    return Encoder(names, categories)


def without_unused_categories(X: pd.DataFrame) -> pd.DataFrame:
    """Return ``X`` with only the categories that occur in it: a learner must treat all others as unknown."""
    # XGBoost refuses a column without any category, and a sparse column would have none in some folds.
    not_empty = {str(name): column for name, column in _categoricals(X).items() if column.notna().any()}
    return X.assign(**{name: column.cat.remove_unused_categories() for name, column in not_empty.items()})


def _categoricals(X: pd.DataFrame) -> pd.DataFrame:
    return X.select_dtypes("category")
