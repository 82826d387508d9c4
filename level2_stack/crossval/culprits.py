"""Find the columns of a block that leak the target: those without which the AUC falls, alone or in pairs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.crossval.fits import Table, Task, Workers, run_tasks
from level2_stack.evaluation.auc import auc
from level2_stack.learner_contract import STAGES

Floats = NDArray[np.float64]
Names = tuple[str, ...]
MOST_COLUMNS = 25  # of a block that are left out one by one: those with the highest AUC of their own
CULPRIT_SHARE = 0.5  # of the loss without the block, from which a column or pair is a culprit


class MakeTask(Protocol):
    """Makes the task of a fold without some families of columns or columns."""

    def __call__(self, fold: int, families: Names = (), columns: Names = ()) -> Task:
        """Return the task."""


@dataclass(frozen=True)
class Refits:
    """Refits of one booster over ``table`` without some columns, each fold with the rounds of its ``stages``."""

    table: Table
    stages: Sequence[float] | None
    processes: Workers | None
    on_fit: Callable[[Task], None] | None
    task: MakeTask

    def scores(self, exclusions: Mapping[str, Mapping[str, Names]]) -> pd.DataFrame:
        """Return the out-of-fold scores (n, k) without each of ``exclusions``: name -> families or columns."""
        folds = range(int(self.table.folds.max()) + 1)
        tasks = [self.task(fold, **columns) for columns in exclusions.values() for fold in folds]
        names = [name for name in exclusions for _ in folds]
        scores = {name: np.zeros(len(self.table.y)) for name in exclusions}
        outcomes = run_tasks(tasks, self.table, processes=self.processes, on_fit=self.on_fit)
        for name, (task, outcome) in zip(names, outcomes, strict=True):
            fold = task.excluded_folds[0]
            stage = STAGES.index(self.stages[fold]) if self.stages else 0
            scores[name][self.table.folds == fold] = outcome.fold_scores[fold][stage]
        return pd.DataFrame(scores)


def find_culprits(
    refits: Refits, y: Floats, columns: Sequence[str], full: float, without: float
) -> tuple[list[str], float]:
    """Return the columns of a suspicious block that leak the target, and the loss of AUC without them.

    ``y`` (n,) is 0/1; ``columns`` are those of the block, the strongest first; ``full`` and ``without`` are
    the AUC with all columns and without the block. Every column is left out alone, and all
    with at least half of the loss without the block are culprits: two columns that leak only together lose it both.
    If no single column does, two may know the same: then the strongest is left out together with each of the others.
    """
    names = list(columns[:MOST_COLUMNS])
    limit = CULPRIT_SHARE * (full - without)
    alone = _losses(refits, y, full, [(name,) for name in names])
    culprits = [name for (name,), loss in alone.items() if loss >= limit and loss > 0]
    if culprits:
        together = _losses(refits, y, full, [tuple(culprits)])
        return culprits, together[tuple(culprits)]
    pairs = _losses(refits, y, full, [(names[0], name) for name in names[1:]])
    best = max(pairs, key=lambda pair: pairs[pair], default=None)
    return (list(best), pairs[best]) if best is not None and pairs[best] >= limit else ([], float("nan"))


def _losses(refits: Refits, y: Floats, full: float, exclusions: Sequence[Names]) -> dict[Names, float]:
    """Return the loss of AUC, from ``full``, without each of ``exclusions``."""
    scores = refits.scores({"+".join(names): {"columns": names} for names in exclusions})
    return {names: full - auc(y, scores["+".join(names)].to_numpy()) for names in exclusions}
