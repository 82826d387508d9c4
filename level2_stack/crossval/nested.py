"""Nested, patient-grouped cross-validation of level two: no score depends on choices made with its own fold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack import learners
from level2_stack.crossval.fits import FitResult, Model, Table, Task, Workers, build_table, run_tasks
from level2_stack.design.assemble import Design
from level2_stack.design.fold_checks import check_folds
from level2_stack.evaluation.auc import auc
from level2_stack.learner_contract import STAGES
from level2_stack.recipe import Recipe
from runtime.settings import Settings

Floats = NDArray[np.float64]
TunedParams = Mapping[tuple[str, int], Settings]  # (learner, outer fold) -> the best parameters of its tuning


@dataclass(frozen=True)
class Scores:
    """The scores of one model, in logits, over k folds.

    ``train`` (k, n): entry (i, case) comes from fits that used neither fold i nor the case's own fold. If i is the
    case's own fold, it is the outer out-of-fold score; all other entries of row i are inner scores, from which choices
    for outer fold i can be made. ``test`` (k, m): row i comes from the fits that excluded fold i only. ``by_seed``
    (seeds, n): the outer scores of each seed alone.
    """

    train: Floats
    test: Floats
    by_seed: Floats

    def outer(self, folds: NDArray[np.int64]) -> Floats:
        """Return the outer out-of-fold score of every train row, (n,); ``folds`` (n,) are 0..k-1."""
        return np.asarray(self.train[folds, np.arange(len(folds))])


@dataclass(frozen=True)
class CrossValidation:
    """The result of nested cross-validation: ``folds`` (n,) as 0..k-1, ``scores`` per learner, and what the fits chose.

    ``stage`` holds, per booster, the share of its rounds that the inner folds chose for each outer fold; ``weights``
    the mean weight of each network, per learner that has weights; ``importance`` the mean gain of each feature;
    ``models`` per learner and outer fold the fitted models, one per seed, if they were kept; ``tuned_params`` the
    parameters that replaced the recipe's.
    """

    folds: NDArray[np.int64]
    scores: dict[str, Scores]
    stage: dict[str, list[float]] = field(default_factory=dict)
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    importance: dict[str, dict[str, float]] = field(default_factory=dict)
    models: dict[tuple[str, int], list[Model]] = field(default_factory=dict)
    tuned_params: TunedParams = field(default_factory=dict)


def cross_validate(
    design: Design,
    recipe: Recipe,
    *,
    tuned_params: TunedParams | None = None,
    processes: Workers | None = None,
    keep_models: bool = False,
    on_fit: Callable[[Task], None] | None = None,
) -> CrossValidation:
    """Fit every learner of ``recipe`` for every outer fold and for every pair of an outer and an inner fold.

    A fit that excludes folds i and j is used twice: for outer fold i with inner fold j, and for outer fold j with inner
    fold i. So k folds take k + k (k - 1) / 2 fits per learner and seed, about half of what plain nesting takes. The
    result does not depend on the number of ``processes``. Raises InputFault if a patient spans folds, if there are
    fewer than 3 folds, or if a fold has one class only.
    """
    check_folds(design)
    table = build_table(design)
    plan = _Plan(recipe, tuned_params or {}, int(table.folds.max()) + 1, keep_models)
    sums = {name: _ScoreSums(table, plan.seeds(name)) for name in recipe.learners}
    models: dict[tuple[str, int], list[Model]] = {}
    for task, outcome in run_tasks(plan.tasks(), table, processes=processes, on_fit=on_fit):
        sums[task.learner].add(task, outcome, plan)
        if outcome.model is not None:
            models.setdefault((task.learner, task.excluded_folds[0]), []).append(outcome.model)
    results = {name: each.result(recipe.choose_rounds) for name, each in sums.items()}
    return CrossValidation(
        folds=table.folds,
        scores={name: scores for name, (scores, _) in results.items()},
        stage={name: stages for name, (_, stages) in results.items() if stages},
        weights={name: means for name, each in sums.items() if (means := _means(each.weights))},
        importance={name: means for name, each in sums.items() if (means := _means(each.importance))},
        models=models,
        tuned_params=tuned_params or {},
    )


def count_fits(design: Design, recipe: Recipe, tuned_params: TunedParams | None = None) -> int:
    """Return the number of fits that ``cross_validate`` makes."""
    return len(list_tasks(design, recipe, tuned_params))


def list_tasks(design: Design, recipe: Recipe, tuned_params: TunedParams | None = None) -> list[Task]:
    """Return the fits that ``cross_validate`` makes, the outer fits first."""
    return _Plan(recipe, tuned_params or {}, len(np.unique(design.folds)), False).tasks()


def params_for(recipe: Recipe, tuned_params: TunedParams, learner: str, fold: int) -> Settings:
    """Return the parameters of ``learner`` for outer fold ``fold``: tuned for this fold, or from the recipe."""
    return tuned_params.get((learner, fold), recipe.parameters(learner))


def thinning_ratio(recipe: Recipe, learner: str) -> float | None:
    """Return how many negatives per positive a fit of ``learner`` keeps; None keeps all."""
    module = learners.find(learner)
    return recipe.negatives_per_positive if module.USES_SEED and not module.BASELINE else None


def fold_aucs(y: Floats, folds: NDArray[np.integer], scores: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of every column of ``scores`` (n train rows x models) within every fold, a column per fold.

    A model's AUC is over the rows that have its score.
    """
    rows = {}
    for name in scores.columns:
        values = scores[name].to_numpy(dtype=np.float64)
        masks = {int(fold): (folds == fold) & ~np.isnan(values) for fold in np.unique(folds)}
        rows[name] = {fold: auc(y[mask], values[mask]) for fold, mask in masks.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


class _Plan:
    """The fits of nested cross-validation, and the entries of the score matrix that each of them fills."""

    def __init__(self, recipe: Recipe, tuned_params: TunedParams, n_folds: int, keep_models: bool) -> None:
        self._recipe, self._tuned_params = recipe, tuned_params
        self._n_folds, self._keep_models = n_folds, keep_models

    def seeds(self, learner: str) -> int:
        """Return the number of fits of ``learner`` per outer fold."""
        return self._recipe.seeds if learners.find(learner).USES_SEED else 1

    def tasks(self) -> list[Task]:
        """Return all fits, each once: the outer fits first, because they take longest."""
        outer = [
            self._task(name, (fold,), fold, seed)
            for name in self._recipe.learners
            for fold in range(self._n_folds)
            for seed in range(self.seeds(name))
        ]
        pairs = combinations(range(self._n_folds), 2)
        inner = [
            self._task(name, pair, fold, seed)
            for pair in pairs
            for name in self._recipe.learners
            for fold in pair
            for seed in range(self._inner_seeds(name))
        ]
        return list({_key(task): task for task in [*outer, *inner]}.values())

    def entries(self, task: Task) -> list[tuple[int, int]]:
        """Return the entries (row of the matrix, fold) that ``task`` fills.

        A fit without one fold fills that fold's own entry. A fit without two folds fills the entry of each of them as
        outer fold, if the parameters of the fit are those of that outer fold.
        """
        if len(task.excluded_folds) == 1:
            return [(task.excluded_folds[0], task.excluded_folds[0])]
        first, second = task.excluded_folds
        pairs = [(first, second), (second, first)]
        return [(row, fold) for row, fold in pairs if self._params(task.learner, row) == task.params]

    def share(self, task: Task) -> float:
        """Return the share of ``task`` in the mean over the seeds."""
        return 1 / (self.seeds(task.learner) if len(task.excluded_folds) == 1 else self._inner_seeds(task.learner))

    def _inner_seeds(self, learner: str) -> int:
        return min(self._recipe.inner_seeds, self.seeds(learner))

    def _params(self, learner: str, fold: int) -> Settings:
        return params_for(self._recipe, self._tuned_params, learner, fold)

    def _task(self, learner: str, excluded_folds: tuple[int, ...], fold: int, seed: int) -> Task:
        ratio, keep_model = thinning_ratio(self._recipe, learner), self._keep_models and len(excluded_folds) == 1
        return Task(learner, self._params(learner, fold), excluded_folds, seed, ratio, keep_model)


def _key(task: Task) -> tuple[str, str, tuple[int, ...], int]:
    return task.learner, task.params.model_dump_json(), task.excluded_folds, task.seed


class _ScoreSums:
    """Sums of one learner's scores at every stage, to which each fit adds its share."""

    def __init__(self, table: Table, seeds: int) -> None:
        self._table, self._seeds = table, seeds
        self._n_folds = int(table.folds.max()) + 1
        self._rows = [np.flatnonzero(table.folds == fold) for fold in range(self._n_folds)]
        self._train: NDArray[np.float32] = np.zeros((0, 0, 0), dtype=np.float32)  # stages, folds, n
        self._test: NDArray[np.float32] = self._train
        self._by_seed: NDArray[np.float32] = self._train
        self.weights: list[Mapping[str, float]] = []
        self.importance: list[Mapping[str, float]] = []

    def add(self, task: Task, outcome: FitResult, plan: _Plan) -> None:
        """Add the predictions of the fit ``task`` to the entries that it fills."""
        if not self._train.size:
            self._allocate(len(next(iter(outcome.fold_scores.values()))))
        share = np.float32(plan.share(task))
        for row, fold in plan.entries(task):
            self._train[:, row, self._rows[fold]] += share * outcome.fold_scores[fold]
        if outcome.test_scores is not None:
            fold = task.excluded_folds[0]
            self._test[:, fold] += share * outcome.test_scores
            self._by_seed[:, task.seed, self._rows[fold]] = outcome.fold_scores[fold]
            self.weights.extend([outcome.weights] if outcome.weights is not None else [])
            self.importance.extend([outcome.importance] if outcome.importance is not None else [])

    def _allocate(self, stages: int) -> None:
        n_train, n_rows = len(self._table.y), len(self._table.X)
        self._train = np.zeros((stages, self._n_folds, n_train), dtype=np.float32)
        self._test = np.zeros((stages, self._n_folds, n_rows - n_train), dtype=np.float32)
        self._by_seed = np.zeros((stages, self._seeds, n_train), dtype=np.float32)

    def result(self, choose_rounds: bool) -> tuple[Scores, list[float]]:
        """Return the scores at the stage that each outer fold's inner folds choose, and these shares of the rounds.

        Without ``choose_rounds`` it is the last stage. The shares are empty for a learner without stages.
        """
        stages = [self._best_stage(fold) if choose_rounds else len(self._train) - 1 for fold in range(self._n_folds)]
        row_stages, rows = np.array(stages)[self._table.folds], np.arange(len(self._table.folds))
        scores = Scores(
            train=np.stack([self._train[stage, fold] for fold, stage in enumerate(stages)]).astype(np.float64),
            test=np.stack([self._test[stage, fold] for fold, stage in enumerate(stages)]).astype(np.float64),
            by_seed=np.stack([seed[row_stages, rows] for seed in self._by_seed.swapaxes(0, 1)]).astype(np.float64),
        )
        return scores, [STAGES[stage] for stage in stages] if len(self._train) > 1 else []

    def _best_stage(self, fold: int) -> int:
        """Return the stage with the lowest log loss on the inner rows of outer fold ``fold``."""
        inner = self._table.folds != fold
        y, margins = self._table.y[inner], self._train[:, fold, inner]
        return int(np.argmin([np.mean(np.logaddexp(0, margin) - y * margin) for margin in margins]))


def _means(rows: list[Mapping[str, float]]) -> dict[str, float]:
    return {str(name): float(value) for name, value in pd.DataFrame(rows).mean().items()}
