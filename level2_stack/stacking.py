"""One level-two recipe over a run: join, drop what shifts, tune, cross-validate, decide, write and print."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from features import blocks
from level2_stack.crossval import ablation
from level2_stack.crossval.cluster import fits_at
from level2_stack.crossval.decide import decide
from level2_stack.crossval.fits import Workers
from level2_stack.crossval.nested import CrossValidated, TunedParams, cross_validate, number_of_fits
from level2_stack.crossval.search import parameters, search
from level2_stack.design import shift
from level2_stack.design.assemble import Design, assemble
from level2_stack.evaluation.known_truth import say_reached
from level2_stack.recipe import Recipe, read_recipe
from level2_stack.results.findings import Findings, print_findings, write_findings
from level2_stack.results.leaderboard import leaderboard
from runtime.errors import InputFault, list_names
from runtime.progress import progress_bar, say
from runtime.run_folder import Run
from runtime.tables import read_table


def make_stack(
    run: Run, recipe_file: Path, folder: Path, prevalence: float | None = None, cluster: str | None = None
) -> None:
    """Cross-validate the recipe in ``recipe_file`` over ``run``, and write and print what was found.

    ``folder`` gets the tables that findings.py lists. ``prevalence`` takes the place of the recipe's. ``cluster`` is
    the address of a Dask scheduler whose workers do the fits.
    """
    recipe = with_prevalence(read_recipe(recipe_file), prevalence)
    with fits_at(cluster, run.folder) as processes:
        cases, predictions = run.read_cases(), read_predictions(run)
        design, shifted = design_of_run(run, recipe, cases, predictions)
        tuned = _tune(design, recipe, folder / "tuning", processes)
        found = _cross_validate(design, recipe, tuned, processes)
        ablated = _ablate(design, recipe, found, processes) if recipe.ablation else None
    result = decide(design, recipe, found)
    board = leaderboard(design, predictions, result)
    findings = Findings(design, recipe, found, result, board, shifted, ablated, tuned)
    write_findings(folder, findings, cases, predictions)
    print_findings(folder, findings)
    say_reached(run, folder, cases, "train")


def with_prevalence(recipe: Recipe, prevalence: float | None) -> Recipe:
    """Return ``recipe`` for a deployment prevalence in (0, 1); raise InputFault for another number."""
    if prevalence is None:
        return recipe
    if not 0 < prevalence < 1:
        raise InputFault(f"prevalence = {prevalence}: the share of malignant pictures lies between 0 and 1")
    return recipe.model_copy(update={"calibration": recipe.calibration.model_copy(update={"prevalence": prevalence})})


def read_predictions(run: Run) -> dict[str, pd.DataFrame]:
    """Return the level-one tables of a run by network; raise InputFault when it has none."""
    networks = run.networks()
    if not networks:
        raise InputFault(
            f"{run.folder}: there are no level-one predictions to stack; "
            "`make oof` makes them from pictures, FOREIGN=folder brings other networks'"
        )
    return {name: read_table(run.level1 / name / "predictions.parquet") for name in networks}


def design_of_run(
    run: Run, recipe: Recipe, cases: pd.DataFrame, predictions: Mapping[str, pd.DataFrame]
) -> tuple[Design, pd.DataFrame]:
    """Return the run's design, without acquisition columns that tell test from train, and the table that says so."""
    tables = _block_tables(run, recipe)
    acquisition = {name: blocks.find(name).ACQUISITION for name in tables}
    design = assemble(cases, predictions, tables, recipe, acquisition)
    groups = cases.loc[design.X.index, "patient_id"].to_numpy(dtype=object)
    sets = shift.column_families(design.X.columns, acquisition)
    shifted = shift.adversarial_validation(design.X, np.arange(len(design.X)) >= len(design.y), groups, sets)
    dropped = shift.excluded(shifted, acquisition, recipe.shift_threshold) if recipe.acquisition == "auto" else {}
    full_names = {f"{block}.{name}" for block, names in dropped.items() for name in names}
    design = design.without(full_names & set(design.X.columns))
    left_out = f"; without blocks {', '.join(design.absent)}" if design.absent else ""
    say(
        f"level two: {design.X.shape[1]} columns from {len(design.networks)} networks "
        f"and {sum(1 for table in tables.values() if len(table.columns))} blocks{left_out}"
    )
    if recipe.acquisition == "auto":
        for sentence in shift.sentences(shifted, recipe.shift_threshold):
            say(f"  {sentence}")
    return design, shifted


def unfiltered_design(run: Run, recipe: Recipe, cases: pd.DataFrame, predictions: Mapping[str, pd.DataFrame]) -> Design:
    """Return the design of ``recipe`` over the run as it is, whatever tells test from train."""
    tables = _block_tables(run, recipe)
    return assemble(cases, predictions, tables, recipe, {name: blocks.find(name).ACQUISITION for name in tables})


def rebuild_design(run: Run, recipe: Recipe, columns: Sequence[str]) -> Design:
    """Return the design of a finished stack, whose ``columns`` are known; raise InputFault where the run lacks some."""
    design = unfiltered_design(run, recipe, run.read_cases(), read_predictions(run))
    lacking = pd.Index(columns).difference(design.X.columns)
    if len(lacking):
        raise InputFault(
            f"{run.folder}: no column(s) {list_names(lacking)} any more; `make stack` makes the stack anew"
        )
    return replace(design, X=design.X[list(columns)])


def _block_tables(run: Run, recipe: Recipe) -> dict[str, pd.DataFrame]:
    paths = {name: run.blocks / f"{name}.parquet" for name in recipe.blocks}
    return {name: read_table(path) for name, path in paths.items() if path.is_file()}


def _tune(design: Design, recipe: Recipe, folder: Path, processes: Workers | None) -> TunedParams:
    if recipe.tuning.trials == 0:
        return {}
    found = search(design, recipe, folder, processes=processes)
    for study, tuned in found.items():
        say(
            f"  {study.learner}, fold {study.fold}: inner log loss {tuned.best:.5f} after {tuned.trials} trials, "
            f"{tuned.default:.5f} with the recipe's parameters"
        )
    return parameters(found)


def _cross_validate(design: Design, recipe: Recipe, tuned: TunedParams, processes: Workers | None) -> CrossValidated:
    with progress_bar("level two: fitting", number_of_fits(design, recipe, tuned), unit="fits") as advance:
        return cross_validate(design, recipe, tuned=tuned, processes=processes, on_fit=lambda task: advance(1))


def _ablate(design: Design, recipe: Recipe, found: CrossValidated, processes: Workers | None) -> pd.DataFrame:
    fits = len(ablation.parts(design)) * (int(found.folds.max()) + 1)
    with progress_bar("level two: leaving out", fits, unit="fits") as advance:
        return ablation.ablate(design, recipe, found, processes=processes, on_fit=lambda task: advance(1))
