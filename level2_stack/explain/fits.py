"""Refit the outer models of a finished stack, and split the score of every row into one part per column."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack import learners
from level2_stack.crossval.fits import (
    Model,
    Table,
    Task,
    Workers,
    choose_processes,
    fit_task,
    run_in_parallel,
    select_columns,
)
from level2_stack.crossval.nested import TunedParams, params_for, thinning_ratio
from level2_stack.explain.scales import Floats, Split, match_total, weighted_sum
from level2_stack.learner_contract import STAGES
from level2_stack.recipe import Recipe

MOST_ORDERS = 16  # half of them reversed copies of the others
ADDITIVE = 1e-5  # log odds: if an order and its reverse differ by less, the order of the columns does not matter


@runtime_checkable
class HasContributions(Protocol):
    """A predictor that can split its logit into one part per column."""

    def contributions(self, X: pd.DataFrame, share: float) -> Floats:
        """Return (n, columns of X + 1): the parts of the logit after ``share`` of the rounds, then the base."""


@dataclass(frozen=True)
class Member:
    """A learner to refit; ``stages`` holds the share of the rounds chosen for each outer fold (None: no booster)."""

    learner: str
    seeds: int
    stages: Sequence[float] | None


@dataclass(frozen=True)
class MemberScores:
    """Scores of one learner in log odds, and their split, for the rows of its outer fold and then the test rows.

    ``score`` is in float32, as the stack stores it; the total of ``split`` may differ from it by rounding.
    """

    score: NDArray[np.float32]
    split: Split


def members_of(recipe: Recipe, names: Sequence[str], rounds: Mapping[str, Sequence[float]]) -> list[Member]:
    """Return the learners ``names`` with the seeds of ``recipe`` and the ``rounds`` that a stack has chosen."""
    return [Member(name, recipe.seeds if learners.find(name).USES_SEED else 1, rounds.get(name)) for name in names]


def tasks_of(members: Sequence[Member], recipe: Recipe, tuned_params: TunedParams, folds: int) -> list[Task]:
    """Return the outer fits of ``members`` as nested cross-validation makes them, fold by fold."""
    return [
        Task(
            each.learner,
            params_for(recipe, tuned_params, each.learner, fold),
            (fold,),
            seed,
            thinning_ratio(recipe, each.learner),
            keep_model=True,
        )
        for fold in range(folds)
        for each in members
        for seed in range(each.seeds)
    ]


def score_folds(
    tasks: Sequence[Task], members: Sequence[Member], table: Table, processes: Workers | None = None
) -> Iterator[tuple[int, str, MemberScores]]:
    """Yield (fold, learner, scores) for the ``tasks`` of ``tasks_of``; the scores are means over the seeds.

    The means are computed in float32, seed after seed, like those of the stack: the scores are equal to the last bit.
    """
    seeds, stages = {each.learner: each.seeds for each in members}, {each.learner: each.stages for each in members}
    # Computing the contributions takes about as long as the fit.
    workers = processes or choose_processes(2 * len(tasks), table)
    outcomes = run_in_parallel(partial(_score_fit, stages=stages), tasks, table, workers)
    by_seed: list[MemberScores] = []
    for task, outcome in zip(tasks, outcomes, strict=True):
        by_seed.append(outcome)
        if len(by_seed) == seeds[task.learner]:
            yield task.excluded_folds[0], task.learner, mean_over_seeds(by_seed)
            by_seed = []


def _score_fit(task: Task, table: Table, *, stages: Mapping[str, Sequence[float] | None]) -> MemberScores:
    fit, (fold,) = fit_task(task, table), task.excluded_folds
    share, stage = stage_of(stages[task.learner], fold)
    rows = np.concatenate([np.flatnonzero(table.folds == fold), np.arange(len(table.y), len(table.X))])
    if fit.model is None or fit.test_scores is None:
        raise ValueError("an outer fit keeps its model and scores the test rows")
    score = np.concatenate([fit.fold_scores[fold][stage], fit.test_scores[stage]])
    return MemberScores(score, split_by_column(fit.model, task.learner, table.X.iloc[rows], share))


def stage_of(shares: Sequence[float] | None, fold: int) -> tuple[float, int]:
    """Return the share of the rounds that was chosen for outer ``fold``, and the index of this share in STAGES.

    ``shares`` has one share per outer fold; None stands for a learner without stages, which has index 0.
    """
    share = STAGES[-1] if shares is None else shares[fold]
    return share, 0 if shares is None else STAGES.index(share)


def split_by_column(model: Model, learner: str, X: pd.DataFrame, share: float) -> Split:
    """Return what every column of ``X`` (n rows of a design) adds to the logit of a fitted ``model``."""
    own_columns = select_columns(learner, X)
    contributions = _contributions(model, own_columns, share)
    parts = np.zeros(X.shape)
    parts[:, X.columns.get_indexer(own_columns.columns)] = contributions[:, :-1]
    return Split(parts, contributions[:, -1])


def _contributions(model: Model, X: pd.DataFrame, share: float) -> Floats:
    """Return the parts of the model's logit, then the base, corrected for thinned negatives; (n, columns + 1)."""
    if not len(X):
        return np.zeros((0, X.shape[1] + 1))
    if not isinstance(model.predict, HasContributions):
        return split_by_hiding(lambda rows: np.asarray(model.margin(rows, share), dtype=np.float64), X)
    parts = model.predict.contributions(X, share)
    parts[:, -1] += model.correction
    return parts


