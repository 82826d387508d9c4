"""Level-two learners: one per file, found by the file's name; a learner is given training rows alone."""

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Literal, Protocol, cast, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.faults import InputFault, did_you_mean
from features.settings import Settings

Predict = Callable[[pd.DataFrame], NDArray[np.float64]]


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


@runtime_checkable
class Weighted(Protocol):
    """A predictor that says how much it makes of each network."""

    weights: Mapping[str, float]


@runtime_checkable
class Explained(Protocol):
    """A predictor that says how much each feature contributed to its fit (mean gain)."""

    importance: Mapping[str, float]


def names() -> list[str]:
    """Return the names of all learners, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Learner:
    """Return the learner called ``name``; raise InputFault with the nearest name when there is none."""
    if name not in names():
        raise InputFault(f"no learner {name!r} in level2_stack/learners; {did_you_mean(name, names())}")
    return cast(Learner, import_module(f"{__name__}.{name}"))


def matched(X: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """Return ``X`` with the columns and categories of ``seen``; a category that ``seen`` lacks becomes missing."""
    known = {str(name): column.cat.categories for name, column in _categoricals(seen).items()}
    return X[seen.columns].assign(
        **{name: X[name].astype("category").cat.set_categories(categories) for name, categories in known.items()}
    )


def without_unused_categories(X: pd.DataFrame) -> pd.DataFrame:
    """Return ``X`` with only those categories that occur in it, so that others are unseen, not merely rare."""
    used = {str(name): column.cat.remove_unused_categories() for name, column in _categoricals(X).items()}
    return X.assign(**used)


def _categoricals(X: pd.DataFrame) -> pd.DataFrame:
    return X.select_dtypes("category")
