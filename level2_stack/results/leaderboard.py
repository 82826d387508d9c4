"""The leaderboard: every network, baseline, learner, the blend and the choice on the same rows, with intervals."""

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
from runtime.progress import console, say


def leaderboard(
    design: Design,
    predictions: Mapping[str, pd.DataFrame],
    result: StackResult,
    *,
    replicates: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per network, baseline, learner, the blend and the choice, best first; the index is its name.

    Columns: ``kind``; ``auc`` pooled over the out-of-fold probabilities of the train rows, with ``low`` and ``high``
    (95 %, patients resampled ``replicates`` times); ``gain``, ``gain_low``, ``gain_high``: the AUC of the headline (the
    choice, or what the recipe submits) minus this row's, paired; ``auc_fold_<k>`` in level two's folds, whatever folds
    the network was trained in, and their mean ``auc_fold_mean``; ``seeds`` fitted and the spread over them of a single
    seed's AUC, ``auc_seed_std``; ``rows`` covered and ``complete``: a network that lacks rows is scored, and compared,
    on its own.
    """
    train = design.train.index
    networks = {name: predictions[name]["probability"].loc[train] for name in design.networks}
    scores = pd.concat([pd.DataFrame(networks), result.probability.loc[train]], axis=1)
    folds = fold_aucs(design.y, design.folds, scores).add_prefix("auc_fold_")
    drawn = patient_bootstrap(
        design.y, scores, design.groups, reference=result.headline, replicates=replicates, seed=seed
    )
    frame = drawn.join(folds.assign(auc_fold_mean=folds.mean(axis=1)))
    frame.insert(0, "kind", [_kind(str(name), design.networks) for name in frame.index])
    repeated = {name: [auc(design.y, row) for row in rows] for name, rows in result.by_seed.items()}
    frame["seeds"] = pd.Series({name: len(aucs) for name, aucs in repeated.items()}, dtype="float64")
    spread = {name: float(np.std(aucs, ddof=1)) for name, aucs in repeated.items() if len(aucs) > 1}
    frame["auc_seed_std"] = pd.Series(spread, dtype="float64")
    frame["rows"] = scores.notna().sum()
    frame["complete"] = frame["rows"] == len(train)
    return frame.rename_axis("name").sort_values("auc", ascending=False, kind="stable")


def comparisons(frame: pd.DataFrame, headline: str) -> Iterator[str]:
    """Yield what ``headline`` gains on the rank mean and on the best single network, a sentence each."""
    if "rank_mean" in frame.index:
        yield _sentence(frame, headline, "rank_mean")
    networks = frame.index[frame["kind"] == "network"]
    if len(networks):
        best = str(networks[0])
        on = "" if frame.loc[best, "complete"] else f", on the {frame.loc[best, 'rows']} rows it has"
        yield _sentence(frame, headline, best, f"the best single network, {best}{on}")


def print_leaderboard(frame: pd.DataFrame, headline: str) -> None:
    """Print a leaderboard as a table, and what its headline gains in sentences."""
    table = Table(
        "", "kind", "AUC", "95 %", "folds", "their mean", "rows", title="AUC out of fold, nested, patient-grouped"
    )
    folds = [name for name in frame.columns if name.startswith("auc_fold_") and name != "auc_fold_mean"]
    for name, row in frame.iterrows():
        within = f"{row[folds].min():.3f}-{row[folds].max():.3f}"
        rows = f"{row['rows']}{'' if row['complete'] else ' (its own)'}"
        limits = f"{row['low']:.4f}-{row['high']:.4f}"
        table.add_row(str(name), row["kind"], f"{row['auc']:.4f}", limits, within, f"{row['auc_fold_mean']:.4f}", rows)
    console.print(table)
    for sentence in comparisons(frame, headline):
        say(sentence)


def _kind(name: str, networks: list[str]) -> str:
    if name in networks:
        return "network"
    if name in (BLEND, CHOICE):
        return name
    return "baseline" if learners.find(name).BASELINE else "learner"


def _sentence(frame: pd.DataFrame, headline: str, name: str, called: str | None = None) -> str:
    gain, low, high = (frame[f"gain{end}"].astype(float)[name] for end in ("", "_low", "_high"))
    return f"{headline} against {called or name}: {gain:+.4f} [{low:.4f}, {high:.4f}] (95 %, patients resampled)"
