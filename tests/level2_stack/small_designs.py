"""Small random designs for tests of level two, and recipes with boosters small enough for them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from level2_stack.design.assemble import Design
from level2_stack.recipe import Recipe, check_recipe

SMALL = {"lgbm": {"rounds": 20, "learning_rate": 0.1}, "xgb": {"rounds": 20, "eta": 0.1}}


def recipe(*learners: str, **settings: object) -> Recipe:
    """Return a recipe of ``learners`` with small boosters; it blends all of them unless ``settings`` differ."""
    tables = {name: SMALL[name] for name in learners if name in SMALL}
    return check_recipe({"learners": list(learners), "blend": list(learners), "seeds": 1, **tables, **settings}, "test")


def make_design(
    rows: int = 240, tests: int = 24, *, signal: float = 1.5, networks: int = 2, folds: int = 4, seed: int = 0
):
    """Return a design of patients with 3 pictures, 30 % malignant per fold; the first network is informative."""
    random = np.random.default_rng(seed)
    fold = (np.arange(rows) // 3 % folds).astype(np.int8)
    y = np.zeros(rows + tests)
    for number in range(folds):
        own = np.flatnonzero(fold == number)
        # The same share in every fold: a fit without a fold rich in positives predicts too few; pooled AUCs fall.
        y[random.choice(own, round(0.3 * len(own)), replace=False)] = 1
    y[rows:] = random.random(tests) < 0.3
    logits = random.normal(size=(rows + tests, networks))
    logits[:, 0] += signal * y
    X = pd.DataFrame(logits, columns=[f"logit.n{i}" for i in range(networks)]).assign(
        **{"metadata.age": random.normal(size=rows + tests) + signal / 2 * y}
    )
    patients = np.array([f"patient_{i // 3}" for i in range(rows)], dtype=object)
    return Design(X.set_axis([f"case_{i}" for i in range(rows + tests)]), y[:rows], fold, patients)


def flip_targets(design: Design, fold: int) -> Design:
    """Return ``design`` with every target of ``fold`` inverted."""
    return replace(design, y=np.where(design.folds == fold, 1 - design.y, design.y))
