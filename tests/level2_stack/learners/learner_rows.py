"""Rows that every learner is fitted to, and learners quick enough for them."""

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
    """Return rows with a good and a worthless network, a number and a category; every tenth value is missing."""
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


def given(name, X):
    return X.filter(regex=r"^logit\.") if learners.find(name).USES == "logits" else X


def fitted(name, X, y, groups, seed=0):
    learner = learners.find(name)
    return learner.fit(FAST.get(name, learner.Params()), given(name, X), y, groups=groups, seed=seed)


@cache
def fitted_once(name):
    """Return what ``fitted`` makes of ``design()`` at seed 0: made once for all tests of a process."""
    return fitted(name, *design())
