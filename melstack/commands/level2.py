"""Commands of level two: stack a run's predictions, write its submission, explain and report it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from melstack.commands.data import audit_cases
from melstack.commands.level1 import train_run
from melstack.option_groups import expand_groups
from melstack.option_types import check_address, setting
from melstack.options import (
    CLOSER,
    DAILY,
    MAINTAINING,
    CasesOptions,
    ClusterAddress,
    NetworkOptions,
    RecipeOptions,
    RunOptions,
    StackOptions,
    model_name,
    split_names,
)
from runtime.errors import InputFault
from runtime.invocation import command
from runtime.progress import detail, say

if TYPE_CHECKING:
    from runtime.run_folder import Run

app = typer.Typer()
FURTHER = ("metrics", "paired", "subgroups", "calibration", "reliability", "shift", "ablation")  # .csv


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack features --data mydata")
@expand_groups
def features(source: CasesOptions, networks: NetworkOptions, cluster: ClusterAddress = None) -> None:
    """Compute the feature blocks, each from the cases without their target and fold, after level one."""
    with source.lock(create=True):
        run = train_run(source, networks, cluster)
        from features.compute_blocks import compute_blocks

        compute_blocks(run)


@app.command(rich_help_panel=DAILY, epilog="Example: melstack stack --data mydata --foreign predictions")
@expand_groups
def stack(
    source: CasesOptions, networks: NetworkOptions, options: StackOptions, cluster: ClusterAddress = None
) -> None:
    """Level two, after level one: cross-validate every learner of a recipe; print and write the leaderboard."""
    with source.lock(create=True):
        run = stack_run(source, networks, options, cluster)
        from melstack.closing.stack_end import print_end

        print_end(run, options.file.stem, ())


@app.command(rich_help_panel=DAILY, epilog="Example: melstack submission --data mydata --profile gpu")
@expand_groups
def submission(
    source: CasesOptions, networks: NetworkOptions, options: StackOptions, cluster: ClusterAddress = None
) -> None:
    """The main job, from nothing to the end: both levels, the CSV of test probabilities, and the bundle."""
    with source.lock(create=True):
        run = stack_run(source, networks, options, cluster)
        write_submission(run, options.file)
        from melstack.bundle.writing import make_bundle

        make_bundle(run.folder, options.recipe, run.folder / "bundle", cluster)
        from melstack.closing.stack_end import print_end

        print_end(run, options.file.stem, (run.submission, run.folder / "bundle"))


@app.command(rich_help_panel=CLOSER, epilog="Example: melstack bundle --data mydata --slim 0.005")
@expand_groups
def bundle(
    source: CasesOptions,
    networks: NetworkOptions,
    options: StackOptions,
    slim: Annotated[
        float | None,
        setting("also write bundle_slim: the fewest networks within this loss of AUC", "AUC", "no", min=0, max=0.5),
    ] = None,
    cluster: ClusterAddress = None,
) -> None:
    """Write the bundle, which predicts new cases without TensorFlow; `submission` writes it too."""
    with source.lock(create=True):
        run = stack_run(source, networks, options, cluster)
        from melstack.bundle.writing import make_bundle

        make_bundle(run.folder, options.recipe, run.folder / "bundle", cluster)
        if slim is None:
            return
        from level2_stack.slim.recipe import make_slim_recipe

        recipe = run.folder / "slim" / f"{options.file.stem}_slim.toml"
        make_slim_recipe(run, options.file, slim, recipe)
        slim_options = StackOptions(str(recipe), options.foreign, options.trust, options.prevalence)
        cross_validate(run, slim_options, models=split_names(networks.models))
        make_bundle(run.folder, str(recipe), run.folder / "bundle_slim", cluster)


@app.command(
    rich_help_panel=MAINTAINING,
    epilog="Example: melstack spread --table parquet --cluster tcp://host:8786 --out spread",
)
@expand_groups
def spread(
    options: RecipeOptions,
    table: Annotated[str, setting("folder or URL of Parquet files: ids, folds, targets and features", "FOLDER")],
    cluster: Annotated[
        str, setting("Dask scheduler whose workers read the table: tcp://host:8786", "ADDRESS", callback=check_address)
    ],
    out: Annotated[Path, setting("folder of the scores", "FOLDER")],
) -> None:
    """Cross-validate the boosters of a recipe over a table larger than one machine: Dask workers read it."""
    from level2_stack.recipe import read_recipe
    from level2_stack.spread.evaluate import Spread, make_spread, spread_learners
    from level2_stack.spread.table import open_table
    from runtime.folder_lock import lock_folder
    from runtime.provenance import is_fresh, write_mark

    params = spread_learners(read_recipe(options.file), options.file.name)
    with lock_folder(out):
        job = Spread(open_table(table), params, out)
        made_from, mark = job.made_from(), out / "spread.json"
        if is_fresh(mark, made_from, job.outputs()):
            say(f"spread: fresh, {out}")
            return
        make_spread(job, cluster)
        write_mark(mark, made_from, job.outputs(), recipe=options.recipe)


@app.command(rich_help_panel=MAINTAINING, epilog="Example: melstack design --data mydata --out parquet --parts 4")
@expand_groups
def design(
    run_options: RunOptions,
    options: RecipeOptions,
    out: Annotated[Path, setting("folder of the files", "FOLDER")],
    parts: Annotated[int, setting("number of files", "N", min=1)] = 4,
) -> None:
    """Write the design matrix of a finished stack as Parquet files that `spread` reads."""
    from level2_stack.spread.write_design import write_design
    from runtime.folder_lock import lock_folder

    with run_options.lock(), lock_folder(out):
        run = run_with_stack(run_options, options)
        size = write_design(run, run.level2 / options.file.stem, parts, out)
        say(f"design: {size} in {parts} files, {out}")


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

    read_recipe(recipe_file)


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