def mean_over_seeds(by_seed: Sequence[MemberScores]) -> MemberScores:
    """Return the mean of the seeds' scores, computed in float32, seed after seed, as the stack computes its mean."""
    share, score = np.float32(1 / len(by_seed)), np.zeros_like(by_seed[0].score)
    for each in by_seed:
        score += share * each.score
    return MemberScores(score, weighted_sum([each.split for each in by_seed], [1 / len(by_seed)] * len(by_seed)))


def rounding(scores: MemberScores) -> float:
    """Return the largest difference between a stored score and the sum of its parts, in log odds."""
    return float(np.abs(scores.split.total - scores.score).max(initial=0.0))


def exact_split(scores: MemberScores) -> Split:
    """Return the split with the rounding difference added to the parts, so that it adds up to the stored score."""
    return match_total(scores.split, scores.score.astype(np.float64))


def split_by_hiding(score: Callable[[pd.DataFrame], Floats], X: pd.DataFrame) -> Floats:
    """Return (n, columns + 1): what every column of ``X`` adds to ``score`` (n,), then the score with all hidden.

    A hidden column is missing in all rows, which every learner accepts. The columns are revealed one after the other;
    the change of the score when a column is revealed is averaged over several orders (Shapley values by permutation,
    Castro et al. 2009): all orders of up to three columns, a balanced selection for more. In every order, and so in the
    mean, the changes and the base add up to the score.
    """
    names = list(X.columns)
    blank = X.apply(lambda column: column.where(np.zeros(len(column), dtype=bool)))
    base = score(blank)
    gains: list[Floats] = []
    for order in _orders(len(names)):
        gains.append(_gains(score, X, blank, base, [names[number] for number in order]))
        if len(gains) == 2 and np.abs(gains[0] - gains[1]).max(initial=0.0) < ADDITIVE:
            break
    return np.column_stack([np.mean(gains, axis=0), base])


def _gains(
    score: Callable[[pd.DataFrame], Floats], X: pd.DataFrame, blank: pd.DataFrame, base: Floats, order: list[str]
) -> Floats:
    indices, columns = X.columns.get_indexer(pd.Index(order)), dict(blank.items())
    gains, before = np.zeros(X.shape), base
    for index, name in zip(indices, order, strict=True):
        columns[name] = X[name]
        after = score(pd.DataFrame(columns, index=X.index))
        gains[:, index] = after - before
        before = after
    return gains


def _orders(count: int) -> Iterator[list[int]]:
    """Yield rotations of 0..count-1, each followed by its reverse; evenly spaced rotations if there are too many."""
    rotations = np.unique(np.linspace(0, count - 1, min(count, MOST_ORDERS // 2)).round().astype(int))
    for first in rotations.tolist():
        order = [*range(first, count), *range(first)]
        yield order
        yield order[::-1]
