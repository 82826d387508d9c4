"""Measure what each stack adds to a blend: the AUC without it, and the paired gain with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from level2_stack.crossval.decide import decide
from level2_stack.crossval.nested import count_fits, cross_validate
from level2_stack.evaluation.paired import compare
from level2_stack.recipe import Recipe, read_recipe
from level2_stack.stacking import read_predictions, unfiltered_design, with_prevalence
from melstack.exchange.exports import GAINS_MARK as MARK
from melstack.exchange.exports import out_of_fold
from runtime.files import read_json, write_text
from runtime.progress import progress_bar, say
from runtime.provenance import digest_of_code, digest_of_file, is_fresh, write_mark
from runtime.run_folder import Run

FILE = "inputs.csv"
WEIGHT = "weight_caruana"  # these sum to 1; the weights of a regression have no such scale
WHOLE, WITHOUT = "the blend", "without "
REPLICATES = 1000


def measure_gains(run: Run, recipe_file: Path, prevalence: float | None) -> pd.DataFrame:
    """Return a row per stack that the finished blend of ``recipe_file`` uses, and write it to inputs.csv beside it.

    Columns: ``auc`` of the stack alone; ``gain`` with ``gain_low`` and ``gain_high``, the AUC of the blend minus that;
    ``auc_without``, the AUC of a blend of all other stacks, cross-validated in the same way; ``adds`` with ``adds_low``
    and ``adds_high``, the AUC of the blend minus that (paired, 95 %, patients resampled); and ``weight_<learner>``, the
    mean weight in every learner that has weights.
    """
    folder = run.level2 / recipe_file.stem
    decisions, made_from = read_json(folder / "decisions.json"), gain_inputs(folder)
    if not is_fresh(folder / MARK, made_from, [folder / FILE]):
        recipe = with_prevalence(read_recipe(recipe_file), prevalence)
        recipe = recipe.model_copy(update={"networks": decisions["recipe"]["networks"]})
        table = _gains(run, recipe, folder).join(_weights(decisions)).rename_axis("stack")
        write_text(folder / FILE, table.to_csv())
        write_mark(folder / MARK, made_from, [folder / FILE])
    return pd.read_csv(folder / FILE, index_col="stack")


def gain_inputs(folder: Path) -> dict[str, Any]:
    """Return what the gains of the blend in ``folder`` depend on: its scores and decisions, and the code."""
    files = [folder / name for name in ("learners.parquet", "decisions.json")]
    return {"stack": {path.name: digest_of_file(path) for path in files}, "code": digest_of_code([Path(__file__)])}


def _gains(run: Run, recipe: Recipe, folder: Path) -> pd.DataFrame:
    names, cases = recipe.networks, run.read_cases()
    train = cases[cases["role"] == "train"]
    predictions = read_predictions(run, names)
    scores = {WHOLE: out_of_fold(folder)} | {name: predictions[name]["probability"] for name in names}
    for name in names:
        rest = [other for other in names if other != name]
        scores[WITHOUT + name] = _blend_of(run, recipe.model_copy(update={"networks": rest}), cases, name)
    table = pd.DataFrame(scores).loc[train.index]
    pairs = [(WHOLE, name) for name in [*names, *(WITHOUT + name for name in names)]]
    groups, y = train["patient_id"].to_numpy(dtype=object), train["target"].to_numpy(dtype=np.float64)
    tests = compare(y, table, groups, pairs=pairs, replicates=REPLICATES).set_index("against")
    tests = tests[["auc_against", "gain", "low", "high"]]
    alone = tests.loc[names].set_axis(["auc", "gain", "gain_low", "gain_high"], axis=1)
    without = tests.drop(index=names).set_axis(["auc_without", "adds", "adds_low", "adds_high"], axis=1)
    return alone.join(without.rename(index=lambda name: str(name).removeprefix(WITHOUT)))


def _blend_of(run: Run, recipe: Recipe, cases: pd.DataFrame, name: str) -> pd.Series:
    """Return the out-of-fold probability of the headline of a blend by ``recipe``, without the stack ``name``."""
    predictions = read_predictions(run, recipe.networks)
    design = unfiltered_design(run, recipe, cases, predictions)
    with progress_bar(f"level two: without {name}", count_fits(design, recipe, {}), unit="fit") as advance:
        result = decide(design, recipe, cross_validate(design, recipe, on_fit=lambda task: advance(1)))
    return result.probability[result.headline]


def _weights(decisions: dict[str, Any]) -> pd.DataFrame:
    weights = pd.DataFrame(decisions["network_weights"]).add_prefix("weight_")
    return weights.rename(index=lambda name: str(name).removeprefix("logit."))


def print_gains(table: pd.DataFrame, folder: Path) -> None:
    """Print the table of ``measure_gains`` for the blend in ``folder``, and its gain over the best stack."""
    board = pd.read_csv(folder / "leaderboard.csv", index_col="name")
    row = board.loc[read_json(folder / "decisions.json")["headline"]]
    title = f"AUC of the blend {row['auc']:.4f} [{row['low']:.4f}, {row['high']:.4f}], and what each stack adds to it"
    view = Table("stack", "AUC", "blend minus stack", "AUC without", "adds", "weight", title=title)
    for name, values in table.iterrows():
        numbers = [f"{values['auc']:.4f}", _interval(values, "gain"), f"{values['auc_without']:.4f}"]
        weight = f"{values[WEIGHT]:.2f}" if WEIGHT in table else ""
        view.add_row(str(name), *numbers, _interval(values, "adds"), weight)
    say(view)
    best = str(table["auc"].idxmax())
    values = table.loc[[best]].iloc[0]
    say(f"blend: gain over the best stack ({best}): {_interval(values, 'gain')}{_verdict(values, best)}")


def _verdict(values: "pd.Series[float]", best: str) -> str:
    if values["gain_low"] > 0:
        return ""
    if values["gain_high"] < 0:
        return f"; it is worse beyond chance: the stack {best} alone is the better choice"
    return f"; it is not better beyond chance: the stack {best} alone may be enough"


def _interval(values: "pd.Series[float]", name: str) -> str:
    return f"{values[name]:+.4f} [{values[f'{name}_low']:+.4f}, {values[f'{name}_high']:+.4f}]"
