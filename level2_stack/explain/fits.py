"""The outer fits of a finished stack made again, each with what every column adds to the score of every row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack import learners
from level2_stack.crossval.fits import Model, Table, Task, Workers, columns_for, fitted, side_by_side, worth_processes
from level2_stack.crossval.nested import TunedParams, params_for, thinning
from level2_stack.explain.scales import Floats, Split, settled, weighted
from level2_stack.learner_contract import STAGES
from level2_stack.recipe import Recipe

MOST_ORDERS = 16  # in pairs of an order and its reverse
ADDITIVE = 1e-5  # log odds: an order and its reverse that agree so well say that the order does not matter


@runtime_checkable
class Contributing(Protocol):
    """A predictor that knows what each column adds to its logit."""

    def contributions(self, X: pd.DataFrame, share: float) -> Floats:
        """Return (n, columns of X + 1): parts of the logit after ``share`` of the rounds, and last the base."""


@dataclass(frozen=True)
class Member:
    """A learner whose fits are made again; ``stages`` holds the share of the rounds that each outer fold chose."""

    learner: str
    seeds: int
    stages: Sequence[float] | None


@dataclass(frozen=True)
class MemberScores:
    """The rows of one fit, those of its fold and then the test rows: the score in log odds as kept, and its split."""

    score: NDArray[np.float32]
    split: Split


def members_of(recipe: Recipe, names: Sequence[str], rounds: Mapping[str, Sequence[float]]) -> list[Member]:
    """Return the learners ``names`` as ``recipe`` fits them, with the ``rounds`` that a stack has chosen."""
    return [Member(name, recipe.seeds if learners.find(name).SEEDED else 1, rounds.get(name)) for name in names]


def tasks_of(members: Sequence[Member], recipe: Recipe, tuned: TunedParams, folds: int) -> list[Task]:
    """Return the outer fits of ``members`` as nested cross-validation makes them, fold by fold."""
    return [
        Task(
            each.learner,
            params_for(recipe, tuned, each.learner, fold),
            (fold,),
            seed,
            thinning(recipe, each.learner),
            keep=True,
        )
        for fold in range(folds)
        for each in members
        for seed in range(each.seeds)
    ]


def score_folds(
    tasks: Sequence[Task], members: Sequence[Member], table: Table, processes: Workers | None = None
) -> Iterator[tuple[int, str, MemberScores]]:
    """Yield (fold, learner, its rows scored) for the ``tasks`` of ``tasks_of``, the mean over the seeds.

    The means are taken in float32, seed after seed, as the stack takes them: the scores are equal to the last bit.
    """
    seeds, stages = {each.learner: each.seeds for each in members}, {each.learner: each.stages for each in members}
    # A contribution costs about as much as a fit.
    workers = processes or worth_processes(2 * len(tasks), table)
    outcomes = side_by_side(partial(_scored, stages=stages), tasks, table, workers)
    so_far: list[MemberScores] = []
    for task, outcome in zip(tasks, outcomes, strict=True):
        so_far.append(outcome)
        if len(so_far) == seeds[task.learner]:
            yield task.left_out[0], task.learner, mean_over_seeds(so_far)
            so_far = []


def _scored(task: Task, table: Table, *, stages: Mapping[str, Sequence[float] | None]) -> MemberScores:
    found, (fold,) = fitted(task, table), task.left_out
    share, stage = stage_of(stages[task.learner], fold)
    rows = np.concatenate([np.flatnonzero(table.folds == fold), np.arange(len(table.y), len(table.X))])
    kept, model = [found.held_out[fold], found.test], found.model
    if model is None or kept[1] is None:
        raise ValueError("an outer fit keeps its model and scores the test rows")
    score = np.concatenate([margins[stage] for margins in kept if margins is not None])
    return MemberScores(score, split_by(model, task.learner, table.X.iloc[rows], share, stage))


def stage_of(chosen: Sequence[float] | None, fold: int) -> tuple[float, int]:
    """Return the share of the rounds that outer ``fold`` chose, and its place among the learner's stages."""
    share = STAGES[-1] if chosen is None else chosen[fold]
    return share, 0 if chosen is None else STAGES.index(share)


