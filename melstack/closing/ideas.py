"""What to do next: a few ideas that follow from the numbers of a stack, each with the command to type."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from typing import TYPE_CHECKING

import pandas as pd

from melstack.bundle.origin import another_stack
from melstack.report.column_words import group_words
from melstack.run_settings import read_run_settings
from runtime.invocation import command
from runtime.run_folder import Run

if TYPE_CHECKING:
    from melstack.closing.finished_stack import FinishedStack

MOST_IDEAS = 3
ALIKE = 0.95  # Spearman's correlation above which two networks hardly complement each other
RISING = 0.003  # gain of validation AUC in the last fifth of the epochs, mean over folds
FROM_CSV = ("metadata", "measured", "patient")  # blocks that are made from columns of the data's CSV


def ideas(stack: FinishedStack) -> list[str]:
    """Return at most three ideas, the most promising first."""
    kinds = (_more_networks, _rising_networks, _alike_networks, _blocks, _explanations, _other_clinic)
    return list(islice((idea for kind in kinds for idea in kind(stack)), MOST_IDEAS))


def _more_networks(stack: FinishedStack) -> Iterator[str]:
    """Yield an idea for a stack of one network: others of the profile that the settings leave out, or of another."""
    if len(stack.networks) != 1:
        return
    settings, run = read_run_settings(stack.run.folder), stack.run.folder
    if settings.get("foreign") or not stack.run.facts()["pictures"]:
        yield "a stack gains by networks that differ: put the predictions of a second one into the folder of the first"
    elif settings.get("models"):
        yield f"only one network is stacked; all of the profile: {command('submission', run=run, reset='models')}"
    else:
        yield f"only one network is stacked; more and larger ones: {command('submission', run=run, profile='desktop')}"


def _rising_networks(stack: FinishedStack) -> Iterator[str]:
    """Yield an idea for the network whose validation AUC rises most at the end of its training."""
    rises = {name: rise for name in stack.networks if (rise := late_rise(stack.run, name)) is not None}
    name = max(rises, key=lambda each: rises[each], default=None)
    if name is not None and rises[name] > RISING:
        yield (
            f"the validation AUC of {stack.in_words(name)} still rises ({rises[name]:+.4f} in the last fifth of its "
            "epochs): copy its TOML file under a new name with more epochs, and add it with the option models"
        )


def late_rise(run: Run, network: str) -> float | None:
    """Return the gain of a network's validation AUC in the last fifth of its epochs, mean over folds; None: unknown."""
    curves = [pd.read_csv(path)["validation_auc"].dropna() for path in run.level1.glob(f"{network}/fold_*/history.csv")]
    rises = [float(curve.iloc[-1] - curve.iloc[-1 - max(1, len(curve) // 5)]) for curve in curves if len(curve) > 2]
    return sum(rises) / len(rises) if rises else None


def _alike_networks(stack: FinishedStack) -> Iterator[str]:
    """Yield an idea for the two networks that are most alike, if one of them adds little to the other."""
    pairs = correlations(stack)
    first, second = max(pairs, key=lambda pair: pairs[pair], default=("", ""))
    if pairs and pairs[first, second] > ALIKE:
        yield (
            f"{first} and {second} rank the cases nearly alike (correlation {pairs[first, second]:.2f}): a network of "
            "another size, family or training adds more than a third one like them"
        )


def correlations(stack: FinishedStack) -> dict[tuple[str, str], float]:
    """Return Spearman's correlation of the out-of-fold scores of every two networks of ``stack``."""
    from runtime.tables import read_table

    train = stack.cases.index[stack.cases["role"] == "train"]
    paths = {name: stack.run.level1 / name / "predictions.parquet" for name in stack.networks}
    scores = {name: read_table(path)["probability"].reindex(train) for name, path in paths.items()}
    ranks = pd.DataFrame(scores).rank().corr()
    return {(one, other): float(ranks[other].astype(float)[one]) for one, other in combinations(stack.networks, 2)}


def _blocks(stack: FinishedStack) -> Iterator[str]:
    """Yield an idea from the ablation: the block that adds most beyond chance, or that none does."""
    from level2_stack.crossval.ablation import NETWORK_PARTS  # slow to import

    table = stack.table("ablation")
    table = table[~table.index.isin(NETWORK_PARTS)] if len(table) else table
    if table.empty:
        return
    best = table["loss"].astype(float).idxmax()
    row = table.loc[best]
    if row["low"] > 0:
        explain = command("explain", run=stack.run.folder)
        remedy = "more such columns in the data's CSV may add more" if best in FROM_CSV else f"{explain} shows which"
        yield f"beside the networks, {group_words(str(best))} ({best}) add most (AUC {row['loss']:+.4f}); {remedy}"
    else:
        yield (
            f"no block of columns adds AUC beyond chance (most: {best} {row['loss']:+.4f}); better or other networks "
            f"may, see {command('plan', run=stack.run.folder, profile='desktop')}"
        )


def _explanations(stack: FinishedStack) -> Iterator[str]:
    if not (stack.folder / "explained.json").is_file():
        commands = [command(verb, run=stack.run.folder) for verb in ("explain", "report")]
        yield f"what decides each probability: {commands[0]}, then {commands[1]} for one page to show"


def _other_clinic(stack: FinishedStack) -> Iterator[str]:
    bundle = stack.run.folder / "bundle"
    if bundle.is_dir() and not another_stack(bundle):
        predict = command("predict", bundle=bundle, data="folder")
        yield f"try it on cases of another clinic: {predict}"
