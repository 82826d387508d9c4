"""What every block is worth: the nested AUC without it, the paired loss, and columns that look like a leak."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import blocks
from level2_stack import learners
from level2_stack.contrasts import FAMILIES
from level2_stack.crossval.fits import Task, Workers, build_table, run_tasks
from level2_stack.crossval.nested import CrossValidation, params_for, thinning_ratio
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import Interval, delong_interval, patient_bootstrap
from level2_stack.learner_contract import STAGES
from level2_stack.recipe import Recipe

Floats = NDArray[np.float64]
NETWORKS = ("logit", "spread", *FAMILIES)
MIN_LEAK_LOSS = 0.02  # of AUC: on the contest's tables no block but the networks is worth a quarter of it
NETWORK_PARTS = ("all networks", "contrasts", "spread of views")
COLUMNS = ["learner", "columns", "auc_without", "loss", "low", "high", "strongest", "strongest_auc", "strongest_low"]


def list_parts(design: Design) -> dict[str, tuple[str, ...]]:
    """Return what can be left out of ``design``: name -> column families, of those that it has."""
    present = dict.fromkeys(name.split(".")[0] for name in design.X.columns)
    named = dict(zip(NETWORK_PARTS, (NETWORKS, FAMILIES, ("spread",)), strict=True))
    named |= {name: (name,) for name in blocks.names()} | {name: (name,) for name in present if name not in NETWORKS}
    found = {name: tuple(family for family in families if family in present) for name, families in named.items()}
    return {name: families for name, families in found.items() if families and set(families) != set(present)}


def ablate(
    design: Design,
    recipe: Recipe,
    found: CrossValidation,
    *,
    processes: Workers | None = None,
    replicates: int = 300,
    on_fit: Callable[[Task], None] | None = None,
) -> pd.DataFrame:
    """Return a row per part of ``design`` with what the leading booster loses without it; empty where there is none.

    The booster is the first of the recipe's learners that uses all columns; it is fitted once per fold, with the rounds
    that the inner folds chose with all columns. Columns: ``learner``, how many ``columns`` go, ``auc_without``,
    ``loss`` with ``low`` and ``high`` (AUC with minus without, paired, patients resampled), the column that gets
    furthest alone (``strongest``), how far (``strongest_auc``) and DeLong's lower limit of that (``strongest_low``).
    """
    leading = leading_booster(recipe)
    without = list_parts(design)
    if leading is None or not without:
        return pd.DataFrame(columns=COLUMNS)
    compared = _scores_without(design, recipe, found, leading, without, processes, on_fit)
    compared.insert(0, "", found.scores[leading].by_seed[0])
    drawn = patient_bootstrap(design.y, compared, design.groups, reference="", replicates=replicates).drop(index="")
    rows = drawn.rename(columns={"auc": "auc_without"})[["auc_without"]]
    rows[["loss", "low", "high"]] = drawn[["gain", "gain_low", "gain_high"]]
    rows[["strongest", "strongest_auc", "strongest_low"]] = [_strongest(design, each) for each in without.values()]
    rows["columns"] = [len(_columns(design, families)) for families in without.values()]
    return rows.assign(learner=leading)[COLUMNS].rename_axis("part").sort_values("loss", ascending=False, kind="stable")


def _scores_without(
    design: Design,
    recipe: Recipe,
    found: CrossValidation,
    leading: str,
    without: dict[str, tuple[str, ...]],
    processes: Workers | None,
    on_fit: Callable[[Task], None] | None,
) -> pd.DataFrame:
    """Return the out-of-fold scores of the booster without each part, one column per part."""
    table, thinned = build_table(design), thinning_ratio(recipe, leading)
    tasks = [
        Task(
            leading,
            params_for(recipe, found.tuned_params, leading, fold),
            (fold,),
            0,
            thinned,
            excluded_families=families,
        )
        for families in without.values()
        for fold in range(int(table.folds.max()) + 1)
    ]
    scores = {families: np.zeros(len(design.y)) for families in without.values()}
    for task, outcome in run_tasks(tasks, table, processes=processes, on_fit=on_fit):
        fold = task.excluded_folds[0]
        stage = STAGES.index(found.stage[leading][fold]) if leading in found.stage else 0
        scores[task.excluded_families][table.folds == fold] = outcome.fold_scores[fold][stage]
    return pd.DataFrame({name: scores[families] for name, families in without.items()})


def leading_booster(recipe: Recipe) -> str | None:
    """Return the first learner of ``recipe`` that uses all columns."""
    return next((name for name in recipe.learners if learners.find(name).USES == "all"), None)


def sentences(table: pd.DataFrame, best_network: float) -> Iterator[str]:
    """Yield what each part is worth, and name columns that look like a leak.

    Those are columns of a block that get further alone than the best network, whose AUC is given, beyond chance (of two
    leaks that know the same neither is missed, whatever the booster loses), and the strongest column of a block that
    the booster surely misses by more than MIN_LEAK_LOSS.
    """
    for name, row in table.iterrows():
        loss = f"{row['loss']:+.4f} [{row['low']:.4f}, {row['high']:.4f}]"
        yield f"without {name} ({row['columns']} columns): {row['auc_without']:.4f}, {row['learner']} loses {loss}"
    outside = table[~table.index.isin(NETWORK_PARTS)]
    for name, row in outside.iterrows():
        if row["strongest_low"] > best_network or row["low"] > MIN_LEAK_LOSS:
            yield (
                f"{name} may leak the target: {row['strongest']} alone reaches {row['strongest_auc']:.4f} (the best "
                f"network {best_network:.4f}), and without the block {row['loss']:.4f} is lost; "
                "is it known before the diagnosis?"
            )


def _columns(design: Design, families: tuple[str, ...]) -> list[str]:
    return [name for name in design.X.columns if name.split(".")[0] in families]


def _strongest(design: Design, families: tuple[str, ...]) -> tuple[str, float, float]:
    """Return the column that gets furthest alone, its AUC, and the lower end of DeLong's interval of it."""
    alone = {name: _alone(design, design.train[name]) for name in _columns(design, families)}
    name = max(alone, key=lambda column: alone[column].value)
    return name, alone[name].value, alone[name].low


def _alone(design: Design, column: pd.Series) -> Interval:
    """Return how far ``column`` gets alone, in the direction that suits it."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return delong_interval(design.y, _shares(column, design.y, design.folds))
    values = column.to_numpy(dtype=np.float64)
    known = ~np.isnan(values)
    if len(np.unique(design.y[known])) < 2:
        return Interval(0.5, 0.0, 1.0)
    rising = delong_interval(design.y[known], values[known])
    return max(rising, Interval(1 - rising.value, 1 - rising.high, 1 - rising.low))


def _shares(column: pd.Series, y: Floats, folds: NDArray[np.integer]) -> Floats:
    """Return for every row the share of malignant cases with the row's category, or gap, in the other folds."""
    codes, shares = column.cat.codes.to_numpy(), np.zeros(len(y))
    for fold in np.unique(folds):
        others = folds != fold
        known = pd.Series(y[others]).groupby(codes[others]).mean()
        shares[~others] = known.reindex(codes[~others]).fillna(y[others].mean())
    return shares