def split_by(model: Model, learner: str, X: pd.DataFrame, share: float, stage: int) -> Split:
    """Return what every column of ``X`` (n rows of a design) adds to the logit of a fitted ``model``."""
    given = columns_for(learner, X)
    found = _contributions(model, given, stage, share)
    parts = np.zeros(X.shape)
    parts[:, X.columns.get_indexer(given.columns)] = found[:, :-1]
    return Split(parts, found[:, -1])


def _contributions(model: Model, X: pd.DataFrame, stage: int, share: float) -> Floats:
    """Return the parts of the model's logit, thinning put right, and last the base; (n, columns + 1)."""
    if not len(X):
        return np.zeros((0, X.shape[1] + 1))
    if not isinstance(model.predict, Contributing):
        return by_hiding(lambda shown: np.asarray(model.margins(shown)[stage], dtype=np.float64), X)
    parts = model.predict.contributions(X, share)
    parts[:, -1] += model.correction
    return parts


def mean_over_seeds(scored: Sequence[MemberScores]) -> MemberScores:
    """Return the mean of what the seeds score, taken in float32, seed after seed, as the stack takes it."""
    share, score = np.float32(1 / len(scored)), np.zeros_like(scored[0].score)
    for each in scored:
        score += share * each.score
    return MemberScores(score, weighted([each.split for each in scored], [1 / len(scored)] * len(scored)))


def rounding(scored: MemberScores) -> float:
    """Return the largest difference between a score as kept and the sum of its parts, in log odds."""
    return float(np.abs(scored.split.total - scored.score).max(initial=0.0))


def exact(scored: MemberScores) -> Split:
    """Return the split of the score as kept: its rounding shared out."""
    return settled(scored.split, scored.score.astype(np.float64))


def by_hiding(score: Callable[[pd.DataFrame], Floats], X: pd.DataFrame) -> Floats:
    """Return (n, columns + 1): what every column of ``X`` adds to ``score`` (n,), and last the score of nothing known.

    A hidden column is missing in all rows, which every learner can take. A column's gain is averaged over orders in
    which columns are shown (Shapley values by permutation, Castro et al. 2009): all orders of up to three columns, of
    more a balanced choice. For every order, and so for the mean, gains and base add up to the score.
    """
    names = list(X.columns)
    blank = X.apply(lambda column: column.where(np.zeros(len(column), dtype=bool)))
    base = score(blank)
    gains: list[Floats] = []
    for order in _orders(len(names)):
        gains.append(_gains(score, X, blank, base, [names[place] for place in order]))
        if len(gains) == 2 and np.abs(gains[0] - gains[1]).max(initial=0.0) < ADDITIVE:
            break
    return np.column_stack([np.mean(gains, axis=0), base])


def _gains(
    score: Callable[[pd.DataFrame], Floats], X: pd.DataFrame, blank: pd.DataFrame, base: Floats, order: list[str]
) -> Floats:
    places, shown = X.columns.get_indexer(pd.Index(order)), dict(blank.items())
    gains, before = np.zeros(X.shape), base
    for place, name in zip(places, order, strict=True):
        shown[name] = X[name]
        after = score(pd.DataFrame(shown, index=X.index))
        gains[:, place] = after - before
        before = after
    return gains


def _orders(count: int) -> Iterator[list[int]]:
    """Yield orders of 0..count-1 in pairs of one and its reverse: rotations, spread evenly if there are too many."""
    rotations = np.unique(np.linspace(0, count - 1, min(count, MOST_ORDERS // 2)).round().astype(int))
    for first in rotations.tolist():
        order = [*range(first, count), *range(first)]
        yield order
        yield order[::-1]
