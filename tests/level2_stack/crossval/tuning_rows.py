"""Rows whose target depends on one of three logits, and a search on them."""

import numpy as np
import pandas as pd
from scipy.special import expit

from level2_stack.crossval.tuning import Rows, tune
from level2_stack.learners import logistic
from level2_stack.recipe import Budget


def rows(n=300, seed=0):
    """Return rows whose target depends on the first of three logits: three inner folds, two rows per patient."""
    random = np.random.default_rng(seed)
    X = pd.DataFrame(random.normal(size=(n, 3)), columns=["logit.a", "logit.b", "logit.c"])
    y = (random.random(n) < expit(1.5 * X["logit.a"].to_numpy() - 1)).astype(float)
    patients = np.arange(n) // 2
    return Rows(X, y, patients.astype(object), patients % 3)


def run_tuning(storage, trials, table=None, params=None, seconds=None, name="logistic", **others):
    """Return the result of ``tune`` with its journal in ``storage``, by default of logistic on ``rows()``."""
    table = table or rows()
    options = {"groups": table.groups, "folds": table.folds, "seed": 0} | others
    budget = Budget(trials=trials, seconds=seconds)
    return tune(name, params or logistic.Params(), table.X, table.y, budget=budget, storage=storage, **options)
