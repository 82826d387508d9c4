"""Choose the fewest networks that stack almost as well as all: chosen on inner folds, evaluated on outer folds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from level2_stack.crossval.nested import CrossValidation, cross_validate
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import Interval, auc, patient_bootstrap
from level2_stack.recipe import Recipe

LEARNER = "ridge"  # it uses all columns, and its fits take a fraction of a booster's time
Names = tuple[str, ...]


@dataclass(frozen=True)
class NetworkChoice:
    """The chosen ``networks``, those with the largest gain first, and the AUC that choosing them loses.

    ``steps`` has a row per number of networks: its index is the network added last, ``auc`` the inner AUC with that
    network. ``full`` is the inner AUC of all networks. ``by_fold`` has the choice of each outer fold, made on its inner
    folds. ``loss`` is the AUC of all networks minus the AUC of ``by_fold``, where every outer fold is evaluated with
    its own choice, with 95 % limits (patients resampled).
    """

    networks: Names
    steps: pd.DataFrame
    full: float
    by_fold: list[Names]
    loss: Interval


def slim(names: Sequence[str], design_of: Callable[[Names], Design], recipe: Recipe, max_loss: float) -> NetworkChoice:
    """Return the fewest networks of ``names`` with which ridge loses at most ``max_loss`` AUC on inner folds.

    ``design_of`` returns the design with only the given networks. Networks are added one by one, each time the one with
    the largest gain in AUC (a greedy search: another set of the same size may be better). Inner scores come from fits
    that never saw their outer fold; the final choice uses their mean AUC over the outer folds.
    """
    evaluator, every = _Evaluator(design_of, recipe), tuple(sorted(names))
    folds = range(int(evaluator.cross_validation(every).folds.max()) + 1)
    by_fold = [_add_networks(every, partial(evaluator.inner_auc, folds=[fold]), max_loss)[0] for fold in folds]
    networks, steps = _add_networks(every, partial(evaluator.inner_auc, folds=folds), max_loss)
    return NetworkChoice(networks, steps, evaluator.inner_auc(every, folds), by_fold, evaluator.loss(every, by_fold))


class _Evaluator:
    """Cross-validates the ridge over sets of networks, each set once."""

    def __init__(self, design_of: Callable[[Names], Design], recipe: Recipe) -> None:
        self._design_of = design_of
        self._recipe = recipe.model_copy(update={"learners": [LEARNER], "blend": [LEARNER]})
        self._cache: dict[Names, tuple[Design, CrossValidation]] = {}

    def cross_validation(self, some: Names) -> CrossValidation:
        """Return the cross-validation with the networks ``some``, whose order does not matter."""
        return self._design_and_scores(some)[1]

    def inner_auc(self, some: Names, folds: Sequence[int]) -> float:
        """Return the AUC of the inner scores, averaged over the outer ``folds``."""
        design, cross_validation = self._design_and_scores(some)
        train = cross_validation.scores[LEARNER].train
        inner_rows = [cross_validation.folds != fold for fold in folds]
        aucs = [auc(design.y[rows], train[fold, rows]) for fold, rows in zip(folds, inner_rows, strict=True)]
        return float(np.mean(aucs))

    def loss(self, every: Names, by_fold: Sequence[Names]) -> Interval:
        """Return the outer AUC with ``every`` network minus the outer AUC with each fold's own choice."""
        design, cross_validation = self._design_and_scores(every)
        full = cross_validation.scores[LEARNER].outer(cross_validation.folds)
        few = full.copy()
        for fold, some in enumerate(by_fold):
            own = cross_validation.folds == fold
            few[own] = self.cross_validation(some).scores[LEARNER].train[fold, own]
        table = patient_bootstrap(design.y, pd.DataFrame({"all": full, "few": few}), design.groups, reference="all")
        gain, low, high = table[["gain", "gain_low", "gain_high"]].to_numpy(np.float64)[table.index.get_loc("few")]
        return Interval(gain, low, high)

    def _design_and_scores(self, some: Names) -> tuple[Design, CrossValidation]:
        key = tuple(sorted(some))
        if key not in self._cache:
            design = self._design_of(key)
            self._cache[key] = design, cross_validate(design, self._recipe)
        return self._cache[key]


def _add_networks(every: Names, score: Callable[[Names], float], max_loss: float) -> tuple[Names, pd.DataFrame]:
    """Add networks until ``score`` is within ``max_loss`` of that of ``every`` network; return them and the steps."""
    networks, aucs, enough = Names(), list[float](), score(every) - max_loss
    while not aucs or (aucs[-1] < enough and len(networks) < len(every)):
        best = max((name for name in every if name not in networks), key=lambda name: score((*networks, name)))
        networks = (*networks, best)
        aucs.append(score(networks))
    return networks, pd.DataFrame({"auc": aucs}, index=pd.Index(networks, name="added"))
