"""LightGBM on all columns: small trees, strongly regularised, with categories and gaps as they are."""

from typing import Literal

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from features.settings import Settings
from level2_stack.learners import matched, without_unused_categories

USES: Literal["logits", "all"] = "all"
SEEDED = True
BASELINE = False


class Params(Settings):
    """Settings of the booster; there is no early stopping, which would need rows that must not be seen."""

    rounds: int = Field(400, ge=1)
    learning_rate: float = Field(0.02, gt=0)
    num_leaves: int = Field(6, ge=2)
    min_child_samples: int = Field(20, ge=1)
    # Weighs evidence, not rows: a leaf of rare cancers needs more rows than one of frequent ones, whatever the data.
    min_sum_hessian: float = Field(2.0, ge=0)
    feature_fraction: float = Field(0.4, gt=0, le=1)
    bagging_fraction: float = Field(0.8, gt=0, le=1)
    lambda_l2: float = Field(5.0, ge=0)
    # Fits run side by side, one per core. More threads in one fit wait for each other after every split: on a busy
    # machine that made a thousand rows take minutes instead of a second.
    num_threads: int = Field(1, ge=1)


class Boosted:
    """A fitted booster: call it with a design to get probabilities."""

    def __init__(self, booster: lightgbm.Booster, seen: pd.DataFrame) -> None:
        self.booster = booster
        self._seen = seen.iloc[:0]
        gains = booster.feature_importance("gain") / np.maximum(booster.feature_importance("split"), 1)
        self.importance: dict[str, float] = dict(zip(seen.columns, gains.tolist(), strict=True))

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        return np.asarray(self.booster.predict(matched(X, self._seen)), dtype=np.float64)


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> Boosted:
    """Return a booster fitted to the log loss of ``y`` (0/1); equal seeds give equal boosters."""
    seen = without_unused_categories(X)
    settings = params.model_dump(exclude={"rounds", "min_sum_hessian"}) | {
        "objective": "binary",
        "min_sum_hessian_in_leaf": params.min_sum_hessian,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,  # the other histogram order sums floats in another order
        "verbosity": -1,
    }
    return Boosted(lightgbm.train(settings, lightgbm.Dataset(seen, y), params.rounds), seen)
