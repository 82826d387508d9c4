"""What a learner is: a file with Params, fit, save and load; and how its columns become numbers."""

from collections.abc import Callable, Mapping
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
# The shares of a booster's rounds after which its probabilities are known. How many rounds are best is chosen on inner
# folds by the caller: early stopping without showing a learner the rows it is judged on.
STAGES: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Learner(Protocol):
    """What a file in this folder holds.

    ``USES`` says which columns of the design it is given: the networks' ``logit.*`` only, or all. ``SEEDED`` says
    whether another seed gives another fit. ``BASELINE`` marks what a leaderboard calls a baseline.
    """

    USES: Literal["logits", "all"]
    SEEDED: bool
    BASELINE: bool
    Params: type[Settings]

    def fit(
        self, params: Settings, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
    ) -> Predict:
        """Learn from training rows (n x features, targets 0/1, patients) and return what predicts n probabilities."""

    def save(self, fitted: Predict, folder: Path) -> None:
        """Write what ``fit`` returned into ``folder``, so that ``load`` gives back what predicts the same."""

    def load(self, folder: Path) -> Predict:
        """Return what ``save`` wrote; nothing is unpickled. Raises InputFault for a damaged or another folder."""


@runtime_checkable
class HasWeights(Protocol):
    """A predictor that says how much it makes of each network."""

    weights: Mapping[str, float]


@runtime_checkable
class HasStages(Protocol):
    """A predictor of a booster, which also knows what it would have said with fewer rounds."""

    def stages(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities after each of ``STAGES``, shape (len(STAGES), n); the last is what it predicts."""


class Trial(Protocol):
    """Where a tunable learner draws its parameters from (an Optuna trial): each by name, within limits."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number from ``low`` to ``high``, evenly spread or (``log``) evenly on the logarithm."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""


@runtime_checkable
class Tunable(Protocol):
    """A learner that says which of its parameters are worth searching, and where."""

    def suggest(self, trial: Trial) -> dict[str, int | float]:
        """Return values drawn from ``trial`` for some fields of ``Params``."""


@runtime_checkable
class DistributedLearner(Protocol):
    """A learner that can make one fit of rows that no machine holds together."""

    def fit_dask(self, params: Settings, X: "dd.DataFrame", y: "dd.Series", *, seed: int, client: "Client") -> Predict:
        """Learn from rows that Dask's workers hold; every part of ``X`` knows all categories."""


@runtime_checkable
class HasImportance(Protocol):
    """A predictor that says how much each feature contributed to its fit (mean gain)."""

    importance: Mapping[str, float]


def stage_ends(rounds: int) -> list[int]:
    """Return how many of ``rounds`` each of ``STAGES`` has; at least one, so that every stage has learned something."""
    return [max(1, round(share * rounds)) for share in STAGES]


def monotone_constraints(X: "pd.DataFrame | dd.DataFrame") -> list[int]:
    """Return per column of ``X`` 1 where a probability must not fall as the column rises (logits), else 0."""
    return [int(str(name).startswith("logit.")) for name in X.columns]


def match_columns(X: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """Return ``X`` with the columns and categories of ``seen``; a category that ``seen`` lacks becomes missing."""
    known = {str(name): column.cat.categories for name, column in _categoricals(seen).items()}
    return X[seen.columns].assign(
        **{name: X[name].astype("category").cat.set_categories(categories) for name, categories in known.items()}
    )


class Encoder:
    """Turns rows of a design into numbers: as boosters make them of a table, but in a hundredth of their time for few.

    ``seen`` has the columns and categories that a booster was fitted with. Categories become their places among those,
    and what is missing or was not seen NaN.
    """

    def __init__(self, seen: pd.DataFrame) -> None:
        self._names = list(map(str, seen.columns))
        known = _categoricals(seen)
        self._categories = {self._names.index(str(name)): column.cat.categories for name, column in known.items()}
        self._numbers = [place for place in range(len(self._names)) if place not in self._categories]

    @property
    def kinds(self) -> list[str]:
        """Return per column what XGBoost calls it: "c" for a category, "float" for a number."""
        return ["c" if place in self._categories else "float" for place in range(len(self._names))]

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the columns of ``X``, a table of n rows, as (n, columns)."""
        rows = X[self._names]
        coded = np.empty(rows.shape)
        coded[:, self._numbers] = rows.iloc[:, self._numbers].to_numpy(np.float64)
        for place, categories in self._categories.items():
            codes = categories.get_indexer(pd.Index(rows.iloc[:, place], dtype=object))
            coded[:, place] = np.where(codes < 0, np.nan, codes)
        return coded


def without_unused_categories(X: pd.DataFrame) -> pd.DataFrame:
    """Return ``X`` with only those categories that occur in it, so that others are unseen, not merely rare."""
    # XGBoost refuses a column without any category, which is what a rare one has in some folds.
    some = {str(name): column for name, column in _categoricals(X).items() if column.notna().any()}
    return X.assign(**{name: column.cat.remove_unused_categories() for name, column in some.items()})


def _categoricals(X: pd.DataFrame) -> pd.DataFrame:
    return X.select_dtypes("category")
