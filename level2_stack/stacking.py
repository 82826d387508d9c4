"""Run one level-two recipe: build the design, tune, cross-validate, choose, calibrate, write and print."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from features import blocks
from features.cases.fold_design.record import FoldRecord
from level2_stack.crossval import ablation
from level2_stack.crossval.cluster import open_workers
from level2_stack.crossval.decide import StackResult, decide
from level2_stack.crossval.fits import Workers
from level2_stack.crossval.nested import CrossValidation, TunedParams, count_fits, cross_validate
from level2_stack.crossval.repeats import check_repeats, repeat_partitions
from level2_stack.crossval.search import best_parameters, search
from level2_stack.design import shift
from level2_stack.design.assemble import Design, assemble
from level2_stack.design.network_shift import shifting_networks
from level2_stack.evaluation.known_truth import report_known_truth
from level2_stack.evaluation.subgroups import with_fold_names
from level2_stack.forecast.wide import MANY, announce_wide
from level2_stack.recipe import Recipe, read_recipe
from level2_stack.results.findings import Findings, print_findings, write_findings
from level2_stack.results.leaderboard import leaderboard
from level2_stack.results.smaller_stack import SmallerStack, measure_smaller_stack
from runtime.errors import InputFault, list_names
from runtime.invocation import command, option
from runtime.plural import number_of
from runtime.progress import detail, progress_bar, say
from runtime.run_folder import Run
from runtime.tables import read_table


def make_stack(
    run: Run,
    recipe_file: Path,
    folder: Path,
    prevalence: float | None = None,
    cluster: str | None = None,
    networks: Collection[str] | None = None,
) -> None:
    """Cross-validate the recipe in ``recipe_file`` over ``run``; write the results into ``folder`` and print them.

    ``folder`` gets the tables listed in ``write_findings``. ``prevalence`` replaces the recipe's prevalence.
    ``cluster`` is the address of a Dask scheduler whose workers do the fits; None: processes of this machine.
    ``networks`` are the only ones of the run that the recipe may use; None: all.
    """
    recipe = with_prevalence(read_recipe(recipe_file), prevalence)
    with open_workers(cluster, run.folder) as processes:
        cases, predictions = run.read_cases(), read_predictions(run, networks)
        check_repeats(recipe, FoldRecord.of(run.facts()).column)
        recipe = recipe.model_copy(update={"networks": recipe.select_networks(list(predictions))})
        _announce(run, recipe, cases, predictions, processes)
        design, shift_table = design_of_run(run, recipe, cases, predictions)
        params = _tune(design, recipe, folder / "tuning", processes)
        cross_validation = _cross_validate(design, recipe, params, processes)
        ablation_table = _ablate(design, recipe, cross_validation, processes) if recipe.ablation else None
        result = decide(design, recipe, cross_validation)
        smaller = _smaller_stack(run, design, recipe, cases, predictions, params, result, processes)
        repeats = _repeat(run, design, recipe, result, processes) if recipe.repeats else None
    board = leaderboard(design, predictions, result)
    tables = (shift_table, ablation_table)
    findings = Findings(design, recipe, cross_validation, result, board, *tables, params, smaller, repeats)
    write_findings(folder, findings, with_fold_names(cases, run.facts()), predictions)
    print_findings(folder, findings)
    report_known_truth(run, folder, cases, "train")


def _announce(
    run: Run, recipe: Recipe, cases: pd.DataFrame, predictions: Mapping[str, pd.DataFrame], processes: Workers | None
) -> None:
    """Print the time that a stack over many columns will take, before its first long step."""
    tables = _block_tables(run, recipe)
    if sum(table.shape[1] for table in tables.values()) >= MANY:
        on_cluster = None if processes is None else 1  # divide by the number of workers, which may change
        announce_wide(unfiltered_design(run, recipe, cases, predictions), recipe, on_cluster)


def with_prevalence(recipe: Recipe, prevalence: float | None) -> Recipe:
    """Return ``recipe`` with a deployment prevalence, unless it is None; raise InputFault if it is not in (0, 1)."""
    if prevalence is None:
        return recipe
    if not 0 < prevalence < 1:
        raise InputFault(
            f"prevalence = {prevalence}: it must be the share of malignant pictures, between 0 and 1; "
            "1.76 % is written 0.0176"
        )
    return recipe.model_copy(update={"calibration": recipe.calibration.model_copy(update={"prevalence": prevalence})})


def read_predictions(run: Run, networks: Collection[str] | None = None) -> dict[str, pd.DataFrame]:
    """Return the level-one table of every network of a run, or only of ``networks``; raise InputFault without any."""
    names = [name for name in run.networks() if networks is None or name in networks]
    if not names:
        raise InputFault(
            f"{run.folder}: it has no level-one predictions to stack; {command('oof')} trains networks on the "
            f"pictures, {option('foreign', 'folder')} imports predictions of other networks"
        )
    return {name: read_table(run.level1 / name / "predictions.parquet") for name in names}


def design_of_run(
    run: Run, recipe: Recipe, cases: pd.DataFrame, predictions: Mapping[str, pd.DataFrame]
) -> tuple[Design, pd.DataFrame]:
    """Return the run's design, without acquisition columns that separate test from train, and the table of that check.

    The table has one row per set of columns, as ``adversarial_validation`` returns it.
    """
    tables = _block_tables(run, recipe)
    acquisition = {name: blocks.find(name).ACQUISITION for name in tables}
    design = assemble(cases, predictions, tables, recipe, acquisition)
    groups = cases.loc[design.X.index, "patient_id"].to_numpy(dtype=object)
    families = shift.column_families(design.X.columns, acquisition)
    is_test = np.arange(len(design.X)) >= len(design.y)
    shift_table = shift.adversarial_validation(design.X, is_test, groups, families)
    columns_to_drop = (
        shift.columns_to_exclude(shift_table, acquisition, recipe.shift_threshold)
        if recipe.acquisition == "auto"
        else {}
    )
    full_names = {f"{block}.{name}" for block, names in columns_to_drop.items() for name in names}
    design = design.without(full_names & set(design.X.columns))
    left_out = (
        f"; blocks that could not be computed: {', '.join(design.missing_blocks)}" if design.missing_blocks else ""
    )
    say(
        f"level two: {number_of(design.X.shape[1], 'column')} from {number_of(len(design.networks), 'network')} "
        f"and {number_of(sum(1 for table in tables.values() if len(table.columns)), 'feature block')}{left_out}"
    )
    if recipe.acquisition == "auto":
        for sentence in shift.describe_shifts(shift_table, recipe.shift_threshold):
            detail(f"  {sentence}")
    return design, shift_table


def unfiltered_design(run: Run, recipe: Recipe, cases: pd.DataFrame, predictions: Mapping[str, pd.DataFrame]) -> Design:
    """Return the design of ``recipe`` over the run with all its columns, even those that separate test from train."""
    tables = _block_tables(run, recipe)
    return assemble(cases, predictions, tables, recipe, {name: blocks.find(name).ACQUISITION for name in tables})


def rebuild_design(run: Run, recipe: Recipe, columns: Sequence[str]) -> Design:
    """Return the design of a finished stack, which has these ``columns``; raise InputFault if the run lacks some."""
    design = unfiltered_design(run, recipe, run.read_cases(), read_predictions(run))
    lacking = pd.Index(columns).difference(design.X.columns)
    if len(lacking):
        raise InputFault(
            f"{run.folder}: columns of the finished stack that the run no longer has: {list_names(lacking)}; "
            f"{command('stack')} makes the stack again"
        )
    return replace(design, X=design.X[list(columns)])


def _block_tables(run: Run, recipe: Recipe) -> dict[str, pd.DataFrame]:
    paths = {name: run.blocks / f"{name}.parquet" for name in recipe.blocks}
    return {name: read_table(path) for name, path in paths.items() if path.is_file()}


def _smaller_stack(
    run: Run,
    design: Design,
    recipe: Recipe,
    cases: pd.DataFrame,
    predictions: Mapping[str, pd.DataFrame],
    params: TunedParams,
    result: StackResult,
    processes: Workers | None,
) -> SmallerStack | None:
    """Return the stack without the networks that shift from out of fold to test; None if no network does."""
    shifting = shifting_networks(design)
    if not shifting:
        return None
    names, train, smaller_scores = [name for name in design.networks if name not in shifting], design.train.index, None
    if names:
        say(f"level two again, without {' and '.join(shifting)}, whose test scores differ from those out of fold")
        # The parameters that were tuned with all networks: another tuning would change more than the networks.
        smaller_recipe = recipe.model_copy(update={"networks": names})
        all_columns = unfiltered_design(run, smaller_recipe, cases, {name: predictions[name] for name in names})
        # Its other columns, and so those that separate test from train, are those of the full design.
        smaller_design = all_columns.without(set(all_columns.X.columns) - set(design.X.columns))
        cross_validation = _cross_validate(smaller_design, smaller_recipe, params, processes)
        smaller_result = decide(smaller_design, smaller_recipe, cross_validation)
        smaller_scores = smaller_result.probability.loc[train, smaller_result.headline]
    full = result.probability.loc[train, result.headline]
    return measure_smaller_stack(shifting, design.y, design.groups, full, smaller_scores)


def _tune(design: Design, recipe: Recipe, folder: Path, processes: Workers | None) -> TunedParams:
    if recipe.tuning.trials == 0:
        return {}
    studies = search(design, recipe, folder, processes=processes)
    for study, outcome in studies.items():
        detail(
            f"  tuning of {study.learner}, fold {study.fold}: inner log loss {outcome.best:.5f} after "
            f"{outcome.trials} trials, {outcome.default:.5f} with the recipe's parameters"
        )
    return best_parameters(studies)


def _cross_validate(design: Design, recipe: Recipe, params: TunedParams, processes: Workers | None) -> CrossValidation:
    with progress_bar("level two: fitting", count_fits(design, recipe, params), unit="fit") as advance:
        return cross_validate(design, recipe, tuned_params=params, processes=processes, on_fit=lambda task: advance(1))


def _repeat(run: Run, design: Design, recipe: Recipe, result: StackResult, processes: Workers | None) -> pd.DataFrame:
    """Return the AUCs over other partitions of the patients, as ``repeat_partitions`` does."""

    def evaluate(other: Design) -> StackResult:
        """Cross-validate again, in the folds of ``other``."""
        return decide(other, recipe, _cross_validate(other, recipe, {}, processes))

    return repeat_partitions(run, design, recipe, result, evaluate)


def _ablate(
    design: Design, recipe: Recipe, cross_validation: CrossValidation, processes: Workers | None
) -> pd.DataFrame:
    fits = len(ablation.list_parts(design)) * (int(cross_validation.folds.max()) + 1)
    with progress_bar("level two: ablation", fits, unit="fit") as advance:
        return ablation.ablate(design, recipe, cross_validation, processes=processes, on_fit=lambda task: advance(1))
