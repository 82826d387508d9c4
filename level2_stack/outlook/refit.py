"""Refit a finished stack at its frozen settings on a part of the patients, or without some columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.crossval.fits import Table, Task, build_table, choose_processes, fit_task, run_in_parallel
from level2_stack.crossval.nested import params_for, thinning_ratio
from level2_stack.design.assemble import Design
from level2_stack.explain.explanations import StackDecisions
from level2_stack.explain.fits import stage_of
from level2_stack.recipe import Recipe

Floats = NDArray[np.float64]
MIN_PATIENTS = 1  # of every fold and class, in the smallest part


class Part(NamedTuple):
    """The first ``share`` of the patients, in the random order number ``draw``; it is the seed of the fits too."""

    share: float = 1.0
    draw: int = 0


@dataclass(frozen=True)
class FrozenStack:
    """The learners of the submitted model, with the parameters, rounds and weights that the stack chose."""

    recipe: Recipe
    decisions: StackDecisions

    def with_learner(self, learner: str) -> "FrozenStack":
        """Return a stack of ``learner`` alone with the recipe's parameters and all its rounds."""
        weights = np.ones((len(self.decisions.weights), 1))
        return replace(self, decisions=replace(self.decisions, members=[learner], rounds={}, weights=weights))

    def with_choices_of(self, fold: int) -> "FrozenStack":
        """Return a stack whose fits all have the parameters, rounds and weights that outer ``fold`` chose.

        They were chosen on the other folds, so that no label of ``fold`` has a part in them.
        """
        decisions = self.decisions
        folds = range(len(decisions.weights))
        own = {learner: params for (learner, of), params in decisions.tuned_params.items() if of == fold}
        return replace(
            self,
            decisions=replace(
                decisions,
                weights=np.repeat(decisions.weights[[fold]], len(folds), axis=0),
                rounds={learner: [shares[fold]] * len(folds) for learner, shares in decisions.rounds.items()},
                tuned_params={(learner, of): params for learner, params in own.items() for of in folds},
            ),
        )

    def scores(self, design: Design, parts: Sequence[Part], on_fit: Callable[[int], None] | None = None) -> Floats:
        """Return the out-of-fold scores (n, parts), in logits: each fold by fits to the part of the other folds."""
        table = build_table(design)
        members = list(enumerate(self.decisions.members))
        jobs = [
            (self._task(name, fold, part.draw), part) for part in parts for fold in _folds(table) for _, name in members
        ]
        places = [(column, fold, i) for column, _ in enumerate(parts) for fold in _folds(table) for i, _ in members]
        scores = np.zeros((len(table.y), len(parts)))
        outcomes = run_in_parallel(score_part, jobs, table, choose_processes(len(jobs), table))
        for (column, fold, member), margins in zip(places, outcomes, strict=True):
            _, stage = stage_of(self.decisions.rounds.get(self.decisions.members[member]), fold)
            scores[table.folds == fold, column] += self.decisions.weights[fold, member] * margins[stage]
            if on_fit is not None:
                on_fit(1)
        return scores

    def seconds_per_fold(self, design: Design) -> float:
        """Return how long the fits of one fold take to all other patients, measured on the first fold."""
        table, start = build_table(design), monotonic()
        for name in self.decisions.members:
            score_part((self._task(name, 0, 0), Part()), table)
        return monotonic() - start

    def _task(self, learner: str, fold: int, seed: int) -> Task:
        params = params_for(self.recipe, self.decisions.tuned_params, learner, fold)
        return Task(learner, params, (fold,), seed, thinning_ratio(self.recipe, learner))


def score_part(job: tuple[Task, Part], table: Table) -> NDArray[np.float32]:
    """Fit to the part's patients outside the fold of the task; return the logits (stages, rows) of that fold."""
    task, part = job
    (fold,) = task.excluded_folds
    rows = np.flatnonzero((table.folds == fold) | rows_of_part(part, table.y, table.folds, table.groups))
    small = Table(table.X.iloc[rows], table.y[rows], table.folds[rows], table.groups[rows])
    return fit_task(task, small).fold_scores[fold]


def rows_of_part(part: Part, y: Floats, folds: NDArray[np.integer], groups: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which rows (n,) belong to the patients of ``part``; a smaller share is within a larger one of a draw.

    Every fold gives the share of its patients with and of those without a malignant picture, at least one of each.
    """
    patients = pd.DataFrame({"patient": groups, "y": y, "fold": folds}).groupby("patient", sort=True).max()
    order = pd.Series(np.random.default_rng(part.draw).permutation(len(patients)), index=patients.index)
    strata = order.groupby([patients["fold"], patients["y"]])
    limit = (part.share * strata.transform("size")).round().clip(lower=MIN_PATIENTS)
    is_in_part = strata.rank() <= limit
    return is_in_part.reindex(groups).to_numpy()


def _folds(table: Table) -> range:
    return range(int(table.folds.max()) + 1)
