"""The leaderboard: AUC with intervals of every network, baseline and learner, the blend and the choice."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from rich.table import Table

from level2_stack import learners
from level2_stack.crossval.decide import StackResult
from level2_stack.crossval.nested import fold_aucs
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc, patient_bootstrap
from level2_stack.recipe import BLEND, CHOICE
from runtime.progress import detail


def leaderboard(
    design: Design,
    predictions: Mapping[str, pd.DataFrame],
    result: StackResult,
    *,
    replicates: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per network, baseline and learner, the blend and the choice, best first; the index is the name.

    Columns: ``kind``; ``auc`` over the pooled out-of-fold probabilities of the train rows, with ``low`` and ``high``
    (95 %, patients resampled ``replicates`` times); ``gain``, ``gain_low``, ``gain_high``: the AUC of the headline (the
    choice, or the model that the recipe submits) minus the AUC of this row, paired; ``auc_fold_<k>`` in level two's
    folds (a foreign network may have been trained in others), and their mean ``auc_fold_mean``; ``seeds``, the number
    fitted, and ``auc_seed_std``, the standard deviation of the AUC of single seeds; ``rows``, the number with a score,
    and ``complete``: whether these are all train rows. An incomplete network is scored and compared on its own rows.
    """
    train = design.train.index
    networks = {name: predictions[name]["probability"].loc[train] for name in design.networks}
    scores = pd.concat([pd.DataFrame(networks), result.probability.loc[train]], axis=1)
    folds = fold_aucs(design.y, design.folds, scores).add_prefix("auc_fold_")
    intervals = patient_bootstrap(
        design.y, scores, design.groups, reference=result.headline, replicates=replicates, seed=seed
    )
    frame = intervals.join(folds.assign(auc_fold_mean=folds.mean(axis=1)))
    frame.insert(0, "kind", [_kind(str(name), design.networks) for name in frame.index])
    seed_aucs = {name: [auc(design.y, row) for row in rows] for name, rows in result.by_seed.items()}
    frame["seeds"] = pd.Series({name: len(aucs) for name, aucs in seed_aucs.items()}, dtype="float64")
    seed_std = {name: float(np.std(aucs, ddof=1)) for name, aucs in seed_aucs.items() if len(aucs) > 1}
    frame["auc_seed_std"] = pd.Series(seed_std, dtype="float64")
    frame["rows"] = scores.notna().sum()
    frame["complete"] = frame["rows"] == len(train)
    return frame.rename_axis("name").sort_values("auc", ascending=False, kind="stable")


def comparisons(frame: pd.DataFrame, headline: str) -> Iterator[str]:
    """Yield two sentences: the gain of ``headline`` over the rank mean, and over the best single network."""
    if "rank_mean" in frame.index:
        yield _sentence(frame, headline, "rank_mean")
    networks = frame.index[frame["kind"] == "network"]
    if len(networks):
        best = str(networks[0])
        rows = "" if frame.loc[best, "complete"] else f", on the {frame.loc[best, 'rows']} rows that have its score"
        yield _sentence(frame, headline, best, f"the best single network ({best}{rows})")


def print_leaderboard(frame: pd.DataFrame, headline: str) -> None:
    """Print a leaderboard as a table, then the gains of its headline as sentences."""
    table = Table(
        "model",
        "kind",
        "AUC",
        "95 % interval",
        "AUC per fold",
        "mean of folds",
        "rows",
        title="Out-of-fold AUC, nested cross-validation, patients kept together",
    )
    folds = [name for name in frame.columns if name.startswith("auc_fold_") and name != "auc_fold_mean"]
    for name, row in frame.iterrows():
        within = f"{row[folds].min():.3f}-{row[folds].max():.3f}"
        rows = f"{row['rows']}{'' if row['complete'] else ' (incomplete)'}"
        limits = f"{row['low']:.4f}-{row['high']:.4f}"
        table.add_row(str(name), row["kind"], f"{row['auc']:.4f}", limits, within, f"{row['auc_fold_mean']:.4f}", rows)
    detail(table)
    for sentence in comparisons(frame, headline):
        detail(sentence)


def _kind(name: str, networks: list[str]) -> str:
    if name in networks:
        return "network"
    if name in (BLEND, CHOICE):
        return name
    return "baseline" if learners.find(name).BASELINE else "learner"


def _sentence(frame: pd.DataFrame, headline: str, name: str, description: str | None = None) -> str:
    gain, low, high = (frame[f"gain{end}"].astype(float)[name] for end in ("", "_low", "_high"))
    stack = f"gain of the stack ({headline}) over {description or name}"
    return f"{stack}: {gain:+.4f} AUC [{low:+.4f}, {high:+.4f}] (95 %, patients resampled)"
