"""The tuning of a recipe: every tunable learner on the inner folds of every outer fold, in parallel."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from level2_stack import learners
from level2_stack.crossval.fits import Table, Workers, build_table, choose_processes, run_in_parallel, select_columns
from level2_stack.crossval.nested import TunedParams
from level2_stack.crossval.tuning import TuningResult, tune
from level2_stack.design.assemble import Design
from level2_stack.design.fold_checks import check_folds
from level2_stack.learner_contract import Tunable
from level2_stack.recipe import Recipe
from runtime.progress import progress_bar


class Study(NamedTuple):
    """One search: a learner on the rows outside one outer fold."""

    learner: str
    fold: int


def search(
    design: Design, recipe: Recipe, folder: Path, *, processes: Workers | None = None
) -> dict[Study, TuningResult]:
    """Search the parameters of every tunable learner and outer fold of ``design``, within the recipe's budget.

    No study uses a row of its outer fold. Each keeps a journal in ``folder``, from which an interrupted search
    resumes. Raises InputFault if the folds do not allow nested cross-validation.
    """
    check_folds(design)
    table = build_table(design)
    studies = [
        Study(name, fold)
        for name in recipe.learners
        if isinstance(learners.find(name), Tunable)
        for fold in range(int(table.folds.max()) + 1)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    workers = processes or choose_processes(len(studies) * recipe.tuning.trials, table)
    outcomes = run_in_parallel(partial(_run_study, recipe=recipe, folder=folder.resolve()), studies, table, workers)
    with progress_bar("level two: tuning", len(studies), unit="study") as advance:
        results = {}
        for study, result in zip(studies, outcomes, strict=True):
            results[study] = result
            advance(1)
    return results


def best_parameters(results: dict[Study, TuningResult]) -> TunedParams:
    """Return the best parameters of every learner and outer fold, as nested cross-validation takes them."""
    return {(study.learner, study.fold): result.params for study, result in results.items()}


def _run_study(study: Study, table: Table, recipe: Recipe, folder: Path) -> TuningResult:
    rows = np.flatnonzero(table.folds != study.fold)
    return tune(
        study.learner,
        recipe.parameters(study.learner),
        select_columns(study.learner, table.X).iloc[rows],
        table.y[rows],
        groups=table.groups[rows].astype(object),
        folds=table.folds[rows],
        budget=recipe.tuning,
        storage=folder / f"{study.learner}_fold_{study.fold}.log",
        seed=0,
    )
