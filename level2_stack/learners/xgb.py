"""XGBoost on all columns: shallow histogram trees, strongly regularised, with categories and gaps as they are."""

from typing import Literal

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray
from pydantic import Field

from features.settings import Settings
from level2_stack.learners import matched, without_unused_categories

USES: Literal["logits", "all"] = "all"
SEEDED = True
BASELINE = False


class Params(Settings):
    """Settings of the booster; there is no early stopping, which would need rows that must not be seen."""

    rounds: int = Field(300, ge=1)
    eta: float = Field(0.03, gt=0)
    max_depth: int = Field(3, ge=1)
    min_child_weight: float = Field(
        5.0, ge=0
    )  # the sum of hessians: like reliability of leaves whatever the prevalence
    subsample: float = Field(0.8, gt=0, le=1)
    colsample_bytree: float = Field(0.4, gt=0, le=1)
    reg_lambda: float = Field(10.0, ge=0)
    max_bin: int = Field(128, ge=2)
    nthread: int = Field(1, ge=1)  # fits run side by side, one per core


class Boosted:
    """A fitted booster: call it with a design to get probabilities."""

    def __init__(self, booster: xgboost.Booster, seen: pd.DataFrame) -> None:
        self.booster = booster
        self._seen = seen.iloc[:0]
        gains = booster.get_score(importance_type="gain")
        self.importance: dict[str, float] = {name: float(gains.get(name, 0.0)) for name in seen.columns}

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        data = xgboost.DMatrix(matched(X, self._seen), enable_categorical=True)
        return np.asarray(self.booster.predict(data), dtype=np.float64)


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> Boosted:
    """Return a booster fitted to the log loss of ``y`` (0/1); equal seeds give equal boosters."""
    seen = without_unused_categories(X)
    settings = params.model_dump(exclude={"rounds"}) | {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "seed": seed,
        "verbosity": 0,
    }
    data = xgboost.DMatrix(seen, y, enable_categorical=True)
    return Boosted(xgboost.train(settings, data, params.rounds), seen)
