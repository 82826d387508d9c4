"""The fewest networks that stack almost as well as all of them: chosen on inner folds, judged on outer ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from level2_stack.crossval.nested import CrossValidation, cross_validate
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import Interval, auc, patient_bootstrap
from level2_stack.recipe import Recipe

LEARNER = "ridge"  # it uses all columns, and is fitted in a fraction of a booster's time
Names = tuple[str, ...]


@dataclass(frozen=True)
class NetworkChoice:
    """The ``networks`` that are enough, by what they add first, and what it costs to choose so.

    ``steps``: a row per number of networks, index the added one, with the inner ``auc`` reached; ``full`` is that of
    all. ``by_fold``: what each outer fold's inner folds chose. ``loss``: AUC of all minus that of the chosen, every
    outer fold judged by the choice of its own inner folds, with 95 % limits (patients resampled).
    """

    networks: Names
    steps: pd.DataFrame
    full: float
    by_fold: list[Names]
    loss: Interval


def slim(names: Sequence[str], design_of: Callable[[Names], Design], recipe: Recipe, allowed: float) -> NetworkChoice:
    """Return the fewest of ``names`` with which a ridge loses at most ``allowed`` of AUC on inner folds.

    ``design_of`` returns the design with some of the networks alone. Networks are added one by one, always the one that
    lifts the AUC most (greedy: another set of as few may be better). Inner scores never saw their outer fold; what
    is chosen for use is chosen by their mean over the outer folds.
    """
    judge, every = _Judge(design_of, recipe), tuple(sorted(names))
    folds = range(int(judge.found(every).folds.max()) + 1)
    by_fold = [_chosen(every, partial(judge.inner, folds=[fold]), allowed)[0] for fold in folds]
    networks, steps = _chosen(every, partial(judge.inner, folds=folds), allowed)
    return NetworkChoice(networks, steps, judge.inner(every, folds), by_fold, judge.loss(every, by_fold))


class _Judge:
    """Cross-validates the ridge over some networks, each set of them once."""

    def __init__(self, design_of: Callable[[Names], Design], recipe: Recipe) -> None:
        self._design_of = design_of
        self._recipe = recipe.model_copy(update={"learners": [LEARNER], "blend": [LEARNER]})
        self._known: dict[Names, tuple[Design, CrossValidation]] = {}

    def found(self, some: Names) -> CrossValidation:
        """Return what cross-validation finds with ``some`` networks, in whatever order."""
        return self._both(some)[1]

    def inner(self, some: Names, folds: Sequence[int]) -> float:
        """Return the AUC of the inner scores, the mean over the outer ``folds``."""
        design, found = self._both(some)
        train, inner = found.scores[LEARNER].train, [found.folds != fold for fold in folds]
        reached = [auc(design.y[rows], train[fold, rows]) for fold, rows in zip(folds, inner, strict=True)]
        return float(np.mean(reached))

    def loss(self, every: Names, by_fold: Sequence[Names]) -> Interval:
        """Return by how much the AUC of ``every`` network is above that of each fold's own choice, on outer scores."""
        design, found = self._both(every)
        full = found.scores[LEARNER].outer(found.folds)
        less = full.copy()
        for fold, some in enumerate(by_fold):
            own = found.folds == fold
            less[own] = self.found(some).scores[LEARNER].train[fold, own]
        drawn = patient_bootstrap(design.y, pd.DataFrame({"all": full, "few": less}), design.groups, reference="all")
        gain, low, high = drawn[["gain", "gain_low", "gain_high"]].to_numpy(np.float64)[drawn.index.get_loc("few")]
        return Interval(gain, low, high)

    def _both(self, some: Names) -> tuple[Design, CrossValidation]:
        key = tuple(sorted(some))
        if key not in self._known:
            design = self._design_of(key)
            self._known[key] = design, cross_validate(design, self._recipe)
        return self._known[key]


def _chosen(every: Names, score: Callable[[Names], float], allowed: float) -> tuple[Names, pd.DataFrame]:
    """Return the networks added until ``score`` is within ``allowed`` of that of ``every`` one, and the way there."""
    chosen, reached, enough = Names(), list[float](), score(every) - allowed
    while not reached or (reached[-1] < enough and len(chosen) < len(every)):
        best = max((name for name in every if name not in chosen), key=lambda name: score((*chosen, name)))
        chosen = (*chosen, best)
        reached.append(score(chosen))
    return chosen, pd.DataFrame({"auc": reached}, index=pd.Index(chosen, name="added"))
