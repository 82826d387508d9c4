"""The parts study: fits spread over workers of a cluster beside fits of one process, on the same rows."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.stacking.study import Study
from level2_stack import learners
from level2_stack.crossval.fits import Table, Task, fitted, table_of
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc
from level2_stack.partitions import Spreading
from level2_stack.recipe import Recipe

if TYPE_CHECKING:
    from runtime.cluster.scheduler import Cluster


def parts_study(design: Design, recipe: Recipe, cluster: "Cluster", counts: Sequence[int]) -> Study:
    """Return out-of-fold AUCs of every booster that can spread a fit: in one process and in ``counts`` parts.

    ``auc`` is over all train rows, ``rank_correlation`` Spearman's with the scores of the fits in one process, and
    ``seed_correlation`` that of another seed in one process: how far chance alone takes scores apart. ``seconds`` are
    of all folds.
    """
    table = table_of(design)
    rows = []
    for name in recipe.learners:
        if isinstance(learners.find(name), Spreading):
            rows += _compared(name, table, recipe, cluster, counts)
    found = pd.DataFrame(rows)
    spread = found[found["parts"] > 1]
    figures = {
        "largest_auc_difference": float(spread["difference"].abs().max()),
        "least_rank_correlation": float(spread["rank_correlation"].min()),
    }
    return Study({"fits in parts beside fits of one process": found}, figures)


def _compared(
    name: str, table: Table, recipe: Recipe, cluster: "Cluster", counts: Sequence[int]
) -> list[dict[str, str | int | float]]:
    other, _ = _scores(name, table, recipe, cluster, 1, seed=1)
    reference, seconds = _scores(name, table, recipe, cluster, 1)
    scores, best = {1: (reference, seconds)}, auc(table.y, reference)
    scores |= {count: _scores(name, table, recipe, cluster, count) for count in counts}
    return [
        {
            "learner": name,
            "parts": count,
            "auc": auc(table.y, found),
            "difference": auc(table.y, found) - best,
            "rank_correlation": spearmanr(found, reference).statistic,
            "seed_correlation": spearmanr(other, reference).statistic,
            "seconds": round(took, 1),
        }
        for count, (found, took) in scores.items()
    ]


def _scores(
    name: str, table: Table, recipe: Recipe, cluster: "Cluster", count: int, *, seed: int = 0
) -> tuple[np.ndarray, float]:
    """Return the out-of-fold scores of ``name`` with fits in ``count`` parts, and the seconds that they took."""
    params = recipe.parameters(name).model_copy(update={"partitions": count})
    scores, started = np.zeros(len(table.y)), time.perf_counter()
    for fold in range(int(table.folds.max()) + 1):
        found = fitted(Task(name, params, (fold,), seed), table, cluster=cluster)
        scores[table.folds == fold] = found.held_out[fold][-1]
    return scores, time.perf_counter() - started
