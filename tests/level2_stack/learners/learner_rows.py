"""Random rows for the tests of every learner, and parameters with which each fits quickly."""

from functools import cache

import numpy as np
import pandas as pd

from level2_stack import learners
from level2_stack.learners import catboost, lgbm, xgb

FAST = {
    "lgbm": lgbm.Params(rounds=60, learning_rate=0.1),
    "xgb": xgb.Params(rounds=60, eta=0.1),
    "catboost": catboost.Params(rounds=60, learning_rate=0.1),
}


def design(n=400, seed=0, signal=1.5):
    """Return rows, targets and patients: a good and a useless network, a number and a category, 10 % missing values."""
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.3).astype(float)
    X = pd.DataFrame(
        {
            "logit.good": signal * y + random.normal(size=n) - 3,
            "logit.noise": random.normal(size=n) - 3,
            "metadata.age": random.integers(20, 90, n).astype(float),
            "metadata.site": pd.Categorical(random.choice(["arm", "leg", "torso"], n), ["arm", "head", "leg", "torso"]),
        },
        index=[f"case_{i}" for i in range(n)],
    )
    for column in X:
        X.loc[random.random(n) < 0.1, column] = np.nan
    return X, y, np.array([f"patient_{i // 4}" for i in range(n)], dtype=object)


def columns_of(name, X):
    """Return the columns of ``X`` that learner ``name`` uses."""
    return X.filter(regex=r"^logit\.") if learners.find(name).USES == "logits" else X


def fit_learner(name, X, y, groups, seed=0):
    """Return learner ``name`` fitted to its columns of ``X``, with the quick parameters."""
    learner = learners.find(name)
    return learner.fit(FAST.get(name, learner.Params()), columns_of(name, X), y, groups=groups, seed=seed)


@cache
def cached_fit(name):
    """Return ``fit_learner`` on ``design()`` with seed 0, computed once for all tests of a process."""
    return fit_learner(name, *design())
