"""Make the stack of a run and its submission, after every check that needs no fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from melstack.options import (
    CasesOptions,
    NetworkOptions,
    RecipeOptions,
    RunOptions,
    StackOptions,
    model_name,
    split_names,
)
from melstack.steps.cases import audit_cases
from melstack.steps.training import train_run
from runtime.errors import InputFault
from runtime.invocation import command
from runtime.progress import detail, say

if TYPE_CHECKING:
    from runtime.run_folder import Run

FURTHER = (
    "metrics",
    "paired",
    "subgroups",
    "risk_coverage",
    "conformal",
    "calibration",
    "reliability",
    "shift",
    "ablation",
    "repeats",
)  # .csv


def stack_run(source: CasesOptions, networks: NetworkOptions, options: StackOptions, cluster: str | None) -> Run:
    """Return the run of ``source`` after freezing, auditing, training and stacking; fresh steps are skipped."""
    check_stack_options(options, source)
    run = train_run(source, networks, cluster, options)
    cross_validate(run, options, cluster, models=split_names(networks.models))
    return run


def check_stack_options(options: StackOptions, source: CasesOptions) -> None:
    """Raise InputFault for an invalid recipe or an unusable folder of networks, before anything is computed.

    The files of the folder are read only for a new run: one that has its cases imports them at once.
    """
    from level2_stack.foreign.bring import check_files, networks_in
    from runtime.run_folder import Run

    recipe_file, run = options.file, Run(source.folder)
    if options.foreign is not None:
        networks_in(options.foreign, run)
        if not run.cases_mark.is_file():
            check_files(options.foreign, split_names(options.trust))
    from level2_stack.recipe import read_recipe  # slow: it imports the learners

    recipe = read_recipe(recipe_file)
    if recipe.repeats:
        from features.cases.fold_design.record import FoldRecord
        from level2_stack.crossval.repeats import check_repeats

        column = source.folds_by or source.folds_by_time
        check_repeats(recipe, FoldRecord.of(run.facts()).column if run.cases_mark.is_file() else column)


def cross_validate(run: Run, options: StackOptions, cluster: str | None = None, *, models: Sequence[str] = ()) -> None:
    """Compute the feature blocks, and cross-validate the recipe's learners.

    ``models`` are the only networks to use, by name or TOML file; without them, all networks of the run.
    """
    from features.compute_blocks import compute_blocks
    from level2_stack.networks_to_stack import left_out, networks_to_stack
    from level2_stack.recipe import read_recipe

    has_foreign = options.foreign is not None
    networks = networks_to_stack(run, {model_name(model) for model in models}, has_foreign=has_foreign)
    for sentence in left_out(run, networks, has_foreign=has_foreign):
        detail(f"level two: {sentence}")
    if read_recipe(options.file).blocks:
        compute_blocks(run, networks)
    audit_cases(run, is_first=False)  # again: there may be more feature columns now
    stack_networks(run, options, networks, cluster)


def stack_networks(run: Run, options: StackOptions, networks: list[str] | None, cluster: str | None = None) -> None:
    """Cross-validate the recipe's learners over ``networks`` (None: all of the run), unless that stack is fresh."""
    from level2_stack.finished import OUTPUTS, stack_ingredients
    from melstack.exchange.exports import export_predictions
    from runtime.provenance import is_fresh, write_mark

    file = options.file
    folder, made_from = run.level2 / file.stem, stack_ingredients(run, file, options.prevalence, networks)
    outputs = [folder / name for name in OUTPUTS]
    if is_fresh(folder / "run.json", made_from, outputs):
        say(f"level two: {file.stem}: fresh, {folder / 'leaderboard.csv'}")
        export_predictions(run)
        return
    from level2_stack.stacking import make_stack
    from melstack.history import keep_stack

    keep_stack(run, file.stem, made_from)
    make_stack(run, file, folder, options.prevalence, cluster, networks)
    further = [path for name in FURTHER if (path := folder / f"{name}.csv").is_file()]
    write_mark(
        folder / "run.json", made_from, [*outputs, *further, folder / "uncalibrated.parquet"], recipe=options.recipe
    )
    export_predictions(run)


def write_submission(run: Run, file: Path) -> None:
    """Write submission.csv from the stack of the recipe in ``file``, in the order of the sample."""
    from level2_stack.finished import submission_ingredients
    from runtime.provenance import is_fresh, write_mark

    made_from = submission_ingredients(run, file.stem)
    # The mark is beside the file, which all recipes share: another recipe's submission is not fresh for this one.
    mark = run.submission.with_suffix(".json")
    if is_fresh(mark, made_from, [run.submission]):
        say(f"submission: fresh, {run.submission}")
        return
    from level2_stack.submission import make_submission
    from melstack.history import keep_submission

    keep_submission(run, file.stem)
    make_submission(run, file)
    write_mark(mark, made_from, [run.submission])


def run_with_stack(run_options: RunOptions, options: RecipeOptions, purpose: str = "") -> Run:
    """Return the run; raise InputFault if the stack is damaged or not finished; ``purpose`` is part of the message."""
    from runtime.provenance import check_outputs
    from runtime.run_folder import Run

    run = Run(run_options.folder)
    run.facts()
    folder = run.level2 / options.file.stem
    if not (folder / "run.json").is_file():
        raise InputFault(f"{folder}: no finished stack{purpose}; {command('stack')} makes it")
    check_outputs(folder / "run.json", f"{command('stack')} makes it again")
    return run
