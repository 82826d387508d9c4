"""Patient-grouped cross-validation of level two: every train row is predicted by fits that never saw its patient."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from features.faults import Faults, InputFault, named
from level2_stack import learners
from level2_stack.assemble import CLIP, Design
from level2_stack.evaluate import auc
from level2_stack.recipe import BLEND, Recipe


@dataclass(frozen=True)
class StackResult:
    """What cross-validation found.

    ``probability``: one row per row of the design, one column per learner and "blend"; out-of-fold for train rows, the
    mean over the fold models for test rows, over seeds for both. ``fold_auc``: learners x folds. ``weights``: per
    learner that weighs networks, the mean weight of each. ``importance``: per learner that tells, the mean gain of each
    feature.
    """

    probability: pd.DataFrame
    fold_auc: pd.DataFrame
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    importance: dict[str, dict[str, float]] = field(default_factory=dict)


def cross_validate(
    design: Design, recipe: Recipe, on_fit: Callable[[str, int, int], None] = lambda learner, seed, fold: None
) -> StackResult:
    """Fit every learner of ``recipe`` once per fold and seed, and return its out-of-fold and test probabilities.

    ``on_fit`` is called with learner, seed and fold after each of the ``number_of_fits`` fits. They run side by side,
    one per core; the result does not depend on how many cores there are. Raises InputFault when a patient spans folds,
    or when a fold or the rest of the rows has one class only.
    """
    _check_folds(design)
    outcomes = {name: _Outcome(np.zeros(len(design.X))) for name in recipe.learners}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for fit, fitted in pool.map(lambda fit: (fit, _fitted(fit, design, recipe)), _fits(design, recipe)):
            _add(outcomes[fit.learner], fitted, design, fit, _seeds(fit.learner, recipe))
            on_fit(*fit)
    probability = pd.DataFrame({name: outcome.probability for name, outcome in outcomes.items()}, index=design.X.index)
    probability[BLEND] = expit(probability[recipe.blend].clip(CLIP, 1 - CLIP).apply(logit).mean(axis=1))
    return StackResult(
        probability=probability,
        fold_auc=fold_aucs(design, probability),
        weights={name: found for name, outcome in outcomes.items() if (found := _means(outcome.weights))},
        importance={name: found for name, outcome in outcomes.items() if (found := _means(outcome.importance))},
    )


def number_of_fits(design: Design, recipe: Recipe) -> int:
    """Return how many fits ``cross_validate`` makes: folds times seeds, once for learners that need no seed."""
    return len(_fits(design, recipe))


def fold_aucs(design: Design, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of every column of ``scores`` (train rows first) within every fold, over the rows it has."""
    rows = {}
    for name in scores.columns:
        values = scores[name].to_numpy(dtype=np.float64)[: len(design.y)]
        known = {int(fold): (design.folds == fold) & ~np.isnan(values) for fold in np.unique(design.folds)}
        rows[name] = {fold: auc(design.y[mask], values[mask]) for fold, mask in known.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


class _Fit(NamedTuple):
    learner: str
    seed: int
    fold: int


@dataclass(frozen=True)
class _Fitted:
    held_out: NDArray[np.float64]
    test: NDArray[np.float64]
    weights: Mapping[str, float] | None
    importance: Mapping[str, float] | None


@dataclass
class _Outcome:
    probability: NDArray[np.float64]
    weights: list[Mapping[str, float]] = field(default_factory=list)
    importance: list[Mapping[str, float]] = field(default_factory=list)


def _fits(design: Design, recipe: Recipe) -> list[_Fit]:
    folds = [int(fold) for fold in np.unique(design.folds)]
    seeds = {name: range(_seeds(name, recipe)) for name in recipe.learners}
    return [_Fit(name, seed, fold) for name in recipe.learners for seed in seeds[name] for fold in folds]


def _fitted(fit: _Fit, design: Design, recipe: Recipe) -> _Fitted:
    learner = learners.find(fit.learner)
    X = design.X.filter(regex=r"^logit\.") if learner.USES == "logits" else design.X
    seen, held_out = np.flatnonzero(design.folds != fit.fold), np.flatnonzero(design.folds == fit.fold)
    parameters, groups = recipe.parameters(fit.learner), design.groups[seen]
    predict = learner.fit(parameters, X.iloc[seen], design.y[seen], groups=groups, seed=fit.seed)
    test = X.iloc[len(design.y) :]
    return _Fitted(
        held_out=predict(X.iloc[held_out]),
        test=predict(test) if len(test) else np.zeros(0),
        weights=predict.weights if isinstance(predict, learners.Weighted) else None,
        importance=predict.importance if isinstance(predict, learners.Explained) else None,
    )


def _add(outcome: _Outcome, fitted: _Fitted, design: Design, fit: _Fit, seeds: int) -> None:
    """Add one fit's share: to its fold's rows 1 / seeds of it, to the test rows 1 / (seeds * folds)."""
    n_train, n_folds = len(design.y), len(np.unique(design.folds))
    outcome.probability[np.flatnonzero(design.folds == fit.fold)] += fitted.held_out / seeds
    outcome.probability[n_train:] += fitted.test / (seeds * n_folds)
    outcome.weights.extend([fitted.weights] if fitted.weights is not None else [])
    outcome.importance.extend([fitted.importance] if fitted.importance is not None else [])


def _seeds(name: str, recipe: Recipe) -> int:
    return recipe.seeds if learners.find(name).SEEDED else 1


def _means(found: list[Mapping[str, float]]) -> dict[str, float]:
    return {str(name): float(value) for name, value in pd.DataFrame(found).mean().items()}


def _check_folds(design: Design) -> None:
    spans = pd.Series(design.folds).groupby(design.groups).nunique()
    if (spans > 1).any():
        raise InputFault(f"cases: patients in more than one fold: {named(spans.index[spans > 1])}")
    folds = np.unique(design.folds)
    if len(folds) < 2:
        raise InputFault(f"cases: {len(folds)} fold(s); cross-validation needs at least 2")
    faults = Faults()
    for fold in folds:
        y, rest = design.y[design.folds == fold], design.y[design.folds != fold]
        if len(np.unique(y)) < 2 or len(np.unique(rest)) < 2:
            faults.add(
                f"fold {fold}: {int(y.sum())} malignant of {len(y)}, outside it {int(rest.sum())} of {len(rest)}"
            )
    faults.raise_if_any("every fold and what is outside it need both classes; fewer folds may do")
