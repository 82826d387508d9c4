"""Ablation: the nested AUC without each block, the paired loss, and columns that may leak the target."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features import blocks
from level2_stack import learners
from level2_stack.contrasts import FAMILIES
from level2_stack.crossval.culprits import Names, Refits, find_culprits
from level2_stack.crossval.fits import Task, Workers, build_table
from level2_stack.crossval.nested import CrossValidation, params_for, thinning_ratio
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import Interval, auc, delong_interval, patient_bootstrap
from level2_stack.recipe import Recipe
from runtime.plural import number_of

Floats = NDArray[np.float64]
NETWORKS = ("logit", "spread", *FAMILIES)
MIN_LEAK_LOSS = 0.02  # of AUC: on the contest's tables no block except the networks adds a quarter of it
NETWORK_PARTS = ("all networks", "contrasts", "spread of views")
COLUMNS = ["learner", "columns", "auc_without", "loss", "low", "high", "strongest", "strongest_auc", "strongest_low"]
COLUMNS += ["culprits", "culprits_loss"]


def list_parts(design: Design) -> dict[str, tuple[str, ...]]:
    """Return the parts of ``design`` that can be left out: name -> the column families of the part that it has."""
    present = dict.fromkeys(name.split(".")[0] for name in design.X.columns)
    parts = dict(zip(NETWORK_PARTS, (NETWORKS, FAMILIES, ("spread",)), strict=True))
    parts |= {name: (name,) for name in blocks.names()} | {name: (name,) for name in present if name not in NETWORKS}
    own_parts = {name: tuple(family for family in families if family in present) for name, families in parts.items()}
    return {name: families for name, families in own_parts.items() if families and set(families) != set(present)}


def ablate(
    design: Design,
    recipe: Recipe,
    cross_validation: CrossValidation,
    *,
    processes: Workers | None = None,
    replicates: int = 300,
    on_fit: Callable[[Task], None] | None = None,
) -> pd.DataFrame:
    """Return a row per part of ``design`` with the loss of the leading booster without that part.

    The booster is the first of the recipe's learners that uses all columns; the table is empty if there is none, or no
    part. It is fitted once per fold, with the rounds that the inner folds chose with all columns. Columns: ``learner``,
    the number of left-out ``columns``, ``auc_without``, ``loss`` with ``low`` and ``high`` (AUC with the part minus AUC
    without it, paired, patients resampled), the column of the part with the highest AUC of its own (``strongest``),
    that AUC (``strongest_auc``) and its lower limit by DeLong (``strongest_low``). For a part that may leak the target,
    ``culprits`` are the columns without which the AUC falls, and ``culprits_loss`` by how much; else "" and NaN.
    """
    booster = leading_booster(recipe)
    parts = list_parts(design)
    if booster is None or not parts:
        return pd.DataFrame(columns=COLUMNS)
    table, ratio, params = build_table(design), thinning_ratio(recipe, booster), cross_validation.tuned_params

    def task(fold: int, families: Names = (), columns: Names = ()) -> Task:
        settings = params_for(recipe, params, booster, fold)
        return Task(booster, settings, (fold,), 0, ratio, excluded_families=families, excluded_columns=columns)

    refits = Refits(table, cross_validation.stage.get(booster), processes, on_fit, task)
    scores = refits.scores({name: {"families": families} for name, families in parts.items()})
    scores.insert(0, "", cross_validation.scores[booster].by_seed[0])
    gains = patient_bootstrap(design.y, scores, design.groups, reference="", replicates=replicates).drop(index="")
    rows = gains.rename(columns={"auc": "auc_without"})[["auc_without"]]
    rows[["loss", "low", "high"]] = gains[["gain", "gain_low", "gain_high"]]
    rows[["strongest", "strongest_auc", "strongest_low"]] = [_strongest(design, each) for each in parts.values()]
    rows["columns"] = [len(_columns(design, families)) for families in parts.values()]
    best = max((_column_auc(design, design.train[f"logit.{name}"]).value for name in design.networks), default=1.0)
    suspects = [str(name) for name in rows.index if name not in NETWORK_PARTS and _is_suspicious(rows.loc[name], best)]
    full, again = auc(design.y, scores[""].to_numpy()), replace(refits, on_fit=None)
    blame = {
        name: find_culprits(again, design.y, _by_strength(design, parts[name]), full, rows["auc_without"][name])
        for name in suspects
    }
    rows["culprits"] = [", ".join(blame[str(name)][0]) if name in blame else "" for name in rows.index]
    rows["culprits_loss"] = [blame[str(name)][1] if name in blame else np.nan for name in rows.index]
    return rows.assign(learner=booster)[COLUMNS].rename_axis("part").sort_values("loss", ascending=False, kind="stable")


def leading_booster(recipe: Recipe) -> str | None:
    """Return the first learner of ``recipe`` that uses all columns; None if there is none."""
    return next((name for name in recipe.learners if learners.find(name).USES == "all"), None)


def describe_losses(table: pd.DataFrame, best_network: float) -> Iterator[str]:
    """Yield the loss without each part, then a warning for every block with a column that may leak the target."""
    for name, row in table.iterrows():
        auc_without = f"AUC of {row['learner']} {row['auc_without']:.4f}"
        loss = f"{row['loss']:+.4f} [{row['low']:.4f}, {row['high']:.4f}]"
        yield f"without {name} ({number_of(row['columns'], 'column')}): {auc_without}, loss {loss}"
    for name, sentence in leak_sentences(table, best_network).items():
        yield f"{name} may leak the target: {sentence}"


def leak_sentences(table: pd.DataFrame, best_network: float) -> dict[str, str]:
    """Return block -> why it may leak the target, for every block that may.

    A block is suspicious in two cases, both beyond chance. First, the booster loses more than MIN_LEAK_LOSS without the
    block. Second, the block's strongest column has a higher AUC than the best network, ``best_network``: this also
    finds two leaks with the same information, where the booster loses nothing without one of them.
    """
    rows = table[~table.index.isin(NETWORK_PARTS)]
    return {
        str(name): _leak_in_words(row, best_network)
        for name, row in rows.iterrows()
        if _is_suspicious(row, best_network)
    }


def _leak_in_words(row: pd.Series, best_network: float) -> str:
    has_culprits = isinstance(row["culprits"], str) and row["culprits"]
    without = (
        f"the AUC falls by {row['culprits_loss']:.4f} without {row['culprits']}, by"
        if has_culprits
        else "the AUC falls by"
    )
    return (
        f"{without} {row['loss']:.4f} without the whole block; alone, {row['strongest']} has AUC "
        f"{row['strongest_auc']:.4f} (best network {best_network:.4f}); check that the values are known before the "
        "diagnosis"
    )


def _is_suspicious(row: pd.Series, best_network: float) -> bool:
    return bool(row["strongest_low"] > best_network or row["low"] > MIN_LEAK_LOSS)


def _columns(design: Design, families: tuple[str, ...]) -> list[str]:
    return [name for name in design.X.columns if name.split(".")[0] in families]


def _strongest(design: Design, families: tuple[str, ...]) -> tuple[str, float, float]:
    """Return the column of ``families`` with the highest AUC of its own, that AUC, and its lower limit by DeLong."""
    name = _by_strength(design, families)[0]
    auc = _column_auc(design, design.train[name])
    return name, auc.value, auc.low


def _by_strength(design: Design, families: tuple[str, ...]) -> list[str]:
    """Return the columns of ``families``, that with the highest AUC of its own first."""
    names = _columns(design, families)
    return sorted(names, key=lambda name: -_column_auc(design, design.train[name]).value)


def _column_auc(design: Design, column: pd.Series) -> Interval:
    """Return the AUC of ``column`` as a score, rising or falling, whichever is higher."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return delong_interval(design.y, _shares(column, design.y, design.folds))
    values = column.to_numpy(dtype=np.float64)
    has_value = ~np.isnan(values)
    if len(np.unique(design.y[has_value])) < 2:
        return Interval(0.5, 0.0, 1.0)
    rising = delong_interval(design.y[has_value], values[has_value])
    return max(rising, Interval(1 - rising.value, 1 - rising.high, 1 - rising.low))


def _shares(column: pd.Series, y: Floats, folds: NDArray[np.integer]) -> Floats:
    """Return for every row the share of malignant cases among the rows of the other folds with the same category.

    A missing value counts as a category.
    """
    codes, shares = column.cat.codes.to_numpy(), np.zeros(len(y))
    for fold in np.unique(folds):
        others = folds != fold
        by_category = pd.Series(y[others]).groupby(codes[others]).mean()
        shares[~others] = by_category.reindex(codes[~others]).fillna(y[others].mean())
    return shares
