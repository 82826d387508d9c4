"""Repeat the cross-validation of a stack over other partitions of the patients, to show what the partition changes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from features.cases.fold_design.by_patient import assign_folds
from features.cases.tied_patients import group_tied_patients
from features.leaks.pairs import read_pairs
from level2_stack.crossval.decide import StackResult
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc
from level2_stack.recipe import Recipe
from runtime.errors import InputFault
from runtime.run_folder import Run

OWN = 0  # the number of the run's own partition
ROUNDS = 20  # seeds that are tried per partition


def check_repeats(recipe: Recipe, column: str | None) -> None:
    """Raise InputFault if other partitions of patients would not be the folds by ``column`` (None: by patients)."""
    if recipe.repeats and column:
        raise InputFault(
            f"repeats = {recipe.repeats} has no meaning here: the folds are made by {column}, and other partitions of "
            "patients would put one value into several folds; leave repeats out of the recipe"
        )


def repeat_partitions(
    run: Run, design: Design, recipe: Recipe, result: StackResult, evaluate: Callable[[Design], StackResult]
) -> pd.DataFrame:
    """Return the AUC out of fold of every model for the run's partition (0) and each of ``recipe.repeats`` others.

    Columns: partition, model, auc. Patients with pictures of the same lesion stay together. ``evaluate`` returns the
    result of a design; all choices are made again in every partition. The networks are as they are: their predictions
    are out of fold in the partition that trained them, so a partition here changes level two alone.
    """
    rows = _aucs(design, result, OWN)
    for number, folds in enumerate(partitions(run, design, recipe.repeats), start=1):
        other = replace(design, folds=folds)
        rows += _aucs(other, evaluate(other), number)
    return pd.DataFrame(rows)


def partitions(run: Run, design: Design, count: int) -> list[np.ndarray]:
    """Return the folds (n,) of ``count`` partitions of the patients that differ from the design's and each other."""
    index = design.train.index
    patients = group_tied_patients(pd.Series(design.groups, index=index), read_pairs(run))
    target, number = pd.Series(design.y, index=index), len(np.unique(design.folds))
    by_key = {_key(design.folds): design.folds}
    for seed in range(1, count * ROUNDS + 1):
        folds = assign_folds(patients, target, count=number, seed=1000 + seed).to_numpy()
        by_key.setdefault(_key(folds), folds)
        if len(by_key) > count:
            return list(by_key.values())[1:]
    raise InputFault(
        f"repeats = {count}: {patients.nunique()} patients have only {len(by_key) - 1} other partitions into {number} "
        "similar folds; use fewer repeats"
    )


def _aucs(design: Design, result: StackResult, number: int) -> list[dict[str, object]]:
    scores = result.probability.loc[design.train.index]
    return [
        {"partition": number, "model": str(name), "auc": auc(design.y, score.to_numpy())}
        for name, score in scores.items()
    ]


def _key(folds: np.ndarray) -> bytes:
    """Return the same key for partitions that differ only in the numbers of their folds."""
    return np.asarray(pd.factorize(folds)[0], dtype=np.int8).tobytes()
